# Reads the examples, the queries and the models of the base, of the tuning subsets, and of the removal
# study without removals; writes network/<method>/, scores averaged over models, and ensembles/, a
# study of such averages. `snakemake -- ranking_<E>` makes the ranking, on tuning data alone.


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


for name, e in where(ensembles.has_ensembles).items():

    rule:
        name:
            f"explore_member_{name}"
        input:
            models.given_files(e),
            of(ensembles.explored_models, experiment=e),
            examples=f"{e.home}/examples/train.npz",
            queries=models.query_files(e),
            uses=f"{e.home}/queries/uses.json",
            masks=f"{e.home}/masks/tune.npy",
        output:
            expand(
                f"results/{name}/ensembles/members/{{{{member}}}}/{{file}}",
                file=ensembles.explored_names(e),
            ),
        log:
            f"logs/{name}/explore_member/{{member}}.log",
        benchmark:
            f"logs/benchmark/{name}/explore_member/{{member}}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("explore_member", name),
            runtime=minutes("explore_member", name),
            gpu=gpus(),
        params:
            settings=of(ensembles.explore_settings, experiment=e),
            code=model_code("explore_member", e),
            given=models.given_options(e),
            home=filled(e.home),
            model=of(ensembles.explored_model, experiment=e),
            out=filled(f"results/{name}/ensembles/members/{{member}}"),
        shell:
            "python scripts/explore_member.py --settings {params.settings:q}"
            " --examples {input.examples} --home {params.home} --model {params.model}"
            " --out {params.out} {params.given} --threads {threads} > {log} 2>&1"


rule rank_ensembles:
    input:
        of(ensembles.ranking_inputs),
        uses=shared("queries/uses.json"),
        masks=shared("masks/tune.npy"),
    output:
        f"results/{{experiment}}/ensembles/{ensembles.TUNING_TABLE}",
    log:
        "logs/{experiment}/rank_ensembles.log",
    benchmark:
        "logs/benchmark/{experiment}/rank_ensembles.tsv"
    wildcard_constraints:
        experiment=only(where(ensembles.has_ensembles)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("rank_ensembles"),
        runtime=minutes("rank_ensembles"),
    params:
        settings=of(ensembles.ranking_settings),
        code=code("rank_ensembles"),
        home=shared(""),
        folder=filled("results/{experiment}/ensembles"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/rank_ensembles.py --settings {params.settings:q}"
        " --home {params.home} --members {params.folder}/members --table {output} > {log} 2>&1"


rule bound_additive:
    input:
        of(ensembles.bound_inputs),
        uses=shared("queries/uses.json"),
        masks=shared("masks/eval.npy"),
    output:
        f"results/{{experiment}}/ensembles/{ensembles.BOUND_TABLE}",
    log:
        "logs/{experiment}/bound_additive.log",
    wildcard_constraints:
        experiment=only(where(ensembles.has_ensembles)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("bound_additive"),
        runtime=minutes("bound_additive"),
    params:
        settings=of(ensembles.bound_settings),
        code=code("bound_additive"),
        home=shared(""),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/bound_additive.py --settings {params.settings:q}"
        " --home {params.home} --table {output} > {log} 2>&1"
