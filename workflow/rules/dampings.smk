# Reads the inputs of methods, masks and outputs; writes dampings/: curves along the damping grid, and
# what rules that choose a damping lose to the best one. `snakemake -- rules_<E>` runs no further.


include: "common.smk"
include: "../functions/methods.smk"


from dasbench.experiments.files import dampings, outputs


rule compare_dampings:
    input:
        method_inputs,
        twin_inputs,
        of(outputs.tuning_files),
        of(outputs.evaluation_files),
        of(dampings.finetuned_masks),
        of(dampings.measured_files),
        masks=shared("masks/tune.npy", "masks/eval.npy"),
        residuals=of(dampings.residual_file),
    output:
        expand(
            "results/{{experiment}}/dampings/methods/{{method}}/{file}",
            file=dampings.CURVE_FILES,
        ),
    log:
        "logs/{experiment}/compare_dampings/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/compare_dampings/{method}.tsv"
    wildcard_constraints:
        experiment=only(where(dampings.has_dampings)),
        method=only(dampings.compared_methods(EXPERIMENTS)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compare_dampings"),
        runtime=minutes("compare_dampings"),
    params:
        settings=of(dampings.curve_settings),
        code=method_code("compare_dampings"),
        files=method_flags,
        twin=twin_flags,
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/compare_dampings.py"
        " --settings {params.settings:q} {params.files} --home {params.home}"
        " --finetuned {params.folder}/models/finetuned --measured {params.folder}/dampings/outputs"
        " --y {input.residuals} --out {params.folder}/dampings/methods/{wildcards.method}"
        " --twin {params.twin} > {log} 2>&1"


rule summarise_dampings:
    input:
        of(dampings.summary_inputs, experiments=EXPERIMENTS),
    output:
        expand("results/{{experiment}}/dampings/{table}.csv", table=dampings.TABLES),
    log:
        "logs/{experiment}/summarise_dampings.log",
    wildcard_constraints:
        experiment=only(where(dampings.has_dampings)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_dampings"),
        runtime=minutes("summarise_dampings"),
    params:
        settings=of(dampings.summary_settings, experiments=EXPERIMENTS),
        code=code("summarise_dampings"),
        folder=filled("results/{experiment}/dampings"),
    shell:
        "python scripts/summarise_dampings.py --settings {params.settings:q} --results results"
        " --out {params.folder} > {log} 2>&1"
