# Reads the LDS tables, the scores, masks and outputs; writes lds/table.csv and lds/by_models.csv.


include: "common.smk"
include: "../functions/report.smk"


from dasbench.experiments.files import outputs, pages, scores


rule tabulate_lds:
    input:
        scores=of(scores.score_files),
        tables=expand("results/{{experiment}}/lds/{table}.csv", table=["summary", "ceiling"]),
        uses=shared("queries/uses.json"),
        masks=shared("masks/eval.npy"),
        outputs=of(outputs.evaluation_files),
    output:
        expand("results/{{experiment}}/lds/{table}.csv", table=["table", "by_models"]),
    log:
        "logs/{experiment}/tabulate_lds.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("tabulate_lds"),
        runtime=minutes("tabulate_lds"),
    params:
        settings=of(pages.curve_settings),
        code=code("tabulate_lds"),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/tabulate_lds.py --settings {params.settings:q} --home {params.home}"
        " --scores {params.folder}/scores --lds {params.folder}/lds > {log} 2>&1"
