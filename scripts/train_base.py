"""Train the model that is attributed, on the full training set, and keep checkpoints on the way."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, diffusion, models, training


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="output folder")
    parser.add_argument(
        "--checkpoints", type=Path, required=True, help="output folder, one folder each"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    images = diffusion.to_model(artifacts.load_examples(args.examples).images)
    axes = (*settings["axes"], "base", 0, 0)
    accelerator = training.make_accelerator(args.threads)
    unet, scheduler = models.build(settings["model"], settings["diffusion"], images.shape[1:], axes)

    def keep(epoch: int, averaged) -> None:
        if epoch in settings["checkpoints"]:
            number = settings["checkpoints"].index(epoch)
            models.save(args.checkpoints / f"{number:02d}", averaged, scheduler)

    everything = np.ones(len(images), dtype=bool)
    training.train(
        accelerator, unet, scheduler, images, everything, settings["training"], axes, keep
    )
    if accelerator.is_main_process:
        models.save(args.model, unet, scheduler)


if __name__ == "__main__":
    command.main(run)
