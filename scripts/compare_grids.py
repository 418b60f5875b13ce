"""Compare outputs and LDS on grids of fewer timesteps with those on all timesteps."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import among
from dasbench.evaluation import output_grids
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, scores")
    parser.add_argument("--grids", type=Path, required=True, help="folder with seed-*/shard-*/")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    masks = artifacts.load_array(home / "masks/eval.npy", (None, None), bool)
    uses = artifacts.load_json(home / "queries/uses.json")
    agreement, lds = [], []
    for kind in among(uses):
        folders = [
            [args.grids / f"seed-{seed}" / f"shard-{shard}" for shard in settings["shards"]]
            for seed in settings["seeds"]
        ]
        parts = [
            np.concatenate([artifacts.load_array(f / f"{kind}.npy", (None,) * 3) for f in row], 1)
            for row in folders
        ]
        outputs, queries = np.stack(parts, axis=1), uses[kind]["evaluation"]  # [G, R, M, Q]
        scores = {
            name: artifacts.load_array(home / f"scores/{name}/{kind}.npy", (None, None))[:, queries]
            for name in settings["methods"][kind]
        }
        draws = bootstrap.shared(settings["axes"], kind, len(masks), len(queries))
        labels = {"experiment": settings["experiment"], "queries": kind}
        agreement.append(output_grids.agreement(outputs).assign(**labels))
        lds.append(output_grids.compare(outputs, scores, masks, draws).assign(**labels))
    tables.save_table(args.out / "outputs.csv", pd.concat(agreement))
    tables.save_table(args.out / "lds.csv", pd.concat(lds))


if __name__ == "__main__":
    script_main.main(run)
