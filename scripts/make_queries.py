"""Make the queries: held-out images, and samples of the base model with their initial noise."""

from pathlib import Path

import numpy as np
import torch

from dasbench import artifacts, command, diffusion, models, queries, seeds


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--val", required=True)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    train, val = artifacts.load_examples(args.train), artifacts.load_examples(args.val)
    pixels = diffusion.to_model(train.images)
    unet, scheduler = models.load(args.model, models.pick_device())
    noise = np.stack(
        [
            seeds.generator(*settings["axes"], "sampling", "gen", q).standard_normal(
                pixels.shape[1:], np.float32
            )
            for q in range(settings["gen"])
        ]
    )
    start = torch.from_numpy(noise).to(unet.device)
    generated = (
        diffusion.ddim_sample(unet, scheduler, start, settings["sampling_steps"]).cpu().numpy()
    )
    artifacts.save_array(args.out / "val.npy", diffusion.to_model(val.images[: settings["val"]]))
    artifacts.save_array(args.out / "val_labels.npy", val.labels[: settings["val"]])
    artifacts.save_array(args.out / "gen.npy", generated)
    artifacts.save_array(
        args.out / "gen_labels.npy", queries.nearest_labels(generated, pixels, train.labels)
    )
    artifacts.save_array(args.out / "gen_noise.npy", noise)
    artifacts.save_json(args.out / "uses.json", queries.uses(settings))


if __name__ == "__main__":
    command.main(run)
