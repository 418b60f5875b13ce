r"""Exact influence: how a trained model's output on a query changes with one example's weight.

``tau[n, q] = d f_q(a_K(w)) / d w_n`` at given weights w. f_q is the output of query q that
``dasbench.diffusion.outputs`` measures, and a_K(w) is the model that
``dasbench.diffusion.replay.Replay`` trains: one fixed run of K steps. No approximation enters, only
rounding. An output is higher where the model is better. So tau > 0 says that more weight on example
n lowers query q's loss. To first order, the run on a mask has f_q(1) - sum of tau over the images
that the mask leaves out.

Derivation. A step of the run is (theta, m, v, a) -> (theta', m', v', a'), see ``Replay.advance``:

    g  = (1/B) sum_n w_n grad l_n(theta)
    m' = b1 m + (1 - b1) g,    v' = b2 v + (1 - b2) g^2
    u  = (m' / c1) rho,        rho = (v' / c2 + epsilon)^(-1/2)
    theta' = (1 - eta lambda) theta - eta u
    a' = d a + (1 - d) theta'

Write x* for the derivative of f_q with respect to x, its cotangent. At the end a* = grad f_q(a_K),
and theta*, m*, v* are 0. The chain rule through one step, from its last line to its first, all
products elementwise:

    s   = theta'* + (1 - d) a'*             all that depends on theta'
    p   = m'* - (eta / c1) rho s            all that depends on m'
    r   = v'* + (eta / 2 c2) u rho^2 s      all that depends on v'; d rho / d v' = -rho^3 / (2 c2)
    g*  = (1 - b1) p + 2 (1 - b2) g r
    theta* = (1 - eta lambda) s + H g*      H = (1/B) sum_n w_n Hessian l_n(theta), symmetric
    m*  = b1 p,   v* = b2 r,   a* = d a'*
    w_n* += (1/B) grad l_n(theta) . g*      for the B images of the batch

The last products are the derivative of ``g . g*`` with respect to (theta, w): one backward pass
through the graph of the gradient gives both, for each query. All queries share this graph.

Each step needs the states before and after it. All K states are 4 K P numbers (digits: 960 steps of
164,000 weights, 2.5 GB in float32). So only every sqrt(K)-th state is kept, and the steps between
two of them are run again: 8 sqrt(K) P numbers (digits: 160 MB), and a second run for each call. The
second run has the numbers of the first, because a run is deterministic.

Shapes: N examples, Q queries, B images of a batch, P weights of the network, K steps.
Cost: two runs, and K Q backward passes through a gradient's graph.

Source: Ilyas and Engstrom (2025), MAGIC, arXiv 2504.16430; reverse mode through training from
checkpoints, Engstrom et al. (2025), arXiv 2503.13751, and Maclaurin et al. (2015), arXiv
1502.03492.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from dasbench.diffusion import outputs
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.replay import EPSILON, Replay, State
from dasbench.errors import UserError


def influence(
    replay: Replay,
    weights: torch.Tensor,
    final: torch.Tensor,
    after_step: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Derivatives of functions of the trained model with respect to every example's weight.

    Args:
        replay: The run.
        weights: w [N], where the derivative is taken; 1 for the run on all examples.
        final: [Q, P] gradients of Q functions at ``replay.run(weights)``, from ``final_gradients``.
        after_step: Function of a step k, called when the derivatives have passed it; k descends.

    Returns:
        [Q, N] float64.

    Raises:
        UserError: If a derivative is not finite.
    """
    zeros = torch.zeros_like(final)
    cotangent = State(theta=zeros, first=zeros, second=zeros, average=final)
    total = torch.zeros(len(final), replay.examples, dtype=torch.float64)
    for step, before, after in backwards(replay, weights):
        gradient, multiply = _products(replay, before.theta, weights, step)
        cotangent, of_gradient = through_update(replay, cotangent, after, gradient, step)
        curved, of_weights = multiply(of_gradient)
        cotangent = cotangent._replace(theta=cotangent.theta + curved)
        total[:, replay.batch(step).examples.cpu()] += of_weights.double().cpu()
        if after_step is not None:
            after_step(step)
    if not torch.isfinite(total).all():
        raise UserError(
            "a derivative through the training run is not finite, which happens if the run is far "
            "from smooth in the weights of its examples; lower training.learning_rate"
        )
    return total.numpy()


