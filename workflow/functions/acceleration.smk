# Inputs and settings of the rules in workflow/rules/acceleration.smk.

# experiments whose methods are timed; `acceleration: {reference: null}`, the default, is none
TIMED = {name: e for name, e in EXPERIMENTS.items() if e["acceleration"]["reference"]}
COST_FILES = ["cost-times.csv", "cost-quality.csv", "cost-speedup.json"]


def timed_methods(experiment):
    """name -> features, residuals, and what the table shows of them, of what is timed."""
    e, found = EXPERIMENTS[experiment], {}
    for name, options in METHODS[experiment].items():
        if designs.timed(options):
            residuals = residual_sets(experiment).get(residual_name(experiment, options))
            shown = {k: v for k, v in options["features"].items() if k != "dimensions"}
            shown["timestep_range"] = str(shown["timestep_range"] or "all")
            own = {"features": options["features"], "residuals": residuals, "shown": shown}
            found[name] = own
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
