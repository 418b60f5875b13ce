"""Choose the layers whose gradients are features, and refuse those whose gradient has no rule."""

from __future__ import annotations

from diffusers.models.normalization import FP32LayerNorm, RMSNorm
from torch import nn
from torch.nn.modules.batchnorm import _NormBase  # of batch and instance norms

from dasbench.errors import UserError
from dasbench.gradients import layers
from dasbench.gradients.layers import Layer, trained

FEATURES_ADVICE = "use projection: rademacher, or parameters that leave it out"
CURVATURE_ADVICE = "choose parameters that leave it out, or leave out the method"
SUBSETS = ("all", "weights", "up_blocks", "attention", "lora")
_PARTS = {"up_blocks": ("up_blocks.",), "attention": ("attn", "attention"), "lora": ("lora_",)}


class LayerError(UserError):
    """A layer whose gradient the rules do not give.

    Attributes:
        fault: The sentence without its end.
        advice: The end: what to do. A command with other options replaces it.
    """

    def __init__(self, fault: str, advice: str):
        """Join both to a sentence."""
        super().__init__(f"{fault}; {advice}")
        self.fault, self.advice = fault, advice


def members(network: nn.Module, parameters: str) -> dict[str, list[str]]:
    """Full names of the trained parameters of a subset, grouped by the name of their module.

    A parameter is trained if it requires a gradient. Others, such as random frequencies of a time
    embedding, are no features; nor are buffers.

    Args:
        network: Any network.
        parameters: "all"; "weights" (all but the scales and shifts of norm layers, and what
            ``left_out`` lists); "up_blocks" (the decoder half); "attention"; "lora".

    Returns:
        module's name -> full names of its parameters.

    Raises:
        ValueError: If the subset is unknown.
        UserError: If it is empty.
    """
    if parameters not in SUBSETS:
        raise ValueError(f"parameters must be one of {', '.join(SUBSETS)}, got {parameters!r}")
    parts = _PARTS.get(parameters, ("",))
    subset: dict[str, list[str]] = {}
    for name, module in network.named_modules():
        if parameters == "weights" and (_is_norm(module) or _without_rule(name, module)):
            continue
        own = module.named_parameters(name, recurse=False)
        names = [full for full, parameter in own if parameter.requires_grad]
        names = [full for full in names if any(part in full for part in parts)]
        if names:
            subset[name] = names
    if not subset:
        raise UserError(
            f"parameters: {parameters} leaves none of the {type(network).__name__}'s parameters "
            f"that require a gradient; choose another of {', '.join(SUBSETS)}"
        )
    return subset


def trained_parameters(network: nn.Module, parameters: str) -> dict[str, nn.Parameter]:
    """The trained parameters of a subset by name; one that layers share counts once."""
    names = [name for part in members(network, parameters).values() for name in part]
    kept = {id(_parameter(network, name)) for name in names}
    return {name: p for name, p in network.named_parameters() if id(p) in kept}


def left_out(network: nn.Module, parameters: str) -> list[str]:
    """Trained parameters that the subset "weights" leaves out because no rule gives their gradient.

    They are bare tables, which a network adds or multiplies without a layer (``scale_shift_table``,
    a learned ``pos_embed``), and three-dimensional convolutions. All other subsets have none.
    """
    if parameters != "weights":
        return []
    return [
        full
        for name, module in network.named_modules()
        if _without_rule(name, module)
        for full, parameter in module.named_parameters(name, recurse=False)
        if parameter.requires_grad
    ]


def _without_rule(name: str, module: nn.Module) -> bool:
    """Whether "weights" leaves out a module's own parameters, see ``left_out``."""
    if isinstance(module, nn.Conv3d):
        return True
    own = set(module._parameters)
    bare = not any(isinstance(module, kind) for kind in RULES) and not own & {"weight", "bias"}
    return bare and bool(own) and ".parametrizations." not in f".{name}."


def _parameter(network: nn.Module, full: str) -> nn.Parameter:
    """A parameter by its full name, even if a property of its module hides it."""
    module, _, part = full.rpartition(".")
    return network.get_submodule(module)._parameters[part]


