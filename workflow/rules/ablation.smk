# Reads the examples, the queries, the base model, masks and outputs; writes ablation/: every
# combination of a score's choices, judged. One pass serves all readouts of a noise policy, and one
# job all combinations on a set of features. The number of readouts differs from experiment to
# experiment, so each has its own copy of the first rule.


include: "../functions/ablation.smk"


for name, e in ABLATIONS.items():

    rule:
        name:
            f"compute_readouts_{name}"
        input:
            given_files(name),
            examples=f"results/{e['seed_name']}/examples/train.npz",
            queries=query_files(name),
            model=base_files(name, f"results/{e['base_home']}/models/base"),
        output:
            expand(
                f"results/{name}/ablation/features/{{form}}-{{{{noise}}}}/{{split}}.npy",
                form=ablation_design.forms(e),
                split=["train", "val", "gen"],
            ),
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
            settings=readout_settings(name),
            code=model_code("compute_timesteps", name),
            given=given_options(name),
            home=filled(f"results/{e['seed_name']}"),
            model=filled(f"results/{e['base_home']}/models/base"),
            out=filled(f"results/{name}/ablation/features"),
        shell:
            "python scripts/compute_timesteps.py --settings {params.settings:q}"
            " --examples {input.examples} --queries {params.home}/queries"
            " --model {params.model} --out {params.out}"
            " {params.given} --threads {threads} > {log} 2>&1"


rule evaluate_cells:
    input:
        features=expand(
            "results/{{experiment}}/ablation/features/{{features}}/{split}.npy",
            split=["train", "val", "gen"],
        ),
        residuals=cell_residual_files,
        uses=shared("queries/uses.json"),
        masks=shared("masks/tune.npy", "masks/eval.npy"),
        outputs=shared(
            *[f"outputs/tune/loss-{kind}.npy" for kind in query_kinds.KINDS],
            *[f"outputs/eval/{file}" for file in OUTPUT_FILES],
        ),
    output:
        expand(
            "results/{{experiment}}/ablation/cells/{{features}}/{file}",
            file=["cells.csv", "draws.npy"],
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
        settings=cell_settings,
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
        cell_tables,
    output:
        expand("results/{{experiment}}/ablation/{table}.csv", table=ABLATION_TABLES),
    log:
        "logs/{experiment}/summarise_ablation.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_ablation"),
        runtime=minutes("summarise_ablation"),
    params:
        settings=ablation_settings,
        code=code("summarise_ablation"),
        folder=filled("results/{experiment}/ablation"),
    shell:
        "python scripts/summarise_ablation.py --settings {params.settings:q}"
        " --cells {params.folder}/cells --out {params.folder} > {log} 2>&1"
