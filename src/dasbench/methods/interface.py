"""What a method may look at, and how it gets it from files."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dasbench import artifacts
from dasbench.errors import UserError


@dataclass(frozen=True)
class Inputs:
    """Everything a method may use for one kind of query; what it does not need is None.

    Attributes:
        train_images: [N, H, W, C] uint8.
        train_labels: [N] int64.
        train_ids: [N] int64.
        query_images: [Q, C, H, W] float32 in [-1, 1].
        query_labels: [Q] int64.
        train_features: [N, P] float32.
        query_features: [Q, P] float32.
        residuals: [N] float32.
        scores: [N, Q] float, somebody else's.
        axes: Leading seed axes (experiment, seed, "methods", kind) for methods that draw.
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

    @property
    def shape(self) -> tuple[int, int]:
        """(N, Q)."""
        return len(self.train_images), len(self.query_images)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files of a method, as command line options."""
    parser.add_argument("--examples", type=Path, required=True, help="training split, .npz")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--features", type=Path, help="folder with train.npy, val.npy, gen.npy")
    parser.add_argument("--residuals", type=Path, help="[N] .npy")
    parser.add_argument("--scores-val", type=Path, help="[N, Q] .npy, somebody else's scores")
    parser.add_argument("--scores-gen", type=Path, help="[N, Q] .npy, somebody else's scores")


def load(args: argparse.Namespace, kind: str, axes: Sequence[str | int]) -> Inputs:
    """Read and check the files that ``add_arguments`` named, for one kind of query.

    Raises:
        UserError: If a file is missing, damaged, or does not fit the others.
    """
    train = artifacts.load_examples(args.examples)
    queries = artifacts.load_array(
        args.queries / f"{kind}.npy", (None, None, None, None), np.float32
    )
    n, q = len(train.ids), len(queries)

    def optional(
        file: Path | None, shape: tuple[int | None, ...], dtype: Any = np.float32
    ) -> np.ndarray | None:
        return None if file is None else artifacts.load_array(file, shape, dtype)

    def given(file: Path | None) -> np.ndarray | None:
        scores = optional(file, (n, q), None)
        if scores is not None and scores.dtype.kind != "f":
            raise UserError(
                f"{file} has dtype {scores.dtype}, expected a float; save it as float32"
            )
        return scores

    features = args.features
    return Inputs(
        train_images=train.images,
        train_labels=train.labels,
        train_ids=train.ids,
        query_images=queries,
        query_labels=artifacts.load_array(args.queries / f"{kind}_labels.npy", (q,), np.int64),
        train_features=optional(features and features / "train.npy", (n, None)),
        query_features=optional(features and features / f"{kind}.npy", (q, None)),
        residuals=optional(args.residuals, (n,)),
        scores=given(getattr(args, f"scores_{kind}")),
        axes=(*axes, "methods", kind),
    )


def leverages(options: Mapping[str, Any], inputs: Inputs, damping: float) -> np.ndarray | None:
    """h_i, [N], if the family has a kernel, else None."""
    family = importlib.import_module(options["module"])
    return family.leverages(inputs, damping) if hasattr(family, "leverages") else None


def path(
    options: Mapping[str, Any], inputs: Inputs, damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Run the family that ``options["module"]`` names; see ``dasbench.methods``."""
    return importlib.import_module(options["module"]).path(inputs, options, damping)
