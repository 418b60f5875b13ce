"""The gradient of each kind of layer, as a sum of outer products over places.

The gradient of a layer is a matrix G [d_out, d_in] = sum_s delta_s x_s^T for every image and group.
delta_s is the gradient at the output at place s. x_s depends on the kind of layer:

linear        the input of a token, and a one for the bias.
convolution   the patch under the kernel, and a one for the bias; each group has its own G.
embedding     the one-hot index.
norm          (normalised input, 1) of the same channel; columns of G are scale and shift.

Each class has four methods: ``inputs`` narrows the input by a matrix A; ``product`` multiplies the
narrow input by the gradient at the output, narrowed by a matrix B; ``gradient`` is G; ``square`` is
the squared norm of G. ``wide`` is the matrix X with columns x_s, [n, g, d_in, S].

Shapes: n images, g groups, S places, d_in and d_out of one group; A [g, k_in, d_in],
B [g, k_out, d_out], blocks [n, g, k_in, k_out].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

# Up to this number of places, a product with a [places, places] matrix is faster than a convolution
# of few channels.
_FEW = 64


@dataclass
class Factors:
    """The inputs matrix of a separable convolution, see ``dasbench.gradients.kronecker.separable``.

    Attributes:
        mixes: [k_in, channels].
        kernels: [k_in, offsets].
        constants: [k_in], for the bias.
        places: (H, W) of an input with at most 64 places -> the kernels as matrices
            [k_in, S_in, S]; see ``Conv2d.filtered``.
    """

    mixes: torch.Tensor
    kernels: torch.Tensor
    constants: torch.Tensor
    places: dict[torch.Size, torch.Tensor] = field(default_factory=dict)


def mixed(mixes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Linear combinations [n, k, H, W] of the channels of x [n, c, H, W], by mixes [k, c]."""
    if x.is_contiguous():
        return (mixes @ x.flatten(2)).unflatten(2, x.shape[2:])
    return (x.permute(0, 2, 3, 1) @ mixes.T).permute(0, 3, 1, 2)


