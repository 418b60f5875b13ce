"""What the gradient of each kind of layer is made of: sums of outer products over places.

A layer's gradient is a matrix G [d_out, d_in] = sum_s delta_s x_s^T for every image and group:

linear        x_s a token's input and a one for the bias.
convolution   x_s the patch under the kernel and a one; a group is a layer of its own.
embedding     x_s the one-hot index.
norm          x_s = (normalised input, 1) of the same channel: columns of G are scale and shift.

Each class says how to narrow its input by a matrix A (``inputs``), how to contract that with the
gradient at its output and a matrix B (``product``), G itself (``gradient``) and its squared norm
(``square``).
Shapes: n images, g groups, S places, d_in and d_out of one group; A [g, k_in, d_in],
B [g, k_out, d_out], blocks [n, g, k_in, k_out].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from dasbench.errors import UserError

SUBSETS = ("all", "weights", "up_blocks", "attention", "lora")
# places up to which a product with a matrix of all their pairs beats a convolution of few channels
_FEW = 64
_PARTS = {"up_blocks": ("up_blocks.",), "attention": ("attn", "attention"), "lora": ("lora_",)}


def members(network: nn.Module, parameters: str) -> dict[str, list[str]]:
    """Full names of the parameters of a subset, by the name of the module that owns them.

    Args:
        network: Any network.
        parameters: "all"; "weights" (all but the scales and shifts of norm layers); "up_blocks"
            (the decoder half); "attention"; "lora".

    Raises:
        ValueError: If the subset is unknown.
        UserError: If it is empty.
    """
    if parameters not in SUBSETS:
        raise ValueError(f"parameters must be one of {', '.join(SUBSETS)}, got {parameters!r}")
    parts = _PARTS.get(parameters, ("",))
    found: dict[str, list[str]] = {}
    for name, module in network.named_modules():
        if parameters == "weights" and type(module).__name__.endswith("Norm"):
            continue
        own = [full for full, _ in module.named_parameters(name, recurse=False)]
        mine = [full for full in own if any(part in full for part in parts)]
        if mine:
            found[name] = mine
    if not found:
        raise UserError(
            f"parameters: {parameters} leaves none of the {type(network).__name__}'s parameters; "
            f"choose another of {', '.join(SUBSETS)}"
        )
    return found


@dataclass
class Factors:
    """The inputs matrix of a separable convolution, see ``dasbench.gradients.kronecker.separable``.

    Attributes:
        mixes: [k_in, channels].
        kernels: [k_in, offsets].
        constants: [k_in], for the bias.
        places: The kernels as matrices [k_in, S_in, S], by the size [H, W] of inputs of at most 64
            places; see ``Conv2d.filtered``.
    """

    mixes: torch.Tensor
    kernels: torch.Tensor
    constants: torch.Tensor
    places: dict[torch.Size, torch.Tensor] = field(default_factory=dict)


def mixed(mixes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Linear combinations [n, k, H, W] of the channels of x [n, c, H, W]; mixes [k, c]."""
    if x.is_contiguous():
        return (mixes @ x.flatten(2)).unflatten(2, x.shape[2:])
    return (x.permute(0, 2, 3, 1) @ mixes.T).permute(0, 3, 1, 2)


