"""Fit datamodels on outputs of evaluation subsets: how far does any additive predictor get?"""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import additive
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, outputs")
    parser.add_argument("--scores", type=Path, required=True, help="folder, one folder each")
    parser.add_argument("--table", type=Path, required=True, help="output, .csv")
    args = parser.parse_args()
    settings, home, curves = args.settings, args.home, []
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    masks = artifacts.load_array(home / "masks/eval.npy", (None, None), bool)
    uses = artifacts.load_json(home / "queries/uses.json")
    for kind in settings["kinds"]:
        rows = uses[kind]["evaluation"]
        starts = {
            name: artifacts.load_array(args.scores / name / f"{kind}.npy", dtype=np.float32)[
                :, rows
            ]
            for name in settings["starts"]
        }
        for target in TARGETS:
            file = home / f"outputs/eval/{target}-{kind}.npy"
            outputs = artifacts.load_array(file, (None, len(masks), None))[:, :, rows]
            curve = additive.curve(masks, outputs, (*settings["axes"], kind), bootstrap, starts)
            curves.append(curve.assign(queries=kind, target=target))
    tables.save_table(args.table, pd.concat(curves)[additive.COLUMNS])


if __name__ == "__main__":
    script_main.main(run)
