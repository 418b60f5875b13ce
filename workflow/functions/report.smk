# Figures of an experiment, and their texts in Snakemake's report.

from dasbench.experiments import figure_rows, figure_table
from dasbench.experiments.files import pages

# workflow/report/figure.rst looks up the drawing of a rule
config["captions"] = {
    drawing.rule: {figure.stem: figure.caption for figure in drawing.figures}
    for drawing in figure_table.DRAWINGS
}


def figure(stem, section):
    """The files of one figure, marked for Snakemake's report."""
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
    return {figure_rows.keyword(option): file for option, file in files.items()}


def drawn(drawing):
    """Outputs of a drawing, by keyword."""
    return {figure_rows.keyword(f.option): figure(f.stem, f.section) for f in drawing.figures}


def drawing_flags(drawing):
    """Params function: the options of a drawing's script with their files."""

    def flags(wildcards, input, output):
        return drawing.flags().format(input=input, output=output)

    return flags


SHARED_FILES = (
    "templates/base.css.j2",
    "templates/report/[efmr]*",  # frame, explorer, macros, style and script; examples, too
    "vendor/*.js",
    "methods.yaml",
)


def report_code(wildcards):
    """The script, the code that it imports, and the files that it puts on the page."""
    return code("render_report") + templates(*SHARED_FILES, "templates/report/page.html.j2")


def examples_code(wildcards):
    """As report_code, for the page of examples."""
    return code("render_examples") + templates(*SHARED_FILES)
