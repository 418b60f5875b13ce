# Inputs and settings of the rules in workflow/rules/acceleration.smk.

# experiments whose methods are timed; `acceleration: {reference: null}`, the default, is none
TIMED = {name: e for name, e in EXPERIMENTS.items() if e["acceleration"]["reference"]}
COST_FILES = ["cost-times.csv", "cost-quality.csv", "cost-speedup.json"]


def timed_methods(experiment):
    """name -> kernel, features, residuals, and what the table shows of them, of what is timed."""
    e, found = EXPERIMENTS[experiment], {}
    for name, options in METHODS[experiment].items():
        if ablation_design.timed(options):
            residuals = residual_sets(experiment).get(residual_name(experiment, options))
            kernel, features = options["kernel"], options["features"]
            shown = {k: v for k, v in features.items() if k != "dimensions"} | {"kernel": kernel}
            shown["timestep_range"] = str(shown["timestep_range"] or "all")
            found[name] = {"kernel": kernel, "features": features, "residuals": residuals}
            found[name]["shown"] = shown
    return found


def time_settings(wildcards):
    return drawn_settings(wildcards.experiment, methods=timed_methods(wildcards.experiment))


def timed_tables(wildcards):
    return expand(
        "results/{experiment}/lds/methods/{method}/{file}",
        experiment=wildcards.experiment,
        method=timed_methods(wildcards.experiment),
        file=["selection.csv", "summary.csv", "draws.npy"],
    )


def relate_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        reference=e["acceleration"]["reference"],
        level=e["lds"]["level"],
    )
