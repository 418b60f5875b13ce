# Reads the subset models, the queries and the methods' inputs; writes masks/, outputs/ and lds/.
# The choice of a damping (score.smk) sees tuning outputs; only rules here see evaluation outputs.


include: "../functions/evaluate.smk"


rule measure_outputs:
    input:
        shard_models,
        base=pipeline("results/{experiment}/models/base"),
        queries=expand("results/{{experiment}}/queries/{kind}.npy", kind=layout.KINDS),
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/seed-{{seed}}/shard-{{shard}}/{file}",
            file=OUTPUT_FILES,
        ),
    log:
        "logs/{experiment}/measure_outputs/{use}-{seed}-{shard}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_outputs/{use}-{seed}-{shard}.tsv"
    priority: 4
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=120,
        gpu=1,
    params:
        settings=measure_settings,
        code=code("measure_outputs"),
        folder=filled("results/{experiment}"),
        part=filled("{use}/seed-{seed}/shard-{shard}"),
    shell:
        "python scripts/measure_outputs.py --settings {params.settings:q}"
        " --base {params.folder}/models/base --shard {params.folder}/models/{params.part}"
        " --queries {params.folder}/queries --out {params.folder}/outputs/{params.part}"
        " --threads {threads} > {log} 2>&1"


rule gather_outputs:
    input:
        all_shards("results/{experiment}/models/{use}/seed-{seed}/shard-{shard}/masks.npy"),
        all_shards("results/{experiment}/outputs/{use}/seed-{seed}/shard-{shard}/{file}"),
    output:
        expand("results/{{experiment}}/outputs/{{use}}/{file}", file=OUTPUT_FILES),
        masks="results/{experiment}/masks/{use}.npy",
    log:
        "logs/{experiment}/gather_outputs/{use}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=gather_settings,
        code=code("gather_outputs"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/gather_outputs.py --settings {params.settings:q}"
        " --models {params.folder}/models/{wildcards.use}"
        " --outputs {params.folder}/outputs/{wildcards.use} --masks {output.masks} > {log} 2>&1"


rule evaluate_lds:
    input:
        method_inputs,
        masks=shared("masks/eval.npy"),
        outputs=shared(*[f"outputs/eval/{file}" for file in OUTPUT_FILES]),
        selection="results/{experiment}/lds/methods/{method}/selection.csv",
    output:
        expand(
            "results/{{experiment}}/lds/methods/{{method}}/{file}",
            file=["summary.csv", "leverage.csv", "per_query.parquet", "draws.npy"],
        ),
    log:
        "logs/{experiment}/evaluate_lds/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/evaluate_lds/{method}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=method_settings("damping", "lds"),
        code=method_code("evaluate_lds"),
        files=method_flags,
        home=shared(""),
        folder=filled("results/{experiment}/lds/methods/{method}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/evaluate_lds.py --settings {params.settings:q}"
        " {params.files} --masks {input.masks} --outputs {params.home}outputs/eval"
        " --selection {input.selection} --out {params.folder} > {log} 2>&1"


rule summarise_lds:
    input:
        method_tables,
        uses=shared("queries/uses.json"),
        outputs=shared(*[f"outputs/eval/{file}" for file in OUTPUT_FILES]),
    output:
        expand(
            "results/{{experiment}}/lds/{file}",
            file=[
                "summary.csv",
                "selection.csv",
                "leverage.csv",
                "per_query.parquet",
                "ceiling.csv",
                "comparisons.csv",
            ],
        ),
    log:
        "logs/{experiment}/summarise_lds.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=summary_settings,
        code=code("summarise_lds"),
        home=shared(""),
        folder=filled("results/{experiment}/lds"),
    shell:
        "python scripts/summarise_lds.py --settings {params.settings:q} --methods {params.folder}/methods"
        " --queries {params.home}queries --outputs {params.home}outputs/eval --out {params.folder}"
        " > {log} 2>&1"
