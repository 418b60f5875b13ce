# Reads the examples, the queries and the base model; writes features/<name>/by_timestep/, for kernels
# that keep timesteps apart.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import features, models


rule compute_timesteps:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
        model=of(features.feature_model_files),
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/by_timestep/{split}.npy",
            split=("train", *query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_timesteps/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_timesteps/{features}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_timesteps"),
        runtime=minutes("compute_timesteps"),
        gpu=gpus(),
    params:
        settings=of(features.timestep_settings),
        code=family_code("compute_timesteps"),
        given=of(models.given_options),
        folder=shared(""),
        model=of(features.feature_model),
        out=filled("results/{experiment}/features/{features}"),
    shell:
        "python scripts/compute_timesteps.py --settings {params.settings:q}"
        " --examples {input.examples} --queries {params.folder}queries"
        " --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_timesteps as compute_timesteps_gen with:
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/by_timestep/{split}.npy",
            split=("train", *GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
