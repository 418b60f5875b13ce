"""The slowest obvious way to projected gradients: autograd for each image, then matrices.

Nothing here is dasbench's code; what is compared with it are numbers only.
"""

from types import SimpleNamespace

import torch
from torch import nn


class Denoiser(nn.Module):
    """What is called like a denoiser, around any function of (image, timestep)."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x_t, t):
        out = self.function(self, x_t, t)
        if out.shape != x_t.shape:  # a denoiser's output is like its input
            drawn = torch.Generator().manual_seed(0)
            mixed = torch.randn(out[0].numel(), x_t[0].numel(), generator=drawn).to(out)
            out = (out.flatten(1) @ mixed / len(mixed)).view_as(x_t)
        return SimpleNamespace(sample=out)


def _matrix(module, own):
    """G [g, d_out, d_in] of a module from the gradients of its own parameters."""
    weight, bias = own["weight"], own.get("bias")
    if isinstance(module, nn.Embedding):
        return weight.T[None]
    if isinstance(module, nn.GroupNorm | nn.LayerNorm):
        columns = [weight.flatten()] + ([] if bias is None else [bias.flatten()])
        return torch.stack(columns, 1)[None]
    full = weight.flatten(1)
    if bias is not None:
        full = torch.cat([full, bias[:, None]], 1)
    return torch.stack(full.chunk(getattr(module, "groups", 1)))


def gradients(network, names, x, t, wanted, readout):
    """G of some modules for every image: {name: [n, g, d_out, d_in]}."""
    modules = {name: network.get_submodule(name) for name in names}
    leaves = {(m, k): p for m in names for k, p in modules[m].named_parameters(recurse=False)}
    frozen = [p for p in leaves.values() if not p.requires_grad]
    for p in frozen:
        p.requires_grad_(True)
    found = {name: [] for name in names}
    for i in range(len(x)):
        value = readout(wanted[i : i + 1], network(x[i : i + 1], t[i : i + 1]).sample).sum()
        every = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        by_leaf = {
            key: torch.zeros_like(p) if g is None else g
            for (key, p), g in zip(leaves.items(), every, strict=True)
        }
        for name, module in modules.items():
            own = {k: g for (m, k), g in by_leaf.items() if m == name}
            found[name].append(_matrix(module, own))
    for p in frozen:
        p.requires_grad_(False)
    return {name: torch.stack(each) for name, each in found.items()}


def blocks(made, by_name):
    """A G^T B^T of every layer, flattened and side by side, from the matrices of ``made``."""
    found = []
    for name, block in made.blocks.items():
        g = by_name[name]
        outputs = torch.eye(g.shape[2], dtype=g.dtype) if block.outputs is None else block.outputs
        outputs = outputs.expand(g.shape[1], -1, -1)
        inputs = block.inputs.expand(g.shape[1], -1, -1)
        for_each = torch.einsum("gki,ngoi,gmo->ngkm", inputs, g, outputs)
        found.append(for_each.flatten(1))
    return torch.cat(found, 1)


def lengths(by_name):
    """[n] norms of the gradients with respect to all parameters of the modules."""
    return sum(g.flatten(1).square().sum(1) for g in by_name.values()).sqrt()


def disturbance(k_in, d_in, k_out, d_out):
    """Relative variance of the squared length of a product of two projected unit vectors."""
    one, two = (2 * (d - k) / (k * (d + 2)) for k, d in ((k_in, d_in), (k_out, d_out)))
    return (1 + one) * (1 + two)


def inputs(n=3, size=8, dtype=torch.float64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, size, size, generator=rng, dtype=dtype)
    t = torch.tensor([700, 3, 250, 999, 40])[:n]
    return x, t, torch.randn(n, 1, size, size, generator=rng, dtype=dtype)