def _is_norm(module: nn.Module) -> bool:
    """Whether a module's parameters are scales and shifts."""
    if isinstance(module, nn.GroupNorm | nn.LayerNorm | _NormBase):
        return True
    # a convolution or linear layer that normalises its output is no norm
    vectors = all(
        max(p.shape, default=1) == p.numel() for p in module._parameters.values() if p is not None
    )
    return type(module).__name__.endswith("Norm") and vectors


RULES = {
    nn.Linear: layers.Linear,
    nn.Conv2d: layers.Conv2d,
    nn.Embedding: layers.Embedding,
    nn.GroupNorm: layers.Norm,
    FP32LayerNorm: layers.Norm,  # before its base class, whose forward it replaces
    nn.LayerNorm: layers.Norm,
    RMSNorm: layers.RmsNorm,
    nn.RMSNorm: layers.RmsNorm,
}
# methods of a layer that say what it computes
_COMPUTING = ("forward", "_conv_forward", "__call__", "_call_impl", "__getattr__")


def select(network: nn.Module, parameters: str, advice: str = FEATURES_ADVICE) -> list[Layer]:
    """The layers with trained parameters of a subset, in the order of the network.

    A rule knows what a layer of torch computes. So a layer has a rule only if it computes what its
    base class does, from its own weight and bias. What a rule cannot see, such as a weight that
    another function uses as well, ``dasbench.gradients.guard`` finds when the network runs.

    Args:
        network: Any network of linear, convolution, embedding and norm layers.
        parameters: One of ``SUBSETS``.
        advice: End of an error's sentence.

    Raises:
        UserError: If the subset is empty.
        LayerError: If a parameter belongs to another kind of layer, or two layers share a
            parameter.
    """
    selected, owners = [], _owners(network)
    for name, names in members(network, parameters).items():
        module = network.get_submodule(name)
        for full in names:
            first, *others = owners[id(_parameter(network, full))]
            if others:
                raise LayerError(
                    f"{others[0]} is the same parameter as {first}, and the rules of projection: "
                    "kronecker need one layer for each",
                    advice,
                )
        base = next((kind for kind in RULES if isinstance(module, kind)), None)
        if fault := _fault(name, module, names, base):
            raise LayerError(f"projection: kronecker has no rule for {fault}", advice)
        selected.append(RULES[base].of(name, module))
    return selected


def _owners(network: nn.Module) -> dict[int, list[str]]:
    """Full names of each parameter, by its identity; several if layers share it."""
    owners: dict[int, list[str]] = {}
    for name, module in network.named_modules():
        for part, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(f"{name}.{part}".lstrip("."))
    return owners


def _fault(  # noqa: PLR0911 - one return for each reason
    name: str, module: nn.Module, names: list[str], base: type[nn.Module] | None
) -> str | None:
    """Why a layer has no rule: the name of a parameter, and the reason; None if it has one."""
    kind = type(module).__name__
    layer, parametrised, _ = names[0].partition(".parametrizations.")
    if parametrised or hasattr(module, "parametrizations"):
        return f"{names[0]}, because {layer if parametrised else name} is parametrised"
    if base is None:
        return f"{names[0]} of a {kind}"
    for method in _COMPUTING:
        if getattr(type(module), method, None) is not getattr(base, method, None):
            return f"{names[0]} of a {kind}, whose {method} is not that of {base.__name__}"
        if method in vars(module):
            return f"{names[0]}, because the {method} of its {kind} was replaced"
    for part, parameter in module._parameters.items():
        if part not in ("weight", "bias") and parameter is not None:
            return f"{name}.{part} of a {kind}, a parameter that {base.__name__} does not have"
    for part in ("weight", "bias"):
        if getattr(module, part, None) is not module._parameters.get(part):
            return f"{names[0]} of a {kind}, whose {part} is computed from other parameters"
    if not trained(module, "weight"):
        return f"{names[0]} without the weight of {name}, which is not trained"
    if isinstance(module, nn.Embedding) and (module.max_norm or module.scale_grad_by_freq):
        return f"{names[0]} of an Embedding with max_norm or scale_grad_by_freq"
    return None
