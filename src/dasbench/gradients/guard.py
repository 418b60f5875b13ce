"""Compare the rules for layers with autograd, before a network's gradients are computed by rules.

A rule cannot see everything that a network does. A weight may be used by a function besides its
layer; the first axis of a layer's input may not be that of the images; a hook may change an output.
So two random images are noised, one at an early and one at a late timestep and the reverse, and the
gradient of each layer is computed twice: by the rules, for both images in one batch; and by
autograd, one image at a time.

``error`` of a layer is ||G_rules - G_autograd|| / ||G_autograd||, for one image. It must be at most
1e-3 in float32 and 1e-6 in float64. A layer whose gradient is rounding noise, less than 1e-5
(float64: 1e-12) of the whole gradient, may differ by that much. Squares lose half of the digits, so
the norm of a layer's gradient may differ by 1e-3 (float64: 1e-6) of the norm of the whole gradient.

Shapes: n = 2 images; G [g, d_out, d_in] of a layer (``dasbench.gradients.layers``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from dasbench import seeds
from dasbench.diffusion import denoiser
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.evaluation_mode import evaluating
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, first_line
from dasbench.gradients import hooks, selection
from dasbench.gradients.layers import Layer
from dasbench.gradients.selection import FEATURES_ADVICE, LayerError

IMAGES = 2
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
NOISE = {torch.float32: 1e-5, torch.float64: 1e-12}
Matrices = dict[str, torch.Tensor]
Readout = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Batch(NamedTuple):
    """Two noised images: arguments of a network, and the training target.

    Attributes:
        x_t: [2, C, H, W].
        time: [2].
        target: [2, C, H, W].
        condition: Condition of the two images, or None.
    """

    x_t: torch.Tensor
    time: torch.Tensor
    target: torch.Tensor
    condition: Condition | None

    def one(self, i: int) -> Batch:
        """The batch of image i alone."""
        row = slice(i, i + 1)
        condition = None if self.condition is None else self.condition[row]
        return Batch(self.x_t[row], self.time[row], self.target[row], condition)


def batches(
    network: nn.Module, process: Process, shape: Sequence[int], condition: Condition | None
) -> list[Batch]:
    """Two random images, one at an early and one at a late timestep, and the reverse.

    Args:
        network: The network, for the device and the dtype.
        process: Its process.
        shape: (C, H, W).
        condition: Conditions of two or more images of the data, or None.
    """
    like = next(network.parameters())
    rng = seeds.generator("guard", *shape)
    x, noise = (
        torch.from_numpy(a.astype(np.float32)).to(like)
        for a in (rng.uniform(-1, 1, (IMAGES, *shape)), rng.standard_normal((IMAGES, *shape)))
    )
    if condition is not None:
        rows = torch.arange(IMAGES) % len(condition.rows)
        condition = condition[rows.to(condition.rows.device)].to(x)
    made = []
    early, late = process.total // 10, process.total - 1 - process.total // 10
    for t in ((early, late), (late, early)):
        steps = torch.tensor(t, device=x.device)
        x_t, target = process.pair(x, noise, steps)
        made.append(Batch(x_t, process.time(steps), target, condition))
    return made


def check(
    network: nn.Module,
    layers: Sequence[Layer],
    process: Process,
    shape: Sequence[int],
    condition: Condition | None = None,
    projected: Callable[[Batch, Matrices], Mapping[str, torch.Tensor]] | None = None,
    norms: bool = False,
    advice: str = FEATURES_ADVICE,
) -> None:
    """Stop if the rules do not give the gradients of a network.

    Args:
        network: The network; it is used in evaluation mode and left as it was.
        layers: From ``dasbench.gradients.selection.select``.
        process: Its process.
        shape: (C, H, W) of its inputs.
        condition: Conditions of some images of the data, or None.
        projected: For a consumer that projects gradients: function of (batch, G of autograd by
            layer) that returns, by layer, the error of its projection, [2], in units of G. Without
            it, G itself is compared.
        norms: Whether G and its norm are compared as well.
        advice: End of an error's sentence.

    Raises:
        LayerError: If a layer differs, or with ``projected`` has no gradient at all; it names the
            first one.
        UserError: If the prediction is not finite.
    """

    def compare(truth: Matrices, errors: Mapping[str, torch.Tensor], *rest) -> None:
        _compare(layers, truth, errors, advice, *rest)

    dead = {layer.name for layer in layers}
    with evaluating(network), _full_precision():
        for batch in batches(network, process, shape, condition):
            truth = by_autograd(network, layers, batch)
            dead &= {name for name, g in truth.items() if not bool(g.any())}
            if projected is not None:
                compare(truth, projected(batch, truth), "projected gradient", NOISE)
            if projected is None or norms:
                found, squares = by_rules(network, layers, batch, norms)
                errors = {name: _length(found[name] - g) for name, g in truth.items()}
                compare(truth, errors, "gradient", NOISE)
                errors = {
                    name: (square.clamp_min(0).sqrt() - _length(truth[name])).abs()
                    for name, square in squares.items()
                }
                compare(truth, errors, "norm of the gradient", TOLERANCE)
    if dead and projected is not None:  # a curvature has no use for them, and no harm
        name = next(layer.name for layer in layers if layer.name in dead)
        raise LayerError(
            f"the gradient of {name} is zero for every image and timestep that was tried, so that "
            "its features say nothing; an adapter is like that before it was trained",
            advice,
        )


def check_single(
    network: nn.Module,
    one_by_one: Callable[..., torch.Tensor],
    parameters: str,
    process: Process,
    shape: Sequence[int],
) -> None:
    """Stop if gradients of single images by ``torch.func`` are not those of autograd.

    Args:
        network: The network; it is used in evaluation mode and left as it was.
        one_by_one: ``features.per_example_gradients`` of the readout "loss".
        parameters: One of ``dasbench.gradients.selection.SUBSETS``.
        process: Its process.
        shape: (C, H, W) of its inputs.

    Raises:
        UserError: If ``torch.func`` cannot differentiate the network, or the gradients differ, are
            not finite, or are all zero.
    """
    weights = list(selection.trained_parameters(network, parameters).values())
    found = []
    with evaluating(network), _full_precision():
        for batch in batches(network, process, shape, None):
            truth = torch.stack(
                [
                    torch.cat([g.flatten() for g in row])
                    for row in _by_image(network, weights, batch)
                ]
            )
            try:
                rows = one_by_one(batch.x_t, batch.time, batch.target)
            except UserError:
                raise
            except Exception as error:  # torch.func refuses much, by errors of any kind
                raise UserError(
                    f"torch.func cannot differentiate the network for single images "
                    f"({type(error).__name__}: {first_line(error)}); use projection: kronecker, "
                    "which does not need it"
                ) from error
            if rows.requires_grad:
                raise UserError(
                    "a weight takes part in the network that is none of its parameters, such as "
                    "one that a list or a function holds; register it in the network"
                )
            error, length = (rows - truth).norm(dim=1), truth.norm(dim=1)
            found.append(length)
            rounding = TOLERANCE.get(truth.dtype, TOLERANCE[torch.float32])
            if not bool((error <= rounding * length).all()):
                raise UserError(
                    "gradients of single images by torch.func differ from autograd by "
                    f"{float((error / length).max()):.2g} of their length, where {rounding:g} is "
                    "allowed: a hook or a reference to a weight, which torch.func does not follow, "
                    "takes part in the network; use projection: kronecker"
                )
    if not bool(torch.cat(found).any()):
        raise UserError(
            "the gradient of every image is zero, so that there are no features; the last layer, "
            "or an adapter, has not been trained"
        )


def share(
    network: nn.Module,
    names: Sequence[str],
    process: Process,
    shape: Sequence[int],
    condition: Condition | None = None,
) -> float:
    """Share of the squared length of the loss gradient that some parameters hold.

    The gradient is that of ``check``: of two random images, at two timesteps.

    Args:
        network: The network, in evaluation mode.
        names: Full names of the parameters.
        process: As for ``check``.
        shape: As for ``check``.
        condition: As for ``check``.
    """
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    squares = dict.fromkeys(trained, 0.0)
    with evaluating(network), torch.enable_grad():
        for batch in batches(network, process, shape, condition):
            for one in map(batch.one, range(IMAGES)):
                predicted = denoiser.predict(network, one.x_t, one.time, one.condition)
                gradients = torch.autograd.grad(
                    _loss(predicted, one), list(trained.values()), allow_unused=True
                )
                for name, g in zip(trained, gradients, strict=True):
                    squares[name] += 0.0 if g is None else float(g.double().square().sum())
    return sum(squares[name] for name in names) / max(sum(squares.values()), 1e-300)


def _compare(
    layers: Sequence[Layer],
    truth: Matrices,
    errors: Mapping[str, torch.Tensor],
    advice: str,
    what: str,
    noises: Mapping[torch.dtype, float],
) -> None:
    """Stop at the first layer whose error, [2], is too large."""
    dtype = next(iter(truth.values())).dtype
    tolerance, noise = (table.get(dtype, table[torch.float32]) for table in (TOLERANCE, noises))
    whole = torch.stack([_length(g) for g in truth.values()]).norm(dim=0)
    for layer in layers:
        if layer.name not in errors:
            continue
        length, error = _length(truth[layer.name]), errors[layer.name]
        if not bool((error <= tolerance * length + noise * whole).all()):
            worst = float((error / length.clamp_min(torch.finfo(dtype).tiny)).max())
            raise LayerError(
                f"the {what} of {layer.name} by the rules of projection: kronecker differs from "
                f"autograd by {worst:.2g} of its length, where {tolerance:g} is allowed: the "
                f"network uses this {type(layer.module).__name__} in a way that the rules do not "
                "know",
                advice,
            )


def by_autograd(network: nn.Module, layers: Sequence[Layer], batch: Batch) -> Matrices:
    """G of every layer and image by autograd, one image at a time, [2, g, d_out, d_in]."""
    parts = [(layer, _parts(layer)) for layer in layers]
    rows = _by_image(network, [parameter for _, pair in parts for parameter in pair], batch)
    truth, start = {}, 0
    for layer, pair in parts:
        columns = [torch.stack([row[start + k] for row in rows]) for k in range(len(pair))]
        truth[layer.name] = layer.matrix(*columns)
        start += len(pair)
    return truth


def _by_image(
    network: nn.Module, weights: Sequence[nn.Parameter], batch: Batch
) -> list[list[torch.Tensor]]:
    """Gradients of the weights by autograd, one list for each image."""
    rows = []
    with torch.enable_grad():
        for i in range(IMAGES):
            one = batch.one(i)
            predicted = denoiser.predict(network, one.x_t, one.time, one.condition)
            if not torch.isfinite(predicted).all():
                raise UserError(
                    f"the network's prediction at timestep {one.time[0].item():g} is not finite; "
                    "its weights and its noise process do not fit together"
                )
            if not predicted.requires_grad:
                raise UserError(
                    "the network's prediction does not depend on a parameter that requires a "
                    "gradient; its forward must not run under no_grad or detach, nor its adapters "
                    "be merged or disabled"
                )
            found = torch.autograd.grad(_loss(predicted, one), weights, allow_unused=True)
            row = [_dense(g, w) for g, w in zip(found, weights, strict=True)]
            if not all(bool(torch.isfinite(g).all()) for g in row):
                raise UserError(
                    f"the network's gradient at timestep {one.time[0].item():g} is not finite, so "
                    "that there are no features; its weights and its noise process do not fit "
                    "together"
                )
            rows.append(row)
    return rows


def by_rules(
    network: nn.Module, layers: Sequence[Layer], batch: Batch, norms: bool
) -> tuple[Matrices, Matrices]:
    """G of every layer and image by the rules, both images in one batch; and its squared length.

    The squared length is left out for a layer with several calls, whose parts do not add up, and
    without ``norms``.
    """
    squares: Matrices = {}

    def multiply(layer, kept, delta, calls):
        x, delta = kept[0], delta.to(layer.module.weight)
        if norms and calls == 1:
            squares[layer.name] = layer.square(x, delta)
        return layer.gradient(x, delta)

    with hooks.watch(network, layers, IMAGES, lambda _, x: (x,), multiply) as watched:
        predicted = denoiser.predict(network, batch.x_t, batch.time, batch.condition)
        found = watched.backward(_loss(predicted, batch))
    for layer in layers:
        if layer.name not in found:
            like = layer.module.weight
            found[layer.name] = like.new_zeros(IMAGES, layer.groups, layer.d_out, layer.d_in)
    return found, squares


@contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32 on a GPU, whose rounding errors are as large as the tolerance."""
    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = False
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _loss(predicted: torch.Tensor, batch: Batch) -> torch.Tensor:
    return (predicted - batch.target).square().flatten(1).mean(1).sum()


def _parts(layer: Layer) -> list[nn.Parameter]:
    """The trained parameters of a layer: weight, and bias if it counts."""
    return [layer.module.weight, *([layer.module.bias] if layer.bias else [])]


def _dense(gradient: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    if gradient is None:
        return torch.zeros_like(like)
    return gradient.to_dense() if gradient.is_sparse else gradient


def _length(g: torch.Tensor) -> torch.Tensor:
    """Norms [2] of G [2, g, d_out, d_in]."""
    return g.flatten(1).norm(dim=1)
