# Reads the training examples; writes models/base, models/checkpoints and the shards of
# models/{tune,eval}. Files are declared one by one, never as a directory. Experiments have different
# numbers of files, so each experiment has a copy of the two rules.


include: "common.smk"


from dasbench.experiments.files import models

for name, e in where(models.trains_base).items():

    rule:
        name:
            f"train_base_{name}"
        input:
            models.given_files(e),
            examples=f"results/{name}/examples/train.npz",
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


for name, e in where(models.trains_subsets).items():
    for use in models.USES:

        rule:
            name:
                f"train_subsets_{use}_{name}"
            input:
                models.given_files(e),
                examples=f"results/{name}/examples/train.npz",
            output:
                models.shard_files(e, use),
            log:
                f"logs/{name}/train_subsets/{use}-{{seed}}-{{shard}}.log",
            benchmark:
                f"logs/benchmark/{name}/train_subsets/{use}-{{seed}}-{{shard}}.tsv"
            priority: 5
            conda:
                "../../environment.yml"
            threads: 1
            resources:
                mem_mb=mem_mb(f"train_subsets_{use}", name),
                runtime=minutes(f"train_subsets_{use}", name),
                gpu=gpus(),
            params:
                settings=literally(models.subset_settings(e)),
                code=model_code("train_subsets", e),
                given=models.given_options(e),
                use=use,
                folder=filled(f"results/{name}/models/{use}"),
            shell:
                "python scripts/train_subsets.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --use {params.use} --seed {wildcards.seed} --shard {wildcards.shard}"
                " --out {params.folder}/seed-{wildcards.seed}/shard-{wildcards.shard}"
                " --threads {threads} > {log} 2>&1"
