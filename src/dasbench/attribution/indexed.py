"""Scores from an index: features in files, one kernel for each timestep, in the memory of one.

Vocabulary: a *slab* holds what one kernel needs: the features of the training images and of the
decoys, and the decomposed kernel. A per_t method has one slab for each timestep, a method with an
averaged kernel has one. *Decoys* are images that the model has not seen; they are scored as if they
were training images. A *match* is the squared cosine of an image's gradient and the query's, by a
kernel without that image (``dasbench.attribution.leave_one_out``), averaged over the slabs: it
makes training images and decoys comparable.

The score is that of ``dasbench.attribution.methods.kernel_methods``, mean_t f(g_q^T K_t^-1 g_i r_i
/ (1 - h_i) / d_i) with the transform f, at one damping, which is fixed when the kernels are made.

Shapes: N training images, D decoys, Q queries, S slabs, P dimensions.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.attribution import decomposition, transforms
from dasbench.attribution.decomposition import Decomposition
from dasbench.attribution.indexed_kernel import Kernel
from dasbench.attribution.leave_one_out import match_decoys, match_training
from dasbench.core import artifacts, hashed_chunks, memmaps, resumable
from dasbench.core.hashed_chunks import Chunks
from dasbench.errors import UserError

ARRAYS = ("eigenvalues", "eigenvectors", "remaining", "factor")


class Form(NamedTuple):
    """What the kernels of all slabs share.

    Attributes:
        options: Of the method: leverage, denominator, transform.
        damping: Relative to the largest eigenvalue of each kernel.
        width: P.
        dtype: Type of the stored features.
    """

    options: Mapping[str, Any]
    damping: float
    width: int
    dtype: str


class Slab:
    """The features and the kernel of one timestep, in a folder.

    Args:
        folder: The folder.
        form: What all slabs share.
        train: Rows of the chunks of training images.
        decoys: Rows of the chunks of decoys.
        scale: The stored features are this number times the features.
    """

    def __init__(
        self,
        folder: Path,
        form: Form,
        train: Sequence[slice],
        decoys: Sequence[slice],
        scale: float,
    ):
        """Keep the layout; no file is opened."""
        self.folder, self.form, self.scale = folder, form, scale
        self.train = Chunks(folder / "train", train, form.width, form.dtype)
        self.decoys = Chunks(folder / "decoys", decoys, form.width, form.dtype)

    def fit(self, device: str = "cpu") -> bool:
        """Decompose the kernel and store it, unless that is done for these features.

        Args:
            device: See ``decomposition.decompose``.

        Returns:
            Whether there was work.

        Raises:
            UserError: If features are missing, or all of them are zero.
        """
        if self.is_fitted():
            return False
        try:
            decomposed = decomposition.decompose(
                self.train[:] if decomposition.is_dual(self.train.shape) else self.train,
                device=device,
            )
        except ValueError as error:
            raise UserError(
                "the gradient of every training image is zero, so that there are no features; the "
                "last layer, or an adapter, has not been trained"
            ) from error
        remaining, norms = Kernel(self.train, decomposed, self.form.damping).factors()
        arrays = [*decomposed, remaining.astype(np.float32), self._factor(remaining, norms)]
        arrays += [self._decoy_lengths(decomposed)] if len(self.decoys) else []
        files = [
            hashed_chunks.save(self.folder / f"{name}.npy", array).name
            for name, array in zip(self._names, arrays, strict=True)
        ]
        artifacts.save_json(self._record, {"features": self._mark(), "files": files})
        return True

    def _factor(self, remaining: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """1 / (1 - h_i) / d_i, [N] float32, with the factors that the options switch on."""
        kind, divisor = self.form.options["denominator"], np.ones(len(self.train))
        if kind != "none":
            by_kernel = kind == "preconditioned_norm"
            lengths = norms * self.scale if by_kernel else memmaps.norms(self.train) / self.scale
            divisor = np.where(lengths > 0, lengths, 1.0)
        if self.form.options["leverage"]:
            divisor = divisor * remaining
        return (1 / divisor).astype(np.float32)

    def _decoy_lengths(self, decomposed: Decomposition) -> np.ndarray:
        """g_d^T K^-1 g_d, [D] float64."""
        kernel, lengths = Kernel(self.train, decomposed, self.form.damping), []
        for _, chunk in self.decoys:
            g = np.asarray(chunk, np.float64)
            lengths.append(np.einsum("dp,pd->d", g, kernel.solve(g)))
        return np.concatenate(lengths)

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of the stored arrays."""
        return (*ARRAYS, "decoy_lengths") if len(self.decoys) else ARRAYS

    def is_fitted(self) -> bool:
        """Whether the kernel of these features is stored, and its files are sound."""
        arrays = self.paths[len(self.train.rows) + len(self.decoys.rows) :]
        return self.is_marked() and all(map(hashed_chunks.is_sound, arrays))

    def is_marked(self) -> bool:
        """Whether the record of the kernel is there, and names the features beside it."""
        try:
            return bool(artifacts.load_json(self._record)["features"] == self._mark())
        except (UserError, KeyError, TypeError):  # missing, no JSON, or other JSON
            return False

    @property
    def paths(self) -> list[Path]:
        """The paths of its features and of its kernel, without their hashes."""
        arrays = [self.folder / f"{name}.npy" for name in self._names]
        return [*self.train.paths, *self.decoys.paths, *arrays]

    @functools.cached_property
    def kernel(self) -> Kernel:
        """The stored kernel.

        Raises:
            UserError: If it is missing, damaged, or of other features.
        """
        small = min(self.train.shape)
        if not self.is_marked():
            raise UserError(
                f"the kernel in {self.folder} is not of the features beside it; build the index "
                "again, which computes what has changed"
            )
        decomposed = Decomposition(
            self._array("eigenvalues", (small,)), self._array("eigenvectors", (small, small))
        )
        return Kernel(self.train, decomposed, self.form.damping)

    @functools.cached_property
    def remaining(self) -> np.ndarray:
        """1 - h_i, [N] float32; h_i is the leverage."""
        return self._array("remaining", (len(self.train),))

    @functools.cached_property
    def factor(self) -> np.ndarray:
        """What the products of an image are multiplied with besides its residual, [N] float32."""
        return self._array("factor", (len(self.train),))

    @functools.cached_property
    def decoy_lengths(self) -> np.ndarray:
        """g_d^T K^-1 g_d, [D] float64."""
        return self._array("decoy_lengths", (len(self.decoys),))

    @property
    def _record(self) -> Path:
        return self.folder / "kernel.json"

    def _mark(self) -> str:
        """A hash of the features and of what the kernel depends on besides."""
        options = (self.form.options["leverage"], self.form.options["denominator"])
        return resumable.fingerprint(
            repr((self.form.damping, options)), *self.train.names(), *self.decoys.names()
        )

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        return memmaps.load(hashed_chunks.named(path) or path, shape)


