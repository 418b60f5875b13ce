"""Read a data set's files into one pool of images, and write a card with its size and hash."""

import hashlib
from pathlib import Path

import numpy as np
import yaml

from dasbench.core import artifacts, script_main
from dasbench.core.writing import atomic
from dasbench.data import files as sources


def about(registry: Path, experiment: Path, dataset: str, files: dict) -> dict:
    """Facts for messages about missing data; only the digests affect the result."""
    known = yaml.safe_load(registry.read_text(encoding="utf-8"))[dataset]
    data = yaml.safe_load(experiment.read_text(encoding="utf-8")).get("data", {})
    return {**known, **data.get("card", {}), "files": files}


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--registry", type=Path, required=True, help="data/registry.yaml")
    parser.add_argument("--experiment", type=Path, required=True, help="the experiment file")
    parser.add_argument("--pool", required=True, help="output, .npz")
    parser.add_argument("--card", required=True, help="output, .json")
    args = parser.parse_args()
    data, files = args.settings["data"], args.settings["files"]
    known = about(args.registry, args.experiment, data["dataset"], files)
    module = sources.module(args.settings["module"])
    source = module.read({**data, "about": known})
    arrays = {
        "images": source.images.astype(np.uint8),
        "labels": source.labels.astype(np.int64),
        "ids": np.arange(len(source.labels), dtype=np.int64),
        "parts": source.parts.astype(np.uint8),
    }
    with atomic(args.pool) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    present = np.unique(source.labels)
    measured = {
        "images": len(source.labels),
        "held_out": int(source.parts.sum()),
        "shape": list(source.images.shape[1:]),
        "sha256": hashlib.sha256(Path(args.pool).read_bytes()).hexdigest(),
        "classes": {str(label): source.classes.get(int(label), str(label)) for label in present},
    }
    artifacts.save_json(args.card, {**measured, **source.read})


if __name__ == "__main__":
    script_main.main(run)
