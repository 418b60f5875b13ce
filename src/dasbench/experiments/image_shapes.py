"""Shapes of an experiment's images, also before its data exist on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.registry import DATASETS, reads_files


def shape_of(dataset: str, root: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of a data set: from its pool if that exists, else from the registry.

    Raises:
        UserError: If there is neither.
    """
    pool = Path(root, "data", dataset, "pool.npz")
    if pool.is_file() and (stored := _stored_shape(pool)):  # (N, H, W, C)
        return (stored[3], stored[1], stored[2])
    registered = DATASETS.get(dataset, {}).get("shape")
    if registered:
        return registered
    raise UserError(
        f"the size of the images of {dataset} is not known before they are here; say it with "
        "--shape CHANNELS,HEIGHT,WIDTH"
    )


def _stored_shape(pool: Path) -> tuple[int, ...] | None:
    """Shape of a pool's images; None if the file is damaged, which a job or a check will say."""
    import zipfile

    import numpy as np

    try:
        with zipfile.ZipFile(pool) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            return (read or np.lib.format.read_array_header_2_0)(file)[0]
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, EOFError):
        return None


def shape_for(experiment: Mapping[str, Any], root: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of an experiment's images: from ``data.size``, its pool, or the registry.

    Raises:
        UserError: If none of these has the shape.
    """
    data = experiment["data"]
    if reads_files(data["dataset"]) and data["size"] is not None:
        channels = (DATASETS[data["dataset"]]["shape"] or (data["channels"],))[0]
        return (channels, data["size"], data["size"])
    pool = config.pool_name(experiment)
    if not Path(root, "data", pool, "pool.npz").is_file():
        pool = data["dataset"]
    return shape_of(pool, root)
