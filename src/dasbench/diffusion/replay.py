"""A training run as a smooth function of one weight for each training example.

A *replay* trains like ``dasbench.diffusion.training``: the same initial weights, order, timesteps,
noise, flips, learning rates and averages, from the same named streams. Five things differ, so that
the trained model depends smoothly on the weights w [N] of the examples.

* Example n enters the loss w_n times. Step k minimises ``(1/B) sum_{n in batch k} w_n l_{k,n}``.
  B is the number of images in the batch, whatever they weigh. Weight 0 leaves an image out, and
  batches never shift.
* AdamW divides by ``sqrt(v + 1e-8)`` and not by ``sqrt(v) + 1e-8``, whose slope at v = 0 has no
  bound.
* Gradients are not clipped.
* The network has no dropout.
* Arithmetic is that of the network's weights, float32 or float64.

Symbols, as in the paper of AdamW: theta weights of the network, m and v first and second moments, g
gradient, eta learning rate, lambda weight decay, beta_1 and beta_2; a moving average of the
weights, d its decay. Shapes: N training examples, B images of a batch, P weights of the network, K
steps.

Source: Loshchilov and Hutter (2019), arXiv 1711.05101; epsilon inside the root as in Ilyas and
Engstrom (2025), arXiv 2504.16430.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from diffusers.training_utils import EMAModel
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from dasbench.core.blocks import blocks
from dasbench.diffusion import denoiser, training
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.model_inputs import Data
from dasbench.diffusion.process import Process

EPSILON = 1e-8  # under the root


class State(NamedTuple):
    """A run before a step, or a cotangent of it; a cotangent has a leading axis of queries.

    Attributes:
        theta: [P] weights of the network.
        first: [P] m, not corrected for its start at 0.
        second: [P] v, likewise.
        average: [P] a; theta itself in a recipe without average.
    """

    theta: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    average: torch.Tensor


class Batch(NamedTuple):
    """The images of one step, noised.

    Attributes:
        examples: [B] int64 positions in the training set.
        x_t: [B, C, H, W].
        time: [B] time arguments of the network.
        target: [B, C, H, W] training targets.
        weight: [B] weights of the process at these timesteps.
        condition: Condition of the B images, or None.
    """

    examples: torch.Tensor
    x_t: torch.Tensor
    time: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    condition: Condition | None


class Replay:
    """The recipe and the draws of one run.

    Args:
        network: The denoiser with its initial weights; it is put into evaluation mode.
        process: Its process.
        data: The full training set.
        settings: The experiment's ``training`` section.
        axes: Seed axes of the run, see ``training.Draws``.

    Attributes:
        steps: K.
        examples: N.
        rates: [K] learning rates.
        decays: [K] decays of the average; 0 in a recipe without average.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        process: Process,
        data: Data,
        settings: Mapping[str, Any],
        axes: Sequence[str | int],
    ):
        """Compute the rates; ``run`` trains."""
        self.network, self.process, self.settings = network.eval(), process, settings
        self.named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.data, self.examples = data.to(self._like.device), len(data.x)
        self._start = torch.cat([p.detach().flatten() for p in self.named.values()])
        self._draws, self._epoch = training.Draws(axes, data.x.shape, process), (-1, None)
        self._rows = blocks(self.examples, settings["batch_size"])
        self.steps = settings["epochs"] * len(self._rows)
        self.rates, self.decays = _schedules(settings, self.examples, self.steps)

    @property
    def _like(self) -> torch.Tensor:
        return next(iter(self.named.values()))

    def start(self) -> State:
        """The state before the first step: the initial weights, and zeros."""
        zeros = torch.zeros_like(self._start)
        return State(self._start, zeros, zeros, self._start)

    def batch(self, step: int) -> Batch:
        """The images of a step, the same for every run."""
        epoch, number = divmod(step, len(self._rows))
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._draws.epoch(epoch)
        order, timesteps, noise, flips = self._epoch[1]
        n = order[self._rows[number]]
        i, t, eps, flip = (torch.from_numpy(a) for a in (n, timesteps[n], noise[n], flips[n]))
        i, t, flip = (a.to(self._like.device) for a in (i, t, flip))
        x = self.data.x[i]
        if self.settings["flip"]:
            mirrored = x.flip(-1) if self.data.mirrored is None else self.data.mirrored[i]
            x = torch.where(flip[:, None, None, None], mirrored, x)
        x_t, target = self.process.pair(x.to(self._like), eps.to(self._like), t)
        condition = None if self.data.condition is None else self.data.condition[i].to(x_t)
        return Batch(i, x_t, self.process.time(t), target, self.process.weight(t), condition)

    def losses(self, theta: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss [B] of each image of a batch, at weights theta [P]; differentiable twice."""
        predicted = self.predict(theta, batch.x_t, batch.time, batch.condition)
        errors = (predicted - batch.target).square().flatten(1).mean(1)
        return batch.weight.to(errors) * errors

    def predict(
        self,
        theta: torch.Tensor,
        x_t: torch.Tensor,
        time: torch.Tensor,
        condition: Condition | None,
    ) -> torch.Tensor:
        """``denoiser.predict`` of the network with weights theta [P]."""
        parts = theta.split([p.numel() for p in self.named.values()])
        weights = {
            name: part.view_as(p) for (name, p), part in zip(self.named.items(), parts, strict=True)
        }

        def network(*args, **options):
            return functional_call(self.network, weights, args, options)

        with sdpa_kernel(SDPBackend.MATH):  # fused attention kernels have no second derivative
            return denoiser.predict(network, x_t, time, condition)

    def gradient(self, theta: torch.Tensor, weights: torch.Tensor, step: int) -> torch.Tensor:
        """The gradient [P] of a step's loss.

        Args:
            theta: [P].
            weights: w [N].
            step: k.
        """
        batch, theta = self.batch(step), theta.detach().requires_grad_()
        losses = self.losses(theta, batch)
        loss = weights.to(losses)[batch.examples] @ losses / len(batch.examples)
        return torch.autograd.grad(loss, theta)[0]

    def advance(self, state: State, gradient: torch.Tensor, step: int) -> State:
        """One step of AdamW and of the average.

        ``m' = beta_1 m + (1 - beta_1) g``, ``v' = beta_2 v + (1 - beta_2) g^2``,
        ``theta' = (1 - eta lambda) theta - eta (m' / c_1) / sqrt(v' / c_2 + 1e-8)``,
        ``a' = d a + (1 - d) theta'``, with ``c_i = 1 - beta_i^(k + 1)``.

        Args:
            state: Before the step.
            gradient: g [P].
            step: k, which counts from 0.
        """
        (b1, b2), (c1, c2) = self.settings["betas"], self.corrections(step)
        rate, decay = self.rates[step], self.decays[step]
        first = b1 * state.first + (1 - b1) * gradient
        second = b2 * state.second + (1 - b2) * gradient.square()
        theta = (1 - rate * self.settings["weight_decay"]) * state.theta
        theta = theta - rate / c1 * first * (second / c2 + EPSILON).rsqrt()
        return State(theta, first, second, decay * state.average + (1 - decay) * theta)

    def corrections(self, step: int) -> tuple[float, float]:
        """``1 - beta^(k + 1)`` for both betas: what corrects the moments for their start at 0."""
        b1, b2 = self.settings["betas"]
        return 1 - b1 ** (step + 1), 1 - b2 ** (step + 1)

    def states(
        self,
        weights: torch.Tensor,
        state: State | None = None,
        steps: range | None = None,
    ) -> Iterator[State]:
        """Yield the state after each step.

        Args:
            weights: w [N].
            state: The state before the first of the steps; None for ``start``.
            steps: Consecutive steps; None for all.

        Raises:
            ValueError: If there is not one weight for each example.
        """
        if len(weights) != self.examples:
            raise ValueError(
                f"got {len(weights)} weights for {self.examples} examples; give each example one"
            )
        state = self.start() if state is None else state
        for step in range(self.steps) if steps is None else steps:
            state = self.advance(state, self.gradient(state.theta, weights, step), step)
            yield state

    def run(self, weights: torch.Tensor) -> torch.Tensor:
        """The weights [P] of the trained model: the average after the last step.

        Args:
            weights: w [N]; a mask [N] bool leaves images out.
        """
        for state in self.states(weights):  # noqa: B007 - the last one counts
            pass
        return state.average

    @torch.no_grad()
    def fill(self, theta: torch.Tensor) -> torch.nn.Module:
        """The network, after its weights were set to theta [P]."""
        parts = theta.split([p.numel() for p in self.named.values()])
        for p, part in zip(self.named.values(), parts, strict=True):
            p.copy_(part.view_as(p))
        return self.network


def _schedules(
    settings: Mapping[str, Any], images: int, steps: int
) -> tuple[list[float], list[float]]:
    """Learning rates [K] and decays of the average [K], from the classes that training uses."""
    weight = torch.zeros(1)
    # not public in training.py, of which every edit would train all models again
    optimizer, schedule = training._optimizer([weight], settings, images)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    if settings["ema_decay"] is None:
        return rates, [0.0] * steps
    average = EMAModel([weight], decay=settings["ema_decay"])
    return rates, [average.get_decay(step + 1) for step in range(steps)]
