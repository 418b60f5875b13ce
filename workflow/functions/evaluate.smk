# Inputs and settings of the rules in workflow/rules/evaluate.smk.

OUTPUT_FILES = [
    f"{target}-{kind}.npy" for target in query_kinds.TARGETS for kind in query_kinds.KINDS
]


def output_grid(experiment):
    """Arguments of outputs.grid."""
    e = EXPERIMENTS[experiment]
    chosen = e["outputs"]
    total = e["diffusion"]["timesteps"]
    return {"count": chosen["timesteps"], "total": total, "spacing": chosen["spacing"]}


def measuring_jobs(experiment, use):
    """Job, as it stands in paths -> the shards that it measures."""
    found, size = shards(experiment, use), EXPERIMENTS[experiment]["outputs"]["shards_per_job"]
    return {f"{i // size:03d}": found[i : i + size] for i in range(0, len(found), size)}


def measured_shards(wildcards):
    """The shards of one measuring job."""
    return measuring_jobs(wildcards.experiment, wildcards.use)[wildcards.job]


def measured_models(wildcards):
    """Every file of the models of one measuring job, without the masks."""
    pattern = shard_files(wildcards.experiment, wildcards.use)[1:]
    return [
        file.format(seed=wildcards.seed, shard=shard)
        for shard in measured_shards(wildcards)
        for file in pattern
    ]


def measure_settings(wildcards):
    return model_settings(
        wildcards.experiment,
        models_per_job=EXPERIMENTS[wildcards.experiment]["subsets"]["models_per_job"],
        shards=measured_shards(wildcards),
        grid=output_grid(wildcards.experiment),
    )


def everywhere(template):
    """Input function: a file of every shard, or of every measuring job, of a use."""

    def files(wildcards):
        where = {"experiment": wildcards.experiment, "use": wildcards.use}
        return expand(
            template,
            **where,
            seed=seeds(wildcards.experiment, wildcards.use),
            shard=shards(wildcards.experiment, wildcards.use),
            job=list(measuring_jobs(wildcards.experiment, wildcards.use)),
            file=OUTPUT_FILES,
        )

    return files


def gather_settings(wildcards):
    return settings(
        wildcards.experiment,
        shards=len(shards(wildcards.experiment, wildcards.use)),
        jobs=len(measuring_jobs(wildcards.experiment, wildcards.use)),
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
