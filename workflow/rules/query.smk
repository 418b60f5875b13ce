# Reads the examples and the base model; writes queries/: the images whose attribution is computed.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import data, models, queries

LATENTS = where(models.encodes_latents)
PIXELS = [name for name in ROOTS if name not in LATENTS]
ALL, ALONE = query_kinds.query_files(query_kinds.KINDS), query_kinds.query_files(GEN)

for suffix, names, files in (
    ("", [name for name in PIXELS if name in HELD_OUT], ALL),
    ("_gen", [name for name in PIXELS if name in GENERATED], ALONE),
    ("_latents", LATENTS, (*ALL, *queries.LATENT_QUERIES)),
):

    rule:
        name:
            f"make_queries{suffix}"
        input:
            of(models.given_files),
            train="results/{experiment}/examples/train.npz",
            val=of(data.held_out_files),
            model=of(models.base_files),
        output:
            expand("results/{{experiment}}/queries/{file}", file=files),
        log:
            "logs/{experiment}/make_queries.log",
        benchmark:
            "logs/benchmark/{experiment}/make_queries.tsv"
        wildcard_constraints:
            experiment=only(names),
        priority: 9
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb(f"make_queries{suffix.removesuffix('_gen')}"),
            runtime=minutes(f"make_queries{suffix.removesuffix('_gen')}"),
            gpu=gpus(),
        params:
            settings=of(queries.query_settings),
            code=family_code("make_queries"),
            folder=filled("results/{experiment}"),
            given=of(models.given_options),
            val=of(data.held_out_option),
        shell:
            "python scripts/make_queries.py --settings {params.settings:q} --train {input.train}"
            " {params.val} --model {params.folder}/models/base --out {params.folder}/queries"
            " {params.given} --threads {threads} > {log} 2>&1"
