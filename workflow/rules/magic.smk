# Reads the examples, the queries, scores, and the outputs of replays; writes replay/exact/, the exact
# influence of each image on one run, and replay/*.csv: scores judged by it and by the replays.


include: "common.smk"


from dasbench.experiments.files import models, replay


rule compute_magic:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
    output:
        "results/{experiment}/replay/exact/{part}.npy",
    log:
        "logs/{experiment}/compute_magic/{part}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_magic/{part}.tsv"
    wildcard_constraints:
        experiment=only(where(replay.has_replay)),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_magic"),
        runtime=minutes("compute_magic"),
        gpu=gpus(),
    params:
        settings=of(replay.exact_settings),
        code=family_code("compute_magic"),
        given=of(models.given_options),
        home=shared(""),
    shell:
        "python scripts/compute_magic.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.home}queries --out {output} {params.given} --threads {threads} > {log} 2>&1"


rule evaluate_replay:
    input:
        of(replay.evaluation_inputs),
    output:
        expand("results/{{experiment}}/replay/{table}.csv", table=replay.TABLES),
    log:
        "logs/{experiment}/evaluate_replay.log",
    wildcard_constraints:
        experiment=only(where(replay.has_replay)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("evaluate_replay"),
        runtime=minutes("evaluate_replay"),
    params:
        settings=of(replay.evaluation_settings),
        code=code("evaluate_replay"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/evaluate_replay.py --settings {params.settings:q} --home {params.folder}"
        " --out {params.folder}/replay > {log} 2>&1"
