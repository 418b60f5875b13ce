# Reads masks, outputs and the methods' inputs; writes lds/. The rules that select a damping
# (score.smk) read tuning outputs only, never evaluation outputs.


include: "common.smk"
include: "../functions/methods.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import evaluation, outputs, scores


rule predict_floor:
    input:
        method_inputs,
        masks=shared("masks/eval.npy"),
        selection="results/{experiment}/lds/methods/{method}/selection.csv",
    output:
        expand(
            "results/{{experiment}}/lds/methods/{{method}}/predictions/{kind}.npy",
            kind=query_kinds.KINDS,
        ),
    log:
        "logs/{experiment}/predict_floor/{method}.log",
    wildcard_constraints:
        method=only(evaluation.floor_names(EXPERIMENTS)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("predict_floor"),
        runtime=minutes("predict_floor"),
    params:
        settings=of(scores.method_settings),
        code=method_code("predict_floor"),
        files=method_flags,
        folder=filled("results/{experiment}/lds/methods/{method}/predictions"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/predict_floor.py --settings {params.settings:q}"
        " {params.files} --masks {input.masks} --selection {input.selection} --out {params.folder}"
        " > {log} 2>&1"


rule evaluate_lds:
    input:
        method_inputs,
        of(evaluation.floor_predictions),
        masks=shared("masks/eval.npy"),
        outputs=of(outputs.evaluation_files),
        selection="results/{experiment}/lds/methods/{method}/selection.csv",
    output:
        expand(
            "results/{{experiment}}/lds/methods/{{method}}/{file}",
            file=["summary.csv", "leverage.csv", "per_query.parquet", "draws.npy"],
        ),
    log:
        "logs/{experiment}/evaluate_lds/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/evaluate_lds/{method}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("evaluate_lds"),
        runtime=minutes("evaluate_lds"),
    params:
        settings=of(scores.method_settings, names=["damping", "lds"]),
        code=method_code("evaluate_lds"),
        files=method_flags,
        floor=of(evaluation.floor_flag),
        home=shared(""),
        folder=filled("results/{experiment}/lds/methods/{method}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/evaluate_lds.py --settings {params.settings:q}"
        " {params.files} --masks {input.masks} --outputs {params.home}outputs/eval"
        " --selection {input.selection} {params.floor} --out {params.folder} > {log} 2>&1"


rule summarise_lds:
    input:
        of(evaluation.lds_tables),
        uses=shared("queries/uses.json"),
        outputs=of(outputs.evaluation_files),
    output:
        expand(
            "results/{{experiment}}/lds/{file}",
            file=[
                "summary.csv",
                "selection.csv",
                "leverage.csv",
                "per_query.parquet",
                "ceiling.csv",
                "comparisons.csv",
                "inapplicable.csv",
            ],
        ),
    log:
        "logs/{experiment}/summarise_lds.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_lds"),
        runtime=minutes("summarise_lds"),
    params:
        settings=of(evaluation.summary_settings),
        code=code("summarise_lds"),
        home=shared(""),
        folder=filled("results/{experiment}/lds"),
    shell:
        "python scripts/summarise_lds.py --settings {params.settings:q} --methods {params.folder}/methods"
        " --queries {params.home}queries --outputs {params.home}outputs/eval --out {params.folder}"
        " > {log} 2>&1"
