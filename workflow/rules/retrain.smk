# Reads scores and examples; writes removal/plan/ and models/removal/<arm>/k-<k>/. An arm is a method,
# `bottom-<method>` (its lowest scores), `random` (sets shared by all queries) or `null` (k = 0: no
# image is removed, only seeds differ).


include: "common.smk"


from dasbench.experiments.files import models, removal


rule choose_removals:
    input:
        of(removal.removal_scores),
        of(removal.candidate_queries),
        examples=shared("examples/train.npz"),
    output:
        "results/{experiment}/removal/plan/{arm}/k-{k}/masks.npy",
    log:
        "logs/{experiment}/choose_removals/{arm}-{k}.log",
    wildcard_constraints:
        arm=f"(?!{removal.BOTTOM})[^/]+",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("choose_removals"),
        runtime=minutes("choose_removals"),
    params:
        settings=of(removal.choice_settings),
        code=code("choose_removals"),
        files=of(removal.choice_flags),
    shell:
        "python scripts/choose_removals.py --settings {params.settings:q} --examples {input.examples}"
        " {params.files} --masks {output} > {log} 2>&1"


rule choose_bottom:
    input:
        of(removal.removal_scores),
        of(removal.candidate_queries),
        examples=shared("examples/train.npz"),
    output:
        "results/{experiment}/removal/plan/{arm}/k-{k}/masks.npy",
    log:
        "logs/{experiment}/choose_bottom/{arm}-{k}.log",
    wildcard_constraints:
        arm=f"{removal.BOTTOM}[^/]+",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("choose_bottom"),
        runtime=minutes("choose_bottom"),
    params:
        settings=of(removal.choice_settings),
        code=code("choose_bottom"),
        files=of(removal.choice_flags),
    shell:
        "python scripts/choose_bottom.py --settings {params.settings:q} --examples {input.examples}"
        " {params.files} --masks {output} > {log} 2>&1"


for name, e in where(removal.has_removal).items():
    for family, arms in removal.arm_families(e).items():

        rule:
            name:
                f"train_removal_{family}_{name}"
            input:
                models.given_files(e),
                masks=f"results/{name}/removal/plan/{{arm}}/k-{{k}}/masks.npy",
                examples=f"{e.home}/examples/train.npz",
            output:
                removal.retrained_files(e, family),
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
                settings=literally(removal.retrain_settings(e, family)),
                code=model_code("train_removal", e),
                given=models.given_options(e),
                folder=filled(f"results/{name}/models/removal/{{arm}}/k-{{k}}"),
            shell:
                "python scripts/train_removal.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --masks {input.masks} --out {params.folder}"
                " --threads {threads} > {log} 2>&1"
