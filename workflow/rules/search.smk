# Reads what the methods' dampings were chosen by; writes search/tuning.csv: a ranking that no evaluation
# output has been seen for. `snakemake -- tuning_<E>` stops there.


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
