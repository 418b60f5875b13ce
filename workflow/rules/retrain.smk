# Reads scores and examples; writes removal/plan/ and models/removal/<arm>/k-<k>/. An arm is a method,
# `random` (sets shared by all queries) or `null` (k = 0: everything is kept, the seeds are others).


include: "../functions/removal.smk"


rule choose_removals:
    input:
        removal_scores,
        candidate_queries,
        examples=shared("examples/train.npz"),
    output:
        "results/{experiment}/removal/plan/{arm}/k-{k}/masks.npy",
    log:
        "logs/{experiment}/choose_removals/{arm}-{k}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("choose_removals"),
        runtime=minutes("choose_removals"),
    params:
        settings=choice_settings,
        code=code("choose_removals"),
        files=choice_flags,
    shell:
        "python scripts/choose_removals.py --settings {params.settings:q} --examples {input.examples}"
        " {params.files} --masks {output} > {log} 2>&1"


for name, e in REMOVAL.items():
    for family, arms in (
        ("methods", e["removal"]["methods"]),
        ("random", ["random"]),
        ("null", ["null"]),
    ):

        rule:
            name:
                f"train_removal_{family}_{name}"
            input:
                given_files(name),
                masks=f"results/{name}/removal/plan/{{arm}}/k-{{k}}/masks.npy",
                examples=f"results/{e['seed_name']}/examples/train.npz",
            output:
                [
                    file
                    for member in removal_members(name, arms[0])
                    for file in member_files(
                        name, f"results/{name}/models/removal/{{arm}}/k-{{k}}/{member}"
                    )
                ],
            log:
                f"logs/{name}/train_removal/{{arm}}-{{k}}.log",
            benchmark:
                f"logs/benchmark/{name}/train_removal/{{arm}}-{{k}}.tsv"
            wildcard_constraints:
                arm="|".join(arms),
            conda:
                "../../environment.yml"
            threads: 1
            resources:
                mem_mb=mem_mb(f"train_removal_{family}", name),
                runtime=minutes(f"train_removal_{family}", name),
                gpu=gpus(),
            params:
                settings=train_settings(
                    name,
                    members=removal_members(name, arms[0]),
                    other_seeds=family == "null",
                ),
                code=model_code("train_removal", name),
                given=given_options(name),
                folder=filled(f"results/{name}/models/removal/{{arm}}/k-{{k}}"),
            shell:
                "python scripts/train_removal.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --masks {input.masks} --out {params.folder}"
                " --threads {threads} > {log} 2>&1"
