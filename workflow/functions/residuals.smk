# Inputs and settings of the rules in workflow/rules/residuals.smk.


def residual_name(experiment, options):
    """Name of the residuals that a method needs, or None."""
    return residuals.name_of(options, EXPERIMENTS[experiment])


def residual_sets(experiment):
    """name -> settings of every set of residuals that some method needs."""
    return residuals.sets(EXPERIMENTS[experiment])


def residual_settings(wildcards):
    chosen = residual_sets(wildcards.experiment)[wildcards.residuals]
    return drawn_settings(wildcards.experiment, residuals=chosen)
