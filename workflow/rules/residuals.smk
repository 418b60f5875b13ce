# Reads the examples and the base model; writes residuals/.


include: "../functions/residuals.smk"


rule compute_residuals:
    input:
        given,
        examples=shared("examples/train.npz"),
        model=attributed_model,
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
        settings=residual_settings,
        code=family_code("compute_residuals"),
        given=given_flags,
        model=base_folder,
    shell:
        "python scripts/compute_residuals.py --settings {params.settings:q} --examples {input.examples}"
        " --model {params.model} --out {output} {params.given} --threads {threads} > {log} 2>&1"
