"""Which training examples a model forgets when it unlearns a query.

One step of ascent on the query's loss, theta' = theta + (alpha / N) F^-1 grad L_q, with F the
diagonal of the empirical Fisher matrix: the mean over examples, timesteps and draws of squared loss
gradients, without damping; a weight that no example moves stays. Score of example i: L_i(theta') -
L_i(theta), both measured at the same timesteps with one noise for all examples, in a stream of its
own ("unlearning").

Step sizes alpha take the place of dampings: one is chosen on tuning data. Newton's step for leaving
one example out is alpha = 1; a diagonal far underestimates the curvature of a sum of p directions,
and the released code uses 0.01. Norm layers are left as they are.

Source: Wang et al. (NeurIPS 2024), arXiv 2406.09408; their step in cross-attention layers, here in
all linear and convolution layers.
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
        settings: timesteps, timestep_rule, draws, parameters (of the gradients), loss_timesteps (T
            of the losses), steps (the alphas).
        axes: Leading seed axes: experiment, seed.
        batch: Images at a time where gradients are taken.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        process: Process,
        settings: Mapping[str, Any],
        axes: Sequence[str | int],
        batch: int = 128,
    ):
        """Keep a copy of the model to take steps with; nothing is computed yet."""
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
        """Find the curvature, mean squares of loss gradients, and the losses before any step.

        Args:
            images: [N, C, H, W] float32 in [-1, 1].
            examples: [N] ids, which key the noise.
        """
        x = torch.from_numpy(images).to(self.where)
        noise = Noise(self.axes, "train", examples, x.shape[1:])
        squares: Matrices = {}
        for rows in blocks(len(x), self.batch):
            for _, _, x_t, t, wanted in noised(self.process, x[rows], noise.of(rows), self.pairs):
                for name, g in self.recorder.losses(x_t, t, wanted).items():
                    squares[name] = squares.get(name, 0) + g.double().square().sum(0)
        count = len(x) * len(self.pairs)
        self.fisher = {name: (total / count).to(self.where) for name, total in squares.items()}
        self.train, self.before = x, self.losses(x)
        return self

    def scores(self, queries: np.ndarray, kind: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position of the query, scores [A, N] float64), one query after the other.

        After a step so long that a loss is not finite nothing is known: all scores are 0.

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
        for _, _, x_t, t, wanted in noised(self.process, x, noise, self.pairs):
            for name, g in self.recorder.losses(x_t, t, wanted).items():
                total[name] = total.get(name, 0) + g[0] / len(self.pairs)
        none = torch.zeros((), dtype=x.dtype, device=x.device)
        return {
            name: torch.where(self.fisher[name] > 0, g / self.fisher[name], none)
            for name, g in total.items()
        }

    def losses(self, x: torch.Tensor, model: torch.nn.Module | None = None) -> np.ndarray:
        """Mean loss of every image over the timesteps, [N] float64; one noise for all of them."""
        model, total = model or self.recorder.unet, torch.zeros(len(x), dtype=torch.float64)
        size = outputs.batch_size(x.shape[1:], x.device)
        with torch.inference_mode():
            for x_t, t, wanted in self._fixed(x):
                error = denoiser.predict(model, x_t, t, batch=size) - wanted
                total += error.square().flatten(1).mean(1).double().cpu()
        return total.numpy() / len(self.grid)

    def _fixed(self, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """The noised examples at every timestep, (x_t, t, target), always the same."""

        def draw(t: int, e: int) -> np.ndarray:
            stream = (*self.axes, "unlearning")
            return noise_policies.draw("common", stream, "train", range(len(x)), t, e, x.shape[1:])

        pairs = [(int(t), 0) for t in self.grid]
        return ((a, t, w) for _, _, a, t, w in noised(self.process, x, draw, pairs))

    def _after(self, newton: Matrices, alpha: float) -> np.ndarray:
        """Losses [N] after a step of alpha / N."""
        self.moved.load_state_dict(self.recorder.unet.state_dict())
        for layer in self.places:
            add_step(layer, alpha / len(self.train) * newton[layer.name])
        return self.losses(self.train, self.moved)
