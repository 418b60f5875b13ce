# Inputs and settings of the rules in workflow/rules/features.smk.


def feature_settings(wildcards):
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    return settings(wildcards.experiment, features=chosen)


def residual_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    released = wildcards.residuals == "released"
    count = e["residuals"]["released_timesteps"] if released else e["features"]["timesteps"]
    chosen = {
        "kind": wildcards.residuals,
        "timesteps": count,
        "timestep_rule": "released" if released else "midpoint",
        "draws": e["features"]["draws"],
    }
    return settings(wildcards.experiment, residuals=chosen)
