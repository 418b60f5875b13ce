# Reads the examples, the queries and the base model; writes network/<method>/: scores of methods that
# need the network itself, at all their dampings. How gradients are taken is the features' section.


include: "../functions/features.smk"


rule compute_ekfac:
    input:
        given,
        seen_queries,
        examples=shared("examples/train.npz"),
        model=attributed_model,
    output:
        expand("results/{{experiment}}/network/{{method}}/{file}.npy", file=COMPUTED),
    log:
        "logs/{experiment}/compute_ekfac/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_ekfac/{method}.tsv"
    wildcard_constraints:
        method=computed("ekfac"),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_ekfac"),
        runtime=minutes("compute_ekfac"),
        gpu=gpus(),
    params:
        settings=computed_settings("damping"),
        code=family_code("compute_ekfac"),
        given=given_flags,
        folder=shared(""),
        model=base_folder,
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_ekfac.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


rule compute_unlearning:
    input:
        given,
        seen_queries,
        examples=shared("examples/train.npz"),
        model=attributed_model,
    output:
        expand("results/{{experiment}}/network/{{method}}/{file}.npy", file=COMPUTED),
    log:
        "logs/{experiment}/compute_unlearning/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_unlearning/{method}.tsv"
    wildcard_constraints:
        method=computed("unlearning"),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_unlearning"),
        runtime=minutes("compute_unlearning"),
        gpu=gpus(),
    params:
        settings=computed_settings(),
        code=family_code("compute_unlearning"),
        given=given_flags,
        folder=shared(""),
        model=base_folder,
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_unlearning.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"
