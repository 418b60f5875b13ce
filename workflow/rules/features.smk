# Reads the examples, the queries and the base model; writes features/<name>/ with its spectrum and
# the features along sampling trajectories (journey.npy), and residuals/.


include: "../functions/features.smk"


rule compute_features:
    input:
        examples=shared("examples/train.npz"),
        val=shared("queries/val.npy"),
        gen=shared("queries/gen.npy"),
        model=feature_model_files,
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/{split}.npy",
            split=["train", "val", "gen"],
        ),
    log:
        "logs/{experiment}/compute_features/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_features/{features}.tsv"
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_features"),
        runtime=minutes("compute_features"),
        gpu=GPUS,
    params:
        settings=feature_settings,
        code=code("compute_features"),
        folder=shared(""),
        model=feature_model,
        out=filled("results/{experiment}/features/{features}"),
    shell:
        "python scripts/compute_features.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " --threads {threads} > {log} 2>&1"


rule decompose:
    input:
        "results/{experiment}/features/{features}/train.npy",
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/spectrum/{name}.npy",
            name=SPECTRUM,
        ),
    log:
        "logs/{experiment}/decompose/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/decompose/{features}.tsv"
    priority: 7
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("decompose"),
        runtime=minutes("decompose"),
    params:
        settings=sections(),
        code=code("decompose"),
        out=filled("results/{experiment}/features/{features}/spectrum"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/decompose.py --settings {params.settings:q}"
        " --train {input} --out {params.out} > {log} 2>&1"


rule compute_journeys:
    input:
        noise=shared("queries/gen_noise.npy"),
        model=shared(*pipeline("models/base")),
    output:
        "results/{experiment}/features/{features}/journey.npy",
    log:
        "logs/{experiment}/compute_journeys/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_journeys/{features}.tsv"
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_journeys"),
        runtime=minutes("compute_journeys"),
        gpu=GPUS,
    params:
        settings=journey_settings,
        code=code("compute_journeys"),
        folder=shared(""),
    shell:
        "python scripts/compute_journeys.py --settings {params.settings:q} --noise {input.noise}"
        " --model {params.folder}models/base --out {output} --threads {threads} > {log} 2>&1"


rule compute_residuals:
    input:
        examples=shared("examples/train.npz"),
        model=shared(*pipeline("models/base")),
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
        gpu=GPUS,
    params:
        settings=residual_settings,
        code=code("compute_residuals"),
        folder=shared(""),
    shell:
        "python scripts/compute_residuals.py --settings {params.settings:q} --examples {input.examples}"
        " --model {params.folder}models/base --out {output} --threads {threads} > {log} 2>&1"
