# Reads the examples, the queries and the base model; writes features/<name>/ with its spectrum and
# the features along sampling trajectories (journey.npy).


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import features, inherited, models, settings

FEATURES = "(?!embeddings/)[^/]+"  # those are the work of compute_embeddings


rule compute_features:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
        images=of(models.query_images),
        model=of(features.feature_model_files),
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/{split}.npy",
            split=("train", *query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_features/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_features/{features}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
        features=FEATURES,
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_features", processes=PROCESSES),
        runtime=minutes("compute_features"),
        gpu=gpus(PROCESSES),
        cpus_per_task=cpus,
    params:
        settings=of(features.feature_settings),
        code=family_code("compute_features"),
        given=of(models.given_options),
        folder=shared(""),
        model=of(features.feature_model),
        out=filled("results/{experiment}/features/{features}"),
    shell:
        "python scripts/compute_features.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_features as compute_features_gen with:
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/{split}.npy",
            split=("train", *GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
        features=FEATURES,


rule decompose:
    input:
        of(inherited.decomposed),
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/spectrum/{name}.npy",
            name=query_kinds.SPECTRUM,
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
        settings=of(settings.sections),
        code=code("decompose"),
        out=filled("results/{experiment}/features/{features}/spectrum"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/decompose.py --settings {params.settings:q}"
        " --train {input} --out {params.out} > {log} 2>&1"


rule compute_journeys:
    input:
        of(models.given_files),
        noise=shared("queries/gen_noise.npy"),
        labels=shared("queries/gen_labels.npy"),
        model=of(models.attributed_files),
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
        gpu=gpus(),
    params:
        settings=of(features.journey_settings),
        code=family_code("compute_journeys"),
        given=of(models.given_options),
        model=of(models.attributed_base),
    shell:
        "python scripts/compute_journeys.py --settings {params.settings:q} --noise {input.noise}"
        " --labels {input.labels} --model {params.model} --out {output}"
        " {params.given} --threads {threads} > {log} 2>&1"
