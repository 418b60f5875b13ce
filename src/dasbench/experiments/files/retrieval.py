"""Files and settings of the study of retrieval: scores as a search for known images."""

from __future__ import annotations

from dasbench import registry
from dasbench.core import query_kinds
from dasbench.experiments import figure_table
from dasbench.experiments.files.pages import methods_by_kind
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import settings

TABLES = ("retrieval", "questions")
# only the label of a held-out image is known; that of a generated image is a guess from pixels
KINDS = {"labels": ("val",), "marks": query_kinds.KINDS, "copies": query_kinds.KINDS}


def has_retrieval(experiment: Resolved) -> bool:
    """Whether there is such a study; not with ``retrieval: {truth: null}``, the default."""
    return experiment["retrieval"]["truth"] is not None


def has_credit(experiment: Resolved) -> bool:
    """Whether the scores of copies are compared with those of another experiment."""
    return experiment["retrieval"]["once"] is not None


def dataset_module(experiment: Resolved) -> str:
    """Module of the data set, which knows the marks and copies."""
    return registry.DATASETS[experiment["data"]["dataset"]]["module"]


def judged_methods(experiment: Resolved) -> dict[str, list[str]]:
    """Kind of query -> methods; those that read the label are left out where it is the answer."""
    truth = experiment["retrieval"]["truth"]
    told = [
        name
        for name, options in experiment.methods.items()
        if truth == "labels" and options.get("control") == "class_match"
    ]
    by_kind = methods_by_kind(experiment)
    return {
        kind: [name for name in by_kind[kind] if name not in told]
        for kind in KINDS[truth]
        if kind in by_kind
    }


def _scores(folder: str, kind: str, methods: list[str]) -> list[str]:
    return [f"{folder}/scores/{method}/{kind}.npy" for method in methods]


def _images(experiment: Resolved) -> list[str]:
    """The training images and the queries."""
    names = query_kinds.query_files(query_kinds.of(experiment))
    files = [f"{experiment.home}/queries/{name}" for name in names]
    return [f"{experiment.home}/examples/train.npz", *files]


def retrieval_inputs(experiment: Resolved) -> list[str]:
    """Everything that the tables are made of."""
    scores = [
        file
        for kind, methods in judged_methods(experiment).items()
        for file in _scores(experiment.folder, kind, methods)
    ]
    return _images(experiment) + scores


def retrieval_settings(experiment: Resolved) -> str:
    """The string of the tables."""
    return settings(
        experiment,
        experiment=experiment["name"],
        module=dataset_module(experiment),
        truth=experiment["retrieval"]["truth"],
        top=experiment["retrieval"]["top"],
        methods=judged_methods(experiment),
        **experiment["lds"],
    )


def once_folder(experiment: Resolved) -> str:
    """Folder of the experiment in which each image stands once."""
    return f"results/{experiment['retrieval']['once']}"


def credit_inputs(experiment: Resolved) -> list[str]:
    """Everything that the table of credit is made of."""
    methods = judged_methods(experiment)["val"]
    files = [f"{experiment.home}/queries/uses.json"]
    for folder in (experiment.folder, once_folder(experiment)):
        files += [f"{folder}/examples/{part}.npz" for part in ("train", "val")]
        files += [f"{folder}/queries/val.npy", *_scores(folder, "val", methods)]
    return files


def credit_settings(experiment: Resolved) -> str:
    """The string of the table of credit."""
    return settings(
        experiment,
        experiment=experiment["name"],
        module=dataset_module(experiment),
        methods=judged_methods(experiment)["val"],
        **experiment["lds"],
    )


def retrieval_tables(experiment: Resolved) -> list[str]:
    """The tables of the study, if there is one, and its figure."""
    if not has_retrieval(experiment):
        return []
    names = [*TABLES, *["credit"] * has_credit(experiment)]
    files = [f"{experiment.folder}/retrieval/{name}.csv" for name in names]
    formats = figure_table.FORMATS
    return files + [f"{experiment.folder}/figures/retrieval.{suffix}" for suffix in formats]
