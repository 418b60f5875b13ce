# Reads the LDS tables, the scores, masks and outputs; writes lds/table.csv and lds/by_models.csv.


rule tabulate_lds:
    input:
        scores=own_scores,
        tables=expand("results/{{experiment}}/lds/{table}.csv", table=["summary", "ceiling"]),
        uses=shared("queries/uses.json"),
        masks=shared("masks/eval.npy"),
        outputs=shared(*[f"outputs/eval/{file}" for file in OUTPUT_FILES]),
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
        settings=curve_settings,
        code=code("tabulate_lds"),
        home=shared(""),
        folder=filled("results/{experiment}"),
    shell:
        "python scripts/tabulate_lds.py --settings {params.settings:q} --home {params.home}"
        " --scores {params.folder}/scores --lds {params.folder}/lds > {log} 2>&1"
