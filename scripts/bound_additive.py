"""Fit datamodels on outputs of evaluation subsets: how far does any additive predictor get?"""

from pathlib import Path

import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import additive
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, outputs")
    parser.add_argument("--table", type=Path, required=True, help="output, .csv")
    args = parser.parse_args()
    settings, home, curves = args.settings, args.home, []
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    masks = artifacts.load_array(home / "masks/eval.npy", (None, None), bool)
    uses = artifacts.load_json(home / "queries/uses.json")
    for kind in settings["kinds"]:
        for target in TARGETS:
            file = home / f"outputs/eval/{target}-{kind}.npy"
            outputs = artifacts.load_array(file, (None, len(masks), None))
            outputs = outputs[:, :, uses[kind]["evaluation"]]
            curve = additive.curve(masks, outputs, (*settings["axes"], kind), bootstrap)
            curves.append(curve.assign(queries=kind, target=target))
    tables.save_table(args.table, pd.concat(curves)[additive.COLUMNS])


if __name__ == "__main__":
    script_main.main(run)
