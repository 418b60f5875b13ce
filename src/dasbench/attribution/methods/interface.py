"""What a method may look at, and how it gets it from files."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dasbench.attribution import candidates, decomposition, transforms
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts, memmaps
from dasbench.errors import UserError

BLOCK = 2**27  # bytes of one block of scores; a method and its transforms hold a few of them


@dataclass(frozen=True)
class Computed:
    """Scores of a method that needs the network itself, computed at all its dampings by a rule.

    Attributes:
        dampings: [G] float64, ascending, in the method's own unit.
        scores: [G, N, Q] float32, mapped.
    """

    dampings: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Inputs:
    """Everything a method may use for some queries of one kind; what it does not need is None.

    Features and scores may be mapped files: ``dasbench.core.memmaps`` walks them in blocks.

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
        prepared: What the family's ``prepare`` made for all queries; None: it makes it when asked.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    train_ids: np.ndarray
    query_images: np.ndarray
    query_labels: np.ndarray
    train_features: np.ndarray | None
    query_features: np.ndarray | None
    residuals: np.ndarray | None
    scores: np.ndarray | None
    axes: tuple[str | int, ...]
    spectrum: Spectrum | Spectra | None = None
    positions: np.ndarray | None = None
    asked: int | None = None
    tuning_masks: np.ndarray | None = None
    tuning_outputs: np.ndarray | None = None
    computed: Computed | None = None
    others: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    query_timesteps: np.ndarray | None = None
    candidates: np.ndarray | None = None
    prepared: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, Q)."""
        return len(self.train_images), len(self.query_images)

    def about(self, queries: slice | Sequence[int]) -> Inputs:
        """The same for some of these queries alone, in the order given."""
        positions = np.arange(self.shape[1]) if self.positions is None else self.positions

        def rows(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[queries]

        def columns(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[:, queries]

        return replace(
            self,
            query_images=self.query_images[queries],
            query_labels=rows(self.query_labels),
            query_features=rows(self.query_features),
            scores=columns(self.scores),
            query_timesteps=columns(self.query_timesteps),
            positions=positions[queries],
            asked=self.shape[1] if self.asked is None else self.asked,
            tuning_outputs=columns(self.tuning_outputs),
            candidates=columns(self.candidates),
            others=tuple((train, rows(query)) for train, query in self.others),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files of a method, as command line options."""
    parser.add_argument("--examples", type=Path, required=True, help="training split, .npz")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument(
        "--features", type=Path, nargs="+", help="folders with train.npy, val.npy, gen.npy"
    )
    parser.add_argument("--spectrum", type=Path, help="folder of the features' decomposition")
    parser.add_argument(
        "--journey", type=Path, help="[Q, P] .npy, instead of the features' gen.npy"
    )
    parser.add_argument("--timesteps", type=Path, help="folder like --features, by timestep")
    parser.add_argument("--residuals", type=Path, help="[N] .npy")
    parser.add_argument("--residuals-by-timestep", type=Path, help="[T, N] .npy")
    parser.add_argument("--scores-val", type=Path, help="[N, Q] .npy, somebody else's scores")
    parser.add_argument("--scores-gen", type=Path, help="[N, Q] .npy, somebody else's scores")
    parser.add_argument("--tuning-masks", type=Path, help="[M, N] .npy of the tuning subsets")
    parser.add_argument("--tuning-val", type=Path, help="[R, M, Q] .npy of the tuning subsets")
    parser.add_argument("--tuning-gen", type=Path, help="[R, M, Q] .npy of the tuning subsets")
    parser.add_argument("--computed", type=Path, help="folder with dampings.npy and scores")


def load_spectrum(args: argparse.Namespace) -> Spectrum | Spectra | None:
    """The decomposed kernel that ``--spectrum`` names, or None; it serves every kind of query.

    Kernels of ``--timesteps`` are decomposed here, when they are first asked for.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the features.
    """
    if args.timesteps is not None:
        return Spectra(memmaps.load(args.timesteps / "train.npy", (None,) * 3, np.float32))
    if args.spectrum is None:
        return None
    train = memmaps.load(args.features[0] / "train.npy", (None, None), np.float32)
    return Spectrum(train, decomposed=decomposition.load(args.spectrum, train.shape))


def load(
    args: argparse.Namespace,
    kind: str,
    axes: Sequence[str | int],
    spectrum: Spectrum | Spectra | None = None,
) -> Inputs:
    """Read and check the files that ``add_arguments`` named, for one kind of query.

    Args:
        args: Parsed arguments.
        kind: "val" or "gen".
        axes: Leading seed axes (experiment, seed).
        spectrum: From ``load_spectrum``.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    train = artifacts.load_examples(args.examples)
    queries = artifacts.load_array(
        args.queries / f"{kind}.npy", (None, None, None, None), np.float32
    )
    n, q = len(train.ids), len(queries)

    def optional(file: Path | None, shape: tuple[int | None, ...]) -> np.ndarray | None:
        return None if file is None else memmaps.load(file, shape, np.float32)

    def pair(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        train = optional(folder / "train.npy", (n, None))
        return train, optional(folder / f"{kind}.npy", (q, train.shape[1]))

    first, *more = args.features or [None]
    asked = args.journey or (first and first / f"{kind}.npy")
    steps = args.timesteps
    if isinstance(spectrum, Spectrum) and len(spectrum.train) == n:
        train_features = spectrum.train  # mapped once
    else:
        train_features = optional(first and first / "train.npy", (n, None))
    masks, outputs = _tuning(args.tuning_masks, getattr(args, f"tuning_{kind}"), (n, q))
    return Inputs(
        train_images=train.images,
        train_labels=train.labels,
        train_ids=train.ids,
        query_images=queries,
        query_labels=artifacts.load_array(args.queries / f"{kind}_labels.npy", (q,), np.int64),
        train_features=train_features,
        query_features=optional(asked, (q, None)),
        residuals=optional(args.residuals, (n,))
        if args.residuals_by_timestep is None
        else optional(args.residuals_by_timestep, (None, n)),
        scores=_given(getattr(args, f"scores_{kind}"), (n, q)),
        axes=(*axes, "methods", kind),
        spectrum=spectrum,
        tuning_masks=masks,
        tuning_outputs=outputs,
        computed=_computed(args.computed, kind, (n, q)),
        others=tuple(map(pair, more)),
        query_timesteps=optional(steps and steps / f"{kind}.npy", (None, q, None)),
        candidates=_candidates(args.settings["options"], train.images, queries),
    )


def _candidates(
    options: Mapping[str, Any], images: np.ndarray, queries: np.ndarray
) -> np.ndarray | None:
    """The examples that each query looks at, if the method's features are of some alone."""
    features = options.get("features")
    count = features["candidates"] if isinstance(features, Mapping) else None
    return None if count is None else candidates.nearest(candidates.pixels(images), queries, count)


