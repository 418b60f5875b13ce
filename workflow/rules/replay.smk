# Reads the examples and the queries; writes models/replay/<run>/ and replay/outputs/: one run on all
# images, and its replays without some of them. `snakemake -- replay_<E>` runs this and magic.smk.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import models, replay

for name, e in where(replay.has_replay).items():
    for family, runs in replay.run_families(e).items():

        rule:
            name:
                f"train_replay_{family}_{name}"
            input:
                models.given_files(e),
                examples=f"{e.home}/examples/train.npz",
            output:
                replay.family_files(e, family),
            log:
                f"logs/{name}/train_replay/{{run}}-{{shard}}.log",
            benchmark:
                f"logs/benchmark/{name}/train_replay/{{run}}-{{shard}}.tsv"
            wildcard_constraints:
                run=only(runs),
            conda:
                "../../environment.yml"
            threads: 1
            resources:
                mem_mb=mem_mb(f"train_replay_{family}", name),
                runtime=minutes(f"train_replay_{family}", name),
                gpu=gpus(),
            params:
                settings=of(replay.replay_settings, experiment=e),
                code=model_code("train_replay", e),
                given=models.given_options(e),
                folder=filled(f"results/{name}/models/replay/{{run}}/shard-{{shard}}"),
            shell:
                "python scripts/train_replay.py --settings {params.settings:q}"
                " --examples {input.examples} {params.given} --shard {wildcards.shard}"
                " --out {params.folder} --threads {threads} > {log} 2>&1"


rule measure_replay:
    input:
        of(models.given_files),
        of(models.query_files),
        of(replay.compared_files),
    output:
        expand(
            "results/{{experiment}}/replay/outputs/{{run}}/{file}",
            file=query_kinds.output_files(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/measure_replay/{run}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_replay/{run}.tsv"
    wildcard_constraints:
        experiment=only(where(replay.has_replay)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_replay"),
        runtime=minutes("measure_replay"),
        gpu=gpus(),
    params:
        settings=of(replay.measure_settings),
        code=family_code("measure_outputs"),
        given=of(models.given_options),
        home=shared(""),
        folder=filled("results/{experiment}"),
        run=filled("{run}"),
    shell:
        "python scripts/measure_outputs.py --settings {params.settings:q}"
        " --base {params.folder}/models/replay/whole/shard-000/00"
        " --models {params.folder}/models/replay/{params.run} --queries {params.home}queries"
        " --out {params.folder}/replay/outputs/{params.run} {params.given}"
        " --threads {threads} > {log} 2>&1"
