# Reads tables, scores and figures; writes metrics.json, explorer.json and report.html.


include: "common.smk"
include: "../functions/report.smk"


from dasbench.experiments.files import ablation, data, groups, pages, removal


rule write_metrics:
    input:
        summary="results/{experiment}/lds/summary.csv",
        ceiling="results/{experiment}/lds/ceiling.csv",
        removal=of(removal.removal_summary),
    output:
        "results/{experiment}/metrics.json",
    log:
        "logs/{experiment}/write_metrics.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("write_metrics"),
        runtime=minutes("write_metrics"),
    params:
        code=code("write_metrics"),
        removal=of(removal.removal_flag),
    shell:
        "python scripts/write_metrics.py --settings '{{}}' --summary {input.summary}"
        " --ceiling {input.ceiling} {params.removal} --metrics {output} > {log} 2>&1"


rule gather_explorer:
    input:
        unpack(of(pages.explorer_files)),
    output:
        "results/{experiment}/explorer.json",
    log:
        "logs/{experiment}/gather_explorer.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("gather_explorer"),
        runtime=minutes("gather_explorer"),
    params:
        settings=of(pages.explorer_settings),
        code=code("gather_explorer"),
        files=of(pages.explorer_flags),
    shell:
        "python scripts/gather_explorer.py --settings {params.settings:q} {params.files}"
        " --explorer {output} > {log} 2>&1"


rule render_report:
    input:
        tables=expand(
            "results/{{experiment}}/lds/{table}.csv",
            table=["summary", "selection", "comparisons", "ceiling", "leverage"],
        ),
        removal=of(removal.removal_summary),
        removed=of(removal.removal_comparisons),
        gains=of(ablation.ablation_gains),
        groups=of(groups.tables),
        metrics="results/{experiment}/metrics.json",
        explorer="results/{experiment}/explorer.json",
        card=of(data.card_of),
        figures=of(pages.figure_files, reported=True),
    output:
        "results/{experiment}/report.html",
    log:
        "logs/{experiment}/render_report.log",
    wildcard_constraints:
        experiment=only(JUDGED),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("render_report"),
        runtime=minutes("render_report"),
    params:
        settings=of(pages.report_settings, root=ROOT),
        code=report_code,
        removal=of(removal.removal_flags),
        gains=of(ablation.ablation_flag),
        groups=of(groups.report_flag),
    shell:
        "python scripts/render_report.py --settings {params.settings:q} --summary {input.tables[0]}"
        " --selection {input.tables[1]} --comparisons {input.tables[2]} --ceiling {input.tables[3]}"
        " --leverage {input.tables[4]} {params.removal} {params.gains} {params.groups} --metrics {input.metrics}"
        " --explorer {input.explorer} --data-card {input.card}"
        " --figures {input.figures} --report {output} > {log} 2>&1"


rule render_examples:
    input:
        card=of(data.card_of),
        checks=of(pages.check_files),
        explorer="results/{experiment}/explorer.json",
        figures=of(pages.figure_files, reported=True),
    output:
        "results/{experiment}/report.html",
    log:
        "logs/{experiment}/render_examples.log",
    wildcard_constraints:
        experiment=except_for(JUDGED),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("render_examples"),
        runtime=minutes("render_examples"),
    params:
        settings=of(pages.report_settings, root=ROOT),
        code=examples_code,
    shell:
        "python scripts/render_examples.py --settings {params.settings:q} --data-card {input.card}"
        " --checks {input.checks} --explorer {input.explorer} --figures {input.figures} --report {output} > {log} 2>&1"
