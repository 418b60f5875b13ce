"""Measure one shard of subset models on all queries."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, models, outputs
from dasbench.layout import KINDS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--shard", type=Path, required=True, help="folder of the shard's models")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    device = models.pick_device()
    base, scheduler = models.load(args.base, device)
    shard = [
        models.load(args.shard / f"{k:02d}", device)[0] for k in range(settings["models_per_job"])
    ]
    for kind in KINDS:
        images = artifacts.load_array(
            args.queries / f"{kind}.npy", (None, None, None, None), np.float32
        )
        loss, displacement = outputs.measure(
            shard, base, scheduler, images, kind, settings["timesteps"], settings["axes"]
        )
        artifacts.save_array(args.out / f"loss-{kind}.npy", loss)
        artifacts.save_array(args.out / f"displacement-{kind}.npy", displacement)


if __name__ == "__main__":
    command.main(run)
