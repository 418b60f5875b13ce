"""What a method may look at: which files hold it, on which flags they are named, how it is read.

A *need* is one kind of input, such as ``features`` or ``residuals``. A family of methods lists its
needs (``needs = ("features", "residuals")`` in its module); a method of the family is given those
that its options ask for. ``NEEDS`` has the files and the reader of each need, in the order of the
flags. To add a need: one entry in ``NEEDS``, its flags in ``Files``, its values in ``Inputs``. This
module knows no experiments: ``dasbench.attribution.method_files`` says what a ``Method`` is in one.

Shapes: N training examples, Q queries, P feature dimensions, T timesteps, M subsets, R seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution import candidates, decomposition
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts, memmaps
from dasbench.core.query_kinds import COMPUTED, KINDS, SPECTRUM
from dasbench.errors import UserError

SPLITS = ("train", *KINDS)
ROWS, COLUMNS = 0, 1  # where an array has its queries


@dataclass(frozen=True)
class Method:
    """What the paths of a method's inputs follow from.

    Attributes:
        name: Of the method.
        options: Complete options of the method.
        folder: ``results/<experiment>``.
        home: Results of the experiment whose models are used.
        features: Names of its sets of features, averaged over timesteps, in order.
        timesteps: Name of its set of features by timestep, or None.
        spectrum: Whether its first set of features has a kernel that is decomposed beforehand.
        residuals: Name of its residuals, or None.
    """

    name: str
    options: Mapping[str, Any]
    folder: str
    home: str
    features: Sequence[str] = ()
    timesteps: str | None = None
    spectrum: bool = False
    residuals: str | None = None


def _flag(words: str, several: bool = False) -> Any:
    """A field of ``Files`` that a method may lack."""
    return field(default=() if several else None, metadata={"help": words, "several": several})


@dataclass(frozen=True)
class Files:
    """The files of a method; each field is a flag of the scripts, with the help that stands here.

    Files that lie in one folder under fixed names are given by the folder.
    """

    examples: Path = field(metadata={"help": "training split, .npz"})
    queries: Path = field(metadata={"help": "folder of the queries"})
    features: tuple[Path, ...] = _flag("folders with train.npy, val.npy, gen.npy", several=True)
    spectrum: Path | None = _flag("folder of the features' decomposition")
    journey: Path | None = _flag("[Q, P] .npy, instead of the features' gen.npy")
    timesteps: Path | None = _flag("folder like --features, by timestep")
    residuals: Path | None = _flag("[N] .npy")
    residuals_by_timestep: Path | None = _flag("[T, N] .npy")
    scores_val: Path | None = _flag("[N, Q] .npy, somebody else's scores")
    scores_gen: Path | None = _flag("[N, Q] .npy, somebody else's scores")
    tuning_masks: Path | None = _flag("[M, N] .npy of the tuning subsets")
    tuning_val: Path | None = _flag("[R, M, Q] .npy of the tuning subsets")
    tuning_gen: Path | None = _flag("[R, M, Q] .npy of the tuning subsets")
    computed: Path | None = _flag("folder with dampings.npy and scores")


@dataclass(frozen=True)
class Computed:
    """Scores of a method that needs the network itself, computed at all its dampings by a rule.

    Attributes:
        dampings: [G] float64, ascending, in the method's own unit.
        scores: [G, N, Q] float32, mapped.
    """

    dampings: np.ndarray
    scores: np.ndarray


def _by_query(axis: int, **default: Any) -> Any:
    """A field of ``Inputs`` whose array has the queries on ``axis``."""
    return field(metadata={"queries": axis}, **default)


@dataclass(frozen=True)
class Inputs:
    """Everything a method may use for some queries of one kind; what it does not need is None.

    Features and scores may be mapped files: ``dasbench.core.blocks`` walks them.

    Attributes:
        train_images: [N, H, W, C] uint8.
        train_labels: [N] int64.
        train_ids: [N] int64.
        query_images: [Q, C, H, W] float32 in [-1, 1].
        query_labels: [Q] int64.
        train_features: [N, P] float32.
        query_features: [Q, P] float32; with --journey, along sampling trajectories.
        residuals: [N] float32, or [T, N].
        scores: [N, Q] float, somebody else's.
        axes: Leading seed axes (experiment, seed, "methods", kind) for methods that draw.
        spectrum: Of ``train_features``, decomposed once for all who share them; None: a family that
            needs one makes it. With features by timestep, their kernels.
        positions: [Q] where these queries stand among all of their kind; None: they are all.
        asked: Number of queries of this kind in all; None: Q.
        tuning_masks: [M, N] bool, the tuning subsets.
        tuning_outputs: [M, Q] float64, their outputs (target ``loss``, averaged over seeds).
        computed: Scores that a rule of their own computed, for all queries of the kind.
        others: ([N, P], [Q, P]) float32 of the further sets of a method with several, in order; the
            first set is ``train_features`` and ``query_features``.
        query_timesteps: [T, Q, P] float32, for a kernel that keeps timesteps apart; the training
            side is in ``spectrum``.
        candidates: [N, Q] bool, the examples that a query looks at, see
            ``dasbench.attribution.candidates``;
            None: every one.
        prepared: What the family's ``prepare`` made for all queries; None: it makes it when needed.
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
    asked: int | None = None
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

    def about(self, queries: slice | Sequence[int]) -> Inputs:
        """The same for some of these queries alone, in the order given."""
        positions = np.arange(self.shape[1]) if self.positions is None else self.positions
        parts = {}
        for one in fields(self):
            axis, array = one.metadata.get("queries"), getattr(self, one.name)
            if axis is not None and array is not None:
                parts[one.name] = array[queries] if axis == ROWS else array[:, queries]
        return replace(
            self,
            positions=positions[queries],
            asked=self.shape[1] if self.asked is None else self.asked,
            others=tuple((train, query[queries]) for train, query in self.others),
            **parts,
        )


