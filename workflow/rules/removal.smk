# Reads the models retrained without some examples, and the queries; writes removal/.


include: "common.smk"


from dasbench.experiments.files import models, removal


rule measure_removal:
    input:
        of(removal.removal_models),
        of(models.given_files),
        of(models.query_files),
        base=of(models.base_files),
        gen=shared("queries/gen.npy"),
        noise=shared("queries/gen_noise.npy"),
    output:
        expand(
            "results/{{experiment}}/removal/parts/{{arm}}/k-{{k}}/{file}",
            file=["per_query.parquet", "images.npy"],
        ),
    log:
        "logs/{experiment}/measure_removal/{arm}-{k}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_removal/{arm}-{k}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_removal"),
        runtime=minutes("measure_removal"),
        gpu=gpus(),
    params:
        settings=of(removal.measure_removal_settings),
        code=family_code("measure_removal"),
        given=of(models.given_options),
        home=shared(""),
        folder=filled("results/{experiment}"),
        arm=filled("{arm}/k-{k}"),
    shell:
        "python scripts/measure_removal.py --settings {params.settings:q}"
        " --base {params.home}models/base --models {params.folder}/models/removal/{params.arm}"
        " --queries {params.home}queries --out {params.folder}/removal/parts/{params.arm}"
        " {params.given} --threads {threads} > {log} 2>&1"


rule summarise_removal:
    input:
        of(removal.part_files, folder="parts"),
    output:
        expand(
            "results/{{experiment}}/removal/{file}",
            file=[
                "per_query.parquet",
                "summary.csv",
                "comparisons.csv",
                "images.npy",
                "images.csv",
            ],
        ),
    log:
        "logs/{experiment}/summarise_removal.log",
    wildcard_constraints:
        experiment=except_for(where(removal.embeds_removals)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_removal"),
        runtime=minutes("summarise_removal"),
    params:
        settings=of(removal.removal_summary_settings),
        code=code("summarise_removal"),
        folder=filled("results/{experiment}/removal"),
    shell:
        "python scripts/summarise_removal.py --settings {params.settings:q}"
        " --parts {params.folder}/parts --out {params.folder} > {log} 2>&1"
