# Reads the examples, the tuning queries, the models that ensembles.smk averages over, and the outputs of
# subset models; writes ensembles/: a ranking of averages, which `snakemake -- ranking_<E>` makes from
# tuning data alone, and how far any additive predictor gets.


include: "common.smk"


from dasbench.experiments.files import ensembles, models

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
        folder=filled("results/{experiment}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/bound_additive.py --settings {params.settings:q}"
        " --home {params.home} --scores {params.folder}/scores --table {output} > {log} 2>&1"
