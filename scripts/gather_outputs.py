"""Join the masks [M, N] of all shards and the outputs [R, M, Q] of all jobs of one use."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import TARGETS
from dasbench.errors import UserError


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument(
        "--models", type=Path, required=True, help="folder with seed-*/shard-*/masks.npy"
    )
    parser.add_argument(
        "--outputs", type=Path, required=True, help="folder with seed-*/job-*/*.npy, and output"
    )
    parser.add_argument("--masks", type=Path, required=True, help="output, .npy")
    args = parser.parse_args()
    shards = [f"shard-{s:03d}" for s in range(args.settings["shards"])]
    jobs = [f"job-{j:03d}" for j in range(args.settings["jobs"])]
    seeds = [f"seed-{r}" for r in range(args.settings["seeds"])]

    def join(folder: Path, parts: list[str], name: str) -> np.ndarray:
        return np.concatenate([artifacts.load_array(folder / part / name) for part in parts])

    masks = [join(args.models / seed, shards, "masks.npy") for seed in seeds]
    if any((other != masks[0]).any() for other in masks[1:]):
        raise UserError(
            f"{args.models} has other subsets for other seeds: {artifacts.remake(args.masks)}"
        )
    artifacts.save_array(args.masks, masks[0])
    for target in TARGETS:
        for kind in args.settings["kinds"]:
            name = f"{target}-{kind}.npy"
            artifacts.save_array(
                args.outputs / name,
                np.stack([join(args.outputs / seed, jobs, name) for seed in seeds]),
            )


if __name__ == "__main__":
    script_main.main(run)
