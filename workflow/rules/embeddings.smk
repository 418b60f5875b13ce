# Reads the examples, the queries and a CLIP model; writes features/embeddings/.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import features, models


rule compute_embeddings:
    input:
        of(features.embedding_files, root=ROOT),
        examples=shared("examples/train.npz"),
        images=of(models.query_images),
    output:
        expand(
            "results/{{experiment}}/features/embeddings/{split}.npy",
            split=("train", *query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_embeddings.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_embeddings.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_embeddings"),
        runtime=minutes("compute_embeddings"),
        gpu=gpus(),
    params:
        settings=of(features.embedding_settings),
        code=code("compute_embeddings"),
        folder=shared(""),
        out=filled("results/{experiment}/features/embeddings"),
    shell:
        "python scripts/compute_embeddings.py --settings {params.settings:q}"
        " --examples {input.examples} --queries {params.folder}queries --out {params.out}"
        " --threads {threads} > {log} 2>&1"


use rule compute_embeddings as compute_embeddings_gen with:
    output:
        expand(
            "results/{{experiment}}/features/embeddings/{split}.npy",
            split=("train", *GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
