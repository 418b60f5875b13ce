"""The released approach, done as well as a CPU allows: what our features are compared with.

Per timestep one ``vmap(grad)`` over a batch, each gradient [p] normalised, summed over timesteps,
and the mean multiplied with a dense p x P matrix of signs: our own reference engine, ``Extractor``
with ``projection: rademacher``, does just this. Published code does it on a GPU; here are the same
steps without its detours. Two prices of the dense product are kept apart: the product itself, and
drawing the matrix, which is paid once per call and is left out of the comparison in favour of the
released approach. So the gradients are timed by the engine without projection, the product by
itself, and the whole engine, drawing included, beside them.

Source: D-TRAK (Zheng et al., 2024, arXiv 2311.00500) and DAS (Lin et al., 2025, arXiv 2410.18639);
projectors of traker (Park et al., 2023, arXiv 2303.14186) and dattri (Deng et al., 2024, arXiv
2410.04555).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.problems import Problem, feature_settings

BATCH = 64  # of vmap; larger ones are no faster on a CPU
COLUMNS = 256  # of the matrix whose product is timed; the cost of a product is linear in them


def engine(problem: Problem, timesteps: int, dimensions: int = 0) -> Callable[[], np.ndarray]:
    """Mean over timesteps of each image's normalised gradient of the mean readout.

    Args:
        problem: Of the same parameters as ours: those of the weight layers.
        timesteps: T.
        dimensions: P of the dense projection; 0: none.

    Returns:
        A function of nothing to [n, p], or [n, P].
    """
    kind = "rademacher" if dimensions else "none"
    settings = feature_settings(timesteps, dimensions, projection=kind, norms="exact")
    extractor = problem.extractor(settings, BATCH)
    return lambda: extractor(problem.images, range(len(problem.images)), "train")[0]


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
