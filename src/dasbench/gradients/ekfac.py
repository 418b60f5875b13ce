"""EK-FAC: the Gauss-Newton matrix of the diffusion loss, factored by layer, and its inverse.

F = E_{i,t,eps}[J^T (2/D) J] is the Gauss-Newton matrix of the mean squared error, with J the
derivative of the model's output. F is taken as block-diagonal over layers. A layer has inputs x_s
and gradients delta_s at its output, for places s; its gradient is G = sum_s delta_s x_s^T. The
block of a layer is approximated by

* the eigenvectors U_A of A = E[sum_s x_s x_s^T] and U_S of S = E[sum_s delta_s delta_s^T];
* the corrected eigenvalues Lambda = E[(U_S^T G U_A)^2], elementwise.

The delta_s belong to sampled targets: the gradient at the output is xi sqrt(2/D) with xi standard
normal, one sample for each example, timestep and draw. E[delta delta^T] is then exactly that of F.

Scores are g_q^T (F + lambda)^-1 g_i, with loss gradients averaged over timesteps. lambda is a
multiple of the largest corrected eigenvalue of all layers. In the eigenbasis, each damping of the
grid costs one elementwise division.

Sources: Martens and Grosse (2015), arXiv 1503.05671; convolutions, Grosse and Martens (2016), arXiv
1602.01407; eigenvalue correction, George et al. (2018), arXiv 1806.03884; influence with it, Grosse
et al. (2023), arXiv 2308.03296; for diffusion models, Mlodozeniec et al. (2025), arXiv 2410.13850.
Shapes: n images, p parameters, G dampings; a layer has g groups, d_in columns and d_out rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from dasbench.core.blocks import blocks
from dasbench.diffusion import timestep_grids
from dasbench.diffusion.process import Process
from dasbench.gradients.recorder import Matrices, Noise, Recorder, noised


class Factors(NamedTuple):
    """The curvature of one layer.

    Attributes:
        inputs: [g, d_in, d_in] eigenvectors of A, in columns.
        outputs: [g, d_out, d_out] eigenvectors of S, in columns.
        eigenvalues: [g, d_out, d_in] corrected, not negative.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    eigenvalues: torch.Tensor


class Ekfac:
    """The curvature of a model on its training images.

    Args:
        unet: The denoiser, in evaluation mode.
        process: Its process.
        settings: timesteps, timestep_rule, draws, parameters.
        axes: Leading seed axes: experiment, seed.
        batch: Images at a time.

    Attributes:
        factors: layer's name -> Factors; empty before ``fit``.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        process: Process,
        settings: Mapping[str, Any],
        axes: Sequence[str | int],
        batch: int = 128,
    ):
        """Select the layers; ``fit`` computes."""
        self.recorder = Recorder(unet, settings["parameters"])
        self.process, self.axes, self.batch = process, tuple(axes), batch
        self.where = next(unet.parameters())
        total = process.total
        rule = settings.get("timestep_rule", "midpoint")
        grid = timestep_grids.timestep_grid(settings["timesteps"], total, rule)
        self.pairs = [(int(t), e) for t in grid for e in range(settings["draws"])]
        self.policy = settings.get("noise", "keyed")
        self.factors: dict[str, Factors] = {}

    def fit(self, images: np.ndarray, examples: Sequence[int]) -> Ekfac:
        """Compute the eigenvectors in a first pass, the corrected eigenvalues in a second.

        Args:
            images: [N, C, H, W] float32 in [-1, 1].
            examples: [N] ids, which key the noise and the sampled targets.
        """
        self.recorder.check(self.process, images.shape[1:])
        covariances: dict[str, list[torch.Tensor]] = {}

        def see(layer, wide, delta):
            both = [torch.einsum("ngis,ngjs->gij", m, m).double() for m in (wide, delta)]
            totals = covariances.setdefault(layer.name, [torch.zeros_like(m) for m in both])
            for total, part in zip(totals, both, strict=True):
                total += part

        for _ in self._sampled(images, examples, see):
            pass
        bases = {
            name: [torch.linalg.eigh(m)[1].to(self.where) for m in pair]
            for name, pair in covariances.items()
        }
        squares: Matrices = {}
        for gradients in self._sampled(images, examples):
            for name, (inputs, outputs) in bases.items():
                part = _rotated(gradients[name], inputs, outputs).square().sum(0).double()
                squares[name] = squares.get(name, 0) + part
        count = len(images) * len(self.pairs)
        self.factors = {
            name: Factors(*bases[name], (squares[name] / count).to(self.where)) for name in bases
        }
        return self

    @property
    def scale(self) -> float:
        """The largest corrected eigenvalue: the unit of the damping."""
        return max(float(f.eigenvalues.max()) for f in self.factors.values())

    def features(self, images: np.ndarray, examples: Sequence[int], split: str) -> Matrices:
        """Mean loss gradients in the eigenbasis: layer's name -> [n, g d_out d_in]."""
        x = torch.from_numpy(images).to(self.where)
        noise = Noise(self.axes, split, examples, x.shape[1:], policy=self.policy)
        parts = []
        for rows in blocks(len(x), self.batch):
            total: Matrices = {}
            for _, _, x_t, t, target in noised(self.process, x[rows], noise.of(rows), self.pairs):
                gradients = self.recorder.losses(x_t, t, target)
                total = {name: total.get(name, 0) + g for name, g in gradients.items()}
            parts.append(
                {
                    name: _rotated(total[name], f.inputs, f.outputs).flatten(1) / len(self.pairs)
                    for name, f in self.factors.items()
                }
            )
        return {name: torch.cat([part[name] for part in parts]) for name in self.factors}

    def scores(
        self,
        images: np.ndarray,
        examples: Sequence[int],
        queries: Matrices,
        dampings: Sequence[float],
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, scores [G, len(rows), Q] float32) for each block of the examples.

        Args:
            images: [N, C, H, W] float32 in [-1, 1].
            examples: [N] ids.
            queries: From ``features``.
            dampings: [G], relative to ``scale``.
        """
        for rows in blocks(len(images), 2 * self.batch):
            train = self.features(images[rows], examples[rows], "train")
            count = len(next(iter(queries.values())))
            block = np.zeros((len(dampings), rows.stop - rows.start, count))
            for name, factors in self.factors.items():
                eigenvalues = factors.eigenvalues.flatten()
                for g, damping in enumerate(dampings):
                    weighted = queries[name] / (eigenvalues + damping * self.scale)
                    block[g] += (train[name] @ weighted.T).cpu().numpy()
            yield rows, block.astype(np.float32)

    def _sampled(self, images: np.ndarray, examples: Sequence[int], see=None) -> Iterator[Matrices]:
        """Yield gradients of each batch for sampled targets; every pass has the same numbers.

        ``see`` is passed to ``Recorder.gradients``.
        """
        x = torch.from_numpy(images).to(self.where)
        d = x[0].numel()
        noise = Noise(self.axes, "train", examples, x.shape[1:], policy=self.policy)
        sample = Noise(self.axes, "train", examples, x.shape[1:], "curvature")
        for rows in blocks(len(x), self.batch):
            targets = sample.of(rows)
            for t, e, x_t, steps, _ in noised(self.process, x[rows], noise.of(rows), self.pairs):
                xi = torch.from_numpy(targets(t, e)).to(x) * (2 / d) ** 0.5
                yield self.recorder.gradients(x_t, steps, lambda _, xi=xi: [xi], see)[0]


def _rotated(g: torch.Tensor, inputs: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """U_S^T G U_A for G [n, g, d_out, d_in]."""
    return outputs.transpose(1, 2) @ (g @ inputs)
