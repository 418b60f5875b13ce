# Reads the examples, the queries and the base model; writes network/<method>/: scores of methods that
# need the network itself, at all their dampings. The section `features` has settings of gradients.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import features, models


rule compute_ekfac:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
        model=of(models.attributed_files),
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_ekfac/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_ekfac/{method}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
        method=only(features.computed_methods(EXPERIMENTS, "ekfac")),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_ekfac"),
        runtime=minutes("compute_ekfac"),
        gpu=gpus(),
    params:
        settings=of(features.computed_settings, names=["damping"]),
        code=family_code("compute_ekfac"),
        given=of(models.given_options),
        folder=shared(""),
        model=of(models.attributed_base),
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_ekfac.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_ekfac as compute_ekfac_gen with:
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
        method=only(features.computed_methods(EXPERIMENTS, "ekfac")),


rule compute_unlearning:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
        model=of(models.attributed_files),
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_unlearning/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_unlearning/{method}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
        method=only(features.computed_methods(EXPERIMENTS, "unlearning")),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_unlearning"),
        runtime=minutes("compute_unlearning"),
        gpu=gpus(),
    params:
        settings=of(features.computed_settings),
        code=family_code("compute_unlearning"),
        given=of(models.given_options),
        folder=shared(""),
        model=of(models.attributed_base),
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_unlearning.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_unlearning as compute_unlearning_gen with:
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
        method=only(features.computed_methods(EXPERIMENTS, "unlearning")),