class Scores(NamedTuple):
    """Scores of some queries.

    Attributes:
        values: [N, Q] float64.
        by_slab: [S, N, Q] float32, whose mean over S is ``values``; None if not asked for.
        matches: [N, Q] float64 matches of the training images; None if there are no decoys.
        decoys: [D, Q] float64 matches of the decoys; None if there are none.
    """

    values: np.ndarray
    by_slab: np.ndarray | None = None
    matches: np.ndarray | None = None
    decoys: np.ndarray | None = None


def score(
    slabs: Sequence[Slab],
    queries: Sequence[np.ndarray],
    residuals: np.ndarray | None = None,
    by_slab: bool = False,
) -> Scores:
    """Score all training images, and the decoys.

    Args:
        slabs: One for each kernel.
        queries: Features [Q, P] of the queries for each slab.
        residuals: [N] residuals r_i, or None.
        by_slab: Whether the scores of every slab are kept, too.
    """
    found = _empty(slabs, len(queries[0]), by_slab)
    for place, (slab, phi) in enumerate(zip(slabs, queries, strict=True)):
        transform = slab.form.options["transform"]
        solved = slab.kernel.solve(phi * slab.scale)
        lengths = np.einsum("qp,pq->q", phi * slab.scale, solved)
        factor = slab.factor if residuals is None else slab.factor * residuals
        for rows, products in slab.kernel.products(slab.train, solved):
            tau = transforms.apply(products * factor[rows, None], transform)
            found.values[rows] += tau / len(slabs)
            if by_slab:
                found.by_slab[place, rows] = tau
            if found.matches is not None:
                leverage = 1 - slab.remaining[rows].astype(np.float64)
                found.matches[rows] += match_training(products, leverage, lengths) / len(slabs)
        for rows, products in slab.kernel.products(slab.decoys, solved):
            found.decoys[rows] += match_decoys(products, slab.decoy_lengths[rows], lengths) / len(
                slabs
            )
    return found


def score_some(
    slabs: Sequence[Slab],
    queries: Sequence[np.ndarray],
    images: Sequence[int],
    residuals: np.ndarray | None = None,
) -> np.ndarray:
    """Scores of a few training images in every slab, [S, len(images), Q] float32.

    Args:
        slabs: As for ``score``.
        queries: As for ``score``.
        images: Positions of the training images.
        residuals: As for ``score``.
    """
    found = np.zeros((len(slabs), len(images), len(queries[0])), np.float32)
    for place, (slab, phi) in enumerate(zip(slabs, queries, strict=True)):
        rows = np.concatenate([slab.train[i : i + 1] for i in images]).astype(np.float64)
        factor = slab.factor if residuals is None else slab.factor * residuals
        products = (rows @ slab.kernel.solve(phi * slab.scale)) * factor[images, None]
        found[place] = transforms.apply(products, slab.form.options["transform"])
    return found


def _empty(slabs: Sequence[Slab], count: int, by_slab: bool) -> Scores:
    n, decoys = len(slabs[0].train), len(slabs[0].decoys)
    return Scores(
        np.zeros((n, count)),
        np.zeros((len(slabs), n, count), np.float32) if by_slab else None,
        np.zeros((n, count)) if decoys else None,
        np.zeros((decoys, count)) if decoys else None,
    )
