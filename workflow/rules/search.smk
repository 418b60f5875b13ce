# Reads the tuning LDS, by which dampings are selected; writes search/tuning.csv: a ranking of methods
# without evaluation outputs. `snakemake -- tuning_<E>` runs no further.


include: "common.smk"


from dasbench.experiments.files import scores


rule rank_by_tuning:
    input:
        of(scores.tuning_tables),
    output:
        "results/{experiment}/search/tuning.csv",
    log:
        "logs/{experiment}/rank_by_tuning.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_lds"),
        runtime=minutes("summarise_lds"),
    params:
        settings=of(scores.tuning_settings),
        code=code("rank_by_tuning"),
    shell:
        "python scripts/rank_by_tuning.py --settings {params.settings:q} --selections {input}"
        " --ranking {output} > {log} 2>&1"
