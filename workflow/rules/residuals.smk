# Reads the examples and the base model; writes residuals/.


include: "common.smk"


from dasbench.experiments.files import features, models


rule compute_residuals:
    input:
        of(models.given_files),
        examples=shared("examples/train.npz"),
        model=of(models.attributed_files),
    output:
        "results/{experiment}/residuals/{residuals}.npy",
    log:
        "logs/{experiment}/compute_residuals/{residuals}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_residuals/{residuals}.tsv"
    wildcard_constraints:
        residuals=r"(scalar|released)[\w-]*",
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_residuals"),
        runtime=minutes("compute_residuals"),
        gpu=gpus(),
    params:
        settings=of(features.residual_settings),
        code=family_code("compute_residuals"),
        given=of(models.given_options),
        model=of(models.attributed_base),
    shell:
        "python scripts/compute_residuals.py --settings {params.settings:q} --examples {input.examples}"
        " --model {params.model} --out {output} {params.given} --threads {threads} > {log} 2>&1"
