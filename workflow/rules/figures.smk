# Reads tables, scores, queries and images; writes figures/. The table of drawings and their files is
# src/dasbench/experiments/figure_table.py. These rules only draw: other rules compute the numbers.


include: "common.smk"
include: "../functions/report.smk"


from dasbench.experiments.files import pages

for drawing in figure_table.DRAWINGS:
    if not drawing.by_hand:

        rule:
            name:
                drawing.rule
            input:
                **drawn_from(drawing),
            output:
                **drawn(drawing),
            log:
                f"logs/{{experiment}}/{drawing.rule}.log",
            conda:
                "../../environment.yml"
            resources:
                mem_mb=mem_mb(drawing.rule),
                runtime=minutes(drawing.rule),
            params:
                code=code(drawing.rule),
                script=f"scripts/{drawing.rule}.py",
                files=drawing_flags(drawing),
            shell:
                "python {params.script} --settings '{{}}' {params.files} > {log} 2>&1"


rule plot_neighbours:
    input:
        scores=of(pages.neighbour_scores),
        queries=shared("queries/{kind}.npy"),
        labels=shared("queries/{kind}_labels.npy"),
        examples=shared("examples/train.npz"),
    output:
        figure("neighbours-{kind}", "neighbours"),
    log:
        "logs/{experiment}/plot_neighbours/{kind}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_neighbours"),
        runtime=minutes("plot_neighbours"),
    params:
        settings=of(pages.neighbour_settings),
        code=code("plot_neighbours"),
    shell:
        "python scripts/plot_neighbours.py --settings {params.settings:q} --queries {input.queries}"
        " --labels {input.labels} --examples {input.examples} --scores {input.scores}"
        " --neighbours {output} > {log} 2>&1"
