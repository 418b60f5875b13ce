# Inputs and settings of the rules in workflow/rules/report.smk.

FORMATS = ["svg", "png"]


LDS_FIGURES = ["lds-loss", "lds-displacement", "lds-transforms", "damping", "lds-by-models"]


FIGURES = ["samples", *LDS_FIGURES, "neighbours-val", "neighbours-gen"]


REMOVAL_FIGURES = ["removal", "before-after"]


def all_figures(wildcards):
    names = FIGURES + REMOVAL_FIGURES * (wildcards.experiment in REMOVAL)
    names += ABLATION_FIGURES * (wildcards.experiment in ABLATIONS)
    if wildcards.experiment not in JUDGED:
        names = [name for name in FIGURES if name not in LDS_FIGURES]
    folder = f"results/{wildcards.experiment}/figures"
    return expand("{folder}/{name}.{format}", folder=folder, name=names, format=FORMATS)


def figure(name):
    """The files of one figure, for the Snakemake report as well."""
    return report(
        expand("results/{{experiment}}/figures/{name}.{format}", name=name, format=FORMATS),
        caption=f"../report/{name.split('-')[0]}.rst",
        category=name.split("-")[0].capitalize(),
        labels={"figure": name, "experiment": "{experiment}"},
    )


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


def removal_figure_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(wildcards.experiment, queries=min(6, e["removal"]["queries"]))


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
