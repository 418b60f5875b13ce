# Reads the examples and the base model; writes queries/: what is asked about.


include: "../functions/query.smk"


for suffix, chosen, more in (
    ("", [n for n in ROOTS if n not in LATENT], []),
    ("_latents", LATENT, LATENT_QUERIES),
):

    rule:
        name:
            f"make_queries{suffix}"
        input:
            given,
            train="results/{experiment}/examples/train.npz",
            val="results/{experiment}/examples/val.npz",
            model=base_model,
        output:
            expand("results/{{experiment}}/queries/{file}", file=QUERY_FILES + more),
        log:
            "logs/{experiment}/make_queries.log",
        benchmark:
            "logs/benchmark/{experiment}/make_queries.tsv"
        wildcard_constraints:
            experiment="|".join(chosen) or "-",  # "-": no experiment
        priority: 9
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb(f"make_queries{suffix}"),
            runtime=minutes(f"make_queries{suffix}"),
            gpu=gpus(),
        params:
            settings=query_settings,
            code=family_code("make_queries"),
            folder=filled("results/{experiment}"),
            given=given_flags,
        shell:
            "python scripts/make_queries.py --settings {params.settings:q} --train {input.train}"
            " --val {input.val} --model {params.folder}/models/base --out {params.folder}/queries"
            " {params.given} --threads {threads} > {log} 2>&1"
