"""Compute a CLIP model's embeddings of the training set and both kinds of queries."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import checkpoints, denoiser
from dasbench.diffusion import clip as embeddings


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    checkpoints.use_threads(args.threads)
    clip = embeddings.load(args.settings["model"], checkpoints.pick_device())
    splits = {"train": denoiser.to_model(artifacts.load_examples(args.examples).images)}
    for kind in present(args.queries):
        file = args.queries / f"{kind}.npy"
        splits[kind] = artifacts.load_array(file, (None, None, None, None), np.float32)
    for split, images in splits.items():
        artifacts.save_array(args.out / f"{split}.npy", embeddings.compute(clip, images))


if __name__ == "__main__":
    script_main.main(run)
