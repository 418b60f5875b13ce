"""The judge files ``reference/judge/<experiment>.npz``, from results.

``python -m dasbench.reports.judge_files E`` writes that of E; ``./run judge`` reads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import TARGETS, of
from dasbench.evaluation import judging
from dasbench.evaluation.predictions import sum_scores
from dasbench.experiments import config

FOLDER = "reference/judge"


def collect(root: Path, name: str) -> judging.Judge:
    """Everything that judging scores takes, from the results of an experiment.

    Args:
        root: Folder of the repository.
        name: The experiment; it trains subset models itself and is complete.
    """
    experiment, home = config.load(name, root), root / "results" / name
    kinds, uses = of(experiment), artifacts.load_json(home / "queries/uses.json")
    train = artifacts.load_examples(home / "examples/train.npz")
    arrays = {"train/images": train.images, "train/labels": train.labels, "train/ids": train.ids}
    for use in judging.USES:
        arrays[f"masks/{use}"] = artifacts.load_array(home / f"masks/{use}.npy", (None, None), bool)
        for kind in kinds:
            for target in TARGETS if use == "eval" else TARGETS[:1]:
                path = f"outputs/{use}/{target}-{kind}"
                arrays[path] = artifacts.load_array(home / f"{path}.npy", dtype=np.float32)
    for kind in kinds:
        for part in (kind, f"{kind}_labels"):
            arrays[f"queries/{part}"] = artifacts.load_array(home / f"queries/{part}.npy")
    methods = config.methods(experiment)
    masks = arrays["masks/eval"].astype(np.float64)
    for method, options in methods.items():
        for kind in config.kinds(options):
            scores = artifacts.load_array(home / f"scores/{method}/{kind}.npy", dtype=np.float32)
            predicted = sum_scores(masks, scores[:, uses[kind]["evaluation"]])
            arrays[f"ranks/{method}/{kind}"] = judging.ranked(predicted)
    about: dict[str, Any] = {
        "experiment": name,
        "title": experiment["title"],
        "axes": [experiment["seed_name"], experiment["seed"]],
        "methods": {method: options["transform"] for method, options in methods.items()},
        "uses": {kind: uses[kind] for kind in kinds},
        **{key: experiment["lds"][key] for key in ("draws", "level")},
    }
    return judging.Judge(about, arrays)


def main() -> None:
    """Write the judge file of an experiment."""
    parser = argparse.ArgumentParser(
        prog="python -m dasbench.reports.judge_files", description=main.__doc__
    )
    parser.add_argument("experiment")
    name, root = parser.parse_args().experiment, Path.cwd()
    path = root / FOLDER / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    collect(root, name).save(path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    script_main.main(main)
