# Reads the LDS of an experiment and of its replicates; writes replicates/. A replicate with a base
# model of its own trains that here, on its root's examples.


include: "../functions/replicates.smk"


for name, e in OWN_BASES.items():

    rule:
        name:
            f"train_base_{name}"
        input:
            given_files(name),
            examples=f"results/{e['seed_name']}/examples/train.npz",
        output:
            base_files(name, f"results/{name}/models/base"),
            [
                file
                for c in range(len(checkpoint_epochs(name)))
                for file in member_files(name, f"results/{name}/models/checkpoints/{c:02d}")
            ],
        log:
            f"logs/{name}/train_base.log",
        benchmark:
            f"logs/benchmark/{name}/train_base.tsv"
        priority: 10
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("train_base", name, PROCESSES),
            runtime=minutes("train_base", name),
            gpu=gpus(PROCESSES),
            cpus_per_task=cpus,
        params:
            settings=own_base_settings(name),
            code=model_code("train_base", name),
            given=given_options(name),
            folder=filled(f"results/{name}/models"),
        shell:
            "python scripts/train_base.py --settings {params.settings:q} --examples {input.examples}"
            " {params.given} --model {params.folder}/base --checkpoints {params.folder}/checkpoints"
            " --threads {threads} > {log} 2>&1"


rule summarise_replicates:
    input:
        replicate_summaries,
    output:
        expand("results/{{experiment}}/replicates/{table}.csv", table=REPLICATE_TABLES),
    log:
        "logs/{experiment}/summarise_replicates.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_lds"),
        runtime=minutes("summarise_lds"),
    params:
        settings=replicate_settings,
        code=code("summarise_replicates"),
        folder=filled("results/{experiment}/replicates"),
    shell:
        "python scripts/summarise_replicates.py --settings {params.settings:q} --summaries {input}"
        " --out {params.folder} > {log} 2>&1"
