# Reads the adapted base model, the frozen one, and the held-out images of both experiments; writes
# adaptation.csv: what fine-tuning did to the losses. `snakemake -- adaptation_<E>` runs it.


include: "common.smk"


from dasbench.experiments.files import adaptation, models


rule measure_adaptation:
    input:
        of(adaptation.adaptation_inputs),
        of(models.given_files),
    output:
        "results/{experiment}/adaptation.csv",
    log:
        "logs/{experiment}/measure_adaptation.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_adaptation.tsv"
    wildcard_constraints:
        experiment=only(where(adaptation.has_adaptation)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_adaptation"),
        runtime=minutes("measure_adaptation"),
        gpu=gpus(),
    params:
        settings=of(adaptation.adaptation_settings),
        code=family_code("measure_adaptation"),
        given=of(models.given_options),
        own=of(adaptation.own_queries),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/measure_adaptation.py --settings {params.settings:q}"
        " --base {params.folder}/models/base --queries {params.folder}/queries --own {params.own}"
        " --out {output} {params.given} --threads {threads} > {log} 2>&1"
