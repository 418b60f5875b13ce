"""Gradients of every layer for every image, as matrices, from one forward and backward pass.

The gradient of a layer is G [d_out, d_in] for each image and group (``dasbench.gradients.layers``).
The last column belongs to the bias. Norm layers are left out, as in K-FAC: their G is no sum over
places of outer products.
Shapes: n images, g groups, S places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from dasbench.diffusion import denoiser
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.process import Process
from dasbench.errors import UserError
from dasbench.gradients import guard, hooks, layers, selection

Matrices = dict[str, torch.Tensor]


class Recorder:
    """Gradients of the layers of a network, see ``dasbench.gradients.hooks``.

    Args:
        unet: The denoiser, in evaluation mode.
        parameters: One of ``dasbench.gradients.selection.SUBSETS``.

    Attributes:
        layers: The linear, convolution and embedding layers with parameters of the subset.

    Raises:
        UserError: If there is no such layer, or a layer is of an unknown kind.
    """

    def __init__(self, unet: torch.nn.Module, parameters: str):
        """Select the layers."""
        self.unet = unet
        subset = selection.select(unet, parameters, selection.CURVATURE_ADVICE)
        self.layers = [layer for layer in subset if not isinstance(layer, layers.Norm)]
        if not self.layers:
            raise UserError(
                f"parameters: {parameters} has norm layers alone; choose all or weights for "
                "methods with a Kronecker-factored or diagonal curvature"
            )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(layer.size for layer in self.layers)

    def check(self, process: Process, shape: Sequence[int]) -> None:
        """Stop if the rules do not give this network's gradients, see ``dasbench.gradients.guard``.

        Args:
            process: The process of the network.
            shape: (C, H, W) of its inputs.
        """
        guard.check(self.unet, self.layers, process, shape, advice=selection.CURVATURE_ADVICE)

    def gradients(
        self,
        x_t: torch.Tensor,
        t: torch.Tensor,
        output_gradients: Callable[[torch.Tensor], Sequence[torch.Tensor]],
        see: Callable[[layers.Layer, torch.Tensor, torch.Tensor], None] | None = None,
    ) -> list[Matrices]:
        """G of every layer and image, for each of several gradients at the network's output.

        Args:
            x_t: [n, C, H, W] noised images.
            t: [n] timesteps.
            output_gradients: Function of the prediction [n, C, H, W] that returns gradients at the
                prediction, each [n, C, H, W].
            see: Called as (layer, X [n, g, d_in, S], delta [n, g, d_out, S]) at each call of a
                layer.

        Returns:
            For each gradient at the output: layer's name -> G [n, g, d_out, d_in].

        Raises:
            UserError: If a layer cannot be watched, see ``dasbench.gradients.hooks``.
        """

        def multiply(layer, kept, delta, calls):
            (wide,), delta = kept, layer.outgoing(delta)
            if see is not None:
                see(layer, wide, delta)
            return delta @ wide.transpose(2, 3)

        gradients = []
        with hooks.watch(self.unet, self.layers, len(x_t), _wide, multiply) as watched:
            predicted = denoiser.predict(self.unet, x_t, t)
            upstream = output_gradients(predicted.detach())
            for k, gradient in enumerate(upstream):
                sums = watched.backward(predicted, gradient, again=k + 1 < len(upstream))
                gradients.append({e.name: self._zeros(e, x_t) for e in self.layers} | sums)
        return gradients

    def losses(self, x_t: torch.Tensor, t: torch.Tensor, wanted: torch.Tensor) -> Matrices:
        """Gradients of the loss of each image, the mean squared error over its D numbers.

        Args:
            x_t: [n, C, H, W] noised images.
            t: [n] timesteps.
            wanted: [n, C, H, W] training targets.
        """
        d = wanted[0].numel()
        return self.gradients(x_t, t, lambda out: [2 / d * (out - wanted)])[0]

    def _zeros(self, layer: layers.Layer, like: torch.Tensor) -> torch.Tensor:
        """The gradient of a layer that the output does not depend on; zeros that take no memory."""
        return like.new_zeros(()).expand(len(like), layer.groups, layer.d_out, layer.d_in)


def _wide(layer: layers.Layer, x: torch.Tensor) -> tuple[torch.Tensor]:
    """X of one call, [n, g, d_in, S]."""
    return (layer.wide(x),)


def add_step(layer: layers.Layer, step: torch.Tensor) -> None:
    """Add a step, [g, d_out, d_in] like G, to the weight and the bias of a layer."""
    module = layer.module
    with torch.no_grad():
        if isinstance(module, torch.nn.Embedding):
            module.weight += step[0].T
            return
        if layer.bias:
            module.bias += step[..., -1].reshape(module.bias.shape)
            step = step[..., :-1]
        module.weight += step.reshape(module.weight.shape)


def noised(
    process: Process,
    x: torch.Tensor,
    draw: Callable[[int, int], np.ndarray],
    pairs: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield (t, draw number, x_t [n, C, H, W], time arguments [n], target [n, C, H, W]).

    Args:
        process: The process of the network.
        x: [n, C, H, W] images.
        draw: Function of (t, draw number) to noise [n, C, H, W].
        pairs: Pairs (t, draw number).
    """
    for t, e in pairs:
        eps = torch.from_numpy(draw(t, e)).to(x)
        steps = torch.full((len(x),), t, device=x.device)
        x_t, target = process.pair(x, eps, steps)
        yield t, e, x_t, process.time(steps), target


class Noise:
    """The noise of some images, by default the noise of their features.

    Args:
        axes: Leading seed axes: experiment, seed.
        split: "train", "val" or "gen".
        examples: [n] keys of the noise: ids of examples, or positions of queries.
        shape: (C, H, W).
        stream: Name of the stream.
        policy: "keyed", as for the features of ``trak``; or "common", one array for all images, as
            for the features of ``trak_common``.
    """

    def __init__(
        self,
        axes: Sequence[str | int],
        split: str,
        examples: Sequence[int],
        shape: tuple[int, ...],
        stream: str = "features",
        policy: str = "keyed",
    ):
        """Keep the arguments; calls draw."""
        self.named = ((*axes, stream), split, examples)
        self.shape, self.policy = tuple(shape), policy

    def __call__(self, t: int, e: int) -> np.ndarray:
        """Noise [n, C, H, W] float32 of draw number e at timestep t."""
        return noise_policies.draw(self.policy, *self.named, t, e, self.shape)

    def of(self, rows: slice) -> Noise:
        """The noise of some of the images."""
        axes, split, examples = self.named
        return Noise(axes[:-1], split, examples[rows], self.shape, axes[-1], self.policy)
