"""Use a network for a computation, and leave it as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dasbench.errors import UserError, say


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the context: no dropout, no batch statistics.

    Afterwards every module has its mode again, and every parameter and buffer its device and its
    memory layout. The values do not change.

    Args:
        network: Any network.
    """
    modes = [(module, module.training) for module in network.modules()]
    before = [(t, t.device, t.stride()) for t in _tensors(network)]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for tensor, device, stride in before:
            if tensor.device != device or tensor.stride() != stride:
                home = torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype, device=device)
                tensor.data = home.copy_(tensor.data)


def usable(network: object) -> nn.Module:
    """A user's network as the computations need it.

    Wrappers of ``torch.compile`` and of data parallelism are taken off. Of a network in half
    precision a copy in float32 is returned.

    Args:
        network: The user's network; it is not changed.

    Raises:
        UserError: If it is no network, has no values, or no parameter that is trained.
    """
    if not isinstance(network, nn.Module):
        raise UserError(
            f"the model is a {type(network).__name__}; expected the folder of a diffusers "
            "pipeline, a pipeline, or (network, scheduler) with a torch.nn.Module"
        )
    while (inner := _wrapped(network)) is not None:
        network = inner
    tensors = list(_tensors(network))
    if any(t.is_meta for t in tensors):
        raise UserError(
            "the network has weights on the meta device, which have no values; load them first, "
            "with low_cpu_mem_usage=False"
        )
    parameters = list(network.parameters())
    if not any(p.requires_grad for p in parameters):
        raise UserError(
            "no parameter of the network requires a gradient, and features are gradients of "
            "trained parameters; call network.requires_grad_(True), or on the part that was trained"
        )
    bad = next((n for n, p in network.named_parameters() if not torch.isfinite(p).all()), None)
    if bad is not None:
        raise UserError(f"the network has values in {bad} that are not finite")
    kinds = {p.dtype for p in parameters}
    if kinds <= {torch.float32} or kinds <= {torch.float64}:
        return network
    names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    say(f"the network's weights are {names}; a copy in float32 is used")
    return copy.deepcopy(network).float()


def _wrapped(network: nn.Module) -> nn.Module | None:
    """The network inside a wrapper, or None."""
    parallel = nn.DataParallel | nn.parallel.DistributedDataParallel
    if isinstance(network, parallel):
        return network.module
    return network._modules.get("_orig_mod")


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()
