# Reads the examples, the queries and the base model; writes network/<method>/: scores that a module of
# dasbench.gradients computes, on the method's whole grid. As in network.smk, whose rules have scripts of
# their own.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import features, models


rule compute_influence:
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
        "logs/{experiment}/compute_influence/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_influence/{method}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
        method=only(features.computed_methods(EXPERIMENTS, "influence")),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_influence"),
        runtime=minutes("compute_influence"),
        gpu=gpus(),
    params:
        settings=of(features.influence_settings),
        code=of(influence_code),
        given=of(models.given_options),
        folder=shared(""),
        model=of(models.attributed_base),
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_influence.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.folder}queries --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_influence as compute_influence_gen with:
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
        method=only(features.computed_methods(EXPERIMENTS, "influence")),
