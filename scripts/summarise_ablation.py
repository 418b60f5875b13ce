"""Join the ablation cells of all feature sets, and write main effects and shares of the gain."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import ablation_effects
from dasbench.experiments.ablation_design import FACTORS

COLUMNS = ["experiment", *FACTORS, "queries", "target", "damping", "edge", "lds", "lo", "hi"]


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--cells", type=Path, required=True, help="folder, one folder for each set")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    cell_tables, draws = [], []
    for name in settings["sets"]:
        cell_tables.append(tables.load_table(args.cells / name / "cells.csv"))
        draws.append(artifacts.load_array(args.cells / name / "draws.npy", (None, None)))
    table = pd.concat(cell_tables).assign(experiment=settings["experiment"])
    tables.save_table(args.out / "cells.csv", table[[*COLUMNS, "undefined"]])
    cells = ablation_effects.Cells(table, np.concatenate(draws), settings["level"])
    for name, effects in (
        ("main_effects", ablation_effects.main_effects),
        ("gains", ablation_effects.gains),
    ):
        tables.save_table(
            args.out / f"{name}.csv", effects(cells).assign(experiment=settings["experiment"])
        )


if __name__ == "__main__":
    script_main.main(run)
