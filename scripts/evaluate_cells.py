"""Evaluate every combination of residual, leverage, transform, kernel and damping on features."""

from pathlib import Path

import numpy as np

from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, memmaps, script_main, tables
from dasbench.core.query_kinds import TARGETS, among
from dasbench.evaluation import ablation
from dasbench.evaluation.bootstrap import Bootstrap


def residuals_of(settings: dict, folder: Path) -> dict[str, dict]:
    """Kernel -> residual -> array, or 1.0 for no residual, in the order of the experiment file."""

    def load(name: str | None) -> np.ndarray | float:
        if name is None:
            return 1.0
        return artifacts.load_array(folder / f"{name}.npy", dtype=np.float32).astype(np.float64)

    order, names = settings["order"], settings["residuals"]
    return {
        kernel: {residual: load(names[kernel][residual]) for residual in order["residuals"]}
        for kernel in order["kernels"]
    }


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    for name, content in (
        ("features", "[T, n, P] by split"),
        ("residuals", "residuals"),
        ("home", "results of the experiment with the models: queries, masks, outputs"),
        ("out", "output"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"folder: {content}")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    uses = artifacts.load_json(home / "queries/uses.json")
    masks = {
        use: artifacts.load_array(home / f"masks/{use}.npy", (None, None), bool)
        for use in ("tune", "eval")
    }
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    by_use, judges, queries = {}, {}, {}
    for kind in among(uses):
        tuning, evaluation = uses[kind]["tuning"], uses[kind]["evaluation"]
        by_use[kind] = {
            "tune": ablation.Use(masks["tune"], tuning),
            "eval": ablation.Use(masks["eval"], evaluation),
        }
        tuning_outputs = artifacts.load_array(home / f"outputs/tune/loss-{kind}.npy")[:, :, tuning]
        outputs = {
            t: artifacts.load_array(home / f"outputs/eval/{t}-{kind}.npy")[:, :, evaluation]
            for t in TARGETS
        }
        draws = bootstrap.shared(settings["axes"], kind, len(masks["eval"]), len(evaluation))
        judges[kind] = ablation.Judge(tuning_outputs, outputs, draws, settings["fixed"])
        queries[kind] = memmaps.load(args.features / f"{kind}.npy", (None,) * 3, np.float32)
    train = memmaps.load(args.features / "train.npy", (None,) * 3, np.float32)
    table, resampled = ablation.cells(
        Spectra(train),
        queries,
        residuals_of(settings, args.residuals),
        damping_grid(settings["damping"]),
        by_use,
        judges,
    )
    tables.save_table(args.out / "cells.csv", table.assign(**settings["labels"]))
    artifacts.save_array(args.out / "draws.npy", resampled)


if __name__ == "__main__":
    script_main.main(run)
