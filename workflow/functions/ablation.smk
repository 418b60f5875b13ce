# Inputs and settings of the rules in workflow/rules/ablation.smk.

from dasbench.experiments import ablation_design

# experiments with a factorial ablation; `ablation: {readouts: []}`, the default, is none
ABLATIONS = {name: e for name, e in EXPERIMENTS.items() if ablation_design.wanted(e)}
ABLATION_TABLES = ["cells", "main_effects", "gains"]


def readout_settings(experiment):
    """Params function: the sets of one noise policy."""

    def params(wildcards):
        sets = ablation_design.feature_sets(EXPERIMENTS[experiment], wildcards.noise)
        return drawn_settings(experiment, sets=sets)

    return params


def cell_residuals(experiment):
    """kernel -> residual -> name of its file, None for none."""
    found = {}
    for options in ablation_design.residual_options(EXPERIMENTS[experiment]):
        name = residual_name(experiment, options)
        found.setdefault(options["kernel"], {})[options["residual"]] = name
    return found


def cell_residual_files(wildcards):
    names = {name for own in cell_residuals(wildcards.experiment).values() for name in own.values()}
    folder = f"results/{wildcards.experiment}/residuals"
    return [f"{folder}/{name}.npy" for name in sorted(filter(None, names))]


def cell_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        labels=ablation_design.labels(e)[wildcards.features],
        residuals=cell_residuals(wildcards.experiment),
        order={name: e["ablation"][name] for name in ("kernels", "residuals")},
        fixed=e["ablation"]["fixed"],
        damping=e["damping"],
        **e["lds"],
    )


def cell_tables(wildcards):
    return expand(
        "results/{experiment}/ablation/cells/{features}/{file}",
        experiment=wildcards.experiment,
        features=ablation_design.labels(EXPERIMENTS[wildcards.experiment]),
        file=["cells.csv", "draws.npy"],
    )


def ablation_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        experiment=wildcards.experiment,
        sets=list(ablation_design.labels(e)),
        level=e["lds"]["level"],
    )


def ablation_gains(wildcards):
    """The shares of the gain, where there is an ablation."""
    if wildcards.experiment not in ABLATIONS:
        return []
    return f"results/{wildcards.experiment}/ablation/gains.csv"


def ablation_flag(wildcards):
    """The shares of the gain as a command line option, or nothing."""
    path = ablation_gains(wildcards)
    return f"--gains {path}" if path else ""
