# Reads the LDS of an experiment and of its replicates; writes replicates/. If a replicate has another
# base model, a rule here trains it on the examples of its root experiment.


include: "common.smk"


from dasbench.experiments.files import models, replicates

for name, e in where(replicates.has_base).items():

    rule:
        name:
            f"train_base_{name}"
        input:
            models.given_files(e),
            examples=f"{e.home}/examples/train.npz",
        output:
            models.trained_files(e),
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
            settings=literally(models.base_settings(e)),
            code=model_code("train_base", e),
            given=models.given_options(e),
            folder=filled(f"results/{name}/models"),
        shell:
            "python scripts/train_base.py --settings {params.settings:q} --examples {input.examples}"
            " {params.given} --model {params.folder}/base --checkpoints {params.folder}/checkpoints"
            " --threads {threads} > {log} 2>&1"


rule summarise_replicates:
    input:
        of(replicates.replicate_summaries, experiments=EXPERIMENTS),
    output:
        expand("results/{{experiment}}/replicates/{table}.csv", table=replicates.REPLICATE_TABLES),
    log:
        "logs/{experiment}/summarise_replicates.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_lds"),
        runtime=minutes("summarise_lds"),
    params:
        settings=of(replicates.replicate_settings, experiments=EXPERIMENTS),
        code=code("summarise_replicates"),
        folder=filled("results/{experiment}/replicates"),
    shell:
        "python scripts/summarise_replicates.py --settings {params.settings:q} --summaries {input}"
        " --out {params.folder} > {log} 2>&1"
