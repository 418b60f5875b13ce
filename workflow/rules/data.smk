# Reads a data set's source; writes data/<dataset>/pool.npz and results/<experiment>/examples/.


include: "../functions/data.smk"


rule prepare_pool:
    output:
        pool="data/{dataset}/pool.npz",
        card="data/{dataset}/card.json",
    log:
        "logs/prepare_pool/{dataset}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=pool_mem_mb,
        runtime=10,
    params:
        settings=pool_settings,
        code=pool_code,
    shell:
        "python scripts/prepare_pool.py --settings {params.settings:q} --pool {output.pool}"
        " --card {output.card} > {log} 2>&1"


rule choose_examples:
    input:
        pool_of,
    output:
        train="results/{experiment}/examples/train.npz",
        val="results/{experiment}/examples/val.npz",
    log:
        "logs/{experiment}/choose_examples.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("choose_examples"),
        runtime=minutes("choose_examples"),
    params:
        settings=examples_settings,
        code=code("choose_examples"),
    shell:
        "python scripts/choose_examples.py --settings {params.settings:q} --pool {input}"
        " --train {output.train} --val {output.val} > {log} 2>&1"