@dataclass
class Layer:
    """A module whose parameters count, and the sides of its gradient.

    Attributes:
        name: Full name of the module.
        module: The module.
        groups: g, 1 except for grouped convolutions.
        d_in: Columns of G; with the bias's.
        d_out: Rows of G.
    """

    name: str
    module: nn.Module
    groups: int
    d_in: int
    d_out: int

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.groups * self.d_in * self.d_out

    @property
    def limit(self) -> int | None:
        """The largest k_in that is cheap, if there is one."""
        return None

    def separable(self, k_in: int) -> bool:
        """Whether the inputs matrix should be a product of factors."""
        return False

    def outgoing(self, delta: torch.Tensor) -> torch.Tensor:
        """The gradient at the output, [n, g, d_out, S]."""
        return delta.reshape(len(delta), -1, 1, self.d_out).transpose(1, 3).transpose(1, 2)

    def product(
        self, narrow: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor | None
    ) -> torch.Tensor:
        """sum_s (A x_s)(B delta_s)^T, [n, g, k_in, k_out]; A x [n, g, k_in, S]; B may be None."""
        delta = self.outgoing(delta)
        n, g, k_in, places = narrow.shape
        if places == 1:
            return narrow * (delta if b is None else b @ delta).transpose(2, 3)
        flat = torch.bmm(narrow.flatten(0, 1), delta.flatten(0, 1).transpose(1, 2))
        if b is not None and g == 1:  # one product for the whole batch
            return (flat @ b[0].T)[:, None]
        whole = flat.view(n, g, k_in, -1)
        return whole if b is None else whole @ b.transpose(1, 2)

    def gradient(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """G = sum_s delta_s x_s^T, [n, g, d_out, d_in]."""
        return self.outgoing(delta) @ self.wide(x).transpose(2, 3)

    def square(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Squared norm of G, [n], by the cheaper of two ways: G itself, or S x S products.

        Source: the second is the ghost norm of Goodfellow (2015), arXiv 1510.01799.
        """
        wide, delta = self.wide(x), self.outgoing(delta)
        wide, delta = wide.flatten(0, 1), delta.flatten(0, 1)
        places = wide.shape[2]
        if places * (self.d_in + self.d_out) < self.d_in * self.d_out:
            products = (wide.transpose(1, 2) @ wide) * (delta.transpose(1, 2) @ delta)
            found = products.sum((1, 2))
        else:
            found = torch.bmm(delta, wide.transpose(1, 2)).square().sum((1, 2))
        return found.view(len(x), -1).sum(1)

    def _with_one(self, wide: torch.Tensor) -> torch.Tensor:
        """[n, g, d, S] with a row of ones below, if the layer has a bias."""
        if self.module.bias is None:
            return wide
        return torch.cat([wide, torch.ones_like(wide[:, :, :1])], 2)

    def _split(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A as the weight [g * k_in, ...] and bias of a layer with narrower output."""
        flat = a.flatten(0, 1)
        if self.module.bias is None:
            return flat, None
        return flat[:, :-1], flat[:, -1]


class Linear(Layer):
    """y = W x + b for every token."""

    @classmethod
    def of(cls, name: str, module: nn.Linear) -> Linear:
        """Sides of the layer."""
        return cls(
            name, module, 1, module.in_features + (module.bias is not None), module.out_features
        )

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """A x, [n, 1, k_in, S]."""
        narrow = functional.linear(x, *self._split(a))
        return narrow.reshape(len(x), 1, -1, a.shape[1]).transpose(2, 3)

    def wide(self, x: torch.Tensor) -> torch.Tensor:
        """X, [n, 1, d_in, S]."""
        tokens = x.reshape(len(x), 1, -1, self.module.in_features)
        return self._with_one(tokens.transpose(2, 3))


class Conv2d(Layer):
    """A convolution is a linear layer on patches."""

    @classmethod
    def of(cls, name: str, module: nn.Conv2d) -> Conv2d:
        """Sides of one group."""
        d_in = math.prod(module.weight.shape[1:]) + (module.bias is not None)
        return cls(name, module, module.groups, d_in, module.out_channels // module.groups)

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """A x by a convolution with g * k_in output channels, [n, g, k_in, S]."""
        m = self.module
        if factors is not None:
            return self.filtered(mixed(factors.mixes, x), factors)[:, None]
        weight, bias = self._split(a)
        if m.groups == 1 and self._pointwise:
            narrow = mixed(weight, x)
            narrow = narrow if bias is None else narrow + bias[:, None, None]
            return narrow.reshape(len(x), 1, a.shape[1], -1)
        narrow = self._convolved(x, weight.reshape(-1, *m.weight.shape[1:]), bias, m.groups)
        return narrow.reshape(len(x), m.groups, a.shape[1], -1)

    def filtered(self, y: torch.Tensor, factors: Factors) -> torch.Tensor:
        """Each of the k_in mixes y [n, k_in, H, W] under its own kernel, [n, k_in, S].

        On small images by one product with a matrix from places to places, the kernel's response to
        an image of a single one at each place.
        """
        m, k = self.module, y.shape[1]
        kernels = factors.kernels.reshape(k, 1, *m.kernel_size)
        constants = None if m.bias is None else factors.constants
        size = y.shape[2:]
        if size.numel() > _FEW:
            return self._convolved(y, kernels, constants, k).reshape(len(y), k, -1)
        if size not in factors.places:
            ones = torch.eye(size.numel()).to(kernels).view(-1, 1, *size)
            responses = self._convolved(ones, kernels, None, 1)
            # under autocast they are rounded, what is kept is not
            factors.places[size] = responses.flatten(2).transpose(0, 1).to(kernels).contiguous()
        narrow = torch.bmm(y.flatten(2).transpose(0, 1), factors.places[size]).transpose(0, 1)
        return narrow if constants is None else narrow + constants[:, None]

    def _convolved(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, groups: int
    ) -> torch.Tensor:
        """The layer's own operation with other weights."""
        m, padding = self.module, self.module.padding
        if m.padding_mode != "zeros":
            x, padding = self._padded(x), 0
        return functional.conv2d(x, weight, bias, m.stride, padding, m.dilation, groups)

    @property
    def _pointwise(self) -> bool:
        """Whether every place sees itself alone."""
        m = self.module
        return math.prod(m.kernel_size) == math.prod(m.stride) == 1 and m.padding in (
            "same",
            "valid",
            (0, 0),
        )

    @property
    def limit(self) -> int | None:
        """As many as channels, which can be separable; up to 16 cost as much as one."""
        return max(16, self.module.in_channels // self.groups)

    def separable(self, k_in: int) -> bool:
        """Where it saves work: a kernel of several pixels, narrowed to its channels or fewer."""
        m = self.module
        return m.groups == 1 and math.prod(m.kernel_size) > 1 and k_in <= m.in_channels

    def outgoing(self, delta: torch.Tensor) -> torch.Tensor:
        """The gradient at the output, [n, g, d_out, S]."""
        return delta.reshape(len(delta), self.groups, self.d_out, -1)

    def wide(self, x: torch.Tensor) -> torch.Tensor:
        """Patches, [n, g, d_in, S]."""
        m = self.module
        patches = functional.unfold(self._padded(x), m.kernel_size, m.dilation, 0, m.stride)
        return self._with_one(patches.view(len(x), m.groups, -1, patches.shape[-1]))

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        m = self.module
        mode = "constant" if m.padding_mode == "zeros" else m.padding_mode
        return functional.pad(x, m._reversed_padding_repeated_twice, mode=mode)


class Embedding(Layer):
    """A linear layer on one-hot vectors: the classes of a class-conditional model."""

    @classmethod
    def of(cls, name: str, module: nn.Embedding) -> Embedding:
        """Sides of the table."""
        return cls(name, module, 1, module.num_embeddings, module.embedding_dim)

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """Columns of A, [n, 1, k_in, S]."""
        return (a[0].T[x.reshape(len(x), 1, -1)] * self._counts(x).to(a)).transpose(2, 3)

    def wide(self, x: torch.Tensor) -> torch.Tensor:
        """One-hot vectors, [n, 1, d_in, S]."""
        one_hot = functional.one_hot(x.reshape(len(x), 1, -1), self.d_in) * self._counts(x)
        return one_hot.transpose(2, 3).to(self.module.weight.dtype)

    def _counts(self, x: torch.Tensor) -> torch.Tensor:
        """[n, 1, S, 1]: false for the padding index, which is never trained."""
        padding = -1 if self.module.padding_idx is None else self.module.padding_idx
        return (x != padding).reshape(len(x), 1, -1, 1)


class Norm(Layer):
    """Scale and shift of a group or layer norm: G is [channels, 2] (or 1 without shift)."""

    @classmethod
    def of(cls, name: str, module: nn.GroupNorm | nn.LayerNorm) -> Norm:
        """Sides of the layer."""
        return cls(name, module, 1, 1 + (module.bias is not None), module.weight.numel())

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """The normalised input, in the shape of x: it differs between channels."""
        m = self.module
        if isinstance(m, nn.GroupNorm):
            return functional.group_norm(x, m.num_groups, eps=m.eps)
        return functional.layer_norm(x, m.normalized_shape, eps=m.eps)

    def product(
        self, narrow: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor | None
    ) -> torch.Tensor:
        """A G^T B^T, [n, 1, k_in, k_out]."""
        found = (a[0] @ self._transposed(narrow, delta))[:, None]
        return found if b is None else found @ b.transpose(1, 2)

    def gradient(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """G, [n, 1, channels, 2 or 1]."""
        return self._transposed(self.inputs(x, None), delta).transpose(1, 2)[:, None]

    def square(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Squared norm of G, [n]."""
        return self._transposed(self.inputs(x, None), delta).square().sum((1, 2))

    def _transposed(self, normalised: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """G^T, [n, 2 or 1, channels]."""
        columns = [delta * normalised] + [delta] * (self.d_in - 1)
        if isinstance(self.module, nn.GroupNorm):
            return torch.stack([c.reshape(*c.shape[:2], -1).sum(2) for c in columns], 1)
        return torch.stack([c.reshape(len(c), -1, self.d_out).sum(1) for c in columns], 1)


RULES = {
    nn.Linear: Linear,
    nn.Conv2d: Conv2d,
    nn.Embedding: Embedding,
    nn.GroupNorm: Norm,
    nn.LayerNorm: Norm,
}


def select(network: nn.Module, parameters: str) -> list[Layer]:
    """The layers that own the parameters of a subset, in the network's order.

    Args:
        network: Any network of linear, convolution, embedding and norm layers.
        parameters: One of ``SUBSETS``.

    Raises:
        UserError: If the subset is empty, or a parameter belongs to another kind of layer.
    """
    found, owners = [], {}
    for name, own in members(network, parameters).items():
        module = network.get_submodule(name)
        for full in own:
            first = owners.setdefault(id(network.get_parameter(full)), full)
            if first != full:
                raise UserError(
                    f"{full} is the same parameter as {first}; features need one owner for "
                    "each, so give the layers weights of their own"
                )
        rule = next((rule for kind, rule in RULES.items() if isinstance(module, kind)), None)
        if rule is None:
            raise UserError(
                f"projection: kronecker has no rule for {own[0]} of a {type(module).__name__}; "
                "use projection: rademacher, or parameters that leave it out"
            )
        found.append(rule.of(name, module))
    return found
