# Reads the subset models and the queries; writes outputs/ and masks/.


include: "common.smk"


from dasbench.experiments.files import models, outputs


rule measure_outputs:
    input:
        of(outputs.measured_models),
        of(models.given_files),
        of(models.query_files),
        base=of(models.base_files),
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/seed-{{seed}}/job-{{job}}/{file}",
            file=outputs.OUTPUT_FILES,
        ),
    log:
        "logs/{experiment}/measure_outputs/{use}-{seed}-{job}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_outputs/{use}-{seed}-{job}.tsv"
    priority: 4
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_outputs"),
        runtime=minutes("measure_outputs"),
        gpu=gpus(),
    params:
        settings=of(outputs.measure_settings),
        code=family_code("measure_outputs"),
        given=of(models.given_options),
        folder=filled("results/{experiment}"),
        seed=filled("{use}/seed-{seed}"),
    shell:
        "python scripts/measure_outputs.py --settings {params.settings:q}"
        " --base {params.folder}/models/base --models {params.folder}/models/{params.seed}"
        " --queries {params.folder}/queries"
        " --out {params.folder}/outputs/{params.seed}/job-{wildcards.job}"
        " {params.given} --threads {threads} > {log} 2>&1"


rule gather_outputs:
    input:
        of(models.shard_masks),
        of(outputs.measured_files),
    output:
        expand("results/{{experiment}}/outputs/{{use}}/{file}", file=outputs.OUTPUT_FILES),
        masks="results/{experiment}/masks/{use}.npy",
    log:
        "logs/{experiment}/gather_outputs/{use}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("gather_outputs"),
        runtime=minutes("gather_outputs"),
    params:
        settings=of(outputs.gather_settings),
        code=code("gather_outputs"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/gather_outputs.py --settings {params.settings:q}"
        " --models {params.folder}/models/{wildcards.use}"
        " --outputs {params.folder}/outputs/{wildcards.use} --masks {output.masks} > {log} 2>&1"
