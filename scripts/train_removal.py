"""Retrain without some examples, with the base model's own draws; the null arm has other seeds."""

from pathlib import Path

from dasbench import artifacts, command, diffusion, models, training


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--masks", required=True, help="[members, N] .npy")
    parser.add_argument(
        "--out", type=Path, required=True, help="output folder, one folder a member"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    images = diffusion.to_model(artifacts.load_examples(args.examples).images)
    members = settings["members"]
    masks = artifacts.load_array(args.masks, (len(members), len(images)), bool)
    accelerator = training.make_accelerator(args.threads)
    for number, (member, mask) in enumerate(zip(members, masks, strict=True)):
        seed = number + 1 if settings["other_seeds"] else 0
        axes = (*settings["axes"], "base", 0, seed)
        unet, scheduler = models.build(
            settings["model"], settings["diffusion"], images.shape[1:], axes
        )
        training.train(accelerator, unet, scheduler, images, mask, settings["training"], axes)
        models.save(args.out / member, unet, scheduler)
        print(f"model {number + 1} of {len(members)} trained", flush=True)


if __name__ == "__main__":
    command.main(run)
