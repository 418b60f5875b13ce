"""Write the full table with fractions of the ceiling, and LDS by number of subset models."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS, among
from dasbench.evaluation import lds_by_models


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="folder, one folder each")
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, outputs")
    parser.add_argument("--lds", type=Path, required=True, help="folder, tables in and out")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    summary = tables.load_table(args.lds / "summary.csv")
    ceiling = tables.load_table(args.lds / "ceiling.csv")
    tables.save_table(args.lds / "table.csv", lds_by_models.full_table(summary, ceiling))
    masks = artifacts.load_array(home / "masks/eval.npy", (None, None), bool)
    uses, curves = artifacts.load_json(home / "queries/uses.json"), []
    for kind in among(uses):
        methods = settings["methods"][kind]
        queries = uses[kind]["evaluation"]
        scores = {
            name: artifacts.load_array(args.scores / name / f"{kind}.npy", dtype=np.float32)
            for name in methods
        }
        outputs = {
            t: artifacts.load_array(home / f"outputs/eval/{t}-{kind}.npy")[:, :, queries]
            for t in TARGETS
        }
        axes = (*settings["axes"], kind)
        scores = {name: array[:, queries] for name, array in scores.items()}
        table = lds_by_models.curve(scores, masks, outputs, axes, settings["lds"])
        curves.append(table.assign(queries=kind))
    joined = pd.concat(curves)[lds_by_models.COLUMNS].assign(experiment=settings["experiment"])
    tables.save_table(args.lds / "by_models.csv", joined)


if __name__ == "__main__":
    script_main.main(run)