def _tuning(
    masks: Path | None, outputs: Path | None, shape: tuple[int, int]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Masks [M, N] and seed-averaged outputs [M, Q] of the tuning subsets."""
    if masks is None:
        return None, None
    subsets = artifacts.load_array(masks, (None, shape[0]), bool)
    measured = artifacts.load_array(outputs, (None, len(subsets), shape[1]), np.float32)
    return subsets, measured.mean(0, dtype=np.float64)


def _computed(folder: Path | None, kind: str, shape: tuple[int, int]) -> Computed | None:
    """Scores that a rule computed at all dampings of a method."""
    if folder is None:
        return None
    dampings = artifacts.load_array(folder / "dampings.npy", (None,), np.float64)
    scores = memmaps.load(folder / f"{kind}.npy", (len(dampings), *shape), np.float32)
    return Computed(dampings, scores)


def computed_path(inputs: Inputs, damping: Sequence[float]) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (damping, scores [N, Q]) of computed scores.

    Args:
        inputs: With ``computed``.
        damping: One value asks for that one; several, for all that were computed.

    Raises:
        ValueError: If the one value was not computed.
    """
    found = inputs.computed
    chosen = range(len(found.dampings))
    if len(damping) == 1:
        chosen = [g for g in chosen if np.isclose(found.dampings[g], damping[0], rtol=1e-9, atol=0)]
        if not chosen:
            raise ValueError(f"damping {damping[0]} is none of those computed: {found.dampings}")
    for g in chosen:
        whole = found.scores[g]
        scores = whole if inputs.positions is None else whole[:, inputs.positions]
        yield float(found.dampings[g]), np.asarray(scores, np.float64)


def _given(file: Path | None, shape: tuple[int, int]) -> np.ndarray | None:
    """Somebody else's scores."""
    scores = None if file is None else memmaps.load(file, shape)
    if scores is not None and scores.dtype.kind != "f":
        raise UserError(f"{file} has dtype {scores.dtype}, expected a float; save it as float32")
    return scores


def module(options: Mapping[str, Any]) -> ModuleType:
    """The module of a method's family, by its name: a file beside this one."""
    return importlib.import_module(f"{__package__}.{options['module']}")


def leverages(options: Mapping[str, Any], inputs: Inputs, damping: float) -> np.ndarray | None:
    """h_i, [N] or [T, N], if the family has a kernel, else None."""
    family = module(options)
    return family.leverages(inputs, options, damping) if hasattr(family, "leverages") else None


def path(
    options: Mapping[str, Any], inputs: Inputs, damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.attribution.methods``.

    What is no candidate of a query scores 0.
    """
    asked = inputs.candidates
    for value, scores in module(options).path(inputs, options, damping):
        yield value, scores if asked is None else np.where(asked, scores, 0.0)


def paths(
    options: Mapping[str, Any],
    inputs: Inputs,
    damping: Sequence[float],
    queries: Sequence[int] | None = None,
    memory: int = BLOCK,
) -> Iterator[Iterator[tuple[float | None, np.ndarray]]]:
    """``path`` for one block of queries after the other.

    Scores of a query do not depend on other queries, so blocks bound the memory and change the
    numbers by rounding at most.

    Args:
        options: Of the method.
        inputs: For all queries of a kind.
        damping: Relative dampings.
        queries: Which of them are asked about, in this order; None: all.
        memory: Bytes of one block of scores [N, q] or [T, N, q] in float64.

    Yields:
        A path per block; its scores are [N, q] or [T, N, q].
    """
    family = module(options)
    if hasattr(family, "prepare"):
        inputs = family.prepare(inputs, options)
    chosen = np.arange(inputs.shape[1]) if queries is None else np.asarray(queries)
    steps = 1 if inputs.query_timesteps is None else len(inputs.query_timesteps)
    for block in memmaps.blocks(len(chosen), 8 * steps * inputs.shape[0], memory):
        yield path(options, inputs.about(chosen[block]), damping)


def write_scores(
    file: Path, options: Mapping[str, Any], inputs: Inputs, damping: float, transform: str
) -> None:
    """Write transformed scores, float32 [N, Q], at one damping, a block of queries at a time."""
    with memmaps.create(file, inputs.shape, np.float32) as stored:
        start = 0
        for made in paths(options, inputs, [damping]):
            ((_, scores),) = made
            stop = start + scores.shape[-1]
            stored[:, start:stop] = transforms.combine(scores, transform)
            start = stop
