# Inputs and settings of the rules in workflow/rules/evaluate.smk.

OUTPUT_FILES = [f"{target}-{kind}.npy" for target in layout.TARGETS for kind in layout.KINDS]


def shard_models(wildcards):
    """Every file of one shard's models, without the masks."""
    pattern = shard_files(wildcards.experiment, wildcards.use)[1:]
    return [file.format(seed=wildcards.seed, shard=wildcards.shard) for file in pattern]


def measure_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    per_job = e["subsets"]["models_per_job"]
    return settings(
        wildcards.experiment, models_per_job=per_job, timesteps=e["outputs"]["timesteps"]
    )


def all_shards(template):
    """Input function: a file of every shard of a use."""

    def files(wildcards):
        where = {"experiment": wildcards.experiment, "use": wildcards.use}
        return expand(
            template,
            **where,
            seed=seeds(wildcards.experiment, wildcards.use),
            shard=shards(wildcards.experiment, wildcards.use),
            file=OUTPUT_FILES,
        )

    return files


def gather_settings(wildcards):
    return settings(
        wildcards.experiment,
        shards=len(shards(wildcards.experiment, wildcards.use)),
        seeds=len(seeds(wildcards.experiment, wildcards.use)),
    )


def compared_pairs(experiment):
    """The primary comparisons, fixed in the experiment file, then every other method against das."""
    primary = EXPERIMENTS[experiment]["comparisons"]
    pairs = [{"kind": "primary", "a": c["a"], "b": c["b"]} for c in primary]
    known = {frozenset((c["a"], c["b"])) for c in primary}
    others = [m for m in METHODS[experiment] if m != "das" and frozenset((m, "das")) not in known]
    if "das" in METHODS[experiment]:
        pairs += [{"kind": "exploratory", "a": m, "b": "das"} for m in others]
    return pairs


def summary_settings(wildcards):
    """Names of the methods, which pairs of them are compared, and which are made of tuning subsets."""
    e, chosen = EXPERIMENTS[wildcards.experiment], METHODS[wildcards.experiment]
    seen = {m: e["subsets"]["tune"]["models"] for m, o in chosen.items() if o.get("tuning")}
    return settings(
        wildcards.experiment,
        experiment=wildcards.experiment,
        methods=list(chosen),
        tuning=seen,
        comparisons=compared_pairs(wildcards.experiment),
        inapplicable=experiments.inapplicable(e),
        **e["lds"],
    )


def method_tables(wildcards):
    return expand(
        "results/{experiment}/lds/methods/{method}/{file}",
        experiment=wildcards.experiment,
        method=METHODS[wildcards.experiment],
        file=["selection.csv", "summary.csv", "leverage.csv", "per_query.parquet", "draws.npy"],
    )
