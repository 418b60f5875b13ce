# Reads the evaluation models, the queries, the masks and the scores; writes grids/: outputs of subset
# models on few timesteps against all timesteps. `snakemake -- grids_<E>` runs it.


include: "common.smk"


from dasbench.experiments.files import grids, models, scores


rule measure_grids:
    input:
        of(grids.grid_models),
        of(models.given_files),
        of(models.query_files),
        base=of(models.base_files),
        uses="results/{experiment}/queries/uses.json",
    output:
        expand(
            "results/{{experiment}}/grids/seed-{{seed}}/shard-{{shard}}/{kind}.npy",
            kind=query_kinds.KINDS,
        ),
    log:
        "logs/{experiment}/measure_grids/{seed}-{shard}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_grids/{seed}-{shard}.tsv"
    wildcard_constraints:
        experiment=only([name for name in where(grids.has_grids) if name in HELD_OUT]),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_grids"),
        runtime=minutes("measure_grids"),
        gpu=gpus(),
    params:
        settings=of(grids.grid_settings),
        code=family_code("measure_grids"),
        given=of(models.given_options),
        folder=filled("results/{experiment}"),
        shard=filled("seed-{seed}/shard-{shard}"),
    shell:
        "python scripts/measure_grids.py --settings {params.settings:q}"
        " --base {params.folder}/models/base --models {params.folder}/models/eval/{params.shard}"
        " --queries {params.folder}/queries --out {params.folder}/grids/{params.shard}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule measure_grids as measure_grids_gen with:
    output:
        expand(
            "results/{{experiment}}/grids/seed-{{seed}}/shard-{{shard}}/{kind}.npy",
            kind=GEN,
        ),
    wildcard_constraints:
        experiment=only([name for name in where(grids.has_grids) if name in GENERATED]),


rule compare_grids:
    input:
        of(grids.grid_files),
        of(scores.score_files),
        uses="results/{experiment}/queries/uses.json",
        masks="results/{experiment}/masks/eval.npy",
    output:
        expand("results/{{experiment}}/grids/{table}.csv", table=grids.GRID_TABLES),
    log:
        "logs/{experiment}/compare_grids.log",
    wildcard_constraints:
        experiment=only(where(grids.has_grids)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("compare_grids"),
        runtime=minutes("compare_grids"),
    params:
        settings=of(grids.grid_comparison_settings),
        code=code("compare_grids"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/compare_grids.py --settings {params.settings:q} --home {params.folder}"
        " --grids {params.folder}/grids --out {params.folder}/grids > {log} 2>&1"
