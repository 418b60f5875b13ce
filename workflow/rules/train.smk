# Reads the training examples; writes models/base, models/checkpoints and the shards of
# models/{tune,eval}. The number of files differs from experiment to experiment, so each has its
# own copy of the two rules: files are declared one by one, never as a directory.


include: "../functions/train.smk"


for name in TRAINED:

    rule:
        name:
            f"train_base_{name}"
        input:
            given_files(name),
            examples=f"results/{name}/examples/train.npz",
        output:
            base_files(name),
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
            settings=train_settings(name, checkpoints=checkpoint_epochs(name)),
            code=model_code("train_base", name),
            given=given_options(name),
            folder=filled(f"results/{name}/models"),
        shell:
            "python scripts/train_base.py --settings {params.settings:q} --examples {input.examples}"
            " {params.given} --model {params.folder}/base --checkpoints {params.folder}/checkpoints"
            " --threads {threads} > {log} 2>&1"


for name, experiment in RETRAINED.items():
    for use in USES:

        rule:
            name:
                f"train_subsets_{use}_{name}"
            input:
                given_files(name),
                examples=f"results/{name}/examples/train.npz",
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
                gpu=gpus(),
            params:
                settings=train_settings(
                    name,
                    **{
                        key: experiment["subsets"][key]
                        for key in ("fraction", "stratify", "models_per_job")
                    },
                ),
                code=model_code("train_subsets", name),
                given=given_options(name),
                use=use,
                folder=filled(f"results/{name}/models/{use}"),
            shell:
                "python scripts/train_subsets.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --use {params.use} --seed {wildcards.seed} --shard {wildcards.shard}"
                " --out {params.folder}/seed-{wildcards.seed}/shard-{wildcards.shard}"
                " --threads {threads} > {log} 2>&1"
