"""Projected gradients of a network, without its per-sample gradients.

The gradient of one example with respect to the weight of a layer is G = sum_s delta_s x_s^T, a sum
of outer products over places s (pixels, tokens). x_s is the input of the layer at s, and delta_s is
the gradient of the readout at the output of the layer. The projection of both sides is
A G^T B^T = sum_s (A x_s)(B delta_s)^T. It needs neither G nor a weight gradient: A x is a second,
narrower pass of the input through the layer, and a backward pass to the activations gives delta.

Vocabulary:

* *inputs* matrix A [k_in, d_in], *outputs* matrix B [k_out, d_out]. Both have random orthogonal
  rows, scaled so that E[A^T A] = I. A side that is not narrowed has the identity.
* *block* of a layer: A G^T B^T, flattened to k_in * k_out numbers.
* G [d_out, d_in]: the gradient of the weight, flattened from its second axis. The last column is
  the gradient of the bias, if there is one, whose input is always one.

Shapes: n images in a batch, P features, S places.

Source: the two-sided projection is that of LoGra (Choe et al., 2024, arXiv 2405.13954).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dasbench import seeds
from dasbench.diffusion import denoiser
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, say
from dasbench.gradients import guard, hooks, layers, selection


@dataclass
class Block:
    """One layer's part of the features.

    Attributes:
        name: Name of the module.
        inputs: A [g, k_in, d_in], one matrix for each group.
        factors: Factors of A for a separable convolution, see ``separable``; otherwise None.
        outputs: B [g, k_out, d_out]; None for the identity.
        columns: Columns of the block A G^T B^T [g, k_in, k_out], flattened, among all blocks.
    """

    name: str
    inputs: torch.Tensor
    factors: layers.Factors | None
    outputs: torch.Tensor | None
    columns: slice


def budget(sizes: Sequence[int], dimensions: int) -> list[float]:
    """Spread P dimensions over layers in proportion to the square roots of their sizes.

    A layer never gets more than its size. The same rule spreads the rest over the other layers.

    Args:
        sizes: Number of parameters of each layer.
        dimensions: P.

    Returns:
        Dimensions of each layer, not rounded; their sum is min(P, sum of sizes).
    """
    sizes = np.asarray(sizes, np.float64)
    shares, free, left = np.zeros(len(sizes)), np.ones(len(sizes), bool), float(dimensions)
    while free.any():
        fair = left * np.sqrt(sizes) * free / np.sqrt(sizes[free]).sum()
        full = free & (fair >= sizes)
        if not full.any():
            shares[free] = fair[free]
            break
        shares[full] = sizes[full]
        left, free = left - sizes[full].sum(), free & ~full
    return shares.tolist()


def sides(share: int, d_in: int, d_out: int, limit: int | None = None) -> tuple[int, int]:
    """Find (k_in, k_out) with k_in * k_out <= share that disturb inner products least.

    A projection of d numbers to k by orthogonal rows gives the squared length the relative variance
    v = 2 (d - k) / (k (d + 2)). The error of the two sides together is (1 + v_in)(1 + v_out).
    The outputs keep all d_out numbers if this error is then at most a tenth larger, which saves a
    product. k_in is at most ``limit``, unless share > limit * d_out.

    Args:
        share: Numbers for one group of the layer.
        d_in: Columns of G.
        d_out: Rows of G.
        limit: Largest k_in that is cheap, see ``layers.Layer.limit``; None for no limit.
    """

    def variance(k: int, d: int) -> float:
        return 2 * (d - k) / (k * (d + 2))

    def both(k: tuple[int, int]) -> float:
        return (1 + variance(k[0], d_in)) * (1 + variance(k[1], d_out))

    most = d_in if limit is None or share > limit * d_out else min(limit, d_in)
    pairs = [(min(most, share // k_out), k_out) for k_out in range(1, min(d_out, share) + 1)]
    best = min(pairs, key=both)
    return pairs[-1] if pairs[-1][1] == d_out and both(pairs[-1]) < 1.1 * both(best) else best


def rows(axes: Sequence[str | int], k: int, d: int) -> np.ndarray:
    """A random [k, d] matrix with orthogonal rows of squared length d / k; the identity if k = d.

    Source: the QR decomposition of a Gaussian matrix is uniform over orthogonal frames.
    """
    if k == d:
        return np.eye(d)
    q, _ = np.linalg.qr(seeds.generator(*axes, k, d).standard_normal((d, k)))
    return q.T * (d / k) ** 0.5


def separable(
    axes: Sequence[str | int], k: int, channels: int, offsets: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A convolution's inputs matrix whose rows are products of a channel mix and a kernel.

    It mixes the channels at every pixel, and filters each of the k mixes with its own kernel. That
    takes channels + offsets multiplications; a full convolution takes channels * offsets.

    Args:
        axes: Seed axes.
        k: k_in, at most the number of channels.
        channels: Input channels.
        offsets: Number of pixels under the kernel.

    Returns:
        mixes [k, channels] with orthogonal rows; kernels [k, offsets] and constants [k] (for the
        bias) with random signs. Row j of A is (mixes[j] x kernels[j], constants[j]). The scale is
        such that E[A^T A] = I.
    """
    signs = seeds.generator(*axes, "signs", k, offsets).integers(0, 2, (k, offsets + 1)) * 2.0 - 1
    return rows((*axes, "channels"), k, channels), signs[:, :-1], signs[:, -1] / k**0.5


