# Reads tables, scores, queries and images; writes figures/, metrics.json and report.html.


include: "../functions/report.smk"


rule plot_samples:
    input:
        generated=shared("queries/gen.npy"),
        examples=shared("examples/train.npz"),
    output:
        figure("samples"),
    log:
        "logs/{experiment}/plot_samples.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("plot_samples"),
    shell:
        "python scripts/plot_samples.py --settings '{{}}' --generated {input.generated} --examples {input.examples}"
        " --samples {output} > {log} 2>&1"


rule plot_lds:
    input:
        summary="results/{experiment}/lds/summary.csv",
        ceiling="results/{experiment}/lds/ceiling.csv",
    output:
        loss=figure("lds-loss"),
        displacement=figure("lds-displacement"),
        transforms=figure("lds-transforms"),
        damping=figure("damping"),
    log:
        "logs/{experiment}/plot_lds.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("plot_lds"),
    shell:
        "python scripts/plot_lds.py --settings '{{}}' --summary {input.summary} --ceiling {input.ceiling}"
        " --lds-loss {output.loss} --lds-displacement {output.displacement}"
        " --lds-transforms {output.transforms} --damping {output.damping} > {log} 2>&1"


rule plot_removal:
    input:
        summary="results/{experiment}/removal/summary.csv",
        per_query="results/{experiment}/removal/per_query.parquet",
        images="results/{experiment}/removal/images.npy",
        index="results/{experiment}/removal/images.csv",
        queries=shared("queries/gen.npy"),
    output:
        removal=figure("removal"),
        before=figure("before-after"),
    log:
        "logs/{experiment}/plot_removal.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=removal_figure_settings,
        code=code("plot_removal"),
    shell:
        "python scripts/plot_removal.py --settings {params.settings:q} --summary {input.summary}"
        " --per-query {input.per_query} --images {input.images} --index {input.index}"
        " --queries {input.queries} --removal {output.removal} --before-after {output.before}"
        " > {log} 2>&1"


rule plot_neighbours:
    input:
        scores=neighbour_scores,
        queries=shared("queries/{kind}.npy"),
        labels=shared("queries/{kind}_labels.npy"),
        examples=shared("examples/train.npz"),
    output:
        figure("neighbours-{kind}"),
    log:
        "logs/{experiment}/plot_neighbours/{kind}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=neighbour_settings,
        code=code("plot_neighbours"),
    shell:
        "python scripts/plot_neighbours.py --settings {params.settings:q} --queries {input.queries}"
        " --labels {input.labels} --examples {input.examples} --scores {input.scores}"
        " --neighbours {output} > {log} 2>&1"


rule write_metrics:
    input:
        summary="results/{experiment}/lds/summary.csv",
        ceiling="results/{experiment}/lds/ceiling.csv",
        removal="results/{experiment}/removal/summary.csv",
    output:
        "results/{experiment}/metrics.json",
    log:
        "logs/{experiment}/write_metrics.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("write_metrics"),
    shell:
        "python scripts/write_metrics.py --settings '{{}}' --summary {input.summary}"
        " --ceiling {input.ceiling} --removal {input.removal} --metrics {output} > {log} 2>&1"


rule render_report:
    input:
        tables=expand(
            "results/{{experiment}}/lds/{table}.csv",
            table=["summary", "selection", "comparisons", "ceiling"],
        ),
        removal="results/{experiment}/removal/summary.csv",
        metrics="results/{experiment}/metrics.json",
        card=card_of,
        figures=expand(
            "results/{{experiment}}/figures/{name}.{format}", name=FIGURES, format=FORMATS
        ),
    output:
        "results/{experiment}/report.html",
    log:
        "logs/{experiment}/render_report.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=report_settings,
        code=report_code,
    shell:
        "python scripts/render_report.py --settings {params.settings:q} --summary {input.tables[0]}"
        " --selection {input.tables[1]} --comparisons {input.tables[2]} --ceiling {input.tables[3]}"
        " --removal {input.removal} --metrics {input.metrics} --data-card {input.card}"
        " --figures {input.figures} --report {output} > {log} 2>&1"
