# Reads the examples and the base model; writes queries/: the images whose attribution is computed.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import models, queries

for suffix, names, more in (
    ("", [name for name in ROOTS if name not in where(models.encodes_latents)], ()),
    ("_latents", where(models.encodes_latents), queries.LATENT_QUERIES),
):

    rule:
        name:
            f"make_queries{suffix}"
        input:
            of(models.given_files),
            train="results/{experiment}/examples/train.npz",
            val="results/{experiment}/examples/val.npz",
            model=of(models.base_files),
        output:
            expand("results/{{experiment}}/queries/{file}", file=[*query_kinds.QUERIES, *more]),
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
            mem_mb=mem_mb(f"make_queries{suffix}"),
            runtime=minutes(f"make_queries{suffix}"),
            gpu=gpus(),
        params:
            settings=of(queries.query_settings),
            code=family_code("make_queries"),
            folder=filled("results/{experiment}"),
            given=of(models.given_options),
        shell:
            "python scripts/make_queries.py --settings {params.settings:q} --train {input.train}"
            " --val {input.val} --model {params.folder}/models/base --out {params.folder}/queries"
            " {params.given} --threads {threads} > {log} 2>&1"
