"""TRAK of other packages on a diffusion model at one timestep: features of some images.

Both classes are used as their documentation says, with their own random projection to P dimensions
on the CPU: ``trak.TRAKer`` (its FunctionalGradientComputer and BasicProjector) and dattri's
``TRAKAttributor``. The loss is the simple loss; with other timesteps they do the same work again.
Each function returns what its class leaves on disk, in bytes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from dasbench import seeds
from dasbench.diffusion import denoiser

BATCH, TIMESTEP = 32, 500


def traker(model: tuple[Any, Any], images: np.ndarray, dimensions: int) -> int:
    """``trak.TRAKer``: features of all images, kept on disk."""
    from trak import TRAKer
    from trak.modelout_functions import AbstractModelOutput
    from trak.projectors import BasicProjector, ProjectionType

    unet, process = model

    class Loss(AbstractModelOutput):
        """The simple loss of one noised image; its factor Q is 1."""

        def __init__(self) -> None:
            pass

        @staticmethod
        def get_output(model, weights, buffers, x_t, t, target):  # noqa: ANN001
            out = functional_call(model, (weights, buffers), (x_t[None], t[None])).sample
            return (out - target[None]).square().mean()

        def get_out_to_loss_grad(self, model, weights, buffers, batch):  # noqa: ANN001
            return torch.ones(len(batch[0]), 1)

    size = sum(weight.numel() for weight in unet.parameters())
    projector = BasicProjector(
        size, dimensions, 0, ProjectionType.rademacher, "cpu", block_size=64, dtype=torch.float32
    )
    with tempfile.TemporaryDirectory() as folder:
        attributor = TRAKer(
            unet,
            Loss(),
            len(images),
            folder,
            device="cpu",
            projector=projector,
            proj_dim=dimensions,
            use_half_precision=False,
            logging_level=40,
        )
        attributor.load_checkpoint(unet.state_dict(), model_id=0)
        for batch in _loader(process, images):
            attributor.featurize(batch, num_samples=len(batch[0]))
        attributor.finalize_features()
        return disk_bytes(folder)


def dattri(model: tuple[Any, Any], images: np.ndarray, dimensions: int) -> int:
    """``dattri.algorithm.trak.TRAKAttributor``: features and their kernel, in memory."""
    from dattri.algorithm.trak import TRAKAttributor
    from dattri.task import AttributionTask

    unet, process = model

    def loss(weights: Any, data: Any) -> torch.Tensor:
        x_t, t, target = (part[None] for part in data)
        return (functional_call(unet, weights, (x_t, t)).sample - target).square().mean()

    attributor = TRAKAttributor(
        task=AttributionTask(loss_func=loss, model=unet, checkpoints=unet.state_dict()),
        correct_probability_func=lambda *_: torch.zeros(1),  # no weight 1 - p: regression
        projector_kwargs={"proj_dim": dimensions, "device": "cpu"},
        device="cpu",
    )
    attributor.cache(_loader(process, images))
    return 0


def disk_bytes(folder: str | Path) -> int:
    """Sizes of all files below a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


PACKAGES = {"trak": traker, "dattri": dattri}


def _loader(process: Any, images: np.ndarray) -> DataLoader:
    """Batches of noised images, timesteps and targets."""
    x = torch.from_numpy(denoiser.to_model(images))
    noise = seeds.generator("other packages").standard_normal(x.shape, np.float32)
    t = torch.full((len(x),), TIMESTEP)
    x_t, target = process.pair(x, torch.from_numpy(noise), t)
    return DataLoader(TensorDataset(x_t, process.time(t), target), BATCH)
