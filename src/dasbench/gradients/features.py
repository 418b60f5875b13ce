"""Gradient features: what a training example or a query looks like from the model's weights.

phi(x) = mean over t and noise draws of g_t(x), g_t(x) = grad_theta of a scalar readout of
eps_theta(x_t, t), optionally divided by its norm, projected to P dimensions.

Vocabulary: *readout* the scalar that is differentiated; *normalise* divide each g_t by its
Euclidean norm before averaging; *noise* the policy of ``dasbench.diffusion.noise``; *projection*
either ``kronecker`` (``dasbench.gradients.kronecker``: per-sample gradients are never formed) or
one of the reference kinds of ``dasbench.gradients.projection``, which project full per-sample
gradients.
Shapes: n examples, p parameters, P dimensions, T timesteps, E draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dasbench.core.blocks import blocks
from dasbench.diffusion import conditions, denoiser, timestep_grids
from dasbench.diffusion import noise as noise_policies
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.process import Process
from dasbench.errors import UserError
from dasbench.gradients import hooks, layers, probes
from dasbench.gradients.kronecker import Kronecker
from dasbench.gradients.projection import Projection

Readout = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

READOUTS: dict[str, Readout] = {
    "loss": lambda target, out: (target - out).square().flatten(1).mean(1),
    "square": lambda target, out: out.square().flatten(1).mean(1),
    "mean": lambda target, out: out.flatten(1).mean(1),
    "l1": lambda target, out: out.abs().flatten(1).mean(1),
    "l2": lambda target, out: out.square().flatten(1).sum(1).sqrt(),
    "linf": lambda target, out: out.abs().flatten(1).amax(1),
}
DTYPES = {"float32": None, "bfloat16": torch.bfloat16}
_LARGE = 256  # pixels from which convolutions on a CPU are faster with channels last


def per_example_gradients(
    unet: torch.nn.Module, readout: str | Readout, parameters: str = "all"
) -> Callable[..., torch.Tensor]:
    """Build a function of (x_t [n, C, H, W], time [n], target [n, C, H, W], condition) -> [n, p].

    Args:
        unet: The denoiser, in evaluation mode.
        readout: One of ``READOUTS``, or a function of its own.
        parameters: One of ``dasbench.gradients.layers.SUBSETS``.

    Returns:
        Gradients in the order of ``unet.named_parameters()``, flattened and joined.

    Raises:
        ValueError: If the readout is unknown.
        UserError: If gradient checkpointing is on, which ``torch.func`` cannot differentiate.
    """
    checkpointed = hooks.checkpointed(unet)
    if checkpointed is not None:
        raise UserError(
            f"{checkpointed} has gradient checkpointing on, which gradients for each example in "
            "full do not support; use projection: kronecker, or call "
            "disable_gradient_checkpointing() of the network"
        )
    scalar = readout if callable(readout) else _readout(readout)
    everything = {name: p.detach() for name, p in unet.named_parameters()}
    chosen = {name for own in layers.members(unet, parameters).values() for name in own}
    own = {name: p for name, p in everything.items() if name in chosen}
    fixed = {**dict(unet.named_buffers()), **everything}

    def value(weights, x_t, time, target, keywords):
        def network(*args, **options):
            return functional_call(unet, {**fixed, **weights}, args, options)

        condition = conditions.of({name: one[None] for name, one in keywords.items()})
        out = denoiser.predict(network, x_t[None], time[None], condition)
        return scalar(target[None], out)[0]

    batched = vmap(grad(value), in_dims=(None, 0, 0, 0, 0))

    def gradients(
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None = None,
    ) -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # the fused attentions have no rule for vmap
            by_name = batched(own, x_t, time, target, conditions.arguments(condition))
        return torch.cat([g.flatten(1) for g in by_name.values()], dim=1)

    return gradients


class Extractor:
    """Features of images under one model and one set of options.

    Args:
        unet: The denoiser, in evaluation mode, on its device.
        process: Its process.
        settings: readout, normalise, noise, timesteps, timestep_rule, draws, dimensions,
            projection; optional: norms (with kronecker, ``normalise`` divides by the length of the
            gradient, "exact", or of its projection, "projected"), oversampling (``Kronecker``),
            timestep_range (``dasbench.diffusion.timestep_grids``), parameters
            (``dasbench.gradients.layers.SUBSETS``), dtype (of the denoiser's arithmetic: float32,
            bfloat16); with readout "probe", probes (see ``dasbench.gradients.probes``).
        axes: Leading seed axes: experiment, seed; stream "features".
        batch: Noised images that share a pass; by default 64, on small images 512. Memory is that
            of one backward pass over them and batch * P numbers, whatever n and T; reference kinds
            hold 9 * batch * p numbers.
        readouts: (readout, normalise) of several sets of features that share the forward pass;
            by default the one of the settings, or all its probes.

    Attributes:
        readouts: (function of target and prediction, normalise) of every array that is returned.
        dimensions: P of each of them; kronecker fills the P asked for up to rounding.

    Raises:
        UserError: If the options do not fit each other or the model.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        process: Process,
        settings: Mapping[str, Any],
        axes: Sequence[str | int],
        batch: int | None = None,
        readouts: Sequence[tuple[str, bool]] | None = None,
    ):
        """Choose the projection; matrices are drawn, nothing is computed."""
        self.unet, self.process, self.settings = unet, process, settings
        self.axes, self.batch = tuple(axes), batch or _batch(unet, settings["projection"])
        self.readouts = [(_readout(name), normalise) for name, normalise in readouts or ()]
        if not self.readouts:
            self.readouts = [(read, settings["normalise"]) for read in _chosen(settings, axes)]
        parts = len(self.readouts) if settings["readout"] == "probe" else 1
        dimensions = settings["dimensions"] // parts
        self.grid = timestep_grids.timesteps(settings, process.total)
        kind, norms = settings["projection"], settings.get("norms", "exact")
        parameters = settings.get("parameters", "all")
        self.dtype = DTYPES[settings.get("dtype", "float32")]
        if kind == "kronecker":
            exact = norms == "exact" and any(normalise for _, normalise in self.readouts)
            self.project = Kronecker(
                unet,
                parameters,
                dimensions,
                axes,
                exact,
                parts * settings.get("oversampling", 1),
            )
            self.gradients, self.held, self.late = self._narrow, self.batch, False
        elif self.dtype is not None:
            raise UserError(
                f"dtype: bfloat16 needs projection: kronecker, got {kind}; use float32 with it"
            )
        else:
            own = [name for names in layers.members(unet, parameters).values() for name in names]
            p = sum(unet.get_parameter(name).numel() for name in own)
            self.project = Projection(kind, p, dimensions, axes)
            self.wide = [per_example_gradients(unet, read, parameters) for read, _ in self.readouts]
            self.gradients, self.held, self.late = self._dense, 8 * self.batch, True
        self.dimensions = self.project.dimensions

    def __call__(
        self,
        images: np.ndarray,
        examples: Sequence[int],
        split: str,
        condition: Condition | None = None,
    ) -> list[np.ndarray]:
        """Features of some images, one [n, P] float32 array for each readout.

        Args:
            images: [n, C, H, W] float32 in [-1, 1].
            examples: [n] what the noise is keyed by: ids for ``keyed``, positions for ``batch``.
            split: "train", "val" or "gen".
            condition: Of the n images, or None.

        Returns:
            They do not depend on batch, or on what else is computed, beyond float32 rounding
            (matrix products of other sizes sum in another order).
        """
        where = next(self.unet.parameters())
        found: list[list[np.ndarray]] = [[] for _ in self.readouts]
        for held in blocks(len(images), self.held):
            parts = []
            for part in blocks(held.stop - held.start, self.batch):
                rows = slice(held.start + part.start, held.start + part.stop)
                x = torch.from_numpy(images[rows]).to(where)
                c = None if condition is None else condition[rows].to(x)
                parts.append(self._means(x, examples[rows], split, c))
            for kept, whole in zip(found, zip(*parts, strict=True), strict=True):
                kept.append(self.project(torch.cat(whole)).float().cpu().numpy())
        return [np.concatenate(kept) for kept in found]

    def by_timestep(
        self,
        images: np.ndarray,
        examples: Sequence[int],
        split: str,
        condition: Condition | None = None,
    ) -> list[np.ndarray]:
        """Features before the mean over timesteps, one [T, n, P] float32 array for each readout.

        Their mean over T is what ``__call__`` gives, up to rounding; the arguments are the same.
        Memory is T times as much; reference kinds hold T * batch * p numbers.
        """
        where = next(self.unet.parameters())
        found: list[list[np.ndarray]] = [[] for _ in self.readouts]
        for rows in blocks(len(images), self.batch):
            x = torch.from_numpy(images[rows]).to(where)
            c = None if condition is None else condition[rows].to(x)
            for kept, own in zip(found, self._each(x, examples[rows], split, c), strict=True):
                projected = self.project(own) if self.late else own
                kept.append(projected.view(len(self.grid), len(x), -1).float().cpu().numpy())
        return [np.concatenate(kept, axis=1) for kept in found]

    def _each(
        self, x: torch.Tensor, examples: Sequence[int], split: str, condition: Condition | None
    ) -> list[torch.Tensor]:
        """Gradients of a batch for every timestep, [T * n, width]; kronecker: projected, P wide."""
        n, draws = len(x), self.settings["draws"]
        totals: list[torch.Tensor] | None = None
        seen = 0
        for x_t, time, target in self._noised(x, examples, split):
            c = None if condition is None else condition.repeated(len(x_t) // n)
            found = self.gradients(x_t, time, target, c)
            wide = [g if self.late else self.project(g) for g, _ in found]
            if totals is None:
                totals = [x.new_zeros(len(self.grid) * n, g.shape[1]) for g in wide]
            for total, g, (_, lengths) in zip(totals, wide, found, strict=True):
                for rows in range(0, len(g), n):
                    place = (seen + rows // n) // draws * n
                    part = g[rows : rows + n] / draws
                    if lengths is not None:
                        part = part / _nonzero(lengths[rows : rows + n, None])
                    total[place : place + n] += part
            seen += len(x_t) // n
        return totals

    def _means(
        self, x: torch.Tensor, examples: Sequence[int], split: str, condition: Condition | None
    ) -> list[torch.Tensor]:
        """Means over timesteps and draws of a batch's gradients, [n, width] for each readout."""
        n, totals = len(x), None
        for x_t, time, target in self._noised(x, examples, split):
            c = None if condition is None else condition.repeated(len(x_t) // n)
            found = self.gradients(x_t, time, target, c)
            if totals is None:
                totals = [x.new_zeros(n, g.shape[1]) for g, _ in found]
            for total, (g, lengths) in zip(totals, found, strict=True):
                for rows in range(0, len(g), n):
                    part = g[rows : rows + n]
                    if lengths is None:
                        total += part
                    else:
                        total.addcmul_(part, 1 / _nonzero(lengths[rows : rows + n, None]))
        return [total / (len(self.grid) * self.settings["draws"]) for total in totals]

    def _noised(
        self, x: torch.Tensor, examples: Sequence[int], split: str
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield (x_t, time argument, target), each a whole number of passes over the n images."""
        pairs = [(int(t), e) for t in self.grid for e in range(self.settings["draws"])]
        step = max(1, self.batch // len(x))
        policy, stream = self.settings["noise"], (*self.axes, "features")
        for part in blocks(len(pairs), step):
            some = pairs[part]
            eps = [
                noise_policies.draw(policy, stream, split, examples, t, e, x.shape[1:])
                for t, e in some
            ]
            eps = torch.from_numpy(np.concatenate(eps)).to(x)
            t = torch.tensor([t for t, _ in some], device=x.device).repeat_interleave(len(x))
            many = x.repeat(len(some), 1, 1, 1)
            x_t, target = self.process.pair(many, eps, t)
            yield x_t, self.process.time(t), target

    def _narrow(
        self,
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None,
    ) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Two-sided projections [rows, width] of each readout's gradients; lengths, if asked."""
        if x_t[0, 0].numel() >= _LARGE:
            self.unet.to(memory_format=torch.channels_last)
            x_t = x_t.contiguous(memory_format=torch.channels_last)
        low = self.dtype and torch.autocast(x_t.device.type, self.dtype)
        with low or nullcontext():
            found = self.project.gradients(
                x_t, time, target, [read for read, _ in self.readouts], condition
            )
        lengths = [g.norm(dim=1) for g in found]
        if self.project.exact:
            lengths = [square.sqrt() for square in self.project.squares]
        return self._where_asked(found, lengths)

    def _dense(
        self,
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None,
    ) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Full per-sample gradients [rows, p] of each readout; lengths, if asked."""
        found = [gradients(x_t, time, target, condition) for gradients in self.wide]
        return self._where_asked(found, [g.norm(dim=1) for g in found])

    def _where_asked(self, found: list, lengths: list) -> list:
        asked = [normalise for _, normalise in self.readouts]
        return [(g, n if a else None) for g, n, a in zip(found, lengths, asked, strict=True)]


def compute(
    unet: torch.nn.Module,
    process: Process,
    images: np.ndarray,
    examples: Sequence[int],
    split: str,
    settings: Mapping[str, Any],
    axes: Sequence[str | int],
    batch: int | None = None,
) -> np.ndarray:
    """Features [n, P] float32 of some images; the arguments are those of ``Extractor``."""
    return np.hstack(Extractor(unet, process, settings, axes, batch)(images, examples, split))


def _readout(name: str) -> Readout:
    if name not in READOUTS:
        raise ValueError(f"readout must be one of {', '.join(READOUTS)}, got {name!r}")
    return READOUTS[name]


def _chosen(settings: Mapping[str, Any], axes: Sequence[str | int]) -> list[Readout]:
    """What a set of features differentiates; its arrays stand side by side."""
    if settings["readout"] == "probe":
        return probes.readouts(settings["probes"], axes)
    return [_readout(settings["readout"])]


def _batch(unet: torch.nn.Module, kind: str) -> int:
    """Small images are cheap to hold, and large batches spread the cost of starting operations."""
    size = getattr(getattr(unet, "config", None), "sample_size", None)
    small = isinstance(size, int) and size**2 < _LARGE
    return 512 if small and kind == "kronecker" else 64


def _nonzero(norms: torch.Tensor) -> torch.Tensor:
    return norms.clamp_min(torch.finfo(norms.dtype).tiny)
