"""The released approach, done as well as a CPU allows: what our features are compared with.

Per timestep one ``vmap(grad)`` over a batch, each gradient [p] normalised, summed over timesteps,
and the mean multiplied with a dense p x P matrix of signs. Published code does this on a GPU; here
are the same steps without its detours. Two prices of the dense product are kept apart: the product
itself, and drawing the matrix, which is paid once per call and is left out of every comparison in
favour of the released approach.

Source: D-TRAK (Zheng et al., 2024, arXiv 2311.00500) and DAS (Lin et al., 2025, arXiv 2410.18639);
projectors of traker (Park et al., 2023, arXiv 2303.14186) and dattri (Deng et al., 2024, arXiv
2410.04555).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.problems import Problem

COLUMNS = 256  # of the matrix whose product is timed; the cost of a product is linear in them


def averaged_gradients(problem: Problem, timesteps: int) -> torch.Tensor:
    """Mean over timesteps of each image's normalised gradient of the mean readout, [n, p]."""
    weights = {name: w.detach() for name, w in problem.unet.named_parameters()}
    buffers = dict(problem.unet.named_buffers())

    def readout(values, x_t, t):
        return functional_call(problem.unet, (values, buffers), (x_t[None], t[None])).sample.mean()

    per_image = vmap(grad(readout), in_dims=(None, 0, 0))
    total = torch.zeros(len(problem.images), problem.parameters)
    start = 0
    for x_t, t, _ in problem.noised(timesteps):
        with sdpa_kernel(SDPBackend.MATH):  # the fused attentions have no rule for vmap
            parts = per_image(weights, x_t, t)
        g = torch.cat([part.flatten(1) for part in parts.values()], dim=1)
        total[start : start + len(g)] += g / g.norm(dim=1, keepdim=True)
        start = (start + len(g)) % len(total)
    return total / timesteps


def dense_product(gradients: torch.Tensor, columns: int = COLUMNS) -> Callable[[], torch.Tensor]:
    """The product of gradients [n, p] with ``columns`` columns of signs that exist already."""
    block = torch.randint(0, 2, (gradients.shape[1], columns), generator=_generator()).float()
    block.mul_(2).sub_(1)
    return lambda: gradients @ block


def projectors(parameters: int, dimensions: int) -> dict[str, Callable[[torch.Tensor], object]]:
    """Packages' dense projectors that run on a CPU: name -> function of gradients [n, p].

    Each draws its matrix anew in every call, block by block, since it would not fit in memory.
    """
    from dattri.func.projection import BasicProjector as Dattri
    from dattri.func.projection import ProjectionType
    from trak.projectors import BasicProjector as Traker

    device = torch.device("cpu")
    traker = Traker(parameters, dimensions, 0, "rademacher", device, block_size=COLUMNS)
    dattri = Dattri(
        parameters, dimensions, 0, ProjectionType.rademacher, device, block_size=COLUMNS
    )
    return {
        "traker": lambda g: traker.project(g, model_id=0),
        "dattri": lambda g: dattri.project(g, ensemble_id=0),
    }


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