class Reading(NamedTuple):
    """What a reader knows.

    Attributes:
        files: Of the method.
        kind: Of the queries.
        n: Training examples.
        q: Queries of this kind.
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
        files: Flag -> file or files of a method; nothing if its options do not ask for this.
        read: Field of ``Inputs`` -> value, or None if the files are not given.
    """

    files: Callable[[Method], dict[str, str | list[str]]]
    read: Callable[[Reading], dict[str, Any]]


def _mapped(file: Path | None, *shape: int | None) -> np.ndarray | None:
    return None if file is None else memmaps.load(file, shape, np.float32)


def _timestep_files(method: Method) -> dict[str, list[str]]:
    if method.timesteps is None:
        return {}
    folder = f"{method.folder}/features/{method.timesteps}/by_timestep"
    return {"timesteps": [f"{folder}/{split}.npy" for split in SPLITS]}


def _read_timesteps(r: Reading) -> dict[str, Any]:
    folder = r.files.timesteps
    return {"query_timesteps": _mapped(folder and folder / f"{r.kind}.npy", None, r.q, None)}


def _feature_files(method: Method) -> dict[str, list[str]]:
    folders = [f"{method.folder}/features/{name}" for name in method.features]
    paths = [f"{folder}/{split}.npy" for folder in folders for split in SPLITS]
    return {"features": paths} if paths else {}


def _read_features(r: Reading) -> dict[str, Any]:
    """The first set, mapped once if its kernel is decomposed, and the others."""

    def pair(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        train = _mapped(folder / "train.npy", r.n, None)
        return train, _mapped(folder / f"{r.kind}.npy", r.q, train.shape[1])

    first, *more = r.files.features or [None]
    query = r.files.journey or (first and first / f"{r.kind}.npy")
    if isinstance(r.spectrum, Spectrum) and len(r.spectrum.train) == r.n:
        train = r.spectrum.train
    else:
        train = _mapped(first and first / "train.npy", r.n, None)
    found = {"train_features": train, "query_features": _mapped(query, r.q, None)}
    return {**found, "others": tuple(map(pair, more))}


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
    apart = _mapped(r.files.residuals_by_timestep, None, r.n)
    return {"residuals": _mapped(r.files.residuals, r.n) if apart is None else apart}


def _computed_files(method: Method) -> dict[str, list[str]]:
    if "computed" not in method.options:
        return {}
    return {"computed": [f"{method.folder}/network/{method.name}/{f}.npy" for f in COMPUTED]}


def _read_computed(r: Reading) -> dict[str, Any]:
    folder = r.files.computed
    if folder is None:
        return {}
    dampings = artifacts.load_array(folder / "dampings.npy", (None,), np.float64)
    scores = _mapped(folder / f"{r.kind}.npy", len(dampings), r.n, r.q)
    return {"computed": Computed(dampings, scores)}


def _tuning_files(method: Method) -> dict[str, str]:
    """What a method may see of retrained models; no rule gives it more."""
    if not method.options.get("tuning"):
        return {}
    outputs = {f"tuning-{k}": f"{method.home}/outputs/tune/loss-{k}.npy" for k in KINDS}
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


NEEDS: dict[str, Need] = {
    "timesteps": Need(_timestep_files, _read_timesteps),
    "features": Need(_feature_files, _read_features),
    "spectrum": Need(_spectrum_files, lambda r: {"spectrum": r.spectrum}),
    "journey": Need(_journey_files, lambda _: {}),  # read with the features
    "residuals": Need(_residual_files, _read_residuals),
    "computed": Need(_computed_files, _read_computed),
    "tuning": Need(_tuning_files, _read_tuning),
    "scores": Need(_score_files, _read_scores),
}


def files_of(method: Method, needs: Sequence[str]) -> dict[str, str | list[str]]:
    """Flag -> file or files of a method, in the order of ``NEEDS``.

    Args:
        method: Of an experiment.
        needs: Names of inputs that its family lists.
    """
    found: dict[str, str | list[str]] = {}
    for name, need in NEEDS.items():
        if name in needs:
            found |= need.files(method)
    return found


def load_spectrum(files: Files) -> Spectrum | Spectra | None:
    """The decomposed kernel that ``--spectrum`` names, or None; it serves every kind of query.

    Kernels of ``--timesteps`` are decomposed here, when they are first needed.

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
        files: Of the method.
        kind: "val" or "gen".
        axes: Leading seed axes (experiment, seed).
        options: Of the method; ``features.candidates`` decides which examples a query looks at.
        spectrum: From ``load_spectrum``.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    train = artifacts.load_examples(files.examples)
    queries = artifacts.load_array(
        files.queries / f"{kind}.npy", (None, None, None, None), np.float32
    )
    reading = Reading(files, kind, len(train.ids), len(queries), spectrum)
    values: dict[str, Any] = {}
    for need in NEEDS.values():
        values |= need.read(reading)
    return Inputs(
        train_images=train.images,
        train_labels=train.labels,
        train_ids=train.ids,
        query_images=queries,
        query_labels=artifacts.load_array(
            files.queries / f"{kind}_labels.npy", (len(queries),), np.int64
        ),
        axes=(*axes, "methods", kind),
        candidates=candidates.of_method(options, train.images, queries),
        **values,
    )
