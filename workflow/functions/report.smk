# Inputs and settings of the rules in workflow/rules/report.smk.

FORMATS = ["svg", "png"]


LDS_FIGURES = ["lds-loss", "lds-displacement", "lds-transforms", "damping"]


FIGURES = ["samples", *LDS_FIGURES, "removal", "before-after", "neighbours-val", "neighbours-gen"]


def figure(name):
    """The files of one figure, for the Snakemake report as well."""
    return report(
        expand("results/{{experiment}}/figures/{name}.{format}", name=name, format=FORMATS),
        caption=f"../report/{name.split('-')[0]}.rst",
        category=name.split("-")[0].capitalize(),
        labels={"figure": name, "experiment": "{experiment}"},
    )


def neighbour_methods(wildcards):
    """Methods whose nearest training images are shown: those of the removal study."""
    return EXPERIMENTS[wildcards.experiment]["removal"]["methods"]


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


def removal_figure_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(wildcards.experiment, queries=min(6, e["removal"]["queries"]))


def report_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(
        wildcards.experiment,
        experiment=wildcards.experiment,
        settings={**e, "methods": METHODS[wildcards.experiment]},
    )


def report_code(wildcards):
    """The script, its package code, and the template it fills."""
    return code("render_report") + text_hash("src/dasbench/templates/report.html.j2")


def card_of(wildcards):
    return f"data/{EXPERIMENTS[wildcards.experiment]['data']['dataset']}/card.json"
