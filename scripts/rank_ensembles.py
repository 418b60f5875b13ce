"""Rank averages of scores over models by their LDS on tuning subsets and tuning queries only."""

from pathlib import Path

import numpy as np

from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import memmaps, script_main, tables
from dasbench.evaluation import ensemble_members, ensemble_ranking


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, outputs")
    parser.add_argument("--members", type=Path, required=True, help="folder, one folder each")
    parser.add_argument("--table", type=Path, required=True, help="output, .csv")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    kinds = settings["kinds"]
    masks, truth, _ = ensemble_ranking.tuning_data(home, kinds)
    members = {
        (name, kind): ensemble_members.Explored(
            memmaps.load(args.members / name / f"predictions-{kind}.npy", (None,) * 6, np.float32),
            memmaps.load(args.members / name / f"means-{kind}.npy", (None,) * 4, np.float32),
        )
        for name in settings["grids"]
        for kind in kinds
    }
    dampings = method.searched(damping_grid(settings["damping"]).tolist())
    ranking = ensemble_ranking.Ranking(masks, truth, {**settings, "dampings": dampings})
    rows = []
    for name, plan in settings["groups"].items():
        rows += ranking.judge(ensemble_ranking.Group(name, **plan), members, settings["grids"])
        print(f"{name}: {len(rows)} rows", flush=True)
    tables.save_table(args.table, ensemble_ranking.table(rows))


if __name__ == "__main__":
    script_main.main(run)
