"""Bytes that the files of a plan will take, from the predictions of ``./run estimate``."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dasbench.errors import UserError
from dasbench.experiments.image_shapes import shape_for
from dasbench.planning import storage
from dasbench.planning.workload import Workload

GB = 1e9
HEADROOM = 16 * 2**20  # records, logs and tables that no prediction has


def needed(
    outputs: Iterable[str], experiments: Mapping[str, Mapping[str, Any]], root: Path
) -> float:
    """Predict the bytes of outputs that are not here yet.

    A model counts by its parameters. Other files count as their share, by number, of the predicted
    size of their folder of ``results/<experiment>``.

    Args:
        outputs: The outputs of the planned jobs.
        experiments: name -> experiment.
        root: Folder of the repository.

    Returns:
        Bytes; outputs of unknown size count as nothing.
    """
    missing: dict[str, Counter[str]] = {}  # experiment -> folder -> files
    for output in outputs:
        parts = output.split("/")
        known = parts[0] == "results" and len(parts) > 3 and parts[1] in experiments  # noqa: PLR2004
        if known and not (root / output).exists():
            counts = missing.setdefault(parts[1], Counter())
            counts[parts[2]] += parts[2] != "models" or output.endswith(".safetensors")
    total = 0.0
    for name, counts in missing.items():
        try:
            work = Workload(experiments[name], shape_for(experiments[name], root))
        except UserError:
            continue
        sizes = storage.folders(work, 0) | {"models": 0}
        total += counts.pop("models", 0) * (4 * work.model.parameters + 15_000)
        for folder, count in counts.items():
            home = root / "results" / name / folder
            here = sum(file.is_file() for file in home.rglob("*")) if home.is_dir() else 0
            total += sizes.get(folder, 0) * count / (count + here)
    return total


def shortage(
    outputs: Iterable[str], experiments: Mapping[str, Mapping[str, Any]], root: Path
) -> str | None:
    """Compare the free space of the disk of ``results`` with the predicted need of a plan.

    Returns:
        A sentence with both numbers and a remedy; None if there is room.
    """
    results = root / "results"
    folder = (results if results.is_dir() else root).resolve()
    free = shutil.disk_usage(folder).free
    more = needed(outputs, experiments, root) + HEADROOM
    if more <= free:
        return None
    return (
        f"the disk of {folder} has {free / GB:.2f} GB free, and this run is predicted to write "
        f"{more / GB:.2f} GB (./run estimate E shows the folders); make room, or go on all the "
        "same with --config disk=0"
    )
