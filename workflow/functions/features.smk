# Inputs and settings of the rules in workflow/rules/features.smk.

SPECTRUM = ["eigenvalues", "eigenvectors"]


def feature_settings(wildcards):
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    return settings(wildcards.experiment, features=chosen)


def spectra(experiment):
    """Names of the feature sets whose kernel some method needs."""
    chosen = [o["features"] for o in METHODS[experiment].values() if "kernel" in o]
    return sorted({experiments.feature_name(f, EXPERIMENTS[experiment]) for f in chosen})


def decompose_memory(wildcards):
    """MB: Python, the kernel, its eigenvectors, LAPACK's copy, and the features if held in cache."""
    n, p = feature_shape(wildcards.experiment, FEATURES[wildcards.experiment][wildcards.features])
    return 500 + (6 * 8 * min(n, p) ** 2 + 4 * n * p) // 10**6


def feature_shape(experiment, features):
    """(N, P) of training features; P is a guess where they are not projected."""
    return EXPERIMENTS[experiment]["data"]["train"], features["dimensions"]


def residual_name(experiment, options):
    """Name of the residuals that a method needs, such as scalar or scalar-T100, or None.

    The scalar form is taken at the method's own feature timesteps, the
    released form at a grid of its own.
    """
    kind = options.get("residual", "none")
    if kind == "none":
        return None
    usual, own = EXPERIMENTS[experiment]["features"], options["features"]
    parts = [kind]
    if kind == "scalar":
        parts += [f"T{own['timesteps']}"] * (own["timesteps"] != usual["timesteps"])
        parts += [f"E{own['draws']}"] * (own["draws"] != usual["draws"])
        parts += ["released"] * (own["timestep_rule"] == "released")
    return "-".join(parts)


def residual_sets(experiment):
    """name -> settings of every set of residuals that some method needs."""
    found = {}
    for options in METHODS[experiment].values():
        name = residual_name(experiment, options)
        if name:
            own, released = options["features"], options["residual"] == "released"
            count = EXPERIMENTS[experiment]["residuals"]["released_timesteps"]
            found[name] = {
                "kind": options["residual"],
                "timesteps": count if released else own["timesteps"],
                "timestep_rule": "released" if released else own["timestep_rule"],
                "draws": EXPERIMENTS[experiment]["features"]["draws"] if released else own["draws"],
            }
    return found


def residual_settings(wildcards):
    chosen = residual_sets(wildcards.experiment)[wildcards.residuals]
    return settings(wildcards.experiment, residuals=chosen)
