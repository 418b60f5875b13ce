# Reads the examples, the queries and scores; writes models/groups/, models trained without all images
# of one label, and groups/: their outputs, and scores judged by them.


include: "common.smk"


from dasbench.experiments.files import groups, models

for name, e in where(groups.has_groups).items():

    rule:
        name:
            f"choose_groups_{name}"
        input:
            examples=f"{e.home}/examples/train.npz",
        output:
            groups.plan_files(e),
        log:
            f"logs/{name}/choose_groups.log",
        conda:
            "../../environment.yml"
        resources:
            mem_mb=mem_mb("choose_groups", name),
            runtime=minutes("choose_groups", name),
        params:
            settings=of(groups.plan_settings, experiment=e),
            code=code("choose_groups"),
            folder=filled(f"results/{name}/groups/plan"),
        shell:
            "python scripts/choose_groups.py --settings {params.settings:q} --examples {input.examples}"
            " --out {params.folder} > {log} 2>&1"

    for family, members in groups.families(e).items():
        fixed = {"group": groups.WHOLE} if members == [groups.WHOLE] else {}
        group = fixed.get("group", "{group}")

        rule:
            name:
                f"train_groups_{family}_{name}"
            input:
                models.given_files(e),
                masks=f"results/{name}/groups/plan/{group}/masks.npy",
                examples=f"{e.home}/examples/train.npz",
            output:
                groups.trained_files(e, family),
            log:
                f"logs/{name}/train_groups/{group}.log",
            benchmark:
                f"logs/benchmark/{name}/train_groups/{group}.tsv"
            wildcard_constraints:
                group=only(members),
            conda:
                "../../environment.yml"
            threads: 1
            resources:
                mem_mb=mem_mb(f"train_groups_{family}", name),
                runtime=minutes(f"train_groups_{family}", name),
                gpu=gpus(),
            params:
                settings=of(groups.training_settings, experiment=e, **fixed),
                code=model_code("train_removal", e),
                given=models.given_options(e),
                folder=filled(f"results/{name}/models/groups"),
            shell:
                "python scripts/train_removal.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --masks {input.masks} --out {params.folder}"
                " --threads {threads} > {log} 2>&1"

    rule:
        name:
            f"measure_groups_{name}"
        input:
            of(groups.models_of_seed, experiment=e),
            models.given_files(e),
            models.query_files(e),
        output:
            groups.measured_files(e),
        log:
            f"logs/{name}/measure_groups/{{seed}}.log",
        benchmark:
            f"logs/benchmark/{name}/measure_groups/{{seed}}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("measure_groups", name),
            runtime=minutes("measure_groups", name),
            gpu=gpus(),
        params:
            settings=of(groups.measure_settings, experiment=e),
            code=model_code("measure_outputs", e),
            given=models.given_options(e),
            queries=filled(f"{e.home}/queries"),
            models=filled(f"results/{name}/models/groups/seed-{{seed}}"),
            folder=filled(f"results/{name}/groups/outputs/seed-{{seed}}"),
        shell:
            "python scripts/measure_outputs.py --settings {params.settings:q}"
            " --base {params.models}/shard-whole/00 --models {params.models}"
            " --queries {params.queries} --out {params.folder} {params.given}"
            " --threads {threads} > {log} 2>&1"


rule summarise_groups:
    input:
        of(groups.summary_inputs),
        of(models.query_files),
        uses=shared("queries/uses.json"),
        examples=shared("examples/train.npz"),
    output:
        expand("results/{{experiment}}/groups/{table}", table=groups.TABLES),
    log:
        "logs/{experiment}/summarise_groups.log",
    wildcard_constraints:
        experiment=only(where(groups.has_groups)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_groups"),
        runtime=minutes("summarise_groups"),
    params:
        settings=of(groups.summary_settings),
        code=code("summarise_groups"),
        queries=shared("queries"),
        home=filled("results/{experiment}/groups"),
    shell:
        "python scripts/summarise_groups.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.queries} --home {params.home} > {log} 2>&1"
