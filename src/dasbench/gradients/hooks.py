"""Watch layers while a network is differentiated. No other module registers hooks.

The gradient of a layer consists of pairs (x, delta), one for each call of the layer: x is the input
of the call, delta the gradient at its output. ``watch`` passes the pairs to a consumer. Features
project x and delta (``dasbench.gradients.kronecker``). EK-FAC and unlearning multiply them
(``dasbench.gradients.recorder``).

Guarantees for every consumer:

* Input by keyword. ``layer(input=x)`` is watched as ``layer(x)`` is.
* Operations in place. The network may change a layer's output in place. It must not change a
  layer's input after the layer has read it; the watcher refuses that, as autograd does in training.
* Conditions. Layers that read class labels or prompts are watched in the same way. Every watched
  layer must have one row for each image.
* Gradient checkpointing. It repeats the forward pass during the backward pass; the watcher ignores
  the repetition. The reentrant kind of ``torch.utils.checkpoint`` runs layers without gradients,
  and the watcher refuses it with an error that names the layer.
* Several calls of one module in a pass. Every call has its own pair, and the parts are summed.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dasbench.errors import UserError
from dasbench.gradients.layers import Layer
from dasbench.gradients.selection import LayerError

_ADVICE = "choose parameters that leave it out or, for features, projection: rademacher"

Keep = Callable[[Layer, torch.Tensor], tuple[torch.Tensor, ...]]
Use = Callable[[Layer, tuple[torch.Tensor, ...], torch.Tensor, int], torch.Tensor]


class Watched:
    """One forward pass of a network and its backward passes; ``watch`` creates it.

    Attributes:
        calls: How often the forward pass has called each layer, by the layer's name.
    """

    def __init__(self, layers: Sequence[Layer], images: int, keep: Keep, use: Use):
        """Keep the arguments; ``watch`` registers the hooks."""
        self.layers, self.images, self.keep, self.use = layers, images, keep, use
        self.calls: Counter[str] = Counter()
        self._sums: dict[str, torch.Tensor] | None = None  # None during the forward pass

    def backward(
        self, output: torch.Tensor, gradient: torch.Tensor | None = None, again: bool = False
    ) -> dict[str, torch.Tensor]:
        """Differentiate an output of the network.

        Args:
            output: A scalar, or any tensor with ``gradient``.
            gradient: The gradient at the output, in its shape.
            again: Whether another backward pass follows.

        Returns:
            The sum of a layer's parts over its calls, by the layer's name. A layer is missing if
            the output does not depend on it.

        Raises:
            UserError: If the forward pass did not call a layer, or changed a layer's input.
        """
        missing = [layer.name for layer in self.layers if layer.name not in self.calls]
        if missing:
            raise LayerError(
                f"{missing[0]} was not called in a forward pass, so that its gradient cannot be "
                "recorded",
                _ADVICE,
            )
        self._sums = {}
        output.backward(gradient, retain_graph=again)
        return self._sums

    def _called(
        self, layer: Layer, module: nn.Module, inputs: tuple, keywords: dict[str, Any], output: Any
    ) -> torch.Tensor:
        """The forward hook of a layer: make the output require a gradient, and record the call."""
        first = not output.requires_grad
        if self._sums is None:
            self._record(layer, _input(module, inputs, keywords).detach(), output)
        elif first:  # a repeated pass must save the tensors that the first one saved
            output.requires_grad_(True)
        # the network may change the output in place, which torch forbids on a leaf
        return output.clone() if first else output

    def _record(self, layer: Layer, x: torch.Tensor, output: torch.Tensor) -> None:
        """Keep the tensors that ``use`` needs, and call ``use`` when the gradient arrives."""
        self._check(layer, x)
        self.calls[layer.name] += 1
        with torch.no_grad():
            kept = self.keep(layer, x)
        versions = [tensor._version for tensor in kept]
        output.requires_grad_(True).register_hook(
            lambda delta: self._arrived(layer, kept, versions, delta)
        )

    @torch.no_grad()
    def _arrived(
        self,
        layer: Layer,
        kept: tuple[torch.Tensor, ...],
        versions: list[int],
        delta: torch.Tensor,
    ) -> None:
        """Add the part of one call to the sum of its layer."""
        if [tensor._version for tensor in kept] != versions:
            raise UserError(
                f"the network changes the input of {layer.name} in place after the layer has "
                "read it, so that the layer's gradient is lost; work on a copy there"
            )
        part = self.use(layer, kept, delta, self.calls[layer.name])
        before = self._sums.get(layer.name)
        self._sums[layer.name] = part if before is None else before + part

    def _check(self, layer: Layer, x: torch.Tensor) -> None:
        """Refuse calls whose gradient would be wrong without an error."""
        if not torch.is_grad_enabled():
            raise UserError(
                f"{layer.name} runs without gradients inside the network, as under reentrant "
                "gradient checkpointing; call disable_gradient_checkpointing() of the network, or "
                "choose parameters that leave the layer out"
            )
        if len(x) != self.images:
            raise LayerError(
                f"{layer.name} saw {len(x)} rows for {self.images} images, and its gradient needs "
                "one row for each",
                _ADVICE,
            )


@contextmanager
def watch(
    network: nn.Module, layers: Sequence[Layer], images: int, keep: Keep, use: Use
) -> Iterator[Watched]:
    """Watch layers during one forward pass and its backward passes.

    Inside the context gradients are on, and no parameter requires one. Torch then computes the
    gradients at outputs of layers, and no gradient of a weight. Leaving the context restores the
    network.

    Args:
        network: The network of the layers. Its forward pass runs inside the context.
        layers: From ``dasbench.gradients.selection.select``.
        images: Number of images n of the forward pass.
        keep: Function of (layer, x [n, ...]) that returns the tensors which ``use`` needs of the
            input x. The watcher calls it at each call of a layer in the forward pass.
        use: Function of (layer, kept tensors, delta in the shape of the layer's output, number of
            calls of the layer) that returns the part of one call. The watcher calls it when a
            backward pass reaches the output of that call.

    Yields:
        The watcher. Call its ``backward`` instead of that of a tensor.

    Raises:
        UserError: If a layer does not see one row for each image, or runs without gradients.
    """
    watched = Watched(layers, images, keep, use)
    trainable = [p for p in network.parameters() if p.requires_grad]

    def hook(layer: Layer) -> Callable[..., torch.Tensor]:
        return lambda *called: watched._called(layer, *called)

    handles = [
        layer.module.register_forward_hook(hook(layer), with_kwargs=True) for layer in layers
    ]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.enable_grad():
            yield watched
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for handle in handles:
            handle.remove()


def checkpointed(network: nn.Module) -> str | None:
    """Name of the first module with gradient checkpointing; None if there is no such module."""
    for name, module in network.named_modules():
        if getattr(module, "gradient_checkpointing", False):
            return name or type(module).__name__
    return None


def _input(module: nn.Module, inputs: tuple, keywords: dict[str, Any]) -> torch.Tensor:
    """The first argument of a call, by place or by keyword."""
    if inputs:
        return inputs[0]
    return keywords[next(iter(inspect.signature(module.forward).parameters))]
