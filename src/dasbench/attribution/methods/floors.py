"""Floors: similarity of images without a model, with parameters that tuning data select.

A score of gradients has a damping that is selected on tuning data, so a similarity deserves the
same. x is a training image, q a query, both as vectors of pixels in [-1, 1], or of embeddings.

form            score                                      parameters
cosine_power    max(cos(x - c, q - c), 0)^p                centre c: zero, black (-1) or the mean of
                                                           the training images; power p
rbf             exp(-||x - q||^2 / (2 s d^2))              width s
ridge           |(k_q (K + lambda I)^-1)_x|^p              width s of the same kernel k; penalty
                                                           lambda, relative to the largest
                                                           eigenvalue of K; power p
nearest         1 for the c nearest images, else 0         count c
ideal_denoiser  mean over t of w_x(q_t)^p                  power p
best            the score of one of several floors         floor (its name), and its parameters

d^2 is the median squared distance between training images and tuning queries of the kind. The
distance of ``nearest`` is Euclidean; ties go to the image that stands first. w is the posterior
weight of x in the denoiser that fits the training set perfectly, the softmax over x of -||q_t -
sqrt(abar_t) x||^2 / (2 (1 - abar_t)), q_t = sqrt(abar_t) q + sqrt(1 - abar_t) eps, with the same
noise for every query: what a model that only memorised would use. It works on pixels, also where
the model denoises latents, and its betas are linear from 0.0001 to 0.02 in 1000 steps.

``floor`` is the method of form ``best``: its grid joins the grids of the other floors, so that
tuning data select the floor with the highest LDS, by the rule that selects the damping of a kernel.

References: no floor is a published method. The kernels are those of Nadaraya (1964) and Watson
(1964), and of kernel ridge regression; the ideal denoiser is in Karras et al. (2022), arXiv
2206.00364, appendix B.3.
Cost: 2 N Q P for each set of products; for ridge also one eigendecomposition of an N x N matrix for
each width and kind of query, and 2 N^2 Q for each width and penalty, with memory of 8 N^2 bytes a
width. No network, no gradient, no output of a model but a CLIP model's for embeddings.
Direction: "more influential".
Does not apply: embedding forms without a CLIP model; ridge where N^2 numbers do not fit in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import softmax

from dasbench import seeds
from dasbench.attribution import candidates
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import Point, product
from dasbench.core.blocks import memory_blocks

needs = ("features", "uses")

STEPS, BETAS = 1000, (0.0001, 0.02)  # of the ideal denoiser
TIMESTEPS = 10  # at which its weights are averaged
CENTRES = ("zero", "black", "mean")


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) for each point."""
    images = {features: _Images(space, inputs) for features, space in inputs.prepared.items()}
    for name, some in groupby(points, key=lambda point: point.get("floor")):
        floor, some_points = _members(options)[name], list(some)
        scores = FORMS[floor["form"]](images[floor["features"]], some_points)
        yield from zip(some_points, scores, strict=True)


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """The points of one floor in the order of ``AXES``; for ``best``, those of every floor."""
    return [
        point if name is None else Point(point, floor=name)
        for name, floor in _members(options).items()
        for point in product({axis: floor["grid"][axis] for axis in AXES[floor["form"]]})
    ]


def parts(inputs: Inputs, options: Mapping[str, Any]) -> list[Callable[[], Inputs]]:
    """One part, with what serves all queries, computed at its first use and then kept."""
    return [lambda: replace(inputs, prepared=_spaces(inputs.whole or inputs, options))]


def _members(options: Mapping[str, Any]) -> dict[str | None, Mapping[str, Any]]:
    """Name -> options of the floors of ``best``; None -> its options for a single floor."""
    return (
        {one["name"]: one for one in options["members"]}
        if "members" in options
        else {None: options}
    )


def _spaces(inputs: Inputs, options: Mapping[str, Any]) -> dict[str, Space]:
    """Kind of vectors (pixels, embeddings) -> vectors of these inputs, for all queries."""
    return {
        floor["features"]: Space(inputs, floor["features"]) for floor in _members(options).values()
    }


