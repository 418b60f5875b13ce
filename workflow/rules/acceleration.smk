# Reads the examples, the queries, the base model and the methods' LDS; writes cost-*: seconds of the
# methods of an experiment against their LDS. These files differ from run to run.


include: "common.smk"


from dasbench.experiments.files import costs, models


rule time_methods:
    input:
        of(models.given_files),
        of(models.query_files),
        examples=shared("examples/train.npz"),
        model=of(models.attributed_files),
    output:
        "results/{experiment}/cost-times.csv",
    log:
        "logs/{experiment}/time_methods.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores or 1  # all cores, so that no other job runs; its libraries use one
    resources:
        mem_mb=mem_mb("time_methods"),
        runtime=minutes("time_methods"),
        gpu=gpus(),
    params:
        settings=of(costs.time_settings),
        code=family_code("time_methods"),
        given=of(models.given_options),
        folder=shared(""),
        model=of(models.attributed_base),
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python scripts/time_methods.py --settings {params.settings:q}"
        " --examples {input.examples} --queries {params.folder}queries"
        " --model {params.model} --times {output} {params.given} > {log} 2>&1"


rule relate_costs:
    input:
        of(costs.timed_tables),
        times="results/{experiment}/cost-times.csv",
    output:
        table="results/{experiment}/cost-quality.csv",
        speedups="results/{experiment}/cost-speedup.json",
    log:
        "logs/{experiment}/relate_costs.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("relate_costs"),
        runtime=minutes("relate_costs"),
    params:
        settings=of(costs.relate_settings),
        code=code("relate_costs"),
        methods=filled("results/{experiment}/lds/methods"),
    shell:
        "python scripts/relate_costs.py --settings {params.settings:q} --times {input.times}"
        " --methods {params.methods} --table {output.table} --speedups {output.speedups}"
        " > {log} 2>&1"
