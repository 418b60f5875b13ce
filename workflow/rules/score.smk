# Reads features, residuals and the tuning outputs; writes lds/methods/<method>/selection.csv and
# scores/<method>/. The inputs of a method follow from its options.


include: "common.smk"
include: "../functions/methods.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import outputs, scores


rule select_damping:
    input:
        method_inputs,
        masks=shared("masks/tune.npy"),
        outputs=of(outputs.tuning_files),
    output:
        "results/{experiment}/lds/methods/{method}/selection.csv",
    log:
        "logs/{experiment}/select_damping/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/select_damping/{method}.tsv"
    wildcard_constraints:
        experiment=only(JUDGED),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("select_damping"),
        runtime=minutes("select_damping"),
    params:
        settings=of(scores.method_settings, names=["damping"]),
        code=method_code("select_damping"),
        files=method_flags,
        home=shared(""),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/select_damping.py --settings {params.settings:q}"
        " {params.files} --masks {input.masks} --outputs {params.home}outputs/tune"
        " --selection {output} > {log} 2>&1"


rule score:
    input:
        method_inputs,
        selection="results/{experiment}/lds/methods/{method}/selection.csv",
    output:
        expand("results/{{experiment}}/scores/{{method}}/{kind}.npy", kind=query_kinds.KINDS),
    log:
        "logs/{experiment}/score/{method}.log",
    benchmark:
        "logs/benchmark/{experiment}/score/{method}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("score"),
        runtime=minutes("score"),
    params:
        settings=of(scores.method_settings),
        code=method_code("score"),
        files=method_flags,
        folder=filled("results/{experiment}/scores/{method}"),
    shell:
        "OMP_NUM_THREADS={threads} python scripts/score.py --settings {params.settings:q}"
        " {params.files} --selection {input.selection} --out {params.folder} > {log} 2>&1"


ruleorder: score_gen > score_kind > score


# for methods that do not apply to every kind of query
use rule score as score_kind with:
    output:
        "results/{experiment}/scores/{method}/{kind}.npy",
    log:
        "logs/{experiment}/score_kind/{method}-{kind}.log",
    benchmark:
        "logs/benchmark/{experiment}/score_kind/{method}-{kind}.tsv"
    wildcard_constraints:
        method=only(scores.partial_methods(EXPERIMENTS)),
    resources:
        mem_mb=mem_mb("score_kind"),
        runtime=minutes("score_kind"),


use rule score as score_gen with:
    output:
        "results/{experiment}/scores/{method}/gen.npy",
    wildcard_constraints:
        experiment=only(GENERATED),
