"""Unlearning: the training examples that a model forgets when it unlearns a query.

Unlearning is one step of ascent on the loss of query q,

    theta' = theta + (alpha / N) F^-1 grad L_q.

F is the diagonal of the empirical Fisher matrix: the mean squared loss gradient over examples,
timesteps and draws, without damping. A weight with F = 0 does not move. The score of example i is
L_i(theta') - L_i(theta). Both losses use the same timesteps, and one noise for all examples from
the stream "unlearning".

The method has step sizes alpha in place of dampings; tuning data select one. alpha = 1 is the
Newton step for leaving one example out. A diagonal far underestimates the curvature along a sum of
p directions, so this step is too long; the released code uses 0.01. Norm layers do not move.

Source: Wang et al. (NeurIPS 2024), arXiv 2406.09408. They step in cross-attention layers; this
module steps in all linear, convolution and embedding layers of ``parameters``.
Cost: one pass of gradients over N + Q images, then (A Q + 1) N T forward passes for A step sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dasbench.core.blocks import blocks
from dasbench.diffusion import denoiser, outputs, timestep_grids
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.process import Process
from dasbench.gradients.recorder import Matrices, Noise, Recorder, add_step, noised


class Unlearning:
    """A model, its diagonal curvature, and the losses of its training examples.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        settings: timesteps, timestep_rule, draws and parameters, all for gradients;
            loss_timesteps, the number T for losses; steps, the step sizes alpha.
        axes: Leading seed axes: experiment, seed.
        batch: Images in a pass that computes gradients.
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
        self.recorder = Recorder(unet, settings["parameters"])
        self.moved = copy.deepcopy(unet)
        self.places = Recorder(self.moved, settings["parameters"]).layers
        self.process, self.axes, self.batch = process, tuple(axes), batch
        self.steps = [float(s) for s in settings["steps"]]
        self.where = next(unet.parameters())
        total = process.total
        rule = settings.get("timestep_rule", "midpoint")
        grid = timestep_grids.timestep_grid(settings["timesteps"], total, rule)
        self.pairs = [(int(t), e) for t in grid for e in range(settings["draws"])]
        self.grid = timestep_grids.timestep_grid(settings["loss_timesteps"], total)

    def fit(self, images: np.ndarray, examples: Sequence[int]) -> Unlearning:
        """Compute F and the losses before any step.

        Args:
            images: [N, C, H, W] float32 in [-1, 1].
            examples: [N] ids, which key the noise.
        """
        self.recorder.check(self.process, images.shape[1:])
        x = torch.from_numpy(images).to(self.where)
        noise = Noise(self.axes, "train", examples, x.shape[1:])
        squares: Matrices = {}
        for rows in blocks(len(x), self.batch):
            for _, _, x_t, t, target in noised(self.process, x[rows], noise.of(rows), self.pairs):
                for name, g in self.recorder.losses(x_t, t, target).items():
                    squares[name] = squares.get(name, 0) + g.double().square().sum(0)
        count = len(x) * len(self.pairs)
        self.fisher = {name: (total / count).to(self.where) for name, total in squares.items()}
        self.train, self.before = x, self.losses(x)
        return self

    def scores(self, queries: np.ndarray, kind: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position of the query, scores [A, N] float64) for each query.

        If a step is so long that a loss is not finite, all its scores are 0.

        Args:
            queries: [Q, C, H, W] float32 in [-1, 1].
            kind: "val" or "gen"; keys the noise of the query's gradient.
        """
        x = torch.from_numpy(queries).to(self.where)
        for q in range(len(x)):
            newton = self._newton(x[q : q + 1], Noise(self.axes, kind, [q], x.shape[1:]))
            changes = np.stack([self._after(newton, a) - self.before for a in self.steps])
            changes[~np.isfinite(changes).all(1)] = 0
            yield q, changes

    def _newton(self, x: torch.Tensor, noise: Noise) -> Matrices:
        """F^-1 grad L_q of one image, layer's name -> [g, d_out, d_in]."""
        total: Matrices = {}
        for _, _, x_t, t, target in noised(self.process, x, noise, self.pairs):
            for name, g in self.recorder.losses(x_t, t, target).items():
                total[name] = total.get(name, 0) + g[0] / len(self.pairs)
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        return {
            name: torch.where(self.fisher[name] > 0, g / self.fisher[name], zero)
            for name, g in total.items()
        }

    def losses(self, x: torch.Tensor, model: torch.nn.Module | None = None) -> np.ndarray:
        """Mean loss of every image over the timesteps, [N] float64; all images share the noise.

        Args:
            x: [N, C, H, W] images.
            model: The denoiser; None for the model before any step.
        """
        model, total = model or self.recorder.unet, torch.zeros(len(x), dtype=torch.float64)
        size = outputs.batch_size(x.shape[1:], x.device)
        with torch.inference_mode():
            for x_t, t, target in self._fixed(x):
                error = denoiser.predict(model, x_t, t, batch=size) - target
                total += error.square().flatten(1).mean(1).double().cpu()
        return total.numpy() / len(self.grid)

    def _fixed(self, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield (x_t, t, target) of all examples at each timestep, always with the same noise."""

        def draw(t: int, e: int) -> np.ndarray:
            stream = (*self.axes, "unlearning")
            return noise_policies.draw("common", stream, "train", range(len(x)), t, e, x.shape[1:])

        pairs = [(int(t), 0) for t in self.grid]
        noised_examples = noised(self.process, x, draw, pairs)
        return ((x_t, t, target) for _, _, x_t, t, target in noised_examples)

    def _after(self, newton: Matrices, alpha: float) -> np.ndarray:
        """Losses [N] of the training examples after a step of alpha / N."""
        self.moved.load_state_dict(self.recorder.unet.state_dict())
        for layer in self.places:
            add_step(layer, alpha / len(self.train) * newton[layer.name])
        return self.losses(self.train, self.moved)
