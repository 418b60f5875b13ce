"""Measure the subset models of some shards on all queries."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, models, outputs
from dasbench.layout import KINDS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder with shard-*/")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    device = models.pick_device()
    base, scheduler = models.load(args.base, device)
    measured = [
        models.load(args.models / f"shard-{shard}" / f"{k:02d}", device)[0]
        for shard in settings["shards"]
        for k in range(settings["models_per_job"])
    ]
    grid = outputs.grid(**settings["grid"])
    for kind in KINDS:
        images = artifacts.load_array(
            args.queries / f"{kind}.npy", (None, None, None, None), np.float32
        )
        loss, displacement = outputs.measure(
            measured, base, scheduler, images, kind, grid, settings["axes"]
        )
        artifacts.save_array(args.out / f"loss-{kind}.npy", loss)
        artifacts.save_array(args.out / f"displacement-{kind}.npy", displacement)


if __name__ == "__main__":
    command.main(run)
