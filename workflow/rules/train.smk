# Reads the training examples; writes models/base, models/checkpoints and the shards of
# models/{tune,eval}. The number of files differs from experiment to experiment, so each has its
# own copy of the two rules: files are declared one by one, never as a directory.


include: "../functions/train.smk"


for name, experiment in ROOTS.items():

    rule:
        name:
            f"train_base_{name}"
        input:
            f"results/{name}/examples/train.npz",
        output:
            pipeline(f"results/{name}/models/base"),
            [
                file
                for c in range(len(checkpoint_epochs(name)))
                for file in pipeline(f"results/{name}/models/checkpoints/{c:02d}")
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
            mem_mb=mem_mb("train_base", name),
            runtime=minutes("train_base", name),
            gpu=GPUS * PROCESSES,
        params:
            settings=train_settings(name, checkpoints=checkpoint_epochs(name)),
            code=code("train_base"),
            folder=filled(f"results/{name}/models"),
        shell:
            "python scripts/train_base.py --settings {params.settings:q} --examples {input}"
            " --model {params.folder}/base --checkpoints {params.folder}/checkpoints"
            " --threads {threads} > {log} 2>&1"

    for use in USES:

        rule:
            name:
                f"train_subsets_{use}_{name}"
            input:
                f"results/{name}/examples/train.npz",
            output:
                shard_files(name, use),
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
                gpu=GPUS,
            params:
                settings=train_settings(
                    name,
                    **{
                        key: experiment["subsets"][key]
                        for key in ("fraction", "stratify", "models_per_job")
                    },
                ),
                code=code("train_subsets"),
                use=use,
                folder=filled(f"results/{name}/models/{use}"),
            shell:
                "python scripts/train_subsets.py --settings {params.settings:q} --examples {input}"
                " --use {params.use} --seed {wildcards.seed} --shard {wildcards.shard}"
                " --out {params.folder}/seed-{wildcards.seed}/shard-{wildcards.shard}"
                " --threads {threads} > {log} 2>&1"
