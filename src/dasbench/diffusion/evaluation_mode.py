"""Use a network for a computation, and leave it as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import nn

from dasbench.errors import UserError, first_line, say


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the context: no dropout, no batch statistics, nothing compiled.

    Afterwards every module has its mode again, and every parameter and buffer the memory that it
    had, with the same device, layout and views. Tensors that modules compute from parameters, such
    as the weight of the old spectral_norm, come back as well.

    Args:
        network: Any network.
    """
    modes = [(module, module.training) for module in network.modules()]
    before = [(t, t.data) for t in _tensors(network)]
    computed = [
        (vars(module), {k: v for k, v in vars(module).items() if isinstance(v, torch.Tensor)})
        for module, _ in modes
    ]
    for module, _ in modes:
        module.training = False
    try:
        with _eager(network):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for attributes, kept in computed:
            attributes.update(kept)
        for tensor, home in before:
            if tensor.data_ptr() != home.data_ptr():
                tensor.data = home


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Without inference mode and autocast, which a caller's program may have on."""
    with ExitStack() as off:
        off.enter_context(torch.inference_mode(False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                off.enter_context(torch.autocast(kind, enabled=False))
        yield


def channels_last(network: nn.Module) -> None:
    """Store weights of convolutions with the channels last; ``evaluating`` restores them."""
    for tensor in _tensors(network):
        if tensor.ndim == 4:  # noqa: PLR2004 - the other tensors have no such layout
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _eager(network: nn.Module) -> AbstractContextManager:
    """Without compiled parts, which neither hooks nor ``torch.func`` reach."""
    compiled = (
        "_orig_mod" in m._modules or getattr(m, "_compiled_call_impl", None) is not None
        for m in network.modules()
    )
    return torch.compiler.set_stance("force_eager") if any(compiled) else nullcontext()


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
    while not isinstance(network, torch.jit.ScriptModule) and (
        (inner := _wrapped(network)) is not None
    ):
        network = inner
    tensors = list(_tensors(network))
    _check_kinds(network, tensors)
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
    try:
        copied = copy.deepcopy(network).float()
    except Exception as error:  # a network of the user raises anything
        raise UserError(
            f"the network's weights are {names}, and it cannot be copied ({first_line(error)}); "
            "give it in float32, by network.float()"
        ) from error
    say(f"the network's weights are {names}; a copy in float32 is used")
    return copied


def _check_kinds(network: nn.Module, tensors: list[torch.Tensor]) -> None:
    """Refuse networks that cannot be differentiated layer by layer, and weights without values."""
    lazy = torch.nn.parameter.UninitializedTensorMixin
    if any(isinstance(m, torch.jit.ScriptModule) for m in network.modules()):
        raise UserError(
            "the network has parts made by torch.jit, whose layers cannot be watched; give the "
            "module that was scripted or traced"
        )
    if any(isinstance(t, lazy) for t in tensors):
        raise UserError(
            "the network has lazy layers, which have no values yet; load its weights, or call it "
            "once"
        )
    for name, parameter in network.named_parameters():
        if parameter.is_complex():
            raise UserError(
                f"the network has complex numbers in {name}, expected real weights, whose "
                "gradients features can be made of"
            )
        if parameter.is_inference():
            raise UserError(
                f"{name} was made in torch.inference_mode, so that it has no gradient; load the "
                "network outside of it"
            )


def _wrapped(network: nn.Module) -> nn.Module | None:
    """The network inside a wrapper, or None."""
    parallel = nn.DataParallel | nn.parallel.DistributedDataParallel
    if isinstance(network, parallel):
        return network.module
    return network._modules.get("_orig_mod")


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()
