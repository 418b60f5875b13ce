# Reads the examples and the base model; writes queries/: what is asked about.


include: "../functions/query.smk"


rule make_queries:
    input:
        train="results/{experiment}/examples/train.npz",
        val="results/{experiment}/examples/val.npz",
        model=pipeline("results/{experiment}/models/base"),
    output:
        expand("results/{{experiment}}/queries/{file}", file=QUERY_FILES),
    log:
        "logs/{experiment}/make_queries.log",
    benchmark:
        "logs/benchmark/{experiment}/make_queries.tsv"
    priority: 9
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("make_queries"),
        runtime=minutes("make_queries"),
        gpu=GPUS,
    params:
        settings=query_settings,
        code=code("make_queries"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/make_queries.py --settings {params.settings:q} --train {input.train}"
        " --val {input.val} --model {params.folder}/models/base --out {params.folder}/queries"
        " --threads {threads} > {log} 2>&1"
