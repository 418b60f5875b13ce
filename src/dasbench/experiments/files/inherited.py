"""Files that a child shares with an experiment above it: those of equal settings.

A child uses the models, images and queries of its parents. So its features, residuals and
decompositions have the same bytes as those of a parent with equal settings. Then the methods of the
child read the parent's files, and the child makes none of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from dasbench.core import query_kinds
from dasbench.core.query_kinds import SPECTRUM
from dasbench.experiments import ablation_design
from dasbench.experiments.files import ensembles, features
from dasbench.experiments.files.resolved import Resolved


def path(experiment: Resolved, file: str) -> str:
    """The file itself or, if the experiment shares it with a parent, the parent's."""
    moves = experiment.__dict__.setdefault("_inherited", None)
    if moves is None:
        moves = experiment.__dict__["_inherited"] = dict(_moves(experiment))
    return moves.get(file, file)


def paths(experiment: Resolved, files: list[str]) -> list[str]:
    """As ``path``, for each file."""
    return [path(experiment, file) for file in files]


def decomposed(experiment: Resolved, features: str) -> str:
    """The features that a rule decomposes: the child's or, if they are shared, the parent's."""
    return path(experiment, f"{experiment.folder}/features/{features}/train.npy")


def _moves(experiment: Resolved) -> Iterator[tuple[str, str]]:
    """Yield (file, file of a parent). Of several parents, the one that comes last here counts."""
    for parent in experiment.parents:  # from the nearest up to the root
        yield from _features(experiment, parent)
        yield from _by_timestep(experiment, parent)
        if experiment.base == parent.base:
            yield from _of_base(experiment, parent)


def _features(e: Resolved, parent: Resolved) -> Iterator[tuple[str, str]]:
    """Averaged features, their decompositions, and features along trajectories."""
    for name in e.features:
        other = _equal(e, parent, name, parent.features, features.feature_settings)
        if other is None:
            continue
        ours, theirs = f"{e.folder}/features/{name}", f"{parent.folder}/features/{other}"
        yield from _pairs(ours, theirs, features.splits(e))
        if name in features.spectra(e) and other in features.spectra(parent):
            yield from _pairs(f"{ours}/spectrum", f"{theirs}/spectrum", SPECTRUM)
    for name in features.journeys(e):
        for other in features.journeys(parent):
            ours, theirs = (
                features.journey_settings(*set_) for set_ in ((e, name), (parent, other))
            )
            if ours == theirs and e.base == parent.base:
                folders = f"{e.folder}/features/{name}", f"{parent.folder}/features/{other}"
                yield from _pairs(*folders, ["journey"])


def _by_timestep(e: Resolved, parent: Resolved) -> Iterator[tuple[str, str]]:
    for name in e.timesteps:
        other = _equal(e, parent, name, parent.timesteps, features.timestep_settings)
        if other is not None:
            ours, theirs = f"{e.folder}/features/{name}", f"{parent.folder}/features/{other}"
            yield from _pairs(f"{ours}/by_timestep", f"{theirs}/by_timestep", features.splits(e))


def _of_base(e: Resolved, parent: Resolved) -> Iterator[tuple[str, str]]:
    """Residuals, embeddings, and scores that need the network."""
    # the script of the ablation reads all residuals in one folder
    for name in [] if ablation_design.wanted(e) else e.residuals:
        for other in parent.residuals:
            if features.residual_settings(e, name) == features.residual_settings(parent, other):
                yield from _pairs(
                    f"{e.folder}/residuals", f"{parent.folder}/residuals", [name], [other]
                )
    if features.needs_embeddings(e) and features.needs_embeddings(parent):
        if features.embedding_settings(e) == features.embedding_settings(parent):
            folders = (f"{of.folder}/features/embeddings" for of in (e, parent))
            yield from _pairs(*folders, features.splits(e))
    for name, options in e.methods.items():
        other, keys = parent.methods.get(name, {}), ("computed", "computation")
        same = "computed" in options and all(other.get(k) == options.get(k) for k in keys)
        if same and _computed(e, name) == _computed(parent, name):
            folders = (f"{of.folder}/network/{name}" for of in (e, parent))
            yield from _pairs(*folders, query_kinds.computed(query_kinds.of(e)))


def _computed(experiment: Resolved, method: str) -> str:
    if experiment.methods[method]["computed"] == "ensemble":
        return ensembles.whole_settings(experiment, method)
    return features.computed_settings(experiment, method, names=["damping"])


def _equal(
    e: Resolved,
    parent: Resolved,
    name: str,
    others: Iterable[str],
    settings_of: Callable[[Resolved, str], str],
) -> str | None:
    """The parent's set of features with the settings and the model of the child's."""
    wanted = settings_of(e, name), features.feature_model(e, name)
    for other in others:
        if (settings_of(parent, other), features.feature_model(parent, other)) == wanted:
            return other
    return None


def _pairs(
    ours: str, theirs: str, names: Sequence[str], others: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
    for name, other in zip(names, others or names, strict=True):
        yield f"{ours}/{name}.npy", f"{theirs}/{other}.npy"
