# Experiments without subset models. Reads features and residuals; writes the parameters of each method,
# lds/methods/<method>/selection.csv, fixed or taken from another experiment, and a check,
# scores/<method>/self_check.json.


include: "common.smk"
include: "../functions/methods.smk"


from dasbench.experiments.files import scores

BORROWING = where(scores.borrows)


rule take_parameters:
    input:
        of(scores.chosen_file),
    output:
        "results/{experiment}/lds/methods/{method}/selection.csv",
    log:
        "logs/{experiment}/take_parameters/{method}.log",
    wildcard_constraints:
        experiment=only(BORROWING),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("take_parameters"),
        runtime=minutes("take_parameters"),
    params:
        settings=of(scores.taken_settings),
        code=code("take_parameters"),
    shell:
        "python scripts/take_parameters.py --settings {params.settings:q} --chosen {input}"
        " --selection {output} > {log} 2>&1"


rule fix_damping:
    output:
        "results/{experiment}/lds/methods/{method}/selection.csv",
    log:
        "logs/{experiment}/fix_damping/{method}.log",
    wildcard_constraints:
        experiment=except_for([*JUDGED, *BORROWING]),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("fix_damping"),
        runtime=minutes("fix_damping"),
    params:
        settings=of(scores.method_settings, names=["damping"]),
        code=method_code("fix_damping"),
    shell:
        "python scripts/fix_damping.py --settings {params.settings:q} --selection {output} > {log} 2>&1"


rule check_scores:
    input:
        method_inputs,
        selection="results/{experiment}/lds/methods/{method}/selection.csv",
    output:
        "results/{experiment}/scores/{method}/self_check.json",
    log:
        "logs/{experiment}/check_scores/{method}.log",
    wildcard_constraints:
        experiment=except_for(JUDGED),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("check_scores"),
        runtime=minutes("check_scores"),
    params:
        settings=of(scores.method_settings),
        code=method_code("check_scores"),
        files=method_flags,
    shell:
        "OMP_NUM_THREADS={threads} python scripts/check_scores.py --settings {params.settings:q}"
        " {params.files} --selection {input.selection} --check {output} > {log} 2>&1"
