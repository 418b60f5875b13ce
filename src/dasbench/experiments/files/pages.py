"""Files and settings of figures and of the report's page."""

from __future__ import annotations

from pathlib import Path

from dasbench.core import query_kinds
from dasbench.data import cards
from dasbench.experiments import config, feature_sets, figure_table
from dasbench.experiments.files import evaluation, removal
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import settings

PACKAGES = ("snakemake", "torch", "diffusers", "accelerate", "dvc", "numpy", "scipy", "pandas")

# by their LDS on the recorded experiments, see docs/findings.md; a new experiment has none yet
BEST = (
    *("das_stepwise", "das_probes_common", "das_common", "dtrak_common", "das", "trak_common"),
    *("das_released", "das_probes", "unlearning", "ekfac_if", "dtrak", "pixel_cosine", "trak"),
)


def _with_scores(experiment: Resolved, kind: str) -> list[str]:
    """Methods with scores of a kind of query."""
    return [name for name, o in experiment.methods.items() if kind in config.kinds(o)]


def methods_by_kind(experiment: Resolved) -> dict[str, list[str]]:
    """Kind of query -> methods with scores of it."""
    return {kind: _with_scores(experiment, kind) for kind in query_kinds.of(experiment)}


def figure_files(experiment: Resolved, reported: bool) -> list[str]:
    """Files of figures: with ``reported`` those in the report, else those that it leaves out."""
    return [
        f"{experiment.folder}/figures/{stem}.{format_}"
        for stem in figure_table.stems(experiment, reported)
        for format_ in figure_table.FORMATS
    ]


def drawn_files(experiment: Resolved, rule: str) -> list[str]:
    """Files of the figures that a rule draws."""
    (figures,) = (drawing.figures for drawing in figure_table.DRAWINGS if drawing.rule == rule)
    return [
        f"{experiment.folder}/figures/{figure.stem}.{format_}"
        for figure in figures
        for format_ in figure_table.FORMATS
    ]


def curve_settings(experiment: Resolved) -> str:
    """The string of the LDS tables: methods with scores, by kind of query."""
    return settings(
        experiment,
        experiment=experiment["name"],
        methods=methods_by_kind(experiment),
        lds=experiment["lds"],
    )


def neighbour_methods(experiment: Resolved, kind: str) -> list[str]:
    """Methods in the figure of nearest images: those of the removal study, else the best ones.

    Without a removal study, these are up to five methods in the order of ``BEST``, then the others
    in the order of the file, and last one control.
    """
    scored = _with_scores(experiment, kind)
    if removed := [m for m in experiment["removal"]["methods"] if m in scored]:
        return removed
    controls = [m for m in scored if "control" in experiment.methods[m]]
    place = {name: i for i, name in enumerate(BEST)}
    others = [m for m in scored if m not in controls]
    return sorted(others, key=lambda m: place.get(m, len(BEST)))[:5] + controls[:1]


def neighbour_scores(experiment: Resolved, kind: str) -> list[str]:
    """The scores of ``neighbour_methods``."""
    methods = neighbour_methods(experiment, kind)
    return [f"{experiment.folder}/scores/{method}/{kind}.npy" for method in methods]


def check_files(experiment: Resolved) -> list[str]:
    """Checks of the methods in the figures of nearest images: training images asked about."""
    shown = [m for kind in query_kinds.of(experiment) for m in neighbour_methods(experiment, kind)]
    return [
        f"{experiment.folder}/scores/{method}/self_check.json"
        for method in dict.fromkeys(shown)
        if feature_sets.compares_images(experiment.methods[method])
    ]


def neighbour_settings(experiment: Resolved, kind: str) -> str:
    """The string of the figure of nearest training images."""
    return settings(
        experiment,
        kind=kind,
        methods=neighbour_methods(experiment, kind),
        tuning=experiment["queries"]["tuning"],
        **experiment["report"],
    )


def explorer_files(experiment: Resolved) -> dict[str, list[str]]:
    """What the report's explorer reads: images and scores, and judgements where there are any."""
    home, folder = experiment.home, experiment.folder
    kinds = query_kinds.of(experiment)
    queries = [f"{home}/queries/{kind}{end}.npy" for kind in kinds for end in ("", "_labels")]
    judged = [f"{folder}/lds/per_query.parquet"] if experiment.is_judged else []
    removed = [f"{folder}/removal/per_query.parquet"] if removal.has_removal(experiment) else []
    return {
        "examples": [f"{home}/examples/train.npz"],
        "queries": [*queries, f"{home}/queries/uses.json"],
        "scores": [
            f"{folder}/scores/{method}/{kind}.npy"
            for kind, methods in methods_by_kind(experiment).items()
            for method in methods
        ],
        "correlations": judged,
        "removed": removed,
    }


def explorer_flags(experiment: Resolved) -> str:
    """Options of ``gather_explorer`` with its files."""
    files = explorer_files(experiment)
    flags = [
        f"--examples {files['examples'][0]}",
        f"--queries {experiment.home}/queries",
        f"--scores {experiment.folder}/scores",
        *(f"--{name} {files[name][0]}" for name in ("correlations", "removed") if files[name]),
    ]
    return " ".join(flags)


def explorer_settings(experiment: Resolved) -> str:
    """The string of the explorer: methods with scores by kind of query, and their transforms."""
    methods = methods_by_kind(experiment)
    return settings(
        experiment,
        methods=methods,
        transforms={name: options["transform"] for name, options in experiment.methods.items()},
        candidates={
            name: options["features"]["candidates"]
            for name, options in experiment.methods.items()
            if isinstance(options.get("features"), dict) and options["features"].get("candidates")
        },
    )


def _in_order(experiment: Resolved) -> list[str]:
    """All methods: in the order of ``BEST``, then of the experiment file; controls last."""
    place = {name: i for i, name in enumerate(BEST)}
    methods = list(experiment.methods)
    return sorted(
        methods,
        key=lambda name: ("control" in experiment.methods[name], place.get(name, len(BEST))),
    )


def locked_versions(root: Path) -> dict[str, str]:
    """Package -> version in ``requirements.lock``, for Python and ``PACKAGES``."""
    lines = (root / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith(" "))
    return {"python": "3.11"} | {name: pins[name] for name in PACKAGES}


def report_settings(experiment: Resolved, root: Path) -> str:
    """The string of the report's page: the whole experiment, its data card, the versions."""
    return settings(
        experiment,
        experiment=experiment["name"],
        settings={**experiment, "methods": experiment.methods},
        variants={name: o for name, o in experiment["methods"].items() if o.get("like")},
        order=_in_order(experiment),
        floor=evaluation.floor(experiment),
        data_card=cards.of(experiment, root),
        versions=locked_versions(root),
        inapplicable=config.inapplicable(experiment),
    )
