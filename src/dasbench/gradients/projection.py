"""Random projections of gradients from p parameters to P dimensions.

A projection is a fixed p x P matrix R. It is never stored whole: blocks of its rows are drawn from
named seeds when they are needed. It preserves inner products in expectation:
E[(g R)(h R)^T] = g h^T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dasbench import seeds
from dasbench.core.blocks import blocks

KINDS = ("rademacher", "gaussian", "none")
_ROWS = 4096


class Projection:
    """A dense random projection, or the identity.

    Args:
        kind: "rademacher" (entries +-1/sqrt(P)), "gaussian" (variance 1/P) or "none".
        parameters: p.
        dimensions: P; ignored for "none".
        axes: Seed axes; stream "projection". Every feature set of an experiment shares the matrix.

    Source: Johnson and Lindenstrauss (1984); used for gradients by TRAK (Park et al., 2023).
    """

    def __init__(self, kind: str, parameters: int, dimensions: int, axes: Sequence[str | int]):
        """Keep the arguments; ``blocks`` draws."""
        if kind not in KINDS:
            raise ValueError(f"projection must be one of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self.parameters, self.axes = kind, parameters, tuple(axes)
        self.dimensions = parameters if kind == "none" else dimensions

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, matrix [rows, P] float32, not yet divided by sqrt(P))."""
        for number, rows in enumerate(blocks(self.parameters, _ROWS)):
            rng = seeds.generator(*self.axes, "projection", self.kind, self.dimensions, number)
            yield rows, self._draw(rng, rows.stop - rows.start)

    def matrix(self) -> np.ndarray:
        """The whole matrix R [p, P] float64, scaled; for tests on small models."""
        if self.kind == "none":
            return np.eye(self.parameters)
        return (
            np.concatenate([b for _, b in self.blocks()]).astype(np.float64) / self.dimensions**0.5
        )

    def __call__(self, gradients: torch.Tensor) -> torch.Tensor:
        """Project [n, p] gradients to [n, P], on their device and in their dtype."""
        if self.kind == "none":
            return gradients
        out = gradients.new_zeros(len(gradients), self.dimensions)
        for rows, block in self.blocks():
            out.addmm_(gradients[:, rows], torch.from_numpy(block).to(gradients))
        return out / self.dimensions**0.5

    def _draw(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        shape = (rows, self.dimensions)
        if self.kind == "gaussian":
            return rng.standard_normal(shape, np.float32)
        count = rows * self.dimensions
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-count // 8)), np.uint8), count=count)
        return (bits.reshape(shape).astype(np.float32) * 2) - 1
