"""How large an experiment's images are, also where its data are not here yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.registry import DATASETS, reads_files


def shape_of(dataset: str, root: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of a data set: from its pool where that has been made, else as is known.

    Raises:
        UserError: If neither says it.
    """
    pool = Path(root, "data", dataset, "pool.npz")
    if pool.is_file():
        import zipfile

        import numpy as np

        with zipfile.ZipFile(pool) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            found = (read or np.lib.format.read_array_header_2_0)(file)[0]
        return (found[3], found[1], found[2])
    known = DATASETS.get(dataset, {}).get("shape")
    if known:
        return known
    raise UserError(
        f"the size of the images of {dataset} is not known before they are here; say it with "
        "--shape CHANNELS,HEIGHT,WIDTH"
    )


def shape_for(experiment: Mapping[str, Any], root: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of an experiment's images; its pool need not be here.

    Raises:
        UserError: If nothing says it.
    """
    data = experiment["data"]
    if reads_files(data["dataset"]) and data["size"] is not None:
        channels = (DATASETS[data["dataset"]]["shape"] or (data["channels"],))[0]
        return (channels, data["size"], data["size"])
    pool = config.pool_name(experiment)
    if not Path(root, "data", pool, "pool.npz").is_file():
        pool = data["dataset"]
    return shape_of(pool, root)
