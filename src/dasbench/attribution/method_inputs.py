"""The inputs of a method: their files, the flags that name the files, and the readers.

A family of methods lists its *needs*, each one kind of input, such as ``features``; the options of
a method decide which of them it receives. To add a need, add one entry to ``NEEDS``, its flags to
``input_files.Files`` and its values to ``Inputs``. ``attribution.method_files`` derives ``Method``.

Shapes: N examples, Q queries, P feature dimensions, T timesteps, M subsets, R seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution import candidates, decomposition
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.input_files import Files
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts, memmaps
from dasbench.core.query_kinds import KINDS, SPECTRUM, computed
from dasbench.errors import UserError

ROWS, COLUMNS = 0, 1  # the axis of an array that runs over queries


@dataclass(frozen=True)
class Method:
    """A method of an experiment; the paths of its inputs follow from these values.

    Attributes:
        name: Name of the method.
        options: Complete options of the method.
        folder: ``results/<experiment>``.
        home: ``results/<experiment>`` of the experiment that trained the models.
        features: Names of its sets of features, averaged over timesteps, in order.
        timesteps: Name of its set of features by timestep, or None.
        spectrum: Whether a rule decomposes the kernel of its first set of features.
        residuals: Name of its residuals, or None.
        kinds: Kinds of queries of the experiment.
    """

    name: str
    options: Mapping[str, Any]
    folder: str
    home: str
    features: Sequence[str] = ()
    timesteps: str | None = None
    spectrum: bool = False
    residuals: str | None = None
    kinds: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class Computed:
    """Scores of a method that needs the network; a rule computes them on the whole grid.

    Attributes:
        values: [G] float64, ascending: the dampings or step sizes of the method.
        scores: [G, N, Q] float32, mapped.
    """

    values: np.ndarray
    scores: np.ndarray


def _by_query(axis: int, **default: Any) -> Any:
    """A field of ``Inputs`` whose array has one entry for each query along ``axis``."""
    return field(metadata={"queries": axis}, **default)


@dataclass(frozen=True)
class Inputs:
    """All inputs of a method for some queries of one kind; inputs that it does not need are None.

    Features and scores may be mapped files; ``dasbench.core.blocks`` iterates over them.

    Attributes:
        train_images: [N, H, W, C] uint8.
        train_labels: [N] int64.
        train_ids: [N] int64.
        query_images: [Q, C, H, W] float32 in [-1, 1].
        query_labels: [Q] int64.
        train_features: [N, P] float32.
        query_features: [Q, P] float32; with --journey, along sampling trajectories.
        residuals: [N] float32, or [T, N].
        scores: [N, Q] float, computed outside this benchmark.
        axes: Leading seed axes (experiment, seed, "methods", kind) for methods that draw.
        spectrum: Decomposed kernel of ``train_features``, shared by all methods with these
            features; None: the family decomposes it. Of features by timestep, all their kernels.
        positions: [Q], of these queries among all queries of the kind; None: these are all.
        whole: The inputs for all queries of this kind; None: these are.
        tuning_queries: [q], the positions of the tuning queries among all queries of the kind;
            None: all of them.
        tuning_masks: [M, N] bool, the tuning subsets.
        tuning_outputs: [M, Q] float64, outputs of the models trained on the tuning subsets (target
            ``loss``, averaged over seeds).
        computed: Scores from a separate rule, for all queries of the kind.
        others: ([N, P], [Q, P]) float32 for each set of features after the first, in order; the
            first set is ``train_features`` and ``query_features``.
        query_timesteps: [T, Q, P] float32; the training side by timestep is in ``spectrum``.
        candidates: [N, Q] bool, see ``dasbench.attribution.candidates``; None: all are.
        prepared: What ``parts`` of the family adds for its ``path``.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    train_ids: np.ndarray
    query_images: np.ndarray = _by_query(ROWS)
    query_labels: np.ndarray = _by_query(ROWS)
    train_features: np.ndarray | None
    query_features: np.ndarray | None = _by_query(ROWS)
    residuals: np.ndarray | None
    scores: np.ndarray | None = _by_query(COLUMNS)
    axes: tuple[str | int, ...]
    spectrum: Spectrum | Spectra | None = None
    positions: np.ndarray | None = None
    whole: Inputs | None = None
    tuning_queries: np.ndarray | None = None
    tuning_masks: np.ndarray | None = None
    tuning_outputs: np.ndarray | None = _by_query(COLUMNS, default=None)
    computed: Computed | None = None
    others: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    query_timesteps: np.ndarray | None = _by_query(COLUMNS, default=None)
    candidates: np.ndarray | None = _by_query(COLUMNS, default=None)
    prepared: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, Q)."""
        return len(self.train_images), len(self.query_images)

    @property
    def asked(self) -> int:
        """Number of all queries of this kind."""
        return (self.whole or self).shape[1]

    def about(self, queries: slice | Sequence[int]) -> Inputs:
        """The inputs for a part of these queries, in the order of ``queries``."""
        positions = np.arange(self.shape[1]) if self.positions is None else self.positions
        parts = {}
        for one in fields(self):
            axis, array = one.metadata.get("queries"), getattr(self, one.name)
            if axis is not None and array is not None:
                parts[one.name] = array[queries] if axis == ROWS else array[:, queries]
        return replace(
            self,
            positions=positions[queries],
            whole=self.whole or self,
            others=tuple((train, query[queries]) for train, query in self.others),
            **parts,
        )


class Reading(NamedTuple):
    """The arguments of a reader.

    Attributes:
        files: Files of the method.
        kind: "val" or "gen".
        n: Number of training examples.
        q: Number of queries of this kind.
        spectrum: From ``load_spectrum``.
    """

    files: Files
    kind: str
    n: int
    q: int
    spectrum: Spectrum | Spectra | None


class Need(NamedTuple):
    """One kind of input.

    Attributes:
        files: Flag -> file or files of a method; empty if its options do not use this input.
        read: Field of ``Inputs`` -> value; the value is None if there are no files.
    """

    files: Callable[[Method], dict[str, str | list[str]]]
    read: Callable[[Reading], dict[str, Any]]


def _mapped(file: Path | None, *shape: int | None) -> np.ndarray | None:
    return None if file is None else memmaps.load(file, shape, np.float32)


def _timestep_files(method: Method) -> dict[str, list[str]]:
    if method.timesteps is None:
        return {}
    folder = f"{method.folder}/features/{method.timesteps}/by_timestep"
    return {"timesteps": [f"{folder}/{split}.npy" for split in ("train", *method.kinds)]}


def _read_timesteps(r: Reading) -> dict[str, Any]:
    folder = r.files.timesteps
    if folder is None:
        return {}
    train = r.spectrum.train
    artifacts.check(folder / "train.npy", train, (None, r.n, None), finite=False)
    return {"query_timesteps": _mapped(folder / f"{r.kind}.npy", len(train), r.q, train.shape[2])}


def _feature_files(method: Method) -> dict[str, list[str]]:
    folders = [f"{method.folder}/features/{name}" for name in method.features]
    splits = ("train", *method.kinds)
    paths = [f"{folder}/{split}.npy" for folder in folders for split in splits]
    return {"features": paths} if paths else {}


def _read_features(r: Reading) -> dict[str, Any]:
    """The first set and the others; a file that the spectrum has mapped is not mapped again."""

    def pair(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        train = _mapped(folder / "train.npy", r.n, None)
        return train, _mapped(folder / f"{r.kind}.npy", r.q, train.shape[1])

    first, *more = r.files.features or [None]
    query = r.files.journey or (first and first / f"{r.kind}.npy")
    if isinstance(r.spectrum, Spectrum) and len(r.spectrum.train) == r.n:
        train = r.spectrum.train
    else:
        train = _mapped(first and first / "train.npy", r.n, None)
    first_set = {"train_features": train, "query_features": _mapped(query, r.q, None)}
    return {**first_set, "others": tuple(map(pair, more))}


def _spectrum_files(method: Method) -> dict[str, list[str]]:
    if not method.spectrum:
        return {}
    folder = f"{method.folder}/features/{method.features[0]}/spectrum"
    return {"spectrum": [f"{folder}/{name}.npy" for name in SPECTRUM]}


def _journey_files(method: Method) -> dict[str, str]:
    if not method.options.get("journey"):
        return {}
    return {"journey": f"{method.folder}/features/{method.features[0]}/journey.npy"}


def _residual_files(method: Method) -> dict[str, str]:
    if method.residuals is None:
        return {}
    apart = method.residuals.endswith("by_timestep")
    flag = "residuals-by-timestep" if apart else "residuals"
    return {flag: f"{method.folder}/residuals/{method.residuals}.npy"}


def _read_residuals(r: Reading) -> dict[str, Any]:
    if r.files.residuals_by_timestep is None:
        return {"residuals": _mapped(r.files.residuals, r.n)}
    return {"residuals": _mapped(r.files.residuals_by_timestep, len(r.spectrum.train), r.n)}


def _computed_files(method: Method) -> dict[str, list[str]]:
    if "computed" not in method.options:
        return {}
    folder = f"{method.folder}/network/{method.name}"
    return {"computed": [f"{folder}/{file}.npy" for file in computed(method.kinds)]}


def _read_computed(r: Reading) -> dict[str, Any]:
    folder = r.files.computed
    if folder is None:
        return {}
    dampings = artifacts.load_array(folder / "dampings.npy", (None,), np.float64)
    scores = _mapped(folder / f"{r.kind}.npy", len(dampings), r.n, r.q)
    return {"computed": Computed(dampings, scores)}


def _tuning_files(method: Method) -> dict[str, str]:
    """The tuning subsets and their outputs: a method sees no other results of retraining."""
    if not method.options.get("tuning"):
        return {}
    outputs = {f"tuning-{k}": f"{method.home}/outputs/tune/loss-{k}.npy" for k in method.kinds}
    return {"tuning-masks": f"{method.home}/masks/tune.npy", **outputs}


def _read_tuning(r: Reading) -> dict[str, Any]:
    """Masks [M, N] and seed-averaged outputs [M, Q] of the tuning subsets."""
    if r.files.tuning_masks is None:
        return {}
    subsets = artifacts.load_array(r.files.tuning_masks, (None, r.n), bool)
    file = getattr(r.files, f"tuning_{r.kind}")
    measured = artifacts.load_array(file, (None, len(subsets), r.q), np.float32)
    return {"tuning_masks": subsets, "tuning_outputs": measured.mean(0, dtype=np.float64)}


def _score_files(method: Method) -> dict[str, str]:
    return {f"scores-{kind}": path for kind, path in method.options.get("scores", {}).items()}


def _read_scores(r: Reading) -> dict[str, Any]:
    file = getattr(r.files, f"scores_{r.kind}")
    scores = None if file is None else memmaps.load(file, (r.n, r.q))
    if scores is not None and scores.dtype.kind != "f":
        raise UserError(f"{file} has dtype {scores.dtype}, expected a float; save it as float32")
    return {"scores": scores}


def _use_files(method: Method) -> dict[str, str]:
    return {"uses": f"{method.home}/queries/uses.json"}


def _read_uses(r: Reading) -> dict[str, Any]:
    if r.files.uses is None:
        return {}
    uses = artifacts.load_json(r.files.uses)
    return {"tuning_queries": np.array(uses[r.kind]["tuning"], np.int64)}


NEEDS: dict[str, Need] = {
    "timesteps": Need(_timestep_files, _read_timesteps),
    "features": Need(_feature_files, _read_features),
    "spectrum": Need(_spectrum_files, lambda r: {"spectrum": r.spectrum}),
    "journey": Need(_journey_files, lambda _: {}),  # read with the features
    "residuals": Need(_residual_files, _read_residuals),
    "computed": Need(_computed_files, _read_computed),
    "tuning": Need(_tuning_files, _read_tuning),
    "scores": Need(_score_files, _read_scores),
    "uses": Need(_use_files, _read_uses),
}


def files_of(method: Method, needs: Sequence[str]) -> dict[str, str | list[str]]:
    """Flag -> file or files of a method, in the order of ``NEEDS``.

    Args:
        method: The method, with its paths.
        needs: Names of the needs that its family lists.
    """
    by_flag: dict[str, str | list[str]] = {}
    for name, need in NEEDS.items():
        if name in needs:
            by_flag |= need.files(method)
    return by_flag


def load_spectrum(files: Files) -> Spectrum | Spectra | None:
    """The decomposed kernel that ``--spectrum`` names, or None; the same for every kind of query.

    Kernels of ``--timesteps`` have no file: ``Spectra`` decomposes them.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the features.
    """
    if files.timesteps is not None:
        return Spectra(memmaps.load(files.timesteps / "train.npy", (None,) * 3, np.float32))
    if files.spectrum is None:
        return None
    train = memmaps.load(files.features[0] / "train.npy", (None, None), np.float32)
    return Spectrum(train, decomposed=decomposition.load(files.spectrum, train.shape))


def load(
    files: Files,
    kind: str,
    axes: Sequence[str | int],
    options: Mapping[str, Any],
    spectrum: Spectrum | Spectra | None = None,
) -> Inputs:
    """Read and check the files of a method for one kind of query.

    Args:
        files: Files of the method.
        kind: "val" or "gen".
        axes: Leading seed axes (experiment, seed).
        options: Of the method, with the number of candidates of one query.
        spectrum: From ``load_spectrum``.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    train = artifacts.load_examples(files.examples)
    queries = artifacts.load_array(files.queries / f"{kind}.npy", (None,) * 4, np.float32)
    labels = files.queries / f"{kind}_labels.npy"
    reading = Reading(files, kind, len(train.ids), len(queries), spectrum)
    values: dict[str, Any] = {}
    for need in NEEDS.values():
        values |= need.read(reading)
    return Inputs(
        train_images=train.images,
        train_labels=train.labels,
        train_ids=train.ids,
        query_images=queries,
        query_labels=artifacts.load_array(labels, (len(queries),), np.int64),
        axes=(*axes, "methods", kind),
        candidates=candidates.of_method(options, train.images, queries),
        **values,
    )


def load_all(files: Files, settings: Mapping[str, Any]) -> dict[str, Inputs]:
    """Kind of query -> its inputs, by ``load`` with kinds, axes and options of the settings."""
    given = settings["axes"], settings["options"], load_spectrum(files)
    return {kind: load(files, kind, *given) for kind in settings["kinds"]}
