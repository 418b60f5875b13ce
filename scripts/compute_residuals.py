"""Compute one kind of residual for every training example."""

from dasbench import artifacts, command, diffusion, models, residuals


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", required=True, help="output, [N] .npy")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    unet, scheduler = models.load(args.model, models.pick_device())
    train = artifacts.load_examples(args.examples)
    r = residuals.compute(
        unet,
        scheduler,
        diffusion.to_model(train.images),
        train.ids,
        settings["residuals"],
        settings["axes"],
    )
    artifacts.save_array(args.out, r)


if __name__ == "__main__":
    command.main(run)