def through_update(
    replay: Replay, cotangent: State, after: State, gradient: torch.Tensor, step: int
) -> tuple[State, torch.Tensor]:
    """Cotangents through one step of AdamW and of the average, with the gradient held fixed.

    Args:
        replay: The run.
        cotangent: Of the state after the step, [Q, P] each.
        after: The state after the step, [P] each.
        gradient: g [P].
        step: k.

    Returns:
        The cotangent of the state before the step, without the Hessian's part of theta's; and g*
        [Q, P]. Symbols as in the module's docstring.
    """
    (b1, b2), (c1, c2) = replay.settings["betas"], replay.corrections(step)
    eta, d = replay.rates[step], replay.decays[step]
    rho = (after.second / c2 + EPSILON).rsqrt()
    u = after.first / c1 * rho
    s = cotangent.theta + (1 - d) * cotangent.average
    p = cotangent.first - eta / c1 * rho * s
    r = cotangent.second + eta / (2 * c2) * u * rho.square() * s
    of_gradient = (1 - b1) * p + 2 * (1 - b2) * gradient * r
    shrunk = (1 - eta * replay.settings["weight_decay"]) * s
    return State(shrunk, b1 * p, b2 * r, d * cotangent.average), of_gradient


def _products(
    replay: Replay, theta: torch.Tensor, weights: torch.Tensor, step: int
) -> tuple[torch.Tensor, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]]:
    """The gradient g [P] of a step, and the function g* [Q, P] -> (H g* [Q, P], w* [Q, B])."""
    batch = replay.batch(step)
    theta = theta.detach().requires_grad_()
    w = weights.to(theta)[batch.examples].requires_grad_()
    loss = w @ replay.losses(theta, batch) / len(batch.examples)
    (g,) = torch.autograd.grad(loss, theta, create_graph=True)

    def multiply(of_gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [torch.autograd.grad(g, (theta, w), row, retain_graph=True) for row in of_gradient]
        curved, of_weights = zip(*rows, strict=True)
        return torch.stack(curved), torch.stack(of_weights)

    return g.detach(), multiply


def backwards(replay: Replay, weights: torch.Tensor) -> Iterator[tuple[int, State, State]]:
    """Yield (k, state before step k, state after it), from the last step to the first.

    Memory holds about 2 sqrt(K) states.

    Args:
        replay: The run.
        weights: w [N].
    """
    length = max(1, math.isqrt(replay.steps))
    kept = [replay.start()]
    for step, state in enumerate(replay.states(weights, steps=range(replay.steps - 1)), start=1):
        if step % length == 0:
            kept.append(state)
    while kept:
        first, start = (len(kept) - 1) * length, kept.pop()
        steps = range(first, min(first + length, replay.steps))
        states = [start, *replay.states(weights, start, steps)]
        pairs = list(zip(steps, pairwise(states), strict=True))
        yield from ((k, before, after) for k, (before, after) in reversed(pairs))


def final_gradients(
    replay: Replay,
    theta: torch.Tensor,
    queries: np.ndarray,
    positions: Sequence[int],
    kind: str,
    timesteps: tuple[np.ndarray, np.ndarray],
    axes: Sequence[str | int],
    condition: Condition | None = None,
) -> tuple[np.ndarray, torch.Tensor]:
    """The output "loss" of ``outputs.measure`` on some queries, and its gradients.

    Args:
        replay: The run, for its network and process.
        theta: [P] weights of the trained model.
        queries: All queries of the kind, [n, C, H, W] float32 in [-1, 1].
        positions: [Q] positions in ``queries``; they key the noise.
        kind: "val" or "gen"; keys the noise.
        timesteps: Timesteps and weights, see ``outputs.grid``.
        axes: Leading seed axes: experiment, seed.
        condition: Condition of the n queries, or None.

    Returns:
        Outputs [Q] float64, and their gradients [Q, P].
    """
    steps, shares = timesteps
    x = torch.from_numpy(queries).to(theta)
    size = outputs.batch_size(x.shape[1:], x.device)
    condition = None if condition is None else condition.to(x)
    values, gradients = np.zeros(len(positions)), theta.new_zeros(len(positions), len(theta))
    for row, q in enumerate(positions):
        one = np.array([q])  # the rows of its batches are timesteps
        for b in outputs.batches(replay.process, x, one, kind, steps, axes, size, condition):
            leaf = theta.detach().requires_grad_()
            errors = b.target - replay.predict(leaf, b.x_t, b.time, b.condition)
            share = torch.from_numpy(shares[b.rows]).to(errors)
            output = -share @ errors.square().flatten(1).mean(1)
            values[row] += output.item()
            gradients[row] += torch.autograd.grad(output, leaf)[0]
    return values, gradients
