# Inputs and settings of the rules in workflow/rules/features.smk.

SPECTRUM = ["eigenvalues", "eigenvectors"]


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
