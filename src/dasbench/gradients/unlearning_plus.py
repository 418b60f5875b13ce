"""Unlearning with EK-FAC's curvature, the same noise for all images, and relative losses.

As in ``dasbench.gradients.unlearning``, one step of ascent on the loss of query q,

    theta' = theta + s d        d = (F + lambda)^-1 grad L_q

moves the weights, and the score of example i is the relative change L_i(theta') / L_i(theta) - 1.
Three things differ:

* F is EK-FAC's Gauss-Newton matrix (``dasbench.gradients.ekfac``), not a diagonal. lambda is 0.1
  times the mean corrected eigenvalue of each layer, the rule of Grosse et al. (2023).
* grad L_q and all losses share timesteps and noise arrays, those of features with ``noise:
  common``. Example and query then differ only because their images differ.
* Losses are relative, so that images with large losses do not dominate.

The ascent sets the length s:

free     s = alpha / N. alpha = 1 is the Newton step for leaving one example out.
bounded  the query's loss rises by at most the share alpha of the way to the loss of a network that
         predicts zeros, mean_t ||target||^2 / D. s is the length at which the linearised loss gets
         there; if the measured loss gets further, bisection finds a shorter one. If the loss is
         that of zeros already, or above, s = 0.

Sources: AbU+ of Wang et al. (NeurIPS 2025), arXiv 2511.10721, for the preconditioner; MUCS of Serrà
et al. (2026), arXiv 2605.17938, for a bounded ascent and for normalised losses with the same noise.
MUCS fine-tunes a second model for many steps; here it is one step.
Cost: that of EK-FAC's curvature, then (A Q + 1) N T forward passes for A step sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dasbench.diffusion.process import Process
from dasbench.gradients.ekfac import Ekfac, Factors
from dasbench.gradients.influence import Block, Problem
from dasbench.gradients.recorder import Matrices, Noise, add_step, noised
from dasbench.gradients.unlearning import Unlearning

DAMPING = 0.1  # over the mean corrected eigenvalue of a layer
BISECTIONS = 10  # of a step; each costs one loss of the query


def values(problem: Problem) -> np.ndarray:
    """The step sizes alpha."""
    return np.array(problem.settings["steps"], np.float64)


def blocks(problem: Problem) -> Iterator[Block]:
    """Yield the scores [A, N, 1] of all step sizes, query by query."""
    given = problem.network, problem.process, problem.settings, problem.axes
    forgetting = UnlearningPlus(*given).fit(problem.images, problem.examples)
    for kind, images in problem.queries.items():
        for q, scores in forgetting.scores(images, kind):
            yield Block(kind, slice(None), slice(q, q + 1), scores[:, :, None])


class UnlearningPlus(Unlearning):
    """A model, its curvature, and the losses of its training examples.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        settings: timesteps, draws and parameters of the curvature; loss_timesteps, the number T for
            the query's gradient and for losses; steps, the step sizes alpha; ascent, "free" or
            "bounded".
        axes: Leading seed axes: experiment, seed.
        batch: Images in a pass that computes gradients.

    Raises:
        ValueError: If the ascent is unknown.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        process: Process,
        settings: Mapping[str, Any],
        axes: Sequence[str | int],
        batch: int = 128,
    ):
        """Copy the model, so that steps do not change ``unet``; ``fit`` computes."""
        super().__init__(unet, process, settings, axes, batch)
        if settings["ascent"] not in ("free", "bounded"):
            raise ValueError(f"ascent must be free or bounded, got {settings['ascent']!r}")
        self.bounded = settings["ascent"] == "bounded"
        self.curvature = Ekfac(unet, process, {**settings, "noise": "common"}, axes, batch)

    def fit(self, images: np.ndarray, examples: Sequence[int]) -> UnlearningPlus:
        """Compute F and the losses before any step.

        Args:
            images: [N, C, H, W] float32 in [-1, 1].
            examples: [N] ids, which key the noise of the curvature.
        """
        self.curvature.fit(images, examples)
        self.train = torch.from_numpy(images).to(self.where)
        self.before = self.losses(self.train)
        return self

    def scores(self, queries: np.ndarray, kind: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position of the query, scores [A, N] float64) for each query.

        If a step is so long that a loss is not finite, all its scores are 0. The noise is the same
        for every ``kind``.

        Args:
            queries: [Q, C, H, W] float32 in [-1, 1].
            kind: "val" or "gen".
        """
        x = torch.from_numpy(queries).to(self.where)
        for q in range(len(x)):
            one = x[q : q + 1]
            gradient = self._gradient(one)
            direction = self._preconditioned(gradient)
            slope = sum(float((g * direction[name]).sum()) for name, g in gradient.items())
            changes = np.stack([self._change(one, direction, slope, a) for a in self.steps])
            changes[~np.isfinite(changes).all(1)] = 0
            yield q, changes

    def _change(
        self, x: torch.Tensor, direction: Matrices, slope: float, alpha: float
    ) -> np.ndarray:
        """Relative changes of the examples' losses [N] after one step."""
        bounded = self.bounded
        length = self._bounded(x, direction, slope, alpha) if bounded else alpha / len(self.train)
        self._move(direction, length)
        return self.losses(self.train, self.moved) / self.before - 1

    def _bounded(self, x: torch.Tensor, direction: Matrices, slope: float, alpha: float) -> float:
        """The length of a step that keeps the loss of the query x [1, C, H, W] in its bound."""
        loss = self.losses(x)[0]
        rise = alpha * (self._null_loss(x) - loss)
        if not (rise > 0 and slope > 0):
            return 0.0

        def stays_below(length: float) -> bool:
            self._move(direction, length)
            return self.losses(x, self.moved)[0] <= loss + rise

        low, high = 0.0, rise / slope
        if stays_below(high):
            return high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if stays_below(middle) else (low, middle)
        return low

    def _null_loss(self, x: torch.Tensor) -> float:
        """The loss of a query if the network predicted zeros."""
        parts = [float(target.double().square().mean()) for _, _, target in self._fixed(x)]
        return sum(parts) / len(parts)

    def _gradient(self, x: torch.Tensor) -> Matrices:
        """The gradient of L_q of one image, layer's name -> [g, d_out, d_in]."""
        total: Matrices = {}
        for x_t, t, target in self._fixed(x):
            for name, g in self.recorder.losses(x_t, t, target).items():
                total[name] = total.get(name, 0) + g[0] / len(self.grid)
        return total

    def _preconditioned(self, gradient: Matrices) -> Matrices:
        """(F + lambda)^-1 gradient, in the same form; 0 in a layer without curvature."""
        factors = self.curvature.factors
        return {
            name: _solved(factors[name], g) if name in factors else torch.zeros_like(g)
            for name, g in gradient.items()
        }

    def _move(self, direction: Matrices, length: float) -> None:
        """Set ``moved`` to the model after a step of ``length`` along ``direction``."""
        self.moved.load_state_dict(self.recorder.unet.state_dict())
        for layer in self.places:
            add_step(layer, length * direction[layer.name])

    def _fixed(self, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield (x_t, t, target) at each timestep, with one noise for all images and queries."""
        noise = Noise(self.axes, "train", range(len(x)), x.shape[1:], policy="common")
        pairs = [(int(t), 0) for t in self.grid]
        return ((x_t, t, target) for _, _, x_t, t, target in noised(self.process, x, noise, pairs))


def _solved(factors: Factors, gradient: torch.Tensor) -> torch.Tensor:
    """U_S ((U_S^T G U_A) / (Lambda + lambda)) U_A^T; 0 if Lambda is."""
    rotated = factors.outputs.mT @ gradient @ factors.inputs
    mean = factors.eigenvalues.mean()
    if not mean > 0:
        return torch.zeros_like(gradient)
    solved = rotated / (factors.eigenvalues + DAMPING * mean)
    return factors.outputs @ solved @ factors.inputs.mT
