# Reads the evaluation models, the generated queries, the scores and the outputs; writes trajectory/:
# subset models along the paths by which the queries were sampled, and scores judged by it. A child
# measures its parent's models. `snakemake -- trajectory_<E>` runs it.


include: "common.smk"


from dasbench.experiments.files import models, trajectory


rule measure_trajectory:
    input:
        of(trajectory.shard_models),
        of(models.given_files),
        of(models.query_files),
        noise=shared("queries/gen_noise.npy"),
        base=of(models.base_files),
    output:
        "results/{experiment}/trajectory/seed-{seed}/shard-{shard}.npy",
    log:
        "logs/{experiment}/measure_trajectory/{seed}-{shard}.log",
    benchmark:
        "logs/benchmark/{experiment}/measure_trajectory/{seed}-{shard}.tsv"
    wildcard_constraints:
        experiment=only(where(trajectory.has_trajectory)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("measure_trajectory"),
        runtime=minutes("measure_trajectory"),
        gpu=gpus(),
    params:
        settings=of(trajectory.measure_settings),
        code=family_code("measure_trajectory"),
        given=of(models.given_options),
        home=shared(""),
        shard=of(trajectory.shard_folder),
    shell:
        "python scripts/measure_trajectory.py --settings {params.settings:q}"
        " --base {params.home}models/base --models {params.shard} --queries {params.home}queries"
        " --out {output} {params.given} --threads {threads} > {log} 2>&1"


rule evaluate_trajectory:
    input:
        of(trajectory.trajectory_inputs),
    output:
        expand("results/{{experiment}}/trajectory/{table}.csv", table=trajectory.TABLES),
    log:
        "logs/{experiment}/evaluate_trajectory.log",
    wildcard_constraints:
        experiment=only(where(trajectory.has_trajectory)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("evaluate_trajectory"),
        runtime=minutes("evaluate_trajectory"),
    params:
        settings=of(trajectory.trajectory_settings),
        code=code("evaluate_trajectory"),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/evaluate_trajectory.py --settings {params.settings:q} --home {params.home}"
        " --folder {params.folder} > {log} 2>&1"
