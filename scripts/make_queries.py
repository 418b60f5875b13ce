"""Write the queries: held-out images, and samples of the base model with their initial noise."""

from pathlib import Path

import numpy as np
import torch

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.diffusion import denoiser, model_inputs, queries, sampling


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--val", help="examples/val.npz, if there are held-out images")
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    train = artifacts.load_examples(args.train)
    network, process = model.load(args.model)
    shape = model.images(train).shape[1:]
    axes, count = (*settings["axes"], "sampling"), settings["gen"]
    noise = np.stack(
        [seeds.generator(*axes, "gen", q).standard_normal(shape, np.float32) for q in range(count)]
    )
    # classes have the same frequencies as among the training examples
    labels = train.labels[seeds.generator(*axes, "labels").integers(0, len(train.labels), count)]
    condition = model.condition(labels)
    generated = sampling.sample(
        network,
        process,
        torch.from_numpy(noise).to(model.device),
        settings["sampling_steps"],
        condition=condition,
        guidance=settings["guidance"],
    )
    generated = generated.cpu().numpy()
    if args.latents is not None:
        x = artifacts.load_array(args.latents / "val.npy", (settings["val"], *shape), "float32")
        artifacts.save_array(args.out / "val_latents.npy", x)
        artifacts.save_array(args.out / "gen_latents.npy", generated)
        generated = model.decode(generated)
    if condition is None:  # the labels had no influence on the samples
        labels = queries.nearest_labels(generated, denoiser.to_model(train.images), train.labels)
    if args.val is not None:
        val = artifacts.load_examples(args.val)
        artifacts.save_array(args.out / "val.npy", denoiser.to_model(val.images[: settings["val"]]))
        artifacts.save_array(args.out / "val_labels.npy", val.labels[: settings["val"]])
    artifacts.save_array(args.out / "gen.npy", generated)
    artifacts.save_array(args.out / "gen_labels.npy", labels)
    artifacts.save_array(args.out / "gen_noise.npy", noise)
    artifacts.save_json(args.out / "uses.json", queries.uses(settings))


if __name__ == "__main__":
    script_main.main(run)
