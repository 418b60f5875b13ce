"""Nonparametric data attribution: which training image do the patches of a noised query come from?

A network of convolutions sees patches, not images. The denoiser that fits all patches of the
training set perfectly estimates each pixel of a noised query q_t = sqrt(abar_t) q + sqrt(1 -
abar_t) eps as a mean over the training patches, at every place v of every image x_i, with weights

    w_{u,i,v} = softmax over (i, v) of -||P_u q_t - sqrt(abar_t) P_v x_i||^2 / (2 (1 - abar_t))

    score of image i = mean over places u of sum over places v of w_{u,i,v}

P_u x is the patch of x around place u. So a score is the share of the query that this denoiser
takes from image i; the scores of a query sum to 1. It needs images alone: it is a floor like those
of ``floors``, with a formula of its own, and no member of ``floor``. The parameters are

timestep  t, the noise level, of 1000, with linear betas from 0.0001 to 0.02
patch     pixels along the side of a patch

The grid has every patch at every noise level, because the patch that a network uses grows with the
noise; tuning data select one pair. eps is the same for every query. Beside an image, patches of
queries and of scaled training images have the number ``OUTSIDE``, so that a patch at a border fits
other borders alone. Images with sides above ``SIDE`` pixels are reduced to means over squares
before noise is added. Images are compared, also where the model denoises latents.

The released code differs: it sums over the 100 heaviest places of an image only, can mix two scales
of patches, and does not reduce images.

Reference: Zhao et al. (2025), arXiv 2510.14269. The denoiser of patches is that of Kamb and Ganguli
(2024), arXiv 2412.20292.
Cost: N Q (H W)^2 exponentials for every point, and 2 C p^2 as many operations, with H W at most
``SIDE``^2: by far the most expensive floor. No network, no gradient, no output of a model.
Direction: "more influential".
Does not apply: where details count that ``SIDE`` pixels a side do not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from scipy.special import softmax

from dasbench import seeds
from dasbench.attribution import candidates
from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import Point, product
from dasbench.core.blocks import memory_blocks

needs = ()

STEPS, BETAS = 1000, (0.0001, 0.02)
SIDE = 16  # largest side of a compared image
OUTSIDE = 10.0  # of the pixels beside an image
MEMORY = 2**26  # bytes of the weights of one block of queries
CACHE = 2**22  # bytes of the distances of one block of examples to one query: they stay near


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield (point, scores [N, Q]) for each point."""
    train = reduced(candidates.pixels(inputs.train_images))
    queries = reduced(np.asarray(inputs.query_images, np.float64))
    for t, some in groupby(points, key=lambda point: point["timestep"]):
        abar = float(np.prod(1 - np.linspace(*BETAS, STEPS)[: t + 1]))
        eps = seeds.generator(*inputs.axes[:-1], "nda", t).standard_normal(queries.shape[1:])
        noised = np.sqrt(abar) * queries + np.sqrt(1 - abar) * eps
        for point in some:
            yield point, shares(np.sqrt(abar) * train, noised, 2 * (1 - abar), point["patch"])


def grid(options: Mapping[str, Any], dampings: Sequence[float]) -> list[Point]:
    """Every timestep with every size of a patch, the size fastest."""
    return product({name: options["grid"][name] for name in ("timestep", "patch")})


def shares(
    train: np.ndarray,
    queries: np.ndarray,
    scale: float,
    side: int,
    memory: tuple[int, int] = (MEMORY, CACHE),
) -> np.ndarray:
    """The scores of one point, [N, Q] float64; each column sums to 1.

    Args:
        train: [N, C, H, W], scaled as the signal in the queries is.
        queries: [Q, C, H, W], noised.
        scale: Twice the variance of the noise.
        side: Pixels along the side of a patch.
        memory: Bytes of the weights of a block of queries, and of a block of distances.
    """
    places, size = patches(queries[:1], side).shape[1:]
    scores = np.empty((len(train), len(queries)))
    for columns in memory_blocks(len(queries), 8 * places * len(train), memory[0]):
        own = patches(queries[columns], side)  # [q, U, d]
        logs = np.empty((len(own), places, len(train)))
        for rows in memory_blocks(len(train), 8 * places * (places + size), memory[1]):
            others = patches(train[rows], side)
            for log, query in zip(logs, own, strict=True):
                log[:, rows] = _log_weights(others, query, scale).T
        scores[:, columns] = softmax(logs, axis=2).mean(axis=1).T
    return scores


def _log_weights(train: np.ndarray, query: np.ndarray, scale: float) -> np.ndarray:
    """The log of sum_v exp(-||query_u - train_{n,v}||^2 / scale), [n, U] float64.

    Distances are float64: the numbers beside an image would take digits from the others. The
    exponentials are float32, at most 1, and several times faster.

    Args:
        train: [n, V, d].
        query: [U, d].
        scale: Positive.
    """
    lengths = np.square(train).sum(2)[:, :, None] + np.square(query).sum(1)
    logits = train @ (query.T * (2 / scale))  # [n, V, U]
    logits -= lengths / scale
    top = logits.max(axis=1)
    logits -= top[:, None]
    return top + np.log(np.exp(logits.astype(np.float32)).sum(axis=1))


def patches(images: np.ndarray, side: int) -> np.ndarray:
    """The patch around each pixel, [n, H W, C side^2]; around each corner if ``side`` is even.

    Args:
        images: [n, C, H, W]; beside an image is the number ``OUTSIDE``.
        side: Pixels along the side of a patch.
    """
    margin = ((0, 0), (0, 0), (side // 2, side // 2), (side // 2, side // 2))
    wide = np.pad(images, margin, constant_values=OUTSIDE)
    views = np.lib.stride_tricks.sliding_window_view(wide, (side, side), axis=(2, 3))
    return views.transpose(0, 2, 3, 1, 4, 5).reshape(len(images), -1, images.shape[1] * side**2)


def reduced(images: np.ndarray) -> np.ndarray:
    """Images [n, C, H, W] with sides of at most ``SIDE``, as means over squares of pixels.

    Where a side is no multiple of a square's, the last rows or columns are left out.
    """
    count, channels, height, width = images.shape
    factor = -(-max(height, width) // SIDE)
    rows, columns = height // factor, width // factor
    cut = images[:, :, : rows * factor, : columns * factor]
    return cut.reshape(count, channels, rows, factor, columns, factor).mean(axis=(3, 5))