@dataclass
class Layer:
    """A module with parameters of the subset, and the *sides* d_in and d_out of its gradient.

    Attributes:
        name: Full name of the module.
        module: The module.
        groups: g; 1 except for grouped convolutions.
        d_in: Columns of G, including that of the bias.
        d_out: Rows of G.
        bias: Whether a column of G belongs to the bias, which is trained.
    """

    name: str
    module: nn.Module
    groups: int
    d_in: int
    d_out: int
    bias: bool = False

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.groups * self.d_in * self.d_out

    @property
    def limit(self) -> int | None:
        """The largest k_in that is cheap; None for no limit."""
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
        """sum_s (A x_s)(B delta_s)^T, [n, g, k_in, k_out].

        ``narrow`` is A x [n, g, k_in, S]; ``b`` is None if B is the identity.
        """
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

    def matrix(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """G [n, g, d_out, d_in] from gradients [n, ...] of the weight and of the bias."""
        g = weight.reshape(len(weight), self.groups, self.d_out, -1)
        if bias is None:
            return g
        return torch.cat([g, bias.reshape(len(bias), self.groups, self.d_out, 1)], 3)

    def square(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Squared norm of G, [n], from G or from S x S products, whichever is cheaper.

        Source: the second is the ghost norm of Goodfellow (2015), arXiv 1510.01799.
        """
        wide, delta = self.wide(x), self.outgoing(delta)
        wide, delta = wide.flatten(0, 1), delta.flatten(0, 1)
        places = wide.shape[2]
        if places * (self.d_in + self.d_out) < self.d_in * self.d_out:
            products = (wide.transpose(1, 2) @ wide) * (delta.transpose(1, 2) @ delta)
            squares = products.sum((1, 2))
        else:
            squares = torch.bmm(delta, wide.transpose(1, 2)).square().sum((1, 2))
        return squares.view(len(x), -1).sum(1)

    def _with_one(self, wide: torch.Tensor) -> torch.Tensor:
        """Append a row of ones to [n, g, d, S] if the bias of the layer is trained."""
        if not self.bias:
            return wide
        return torch.cat([wide, torch.ones_like(wide[:, :, :1])], 2)

    def _split(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A as the weight [g * k_in, ...] and the bias of a layer with a narrower output."""
        flat = a.flatten(0, 1)
        if not self.bias:
            return flat, None
        return flat[:, :-1], flat[:, -1]


class Linear(Layer):
    """y = W x + b for every token."""

    @classmethod
    def of(cls, name: str, module: nn.Linear) -> Linear:
        """Sides of the layer."""
        bias = trained(module, "bias")
        return cls(name, module, 1, module.in_features + bias, module.out_features, bias)

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
        bias = trained(module, "bias")
        d_in = math.prod(module.weight.shape[1:]) + bias
        d_out = module.out_channels // module.groups
        return cls(name, module, module.groups, d_in, d_out, bias)

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
        """Filter each of the k_in mixes y [n, k_in, H, W] with its own kernel, [n, k_in, S].

        On small images a product with a [places, places] matrix does this. Its rows are the
        responses of the kernel to images that are one at a single place and zero elsewhere.
        """
        m, k = self.module, y.shape[1]
        kernels = factors.kernels.reshape(k, 1, *m.kernel_size)
        constants = factors.constants if self.bias else None
        size = y.shape[2:]
        if size.numel() > _FEW:
            return self._convolved(y, kernels, constants, k).reshape(len(y), k, -1)
        if size not in factors.places:
            ones = torch.eye(size.numel()).to(kernels).view(-1, 1, *size)
            responses = self._convolved(ones, kernels, None, 1)
            # autocast rounds the responses; store them in the dtype of the kernels
            factors.places[size] = responses.flatten(2).transpose(0, 1).to(kernels).contiguous()
        narrow = torch.bmm(y.flatten(2).transpose(0, 1), factors.places[size]).transpose(0, 1)
        return narrow if constants is None else narrow + constants[:, None]

    def _convolved(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, groups: int
    ) -> torch.Tensor:
        """The convolution of the layer, with other weights."""
        m, padding = self.module, self.module.padding
        if m.padding_mode != "zeros":
            x, padding = self._padded(x), 0
        return functional.conv2d(x, weight, bias, m.stride, padding, m.dilation, groups)

    @property
    def _pointwise(self) -> bool:
        """Whether each place of the output depends on one place of the input."""
        m = self.module
        return math.prod(m.kernel_size) == math.prod(m.stride) == 1 and m.padding in (
            "same",
            "valid",
            (0, 0),
        )

    @property
    def limit(self) -> int | None:
        """The channels, up to which A can be separable; at least 16, which cost as much as 1."""
        return max(16, self.module.in_channels // self.groups)

    def separable(self, k_in: int) -> bool:
        """Whether factors save work: the kernel has several pixels, and k_in <= channels."""
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

    def matrix(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """G [n, 1, d_out, d_in] from gradients [n, indices, d_out] of the table."""
        return weight.transpose(1, 2)[:, None]

    def _counts(self, x: torch.Tensor) -> torch.Tensor:
        """False for the padding index, which is never trained, else true; [n, 1, S, 1]."""
        padding = -1 if self.module.padding_idx is None else self.module.padding_idx
        return (x != padding).reshape(len(x), 1, -1, 1)


class Norm(Layer):
    """Scale and shift of a group or layer norm: G is [channels, 2], or 1 column without shift."""

    @classmethod
    def of(cls, name: str, module: nn.GroupNorm | nn.LayerNorm) -> Norm:
        """Sides of the layer."""
        bias = trained(module, "bias")
        return cls(name, module, 1, 1 + bias, module.weight.numel(), bias)

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """The normalised input, in the shape of x; A is applied in ``product``."""
        m = self.module
        if isinstance(m, nn.GroupNorm):
            return functional.group_norm(x, m.num_groups, eps=m.eps)
        return functional.layer_norm(x, m.normalized_shape, eps=m.eps)

    def product(
        self, narrow: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor | None
    ) -> torch.Tensor:
        """A G^T B^T, [n, 1, k_in, k_out]."""
        block = (a[0] @ self._transposed(narrow, delta))[:, None]
        return block if b is None else block @ b.transpose(1, 2)

    def gradient(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """G, [n, 1, channels, 2 or 1]."""
        return self._transposed(self.inputs(x, None), delta).transpose(1, 2)[:, None]

    def matrix(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """G [n, 1, channels, 2 or 1] from gradients of scale and shift."""
        columns = [part.flatten(1) for part in (weight, bias) if part is not None]
        return torch.stack(columns, 2)[:, None]

    def square(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Squared norm of G, [n]."""
        return self._transposed(self.inputs(x, None), delta).square().sum((1, 2))

    def _transposed(self, normalised: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """G^T, [n, 2 or 1, channels]."""
        columns = [delta * normalised] + [delta] * (self.d_in - 1)
        if isinstance(self.module, nn.GroupNorm):
            return torch.stack([c.reshape(*c.shape[:2], -1).sum(2) for c in columns], 1)
        return torch.stack([c.reshape(len(c), -1, self.d_out).sum(1) for c in columns], 1)


class RmsNorm(Norm):
    """Scale, and shift if there is one, of a norm that divides by the root of the mean square."""

    def inputs(
        self, x: torch.Tensor, a: torch.Tensor, factors: Factors | None = None
    ) -> torch.Tensor:
        """The input divided by its root mean square over the axes of the weight."""
        m = self.module
        # the RMSNorm of diffusers takes the mean over the last axis
        axes = tuple(range(-m.weight.ndim, 0)) if isinstance(m, nn.RMSNorm) else (-1,)
        eps = torch.finfo(x.dtype).eps if m.eps is None else m.eps
        return x * (x.square().mean(axes, keepdim=True) + eps).rsqrt()


def trained(module: nn.Module, part: str) -> bool:
    """Whether the weight or the bias of a layer exists and requires a gradient."""
    parameter = module._parameters.get(part)
    return parameter is not None and parameter.requires_grad
