"""What all families of models share: devices, initial weights, and folders, whole or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from dasbench import seeds
from dasbench.core.artifacts import remake
from dasbench.core.writing import file_mode, staging
from dasbench.errors import UserError, first_line


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
    # it would write NaN into every new tensor, a seventh of a training step; none is read unwritten
    torch.utils.deterministic.fill_uninitialized_memory = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def initial_weights(axes: Sequence[str | int]) -> Iterator[None]:
    """Draw torch's random numbers from a model's own stream "init"; those outside stay."""
    with torch.random.fork_rng():
        torch.manual_seed(seeds.key(*axes, "init") % 2**63)
        yield


def write_folder(folder: str | Path, files: Sequence[str], write: Callable[[Path], object]) -> None:
    """Write a model's folder, each file by rename; the same weights give the same bytes.

    Args:
        folder: Target; other files in it stay.
        files: Paths relative to the folder that are kept of what is written.
        write: Writes all of them into the folder that it is given.

    Raises:
        UserError: If the disk refuses.
    """
    folder = Path(folder)
    with staging(folder, folder) as temporary:
        try:
            write(temporary)
        except SafetensorError as error:  # its word for a full disk
            raise OSError(first_line(error)) from error
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            _forget_origin(temporary / name)
            (temporary / name).chmod(file_mode())
            (temporary / name).replace(folder / name)


def _forget_origin(path: Path) -> None:
    """Drop the folder on this machine that diffusers notes in a configuration."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        if content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


@contextmanager
def reading(folder: str | Path, files: Sequence[str]) -> Iterator[Path]:
    """Refuse a model's folder that lacks a file, or whose reading fails, in one sentence.

    Args:
        folder: The folder.
        files: Paths relative to it that are needed, the weights last.

    Raises:
        UserError: If a file is missing or damaged.
    """
    folder = Path(folder)
    for name in files:
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: {remake(folder / name)}")
    try:
        yield folder
    except UserError:
        raise
    # a damaged file makes diffusers raise anything from OSError to TypeError
    except Exception as error:
        weights = folder / files[-1]
        raise UserError(f"{folder} is damaged ({first_line(error)}): {remake(weights)}") from error


def check_finite(network: torch.nn.Module, weights: Path) -> None:
    """Refuse weights that are not finite.

    Raises:
        UserError: With the file and the name of the parameter.
    """
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter).all():
            raise UserError(
                f"{weights} has values in {name} that are not finite: {remake(weights)}"
            )
