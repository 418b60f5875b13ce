# Reads the examples, the queries and the scores; writes retrieval/: scores judged as a search for known
# images (labels, marks, copies). No model is retrained. `snakemake -- retrieval_<E>` runs it.


include: "common.smk"


from dasbench.experiments.files import retrieval


rule evaluate_retrieval:
    input:
        of(retrieval.retrieval_inputs),
    output:
        expand("results/{{experiment}}/retrieval/{table}.csv", table=retrieval.TABLES),
    log:
        "logs/{experiment}/evaluate_retrieval.log",
    wildcard_constraints:
        experiment=only(where(retrieval.has_retrieval)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("evaluate_retrieval"),
        runtime=minutes("evaluate_retrieval"),
    params:
        settings=of(retrieval.retrieval_settings),
        code=truth_code("evaluate_retrieval"),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/evaluate_retrieval.py --settings {params.settings:q} --home {params.home}"
        " --scores {params.folder}/scores --out {params.folder}/retrieval > {log} 2>&1"


rule evaluate_credit:
    input:
        of(retrieval.credit_inputs),
    output:
        "results/{experiment}/retrieval/credit.csv",
    log:
        "logs/{experiment}/evaluate_credit.log",
    wildcard_constraints:
        experiment=only(where(retrieval.has_credit)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("evaluate_credit"),
        runtime=minutes("evaluate_credit"),
    params:
        settings=of(retrieval.credit_settings),
        code=truth_code("evaluate_credit"),
        once=of(retrieval.once_folder),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/evaluate_credit.py --settings {params.settings:q} --home {params.folder}"
        " --once {params.once} --out {output} > {log} 2>&1"
