# Reads the examples, the queries, the base model, masks and outputs; writes ablation/: the LDS of
# every combination of a score's choices. One pass computes all readouts of a noise policy, and one
# job evaluates all combinations on a set of features. Experiments have different numbers of
# readouts, so each experiment has a copy of the first rule.


include: "common.smk"


from dasbench.experiments import ablation_design
from dasbench.experiments.files import ablation, models, outputs

for name, e in where(ablation_design.wanted).items():

    rule:
        name:
            f"compute_readouts_{name}"
        input:
            models.given_files(e),
            examples=f"{e.home}/examples/train.npz",
            queries=models.query_files(e),
            model=models.attributed_files(e),
        output:
            ablation.readout_files(e),
        log:
            f"logs/{name}/compute_readouts/{{noise}}.log",
        benchmark:
            f"logs/benchmark/{name}/compute_readouts/{{noise}}.tsv"
        wildcard_constraints:
            noise="|".join(e["ablation"]["noise"]),
        priority: 8
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("compute_readouts", name),
            runtime=minutes("compute_readouts", name),
            gpu=gpus(),
        params:
            settings=of(ablation.readout_settings, experiment=e),
            code=model_code("compute_timesteps", e),
            given=models.given_options(e),
            home=filled(e.home),
            model=filled(e.base),
            out=filled(f"results/{name}/ablation/features"),
        shell:
            "python scripts/compute_timesteps.py --settings {params.settings:q}"
            " --examples {input.examples} --queries {params.home}/queries"
            " --model {params.model} --out {params.out}"
            " {params.given} --threads {threads} > {log} 2>&1"


rule evaluate_cells:
    input:
        of(outputs.tuning_files),
        of(outputs.evaluation_files),
        features=of(ablation.cell_features),
        residuals=of(ablation.cell_residual_files),
        uses=shared("queries/uses.json"),
        masks=shared("masks/tune.npy", "masks/eval.npy"),
    output:
        expand(
            "results/{{experiment}}/ablation/cells/{{features}}/{file}",
            file=ablation.CELL_FILES,
        ),
    log:
        "logs/{experiment}/evaluate_cells/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/evaluate_cells/{features}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("evaluate_cells"),
        runtime=minutes("evaluate_cells"),
    params:
        settings=of(ablation.cell_settings),
        code=code("evaluate_cells"),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/evaluate_cells.py --settings {params.settings:q}"
        " --features {params.folder}/ablation/features/{wildcards.features}"
        " --residuals {params.folder}/residuals --home {params.home}"
        " --out {params.folder}/ablation/cells/{wildcards.features} > {log} 2>&1"


rule summarise_ablation:
    input:
        of(ablation.cell_tables),
    output:
        expand("results/{{experiment}}/ablation/{table}.csv", table=ablation.ABLATION_TABLES),
    log:
        "logs/{experiment}/summarise_ablation.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_ablation"),
        runtime=minutes("summarise_ablation"),
    params:
        settings=of(ablation.ablation_settings),
        code=code("summarise_ablation"),
        folder=filled("results/{experiment}/ablation"),
    shell:
        "python scripts/summarise_ablation.py --settings {params.settings:q}"
        " --cells {params.folder}/cells --out {params.folder} > {log} 2>&1"
