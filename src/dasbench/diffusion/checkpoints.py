"""Code that all families of models share: devices, initial weights, and folders of models.

A folder of a model is complete and readable, or reading it raises an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from dasbench import seeds
from dasbench.core.artifacts import remake
from dasbench.core.writing import file_mode, staging
from dasbench.diffusion import process as processes
from dasbench.diffusion.process import Process
from dasbench.errors import UserError, first_line

Network = TypeVar("Network", bound=torch.nn.Module)


def pick_device() -> torch.device:
    """The device of this process: DAS_DEVICE if set, else CUDA, else MPS, else the CPU."""
    name = os.environ.get("DAS_DEVICE")
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_threads(count: int) -> None:
    """Compute with ``count`` CPU threads and deterministic kernels.

    Call it after ``Accelerator()``, which sets the thread count itself.
    """
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new tensors with NaN costs a seventh of a training step, and the code reads no tensor
    # before it has written it.
    torch.utils.deterministic.fill_uninitialized_memory = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def initial_weights(axes: Sequence[str | int]) -> Iterator[None]:
    """Seed torch from the stream "init" of a model; restore torch's random state afterwards.

    Args:
        axes: Seed axes of the model.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seeds.key(*axes, "init") % 2**63)
        yield


def write_folder(folder: str | Path, files: Sequence[str], write: Callable[[Path], object]) -> None:
    """Write the folder of a model. The same weights give the same bytes.

    Every file gets its name only when it is complete.

    Args:
        folder: The folder to write; its other files stay.
        files: Paths of the files to keep, relative to the folder. Other written files are dropped.
        write: Function of a temporary folder that writes all of ``files`` into it.

    Raises:
        UserError: If the disk is full or refuses a file.
    """
    folder = Path(folder)
    with staging(folder, folder) as temporary:
        try:
            write(temporary)
        except SafetensorError as error:  # safetensors raises this error when the disk is full
            raise OSError(first_line(error)) from error
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            _forget_origin(temporary / name)
            (temporary / name).chmod(file_mode())
            (temporary / name).replace(folder / name)


def _forget_origin(path: Path) -> None:
    """Drop the path of a local folder, which diffusers writes into a configuration."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        if content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


@contextmanager
def reading(folder: str | Path, files: Sequence[str]) -> Iterator[Path]:
    """Check the folder of a model, and turn every error of reading it into one sentence.

    The code that reads the folder runs inside this context.

    Args:
        folder: The folder.
        files: Paths of the needed files, relative to the folder; the weights come last.

    Yields:
        The folder as a path.

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
    """Refuse a network with a weight that is not finite.

    Args:
        network: The network.
        weights: Its file, for the error.

    Raises:
        UserError: If a weight is infinite or NaN; it names the file and the parameter.
    """
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter).all():
            raise UserError(
                f"{weights} has values in {name} that are not finite: {remake(weights)}"
            )


def read_network(kind: type[Network], folder: Path) -> Network:
    """A network of diffusers on the CPU. Only JSON and safetensors are opened.

    Args:
        kind: Class of the network.
        folder: Holds its configuration and its weights.

    Raises:
        ValueError: If the weights are not those of the configuration: diffusers would fill missing
            ones with random numbers. A damaged file makes diffusers raise anything.
    """
    network, info = kind.from_pretrained(
        folder,
        use_safetensors=True,
        local_files_only=True,
        low_cpu_mem_usage=False,
        output_loading_info=True,
    )
    if info["missing_keys"] or info["unexpected_keys"]:
        raise ValueError("its weights are not those of its config.json")
    return network


def read_model(
    kind: type[Network], folder: str | Path, part: str, files: Sequence[str], images: bool
) -> tuple[Network, Process]:
    """The network and the process in the folder of a base model or a member.

    Args:
        kind: Class of the network.
        folder: The folder.
        part: Subfolder of the network; that of the process is ``scheduler``.
        files: Paths of the needed files, relative to the folder; the weights come last.
        images: Whether the model denoises images in [-1, 1].

    Raises:
        UserError: If a file is missing or damaged.
    """
    with reading(folder, files) as place:
        network = read_network(kind, place / part)
        try:
            process = processes.load(place / "scheduler", images)
        except UserError as error:  # the workflow wrote this file, so it is damaged
            raise ValueError(str(error)) from error
    check_finite(network, place / files[-1])
    return network, process


def read_each(
    load: Callable[..., tuple[Network, Process]],
    folders: Sequence[str | Path],
    device: torch.device | str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[list[Network], Process]:
    """Several networks, each with weights of its own, and the process of the first.

    Args:
        load: ``load`` of a family.
        folders: Folders of base models or members.
        device: Device of the networks.
        model: See ``dasbench.diffusion.families``.
    """
    loaded = [load(folder, device, model) for folder in folders]
    return [network for network, _ in loaded], loaded[0][1]
