# Inputs and settings of the rules in workflow/rules/features.smk.

SPECTRUM = ["eigenvalues", "eigenvectors"]
COMPUTED = ["dampings", *layout.KINDS]  # scores that need the network, at all their dampings


def feature_settings(wildcards):
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    return settings(wildcards.experiment, features=chosen)


def spectra(experiment):
    """Names of the feature sets whose kernel some method needs."""
    chosen = [o["features"] for o in METHODS[experiment].values() if "kernel" in o]
    return sorted({experiments.feature_name(f, EXPERIMENTS[experiment]) for f in chosen})


def residual_name(experiment, options):
    """Name of the residuals that a method needs, or None."""
    return experiments.residual_name(options, EXPERIMENTS[experiment])


def residual_sets(experiment):
    """name -> settings of every set of residuals that some method needs."""
    return experiments.residual_sets(EXPERIMENTS[experiment])


def residual_settings(wildcards):
    chosen = residual_sets(wildcards.experiment)[wildcards.residuals]
    return settings(wildcards.experiment, residuals=chosen)


def computed(by, experiments=EXPERIMENTS):
    """Names of the methods whose scores the rule compute_<by> makes, as a pattern."""
    names = {m for e in experiments for m, o in METHODS[e].items() if o.get("computed") == by}
    return "|".join(sorted(names)) or "(?!)"


def computed_settings(*sections):
    """Params function: how gradients are taken, the method's own options, and whole sections."""

    def params(wildcards):
        e = EXPERIMENTS[wildcards.experiment]
        own = METHODS[wildcards.experiment][wildcards.method]
        gradients = {key: e["features"][key] for key in ("timesteps", "draws", "parameters")}
        gradients |= {key: own[key] for key in ("steps", "loss_timesteps") if key in own}
        more = {name: e[name] for name in sections}
        return settings(wildcards.experiment, gradients=gradients, **more)

    return params