class Space:
    """The vectors of all training images and of the tuning queries, and what follows from them.

    Args:
        inputs: For all queries of a kind.
        features: "pixels" or "embeddings".

    Attributes:
        axes: Leading seed axes, without the kind of query.
    """

    def __init__(self, inputs: Inputs, features: str) -> None:
        """Keep the inputs; nothing is computed."""
        self._inputs, self._features = inputs, features
        self.axes = inputs.axes[:-1]
        self._decomposed: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        """N."""
        return len(self._inputs.train_images)

    def train(self, rows: slice = slice(None)) -> np.ndarray:
        """Vectors of some training images, [n, P] float64."""
        if self._features == "pixels":
            return candidates.pixels(self._inputs.train_images[rows]).reshape(-1, self.size)
        return np.asarray(self._inputs.train_features[rows], np.float64)

    def queries(self, inputs: Inputs) -> np.ndarray:
        """Vectors of the queries of some inputs, [Q, P] float64."""
        images = inputs.query_images.reshape(len(inputs.query_images), -1)
        return np.asarray(
            images if self._features == "pixels" else inputs.query_features, np.float64
        )

    @property
    def size(self) -> int:
        """P."""
        pixels = self._features == "pixels"
        shape = (self._inputs.train_images if pixels else self._inputs.train_features).shape
        return int(np.prod(shape[1:]))

    def blocks(self) -> list[slice]:
        """Blocks of training images that fit in memory."""
        return memory_blocks(len(self), 8 * self.size)

    def by_block(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Join a function of the training vectors [n, P] over the blocks."""
        return np.concatenate([function(self.train(rows)) for rows in self.blocks()])

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """Mean of the training vectors, [P]."""
        return sum(self.train(rows).sum(0) for rows in self.blocks()) / len(self)

    def centre(self, name: str) -> np.ndarray | float:
        """The vector of a name in ``CENTRES``."""
        return {"zero": 0.0, "black": -1.0}[name] if name != "mean" else self.mean

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """Squared distances between the training images and some vectors [n, P], [N, n]."""
        lengths = np.square(vectors).sum(1)
        return self.by_block(
            lambda x: np.maximum(np.square(x).sum(1)[:, None] + lengths - 2 * x @ vectors.T, 0)
        )

    @functools.cached_property
    def median(self) -> float:
        """d^2: the median squared distance between training images and tuning queries.

        It is 1 where that is 0, so that a width is never 0.
        """
        vectors, positions = self.queries(self._inputs), self._inputs.tuning_queries
        some = vectors if positions is None or not len(positions) else vectors[positions]
        return float(np.median(self.distances(some))) or 1.0

    def kernel(self, distances: np.ndarray, width: float) -> np.ndarray:
        """exp(-distances / (2 s d^2)), of the shape of the squared distances."""
        return np.exp(-distances / (2 * width * self.median))

    def decomposed(self, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues [N] and eigenvectors [N, N] of the training images' kernel; kept."""
        if width not in self._decomposed:
            self._decomposed[width] = self._decompose(width)
        return self._decomposed[width]

    def _decompose(self, width: float) -> tuple[np.ndarray, np.ndarray]:
        distances = np.concatenate([self.distances(self.train(rows)).T for rows in self.blocks()])
        np.fill_diagonal(distances, 0.0)
        values, vectors = scipy.linalg.eigh(self.kernel((distances + distances.T) / 2, width))
        return np.maximum(values, 0), vectors


class _Images:
    """The training images and a block of queries, [Q, P]."""

    def __init__(self, space: Space, inputs: Inputs) -> None:
        self.space, self.queries = space, space.queries(inputs)

    @functools.cached_property
    def distances(self) -> np.ndarray:
        """Squared distances [N, Q]."""
        return self.space.distances(self.queries)


Scores = Iterator[np.ndarray]  # [N, Q] for each point


def cosine_power(images: _Images, points: Sequence[Point]) -> Scores:
    """Positive part of the cosine after a shift of the origin, to a power."""
    for name, some in groupby(points, key=lambda point: point["centre"]):
        centre = images.space.centre(name)
        shifted = _unit(images.queries - centre)
        cosines = images.space.by_block(lambda x, c=centre, q=shifted: _unit(x - c) @ q.T)
        positive = np.maximum(cosines, 0)
        for point in some:
            yield positive ** point["power"]


def rbf(images: _Images, points: Sequence[Point]) -> Scores:
    """A Gaussian of the distance."""
    for point in points:
        yield images.space.kernel(images.distances, point["width"])


def ridge(images: _Images, points: Sequence[Point]) -> Scores:
    """Absolute weights of the training images in kernel ridge regression, to a power."""
    for width, some in groupby(points, key=lambda point: point["width"]):
        values, vectors = images.space.decomposed(width)
        rotated = vectors.T @ images.space.kernel(images.distances, width)  # [N, Q]
        for penalty, few in groupby(some, key=lambda point: point["penalty"]):
            shifted = values + penalty * values.max()
            weights = np.abs(vectors @ (rotated / shifted[:, None]))
            for point in few:
                yield weights ** point["power"]


def nearest(images: _Images, points: Sequence[Point]) -> Scores:
    """Indicator of the nearest images."""
    order = images.distances.argsort(axis=0, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(len(order))[:, None], axis=0)
    for point in points:
        yield (places < point["count"]).astype(np.float64)


def ideal_denoiser(images: _Images, points: Sequence[Point]) -> Scores:
    """Posterior weights of the training images in the ideal denoiser, to a power."""
    abar = np.cumprod(1 - np.linspace(*BETAS, STEPS))
    grid = ((np.arange(TIMESTEPS) + 0.5) * STEPS / TIMESTEPS).astype(int)
    products = images.space.by_block(lambda x: x @ images.queries.T)
    half_lengths = images.space.by_block(lambda x: np.square(x).sum(1)) / 2
    totals = [np.zeros((len(images.space), len(images.queries))) for _ in points]
    for t in grid:
        signal, noise = np.sqrt(abar[t]), 1 - abar[t]
        rng = seeds.generator(*images.space.axes, "ideal_denoiser", int(t))
        drawn = rng.standard_normal(images.space.size)
        shared = np.sqrt(noise) * images.space.by_block(lambda x, eps=drawn: x @ eps)
        # x . q_t with q_t = signal * q + sqrt(noise) * eps; a term without x cancels in the softmax
        inner = signal * products + shared[:, None]
        logits = (signal * inner - abar[t] * half_lengths[:, None]) / noise
        weights = softmax(logits, axis=0)
        for total, point in zip(totals, points, strict=True):
            total += weights ** point["power"]
    for total in totals:
        yield total / len(grid)


FORMS = {
    "cosine_power": cosine_power,
    "rbf": rbf,
    "ridge": ridge,
    "nearest": nearest,
    "ideal_denoiser": ideal_denoiser,
}
# the parameters of each form, the last one fastest
AXES = {
    "cosine_power": ("centre", "power"),
    "rbf": ("width",),
    "ridge": ("width", "penalty", "power"),
    "nearest": ("count",),
    "ideal_denoiser": ("power",),
}


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