class Kronecker:
    """The two-sided projection of a network's gradients.

    All blocks together have P numbers, or ``oversampling`` times as many. A call folds oversampled
    blocks to P numbers: each feature is the sum of some numbers, drawn without replacement and with
    random signs. The caller first averages the blocks over timesteps, so that
    each image is folded once. The fold disturbs inner products less than narrow sides do.
    Oversampling is therefore closer to a dense projection, and slower.

    Args:
        unet: A denoiser in evaluation mode.
        parameters: One of ``dasbench.gradients.selection.SUBSETS``.
        dimensions: P.
        axes: Seed axes; stream "projection".
        exact_norms: Also compute the norms of the unprojected gradients.
        oversampling: Numbers in the blocks for each feature.

    Attributes:
        blocks: The blocks, in the order of the features.
        dimensions: P. It is smaller than the argument if the network has fewer parameters. With
            oversampling 1, rounding to whole rows and columns leaves it about a percent smaller.
        width: Numbers in all blocks together.
        squares: After ``gradients`` with exact_norms: [readouts, n] squared norms.

    Raises:
        UserError: If a parameter belongs to a layer without a rule, or P is too small.
    """

    def __init__(
        self,
        unet: nn.Module,
        parameters: str,
        dimensions: int,
        axes: Sequence[str | int],
        exact_norms: bool = False,
        oversampling: int = 1,
    ):
        """Compute the sides of every layer and draw the matrices."""
        self.unet, self.parameters = unet, parameters
        self.exact = exact_norms
        self.layers = selection.select(unet, parameters)
        self.blocks: dict[str, Block] = {}
        shares = budget([layer.size for layer in self.layers], oversampling * dimensions)
        roots = [layer.size**0.5 for layer in self.layers]
        neediest = max(e.groups / root for e, root in zip(self.layers, roots, strict=True))
        least = math.ceil(neediest * sum(roots) / oversampling)
        start, carried = 0, 0.0
        for layer, share in zip(self.layers, shares, strict=True):
            part = int((share + carried + 1e-9) / layer.groups)
            if part < 1:
                raise UserError(
                    f"features: dimensions is {dimensions}, too few for {layer.name}; give at "
                    f"least {least}, or parameters that leave it out"
                )
            k_in, k_out = sides(part, layer.d_in, layer.d_out, layer.limit)
            width = layer.groups * k_in * k_out
            carried += share - width
            stream = (*axes, "projection", "kronecker", layer.name)
            columns = slice(start, start := start + width)
            inputs, factors = self._inputs((*stream, "inputs"), layer, k_in)
            outputs = None
            if k_out < layer.d_out:
                outputs = self._matrices((*stream, "outputs"), layer, k_out, layer.d_out)
            self.blocks[layer.name] = Block(layer.name, inputs, factors, outputs, columns)
        self.width, self.dimensions = start, min(start, dimensions)
        terms = -(-self.width // self.dimensions)
        rng = seeds.generator(*axes, "projection", "kronecker", "fold", self.width, self.dimensions)
        order = rng.permutation(terms * self.dimensions)
        signs = rng.integers(0, 2, len(order)) * 2.0 - 1
        signs[order >= self.width] = 0  # if width is no multiple of P, the fold has spare places
        like = self.layers[0].module.weight
        self._order = torch.from_numpy(np.minimum(order, self.width - 1)).to(like.device)
        self._signs = torch.from_numpy(signs).to(like)

    def __call__(self, blocks: torch.Tensor) -> torch.Tensor:
        """Fold all blocks, side by side in [n, width], to features [n, P]."""
        if self.width == self.dimensions:
            return blocks
        signed = blocks[:, self._order] * self._signs
        return signed.view(len(blocks), self.dimensions, -1).sum(2)

    def gradients(
        self,
        x_t: torch.Tensor,
        t: torch.Tensor,
        wanted: torch.Tensor,
        readouts: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]],
        condition: Condition | None = None,
    ) -> list[torch.Tensor]:
        """Projected gradients of several readouts, from one forward pass.

        Args:
            x_t: [n, C, H, W] noised images.
            t: [n] timesteps.
            wanted: [n, C, H, W] training targets.
            readouts: Functions of (wanted, predicted), both [n, C, H, W], to [n].
            condition: Condition of the n images, or None.

        Returns:
            [n, width] for each readout: all blocks, side by side.

        Raises:
            UserError: If a layer cannot be watched, see ``dasbench.gradients.hooks``.
        """
        n = len(x_t)
        self.squares, projected = [], []
        with hooks.watch(self.unet, self.layers, n, self._kept, self._product) as watched:
            predicted = denoiser.predict(self.unet, x_t, t, condition)
            for k, readout in enumerate(readouts):
                self._square, self._several = x_t.new_zeros(n), {}
                value = readout(wanted, predicted).sum()
                sums = watched.backward(value, again=k + 1 < len(readouts))
                projected.append(self._joined(sums, x_t))
                for g in self._several.values():
                    self._square += g.flatten(1).square().sum(1)
                self.squares.append(self._square)
        return projected

    def check(
        self, process: Process, shape: Sequence[int], condition: Condition | None = None
    ) -> None:
        """Stop if the rules do not give this network's gradients, see ``dasbench.gradients.guard``.

        Args:
            process: The process of the network.
            shape: (C, H, W) of its inputs.
            condition: Conditions of some images of the data, or None.
        """
        exact, self.exact = self.exact, False  # the guard compares the norms of layers itself
        try:
            guard.check(self.unet, self.layers, process, shape, condition, self._errors, exact)
        finally:
            self.exact = exact
        if names := selection.left_out(self.unet, self.parameters):
            share = guard.share(self.unet, names, process, shape, condition)
            say(
                f"parameters: {self.parameters} leaves out {names[0]} and {len(names) - 1} other "
                f"tables and Conv3d, which hold {share:.2%} of the squared length of the gradient"
            )

    def _errors(self, batch: guard.Batch, truth: guard.Matrices) -> dict[str, torch.Tensor]:
        """Length of (block - A G^T B^T) for each layer, [2], with G of autograd."""
        found = self.gradients(
            batch.x_t,
            batch.time,
            batch.target,
            [lambda target, out: (target - out).square().flatten(1).mean(1)],
            batch.condition,
        )[0]
        errors = {}
        for name, block in self.blocks.items():
            expected = block.inputs @ truth[name].transpose(2, 3)
            if block.outputs is not None:
                expected = expected @ block.outputs.transpose(1, 2)
            errors[name] = (found[:, block.columns] - expected.flatten(1)).norm(dim=1)
        return errors

    def _joined(self, sums: dict[str, torch.Tensor], x_t: torch.Tensor) -> torch.Tensor:
        """All blocks, side by side in [n, width]; zero for layers that the readout ignores."""
        zeros = {
            name: x_t.new_zeros(len(x_t), block.columns.stop - block.columns.start)
            for name, block in self.blocks.items()
            if name not in sums
        }
        return torch.cat([(sums | zeros)[name] for name in self.blocks], 1)

    def _inputs(
        self, axes: Sequence[str | int], layer: layers.Layer, k: int
    ) -> tuple[torch.Tensor, layers.Factors | None]:
        """A [1 or g, k, d_in], and its factors if the layer is separable."""
        if not layer.separable(k):
            return self._matrices(axes, layer, k, layer.d_in), None
        channels, area = layer.module.in_channels, math.prod(layer.module.kernel_size)
        mixes, kernels, constants = separable(axes, k, channels, area)
        dense = (mixes[:, :, None] * kernels[:, None, :]).reshape(k, -1)
        if layer.bias:
            dense = np.concatenate([dense, constants[:, None]], 1)
        like = layer.module.weight
        factors = layers.Factors(
            *(torch.from_numpy(f).to(like) for f in (mixes, kernels, constants))
        )
        return torch.from_numpy(dense)[None].to(like), factors

    def _matrices(
        self, axes: Sequence[str | int], layer: layers.Layer, k: int, d: int
    ) -> torch.Tensor:
        """Random matrices [g, k, d], one for each group, on the device of the layer's weights."""
        matrices = np.stack([rows((*axes, group), k, d) for group in range(layer.groups)])
        return torch.from_numpy(matrices).to(layer.module.weight)

    def _kept(self, layer: layers.Layer, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A x of one call; with exact norms, x as well."""
        block = self.blocks[layer.name]
        narrow = layer.inputs(x, block.inputs, block.factors)
        return (narrow, x) if self.exact else (narrow,)

    def _product(
        self, layer: layers.Layer, kept: tuple[torch.Tensor, ...], delta: torch.Tensor, calls: int
    ) -> torch.Tensor:
        """sum_s (A x_s)(B delta_s)^T of one call, [n, columns]; with exact norms, measure G."""
        block = self.blocks[layer.name]
        like = block.inputs
        delta = delta.to(like)
        if self.exact:
            x = kept[1].to(like) if kept[1].is_floating_point() else kept[1]  # indices are integers
            self._measure(layer, x, delta, calls)
        return layer.product(kept[0].to(like), delta, block.inputs, block.outputs).flatten(1)

    def _measure(
        self, layer: layers.Layer, x: torch.Tensor, delta: torch.Tensor, calls: int
    ) -> None:
        """Add the squared norm of G. If a layer has several calls, sum their G first."""
        if calls == 1:
            # terms cancel, so that rounding could make the square of a zero gradient negative
            self._square += layer.square(x, delta).clamp_min(0)
            return
        g = layer.gradient(x, delta)
        before = self._several.get(layer.name)
        self._several[layer.name] = g if before is None else before + g
