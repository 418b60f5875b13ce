# Reads the examples, the queries and several models: the base, those of the tuning subsets, or those of
# the removal study that lack no image; writes network/<method>/: scores averaged over these models.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import ensembles, features, models

AVERAGED = features.computed_methods(EXPERIMENTS, "ensemble")


rule compute_member:
    input:
        of(models.given_files),
        of(models.query_files),
        of(ensembles.part_models),
        examples=shared("examples/train.npz"),
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/parts/{{part}}/{kind}.npy",
            kind=query_kinds.KINDS,
        ),
    log:
        "logs/{experiment}/compute_member/{method}-{part}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_member/{method}-{part}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
        method=only(AVERAGED),
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_member"),
        runtime=minutes("compute_member"),
        gpu=gpus(),
    params:
        settings=of(ensembles.part_settings),
        code=family_code("compute_member"),
        given=of(models.given_options),
        home=shared(""),
        folders=of(ensembles.part_folders),
        out=filled("results/{experiment}/network/{method}/parts/{part}"),
    shell:
        "python scripts/compute_member.py --settings {params.settings:q} --examples {input.examples}"
        " --queries {params.home}queries --models {params.folders} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule compute_member as compute_member_gen with:
    output:
        "results/{experiment}/network/{method}/parts/{part}/gen.npy",
    wildcard_constraints:
        experiment=only(GENERATED),
        method=only(AVERAGED),


rule compute_ensemble:
    input:
        of(ensembles.part_files),
        of(ensembles.choosing_files),
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/compute_ensemble/{method}.log",
    wildcard_constraints:
        experiment=only(HELD_OUT),
        method=only(AVERAGED),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("compute_ensemble"),
        runtime=minutes("compute_ensemble"),
    params:
        settings=of(ensembles.method_settings),
        code=code("compute_ensemble"),
        home=of(ensembles.choosing_flag),
        out=filled("results/{experiment}/network/{method}"),
    shell:
        "python scripts/compute_ensemble.py --settings {params.settings:q} --parts {params.out}/parts"
        " {params.home} --out {params.out} > {log} 2>&1"


use rule compute_ensemble as compute_ensemble_gen with:
    output:
        expand(
            "results/{{experiment}}/network/{{method}}/{file}.npy",
            file=query_kinds.computed(GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),
        method=only(AVERAGED),
