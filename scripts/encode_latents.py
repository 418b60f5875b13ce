"""Encode the examples with the frozen autoencoder, and list digests of the frozen files."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.diffusion import denoiser, model_inputs
from dasbench.diffusion.families import pretrained


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--train", required=True, help="examples/train.npz")
    parser.add_argument("--val", required=True, help="examples/val.npz")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings, model = args.settings, model_inputs.open(args.settings, args.threads)
    train, val = artifacts.load_examples(args.train), artifacts.load_examples(args.val)
    # of the held-out examples, only the queries need latents
    splits = {
        "train": denoiser.to_model(train.images),
        "val": denoiser.to_model(val.images[: settings["val"]]),
    }
    if settings["flip"]:
        splits["train-mirrored"] = np.ascontiguousarray(splits["train"][..., ::-1])
    for split, images in splits.items():
        artifacts.save_array(args.out / f"{split}.npy", model.encode(images))
        print(f"{split}: {len(images)} images", flush=True)
    # all models depend on these files: if their bytes change, all later jobs run again
    digests = pretrained.digests(settings["model"], *model.family.PRETRAINED)
    artifacts.save_json(args.out / "pretrained.json", digests)


if __name__ == "__main__":
    script_main.main(run)
