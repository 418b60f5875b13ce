"""Build, save and load the denoisers: diffusers pipelines that anybody can open."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors import SafetensorError

from dasbench import seeds
from dasbench.artifacts import file_mode, first_line, remake
from dasbench.errors import UserError
from dasbench.layout import PIPELINE_FILES


def pick_device() -> torch.device:
    """The device of this process: DAS_DEVICE if set, else CUDA, else MPS, else the CPU."""
    wanted = os.environ.get("DAS_DEVICE")
    if wanted:
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_threads(count: int) -> None:
    """Compute with ``count`` CPU threads and deterministic kernels.

    Call it after ``Accelerator()``, which sets the thread count itself.
    """
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def build(
    model: Mapping[str, Any],
    diffusion: Mapping[str, Any],
    shape: tuple[int, int, int],
    axes: Sequence[str | int],
) -> tuple[UNet2DModel, DDPMScheduler]:
    """A new denoiser with its own initial weights.

    Args:
        model: Arguments of diffusers' UNet2DModel; sample size and channels follow the data.
        diffusion: timesteps, beta_schedule, prediction_type.
        shape: (C, H, W) of the images.
        axes: Seed axes of this model; stream "init" is drawn from.

    Returns:
        The UNet on the CPU and its DDPM scheduler.
    """
    channels, height, width = shape
    with torch.random.fork_rng():
        torch.manual_seed(seeds.key(*axes, "init") % 2**63)
        unet = UNet2DModel(
            sample_size=height if height == width else (height, width),
            in_channels=channels,
            out_channels=channels,
            **{k: tuple(v) if isinstance(v, list) else v for k, v in model.items()},
        )
    scheduler = DDPMScheduler(
        num_train_timesteps=diffusion["timesteps"],
        beta_schedule=diffusion["beta_schedule"],
        prediction_type=diffusion["prediction_type"],
    )
    return unet, scheduler


def save(folder: str | Path, unet: UNet2DModel, scheduler: DDPMScheduler) -> None:
    """Write a pipeline folder, each file by rename; the same weights give the same bytes."""
    folder = Path(folder)
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
        DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(temporary)
        for name in PIPELINE_FILES:
            (folder / name).parent.mkdir(exist_ok=True)
            (temporary / name).chmod(file_mode())
            (temporary / name).replace(folder / name)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{folder} could not be written ({first_line(error)}): make room on the disk or "
            "mend the permissions, then run the same command again"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def load(
    folder: str | Path, device: torch.device | str = "cpu"
) -> tuple[UNet2DModel, DDPMScheduler]:
    """Read a pipeline folder; only JSON and safetensors are opened.

    Returns:
        The UNet in evaluation mode on ``device``, and its DDPM scheduler.

    Raises:
        UserError: If a file is missing or damaged.
    """
    folder = Path(folder)
    for name in PIPELINE_FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: {remake(folder / name)}")
    try:
        # _diffusers_version and the like are ignored by from_config
        unet, info = UNet2DModel.from_pretrained(
            folder / "unet",
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
        # diffusers fills weights that are missing from the file at random and goes on
        if info["missing_keys"] or info["unexpected_keys"]:
            raise ValueError("its weights are not those of its config.json")
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    # a damaged file makes diffusers raise anything from OSError to TypeError
    except Exception as error:
        weights = folder / PIPELINE_FILES[-1]
        raise UserError(f"{folder} is damaged ({first_line(error)}): {remake(weights)}") from error
    for name, parameter in unet.named_parameters():
        if not torch.isfinite(parameter).all():
            weights = folder / PIPELINE_FILES[-1]
            raise UserError(
                f"{weights} has values in {name} that are not finite: {remake(weights)}"
            )
    return unet.eval().to(device), scheduler
