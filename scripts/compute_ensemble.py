"""Join the parts of an average over models; choose its damping if its models are tuning models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.attribution import ensembles as averages
from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, memmaps, script_main
from dasbench.evaluation import ensemble_ranking


def mean_of(
    sums: Mapping[str, np.ndarray], half: str, counts: Mapping[str, int], rows: Any = slice(None)
) -> np.ndarray:
    """Mean contribution of the members whose part's number starts with ``half``, of some queries.

    Args:
        sums: Part -> sum of its members' contributions [..., Q].
        half: "0", "1", or "" for all.
        counts: Part -> its number of members.
        rows: Positions of the queries.
    """
    parts = [part for part in sums if part.startswith(half)]
    total = sum(sums[part][..., rows].astype(np.float64) for part in parts)
    return total / sum(counts[part] for part in parts)


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--parts", type=Path, required=True, help="folder, one folder each")
    parser.add_argument("--home", type=Path, help="folder: queries, masks, outputs; to choose by")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    dampings = np.array(method.searched(damping_grid(settings["damping"]).tolist()))
    form = settings["function"], settings["order"]
    parts = {
        kind: {
            part: memmaps.load(args.parts / part / f"{kind}.npy", (len(dampings), None, None))
            for part in settings["parts"]
        }
        for kind in settings["kinds"]
    }
    keep = np.arange(len(dampings))
    if args.home is not None:
        masks, truth, queries = ensemble_ranking.tuning_data(args.home, settings["kinds"])
        halves = {
            kind: [
                averages.finished(mean_of(parts[kind], half, settings["parts"], rows), *form)
                for half in "01"
            ]
            for kind, rows in queries.items()
        }
        choice = ensemble_ranking.cross_fitted(halves, masks, truth)
        print(f"damping {dampings[choice.best]}, cross-fitted LDS {choice.lds}", flush=True)
        keep = keep[choice.best : choice.best + 1]
    artifacts.save_array(args.out / "dampings.npy", dampings[keep])
    for kind, of_kind in parts.items():
        shape = (len(keep), *next(iter(of_kind.values())).shape[1:])
        with memmaps.create(args.out / f"{kind}.npy", shape, np.float32) as stored:
            for row, g in enumerate(keep):
                one = {part: sums[g] for part, sums in of_kind.items()}
                stored[row] = averages.finished(mean_of(one, "", settings["parts"]), *form)


if __name__ == "__main__":
    script_main.main(run)
