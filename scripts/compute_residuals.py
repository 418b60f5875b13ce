"""Compute one kind of residual for every training example."""

from dasbench import artifacts, command, inputs, models, residuals


def run() -> None:
    """See the module's docstring."""
    parser = command.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", required=True, help="output, [N] .npy")
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    family = inputs.family(settings)
    network, scheduler = family.load(args.model, models.pick_device(), settings["model"])
    train = artifacts.load_examples(args.examples)
    r = residuals.compute(
        network,
        scheduler,
        inputs.examples(train, args),
        train.ids,
        settings["residuals"],
        settings["axes"],
        family.condition(settings["model"], train.labels, inputs.prompts(args)),
    )
    artifacts.save_array(args.out, r)


if __name__ == "__main__":
    command.main(run)
