"""Join the shards' masks and outputs: masks [M, N], outputs [R, M, Q] of one use."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command
from dasbench.errors import UserError
from dasbench.layout import KINDS, TARGETS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--models", type=Path, required=True, help="folder with seed-*/shard-*/masks.npy"
    )
    parser.add_argument(
        "--outputs", type=Path, required=True, help="folder with seed-*/shard-*/*.npy, and output"
    )
    parser.add_argument("--masks", type=Path, required=True, help="output, .npy")
    args = parser.parse_args()
    shards = [f"shard-{s:03d}" for s in range(args.settings["shards"])]
    seeds = [f"seed-{r}" for r in range(args.settings["seeds"])]

    def join(root: Path, seed: str, name: str) -> np.ndarray:
        return np.concatenate(
            [artifacts.load_array(root / seed / shard / name) for shard in shards]
        )

    masks = [join(args.models, seed, "masks.npy") for seed in seeds]
    if any((other != masks[0]).any() for other in masks[1:]):
        raise UserError(
            f"{args.models} has other subsets for other seeds: {artifacts.remake(args.masks)}"
        )
    artifacts.save_array(args.masks, masks[0])
    for target in TARGETS:
        for kind in KINDS:
            name = f"{target}-{kind}.npy"
            artifacts.save_array(
                args.outputs / name, np.stack([join(args.outputs, seed, name) for seed in seeds])
            )


if __name__ == "__main__":
    command.main(run)
