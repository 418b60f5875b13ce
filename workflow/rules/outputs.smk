# Reads the subset models and the queries; writes outputs/ and masks/.


include: "common.smk"


from dasbench.core import query_kinds
from dasbench.experiments.files import models, outputs


rule measure_outputs:
    input:
        of(outputs.measured_models),
        of(models.given_files),
        of(models.query_files),
        base=of(models.base_files),
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/seed-{{seed}}/job-{{job}}/{file}",
            file=query_kinds.output_files(query_kinds.KINDS),
        ),
    log:
        "logs/{experiment}/measure_outputs/{use}-{seed}-{job}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_outputs/{use}-{seed}-{job}.tsv"
    wildcard_constraints:
        experiment=only(HELD_OUT),
    priority: 4
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_outputs"),
        runtime=minutes("measure_outputs"),
        gpu=gpus(),
    params:
        settings=of(outputs.measure_settings),
        code=family_code("measure_outputs"),
        given=of(models.given_options),
        folder=filled("results/{experiment}"),
        seed=filled("{use}/seed-{seed}"),
    shell:
        "python scripts/measure_outputs.py --settings {params.settings:q}"
        " --base {params.folder}/models/base --models {params.folder}/models/{params.seed}"
        " --queries {params.folder}/queries"
        " --out {params.folder}/outputs/{params.seed}/job-{wildcards.job}"
        " {params.given} --threads {threads} > {log} 2>&1"


use rule measure_outputs as measure_outputs_gen with:
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/seed-{{seed}}/job-{{job}}/{file}",
            file=query_kinds.output_files(GEN),
        ),
    wildcard_constraints:
        experiment=only(GENERATED),


rule gather_outputs:
    input:
        of(models.shard_masks),
        of(outputs.measured_files),
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/{file}",
            file=query_kinds.output_files(query_kinds.KINDS),
        ),
        masks="results/{experiment}/masks/{use}.npy",
    log:
        "logs/{experiment}/gather_outputs/{use}.log",
    wildcard_constraints:
        experiment=only(HELD_OUT),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("gather_outputs"),
        runtime=minutes("gather_outputs"),
    params:
        settings=of(outputs.gather_settings),
        code=code("gather_outputs"),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/gather_outputs.py --settings {params.settings:q}"
        " --models {params.folder}/models/{wildcards.use}"
        " --outputs {params.folder}/outputs/{wildcards.use} --masks {output.masks} > {log} 2>&1"


use rule gather_outputs as gather_outputs_gen with:
    output:
        expand(
            "results/{{experiment}}/outputs/{{use}}/{file}",
            file=query_kinds.output_files(GEN),
        ),
        masks="results/{experiment}/masks/{use}.npy",
    wildcard_constraints:
        experiment=only(GENERATED),
