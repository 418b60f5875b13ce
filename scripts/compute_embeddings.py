"""Compute a CLIP model's embeddings of the training set and both kinds of queries."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, diffusion, embeddings, models
from dasbench.layout import KINDS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    models.use_threads(args.threads)
    clip = embeddings.load(args.settings["model"], models.pick_device())
    splits = {"train": diffusion.to_model(artifacts.load_examples(args.examples).images)}
    for kind in KINDS:
        file = args.queries / f"{kind}.npy"
        splits[kind] = artifacts.load_array(file, (None, None, None, None), np.float32)
    for split, images in splits.items():
        artifacts.save_array(args.out / f"{split}.npy", embeddings.compute(clip, images))


if __name__ == "__main__":
    command.main(run)
