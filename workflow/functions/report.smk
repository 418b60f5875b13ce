# Inputs and settings of the rules in workflow/rules/report.smk.

from dasbench.experiments import figure_table

# for Snakemake's own report: workflow/report/figure.rst looks up what a rule draws
config["captions"] = {
    drawing.rule: {figure.stem: figure.caption for figure in drawing.figures}
    for drawing in figure_table.DRAWINGS
}


def figure_files(experiment, reported):
    """Files of the figures that an experiment's report shows, or of those that it leaves out."""
    return expand(
        "results/{experiment}/figures/{stem}.{format}",
        experiment=experiment,
        stem=figure_table.stems(EXPERIMENTS[experiment], reported),
        format=figure_table.FORMATS,
    )


def reported_figures(wildcards):
    return figure_files(wildcards.experiment, reported=True)


def figure(stem, section):
    """The files of one figure, for Snakemake's report as well."""
    return report(
        expand(
            "results/{{experiment}}/figures/{stem}.{format}",
            stem=stem,
            format=figure_table.FORMATS,
        ),
        caption="../report/figure.rst",
        category=(section or "costs").capitalize(),
        labels={"figure": stem, "experiment": "{experiment}"},
    )


def drawn_from(drawing):
    """Inputs of a drawing, by keyword."""
    files = {name: f"results/{{experiment}}/{file}" for name, file in drawing.reads.items()}
    files |= {name: shared(file) for name, file in drawing.shares.items()}
    return {figure_table.keyword(option): file for option, file in files.items()}


def drawn(drawing):
    """Outputs of a drawing, by keyword."""
    return {figure_table.keyword(f.option): figure(f.stem, f.section) for f in drawing.figures}


def curve_settings(wildcards):
    """Methods with scores, by kind of query."""
    methods = {
        kind: [m for m, o in METHODS[wildcards.experiment].items() if kind in experiments.kinds(o)]
        for kind in query_kinds.KINDS
    }
    return settings(
        wildcards.experiment,
        experiment=wildcards.experiment,
        methods=methods,
        lds=EXPERIMENTS[wildcards.experiment]["lds"],
    )


def own_scores(wildcards):
    return score_files(wildcards.experiment)


def neighbour_methods(wildcards):
    """Methods whose nearest training images are shown: those removed by, else the first five."""
    chosen = EXPERIMENTS[wildcards.experiment]["removal"]["methods"]
    known = METHODS[wildcards.experiment]
    fitting = [name for name in known if wildcards.kind in experiments.kinds(known[name])]
    return [name for name in chosen if name in fitting] or fitting[:5]


def neighbour_scores(wildcards):
    return expand(
        "results/{experiment}/scores/{method}/{kind}.npy",
        experiment=wildcards.experiment,
        method=neighbour_methods(wildcards),
        kind=wildcards.kind,
    )


def neighbour_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        kind=wildcards.kind,
        methods=neighbour_methods(wildcards),
        tuning=e["queries"]["tuning"],
        **e["report"],
    )


SHOWN = ("snakemake", "torch", "diffusers", "accelerate", "dvc", "numpy", "scipy", "pandas")


def locked_versions():
    """Versions of the packages that matter, from the lock: what is shown is what is declared."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith(" "))
    return {"python": "3.11"} | {name: pins[name] for name in SHOWN}


def report_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        experiment=wildcards.experiment,
        settings={**e, "methods": METHODS[wildcards.experiment]},
        data_card=cards.of(e, ROOT),
        versions=locked_versions(),
        inapplicable=experiments.inapplicable(e),
    )


def templates(page):
    """Hash of a page's template and of the style that each page includes."""
    folder = ROOT / "src/dasbench/reports/templates"
    return "".join(text_hash(folder / name) for name in ("base.css.j2", f"{page}.html.j2"))


def report_code(wildcards):
    """The script, its package code, and the templates it fills."""
    return code("render_report") + templates("report")


def examples_code(wildcards):
    return code("render_examples") + templates("examples")
