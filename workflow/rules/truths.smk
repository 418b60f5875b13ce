# Reads the LDS, groups/, and the studies of removal and of one run that have been made; writes
# groups/truths.csv, the rank of each method under each ground truth.


include: "common.smk"


from dasbench.experiments.files import groups, truths


rule compare_truths:
    input:
        of(truths.inputs, experiments=EXPERIMENTS, root=ROOT),
    output:
        expand("results/{{experiment}}/groups/{table}.csv", table=truths.TABLES),
    log:
        "logs/{experiment}/compare_truths.log",
    wildcard_constraints:
        experiment=only(where(groups.has_groups)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("compare_truths"),
        runtime=minutes("compare_truths"),
    params:
        settings=of(truths.truth_settings, experiments=EXPERIMENTS, root=ROOT),
        code=code("compare_truths"),
        folder=filled("results/{experiment}/groups"),
    shell:
        "python scripts/compare_truths.py --settings {params.settings:q} --results results"
        " --out {params.folder} > {log} 2>&1"
