"""Judge scores by the displacement of subset models along the generated queries' paths."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import trajectory
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, masks, outputs")
    parser.add_argument("--folder", type=Path, required=True, help="folder: scores, trajectory")
    args = parser.parse_args()
    settings, out = args.settings, args.folder / "trajectory"
    queries = artifacts.load_json(args.home / "queries/uses.json")["gen"]["evaluation"]
    masks = artifacts.load_array(args.home / "masks/eval.npy", (None, None), bool)
    measured = [
        np.concatenate(
            [
                artifacts.load_array(out / f"seed-{seed}/shard-{shard}.npy", (None,) * 3)
                for shard in settings["shards"]
            ]
        )
        for seed in settings["seeds"]
    ]
    along = np.stack(measured)[..., queries]  # [R, M, L, Q]
    targets = {trajectory.TARGET: along.mean(axis=2, dtype=np.float64)}
    for name in TARGETS:
        file = args.home / f"outputs/eval/{name}-gen.npy"
        targets[name] = artifacts.load_array(file, (None, len(masks), None))[..., queries]
    scores = {
        name: artifacts.load_array(args.folder / f"scores/{name}/gen.npy", (None, None))[:, queries]
        for name in settings["methods"]
    }
    bootstrap = Bootstrap(settings["draws"], settings["level"])
    draws = bootstrap.shared(settings["axes"], "gen", len(masks), len(queries))
    about = {"experiment": settings["experiment"], "queries": "gen"}
    table = trajectory.compare_targets(scores, masks, targets, draws, settings["floor"])
    tables.save_table(out / "lds.csv", table.assign(**about))
    places = trajectory.along_path(along)
    tables.save_table(out / "places.csv", places.assign(**about))


if __name__ == "__main__":
    script_main.main(run)
