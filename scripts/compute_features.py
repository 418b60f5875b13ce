"""Compute one set of gradient features for the training set and both kinds of queries."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, diffusion, features, models
from dasbench.layout import KINDS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    unet, scheduler = models.load(args.model, models.pick_device())
    train = artifacts.load_examples(args.examples)
    splits = {"train": (diffusion.to_model(train.images), train.ids)}
    if settings["features"]["noise"] == "batch":
        splits["train"] = (splits["train"][0], np.arange(len(train.ids)))
    for kind in KINDS:
        images = artifacts.load_array(
            args.queries / f"{kind}.npy", (None, None, None, None), np.float32
        )
        splits[kind] = (images, np.arange(len(images)))
    for split, (images, examples) in splits.items():
        phi = features.compute(
            unet, scheduler, images, examples, split, settings["features"], settings["axes"]
        )
        artifacts.save_array(args.out / f"{split}.npy", phi)
        print(f"{split}: {phi.shape[0]} examples, {phi.shape[1]} dimensions", flush=True)


if __name__ == "__main__":
    command.main(run)
