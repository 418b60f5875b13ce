# Inputs and settings of the rules in workflow/rules/grids.smk.

# experiments with subset models of their own
MEASURED = [name for name in JUDGED if name in ROOTS]
GRID_TABLES = ["outputs", "lds"]


def grid_models(wildcards):
    """The models of one evaluation shard, without the masks."""
    pattern = shard_files(wildcards.experiment, "eval")[1:]
    return [file.format(seed=wildcards.seed, shard=wildcards.shard) for file in pattern]


def grid_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return model_settings(
        wildcards.experiment,
        models_per_job=e["subsets"]["models_per_job"],
        timesteps=e["diffusion"]["timesteps"],
    )


def grid_minutes(wildcards, attempt):
    """As measure_outputs, with all timesteps in the place of its own."""
    e = EXPERIMENTS[wildcards.experiment]
    times = -(-e["diffusion"]["timesteps"] // e["outputs"]["timesteps"])
    return times * minutes("measure_outputs")(wildcards, attempt)


def grid_files(wildcards):
    return expand(
        "results/{experiment}/grids/seed-{seed}/shard-{shard}/{kind}.npy",
        experiment=wildcards.experiment,
        seed=seeds(wildcards.experiment, "eval"),
        shard=shards(wildcards.experiment, "eval"),
        kind=query_kinds.KINDS,
    )


def grid_comparison_settings(wildcards):
    name, methods = wildcards.experiment, METHODS[wildcards.experiment]
    return settings(
        name,
        experiment=name,
        methods={
            kind: [m for m, o in methods.items() if kind in experiments.kinds(o)]
            for kind in query_kinds.KINDS
        },
        shards=shards(name, "eval"),
        seeds=list(seeds(name, "eval")),
        **EXPERIMENTS[name]["lds"],
    )
