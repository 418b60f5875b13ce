"""Gradient features of training examples and queries.

The feature of an image x is phi(x), the mean of g_t(x) over timesteps t and noise draws. g_t(x) is
the gradient of a readout of eps_theta(x_t, t) with respect to theta. The mean is projected to P
dimensions.

Vocabulary:

* *readout*: the scalar of the prediction that is differentiated.
* *normalise*: divide each g_t by its Euclidean norm before averaging.
* *noise*: a policy of ``dasbench.diffusion.noise``.
* *projection*: ``kronecker``, which never forms per-sample gradients
  (``dasbench.gradients.kronecker``), or a reference kind, which projects full per-sample gradients
  (``dasbench.gradients.projection``).

Shapes: n examples, p parameters, P dimensions, T timesteps, E draws.
"""

from __future__ import annotations

import copy
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
from dasbench.diffusion.evaluation_mode import channels_last, evaluating
from dasbench.diffusion.process import Process
from dasbench.errors import UserError
from dasbench.gradients import hooks, probes, selection
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
_LARGE = 256  # pixels: a CPU convolves images of at least this size faster with channels last


def per_example_gradients(
    unet: torch.nn.Module, readout: str | Readout, parameters: str = "all"
) -> Callable[..., torch.Tensor]:
    """Build a function of (x_t [n, C, H, W], time [n], target [n, C, H, W], condition) -> [n, p].

    Args:
        unet: The denoiser, in evaluation mode.
        readout: A name in ``READOUTS``, or a function (target, prediction) -> [n].
        parameters: One of ``dasbench.gradients.selection.SUBSETS``.

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
    trained = {name: everything[name] for name in selection.trained_parameters(unet, parameters)}
    fixed = {**dict(unet.named_buffers()), **everything}

    def value(weights, x_t, time, target, keywords):
        def network(*args, **options):
            return functional_call(unet, {**fixed, **weights}, args, options)

        condition = conditions.of({name: row[None] for name, row in keywords.items()})
        out = denoiser.predict(network, x_t[None], time[None], condition)
        return scalar(target[None], out)[0]

    batched = vmap(grad(value), in_dims=(None, 0, 0, 0, 0))

    def gradients(
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None = None,
    ) -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention kernels do not support vmap
            by_name = batched(trained, x_t, time, target, conditions.arguments(condition))
        return torch.cat([g.flatten(1) for g in by_name.values()], dim=1)

    return gradients


class Extractor:
    """The features of images for one model and one set of options.

    Args:
        unet: The denoiser, in evaluation mode, on its device.
        process: Its process.
        settings: readout, normalise, noise, timesteps, timestep_rule, draws, dimensions,
            projection; optional: norms (for ``normalise`` with kronecker: "exact", the norm of the
            gradient, or "projected", the norm of its projection), oversampling (``Kronecker``),
            timestep_range (``dasbench.diffusion.timestep_grids``), parameters
            (``dasbench.gradients.selection.SUBSETS``), dtype (float32 or bfloat16, the arithmetic
            of the denoiser); with readout "probe", probes (see ``dasbench.gradients.probes``).
        axes: Leading seed axes: experiment, seed; stream "features".
        batch: Noised images in a forward pass; by default 64, or 512 if images are small. Memory
            holds one backward pass over them and batch * P numbers. It does not grow with n or T.
            Reference kinds hold 9 * batch * p numbers.
        readouts: (readout, normalise) of several sets of features that share the forward pass; by
            default the readout of the settings, or all its probes.

    Attributes:
        readouts: (function of target and prediction, normalise) of each returned array.
        dimensions: P of each returned array; with kronecker about a percent below the setting, see
            ``Kronecker``.

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
        """Build the projection and draw its matrices; calls compute."""
        self.unet, self.process, self.settings = unet, process, settings
        self.axes, self.batch = tuple(axes), batch or _batch(unet, settings["projection"])
        self.readouts = [(_readout(name), normalise) for name, normalise in readouts or ()]
        if not self.readouts:
            self.readouts = [(read, settings["normalise"]) for read in _readouts(settings, axes)]
        parts = len(self.readouts) if settings["readout"] == "probe" else 1
        dimensions = settings["dimensions"] // parts
        self.grid = timestep_grids.timesteps(settings, process.total)
        # held: images whose mean gradients wait for one projection; late: project after the mean
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
            self.checked = False
        elif self.dtype is not None:
            raise UserError(
                f"dtype: bfloat16 needs projection: kronecker, got {kind}; use float32 with it"
            )
        else:
            p = sum(p.numel() for p in selection.trained_parameters(unet, parameters).values())
            self.project = Projection(kind, p, dimensions, axes)
            self.wide = [per_example_gradients(unet, read, parameters) for read, _ in self.readouts]
            self.gradients, self.held, self.late = self._dense, 8 * self.batch, True
            self.checked = True  # autograd itself
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
            examples: [n] keys of the noise: ids for ``keyed``, positions for ``batch``.
            split: "train", "val" or "gen".
            condition: Condition of the n images, or None.

        Returns:
            The arrays. Up to float32 rounding they depend neither on ``batch`` nor on the other
            readouts. Rounding differs because matrix products of other sizes sum in another order.
        """
        like = next(self.unet.parameters())
        collected: list[list[np.ndarray]] = [[] for _ in self.readouts]
        with evaluating(self.unet):
            self.check(images.shape[1:], condition)
            for held in blocks(len(images), self.held):
                parts = []
                for part in blocks(held.stop - held.start, self.batch):
                    rows = slice(held.start + part.start, held.start + part.stop)
                    x = torch.from_numpy(images[rows]).to(like)
                    c = None if condition is None else condition[rows].to(x)
                    parts.append(self._means(x, examples[rows], split, c))
                for arrays, means in zip(collected, zip(*parts, strict=True), strict=True):
                    arrays.append(self.project(torch.cat(means)).float().cpu().numpy())
        return [np.concatenate(arrays) for arrays in collected]

    def at(self, step: int) -> Extractor:
        """The same engine for one timestep alone; ``step`` is its position in the grid."""
        one = copy.copy(self)
        one.grid = self.grid[[step]]
        return one

    def by_timestep(
        self,
        images: np.ndarray,
        examples: Sequence[int],
        split: str,
        condition: Condition | None = None,
    ) -> list[np.ndarray]:
        """Features of each timestep, one [T, n, P] float32 array for each readout.

        The arguments are those of ``__call__``, which returns the mean over T, up to rounding.
        Memory is T times as large; reference kinds hold T * batch * p numbers.
        """
        self.check(images.shape[1:], condition)
        like = next(self.unet.parameters())
        collected: list[list[np.ndarray]] = [[] for _ in self.readouts]
        with evaluating(self.unet):
            for rows in blocks(len(images), self.batch):
                x = torch.from_numpy(images[rows]).to(like)
                c = None if condition is None else condition[rows].to(x)
                gradients = self._each(x, examples[rows], split, c)
                for arrays, g in zip(collected, gradients, strict=True):
                    phi = self.project(g) if self.late else g
                    arrays.append(phi.view(len(self.grid), len(x), -1).float().cpu().numpy())
        return [np.concatenate(arrays, axis=1) for arrays in collected]

    def check(self, shape: Sequence[int], condition: Condition | None = None) -> None:
        """Compare the rules for layers with autograd, once; calls do it, too.

        Args:
            shape: (C, H, W) of the images.
            condition: Conditions of some images, or None.

        Raises:
            UserError: If the rules do not give the network's gradients; it names the layer.
        """
        if not self.checked:
            self.project.check(self.process, shape, condition)
            self.checked = True

    def _each(
        self, x: torch.Tensor, examples: Sequence[int], split: str, condition: Condition | None
    ) -> list[torch.Tensor]:
        """Gradients of a batch at every timestep, [T * n, width]; kronecker projects them to P."""
        n, draws = len(x), self.settings["draws"]
        totals: list[torch.Tensor] | None = None
        passed = 0  # pairs of timestep and draw in earlier passes
        for x_t, time, target in self._noised(x, examples, split):
            c = None if condition is None else condition.repeated(len(x_t) // n)
            gradients = self.gradients(x_t, time, target, c)
            wide = [g if self.late else self.project(g) for g, _ in gradients]
            if totals is None:
                totals = [x.new_zeros(len(self.grid) * n, g.shape[1]) for g in wide]
            for total, g, (_, lengths) in zip(totals, wide, gradients, strict=True):
                for rows in range(0, len(g), n):
                    place = (passed + rows // n) // draws * n
                    part = g[rows : rows + n] / draws
                    if lengths is not None:
                        part = part / _nonzero(lengths[rows : rows + n, None])
                    total[place : place + n] += part
            passed += len(x_t) // n
        return totals

    def _means(
        self, x: torch.Tensor, examples: Sequence[int], split: str, condition: Condition | None
    ) -> list[torch.Tensor]:
        """Means over timesteps and draws of a batch's gradients, [n, width] for each readout."""
        n, totals = len(x), None
        for x_t, time, target in self._noised(x, examples, split):
            c = None if condition is None else condition.repeated(len(x_t) // n)
            gradients = self.gradients(x_t, time, target, c)
            if totals is None:
                totals = [x.new_zeros(n, g.shape[1]) for g, _ in gradients]
            for total, (g, lengths) in zip(totals, gradients, strict=True):
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
        """Yield (x_t, time arguments, targets) of all n images, at one or more (timestep, draw)."""
        pairs = [(int(t), e) for t in self.grid for e in range(self.settings["draws"])]
        step = max(1, self.batch // len(x))
        policy, stream = self.settings["noise"], (*self.axes, "features")
        for part in blocks(len(pairs), step):
            group = pairs[part]
            eps = [
                noise_policies.draw(policy, stream, split, examples, t, e, x.shape[1:])
                for t, e in group
            ]
            eps = torch.from_numpy(np.concatenate(eps)).to(x)
            t = torch.tensor([t for t, _ in group], device=x.device).repeat_interleave(len(x))
            repeated = x.repeat(len(group), 1, 1, 1)
            x_t, target = self.process.pair(repeated, eps, t)
            yield x_t, self.process.time(t), target

    def _narrow(
        self,
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None,
    ) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Two-sided projections [rows, width] of each readout's gradients; lengths to normalise."""
        if x_t[0, 0].numel() >= _LARGE:
            channels_last(self.unet)
            x_t = x_t.contiguous(memory_format=torch.channels_last)
        autocast = self.dtype and torch.autocast(x_t.device.type, self.dtype)
        with autocast or nullcontext():
            gradients = self.project.gradients(
                x_t, time, target, [read for read, _ in self.readouts], condition
            )
        lengths = [g.norm(dim=1) for g in gradients]
        if self.project.exact:
            lengths = [square.sqrt() for square in self.project.squares]
        return self._with_lengths(gradients, lengths)

    def _dense(
        self,
        x_t: torch.Tensor,
        time: torch.Tensor,
        target: torch.Tensor,
        condition: Condition | None,
    ) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Full per-sample gradients [rows, p] of each readout; lengths to normalise."""
        gradients = [function(x_t, time, target, condition) for function in self.wide]
        return self._with_lengths(gradients, [g.norm(dim=1) for g in gradients])

    def _with_lengths(self, gradients: list, lengths: list) -> list:
        """Pair gradients with their lengths; None for readouts that are not normalised."""
        return [
            (g, length if normalise else None)
            for g, length, (_, normalise) in zip(gradients, lengths, self.readouts, strict=True)
        ]


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
    """Features [n, P] float32 of some images; see ``Extractor`` for the arguments."""
    return np.hstack(Extractor(unet, process, settings, axes, batch)(images, examples, split))


def _readout(name: str) -> Readout:
    if name not in READOUTS:
        raise ValueError(f"readout must be one of {', '.join(READOUTS)}, got {name!r}")
    return READOUTS[name]


def _readouts(settings: Mapping[str, Any], axes: Sequence[str | int]) -> list[Readout]:
    """The readouts of a set of features; ``compute`` puts their arrays side by side."""
    if settings["readout"] == "probe":
        return probes.readouts(settings["probes"], axes)
    return [_readout(settings["readout"])]


def _batch(unet: torch.nn.Module, kind: str) -> int:
    """The default batch. Small images fit in memory, and large batches start fewer operations."""
    size = getattr(getattr(unet, "config", None), "sample_size", None)
    small = isinstance(size, int) and size**2 < _LARGE
    return 512 if small and kind == "kronecker" else 64


def _nonzero(norms: torch.Tensor) -> torch.Tensor:
    return norms.clamp_min(torch.finfo(norms.dtype).tiny)
