"""Probes: fixed images v, whose inner product with the prediction is a readout, <v, eps_theta> / D.

A readout measures a prediction of D numbers along one direction. m probes measure it along m
directions, which all examples and timesteps share. Kinds of probes, each with mean square 1:

constant     v = 1: the readout "mean".
rademacher   independent signs, from named seeds.
cosine       cos(pi u (2i+1) / 2H) cos(pi w (2j+1) / 2W), the same in every channel; (u, w) in
             ascending order of u^2 + w^2, without the constant (0, 0).

The features of m probes stand side by side, so their kernel is the sum of the kernels of the
probes. P is the width of all features together: each probe is projected to P // m numbers.
Oversampling times m keeps the blocks as wide as those of a single probe at P. The projection then
gives a sum of m unrelated kernels about the relative error of one kernel at P.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from dasbench import seeds
from dasbench.errors import UserError

KINDS = ("constant", "rademacher", "cosine")


def readouts(
    counts: Mapping[str, int], axes: Sequence[str | int]
) -> list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The readouts of some probes: functions of (target, prediction), both [n, C, H, W], to [n].

    Args:
        counts: kind -> number of probes. The readouts follow the order of ``KINDS``.
        axes: Leading seed axes: experiment, seed; stream "probes".

    Raises:
        ValueError: If a kind is unknown, or there is no probe.
    """
    numbered = [(kind, k) for kind in KINDS for k in range(counts.get(kind, 0))]
    if set(counts) - set(KINDS) or not numbered:
        raise ValueError(f"probes must be numbers of {', '.join(KINDS)}, got {dict(counts)}")
    return [_readout(kind, number, tuple(axes)) for kind, number in numbered]


def _readout(
    kind: str, number: int, axes: tuple[str | int, ...]
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def value(_target: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        v = torch.from_numpy(probe(kind, number, tuple(out.shape[1:]), axes)).to(out)
        return (v * out).flatten(1).mean(1)

    return value


@functools.lru_cache(maxsize=64)
def probe(
    kind: str, number: int, shape: tuple[int, int, int], axes: tuple[str | int, ...]
) -> np.ndarray:
    """One probe, [C, H, W] float32 with mean square 1.

    Args:
        kind: One of ``KINDS``.
        number: Number of the probe within its kind, from 0. There is 1 constant and there are
            H W - 1 cosines.
        shape: (C, H, W).
        axes: Leading seed axes.

    Raises:
        UserError: If there are fewer probes of this kind.
    """
    most = {"constant": 1, "cosine": shape[1] * shape[2] - 1}
    if number >= most.get(kind, number + 1):
        raise UserError(
            f"features: probes: {kind} asks for {number + 1} or more, images of {shape[1]} x "
            f"{shape[2]} pixels have {most[kind]}; ask for rademacher instead"
        )
    if kind == "constant":
        return np.ones(shape, np.float32)
    if kind == "rademacher":
        rng = seeds.generator(*axes, "probes", kind, number)
        return (2 * rng.integers(0, 2, shape) - 1).astype(np.float32)
    return np.broadcast_to(_cosine(number, shape[1:]), shape).astype(np.float32)


def _cosine(number: int, shape: tuple[int, int]) -> np.ndarray:
    """[H, W] float64 with mean square 1."""
    pairs = [(u, w) for u in range(shape[0]) for w in range(shape[1])]
    u, w = sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[number + 1]
    rows, columns = (
        np.cos(np.pi * k * (2 * np.arange(n) + 1) / (2 * n))
        for k, n in zip((u, w), shape, strict=True)
    )
    wave = np.outer(rows, columns)
    return wave / np.sqrt(np.square(wave).mean())
