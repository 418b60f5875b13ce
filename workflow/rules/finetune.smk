# Reads the examples, the queries and the base model; writes models/finetuned/ and dampings/outputs/:
# models fine-tuned for a short time on random shares of the training images, and their outputs.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import dampings, models

for name, e in where(dampings.has_dampings).items():

    rule:
        name:
            f"finetune_halves_{name}"
        input:
            models.given_files(e),
            examples=f"{e.home}/examples/train.npz",
            model=models.attributed_files(e),
        output:
            dampings.shard_files(e),
        log:
            f"logs/{name}/finetune_halves/{{shard}}.log",
        benchmark:
            f"logs/benchmark/{name}/finetune_halves/{{shard}}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("finetune_halves", name),
            runtime=minutes("finetune_halves", name),
            gpu=gpus(),
        params:
            settings=literally(dampings.finetune_settings(e)),
            code=model_code("finetune_halves", e),
            given=models.given_options(e),
            model=filled(e.base),
            folder=filled(f"results/{name}/models/finetuned"),
        shell:
            "python scripts/finetune_halves.py --settings {params.settings:q}"
            " --examples {input.examples} {params.given} --base {params.model}"
            " --shard {wildcards.shard} --out {params.folder}/shard-{wildcards.shard}"
            " --threads {threads} > {log} 2>&1"


rule measure_finetuned:
    input:
        of(models.given_files),
        of(models.query_files),
        of(dampings.finetuned_files),
        base=of(models.attributed_files),
    output:
        expand(
            "results/{{experiment}}/dampings/outputs/{file}",
            file=query_kinds.output_files(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/measure_finetuned.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_finetuned.tsv"
    wildcard_constraints:
        experiment=only(where(dampings.has_dampings)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_finetuned"),
        runtime=minutes("measure_finetuned"),
        gpu=gpus(),
    params:
        settings=of(dampings.measure_settings),
        code=family_code("measure_outputs"),
        given=of(models.given_options),
        model=of(models.attributed_base),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/measure_outputs.py --settings {params.settings:q} --base {params.model}"
        " --models {params.folder}/models/finetuned --queries {params.home}queries"
        " --out {params.folder}/dampings/outputs {params.given} --threads {threads} > {log} 2>&1"
