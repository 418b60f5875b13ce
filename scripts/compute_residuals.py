"""Compute one kind of residual for every training example."""

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs
from dasbench.gradients import residuals


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--out", required=True, help="output, [N] .npy")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    train = artifacts.load_examples(args.examples)
    r = residuals.compute(
        network,
        process,
        model.images(train),
        train.ids,
        settings["residuals"],
        settings["axes"],
        model.condition(train.labels),
    )
    artifacts.save_array(args.out, r)


if __name__ == "__main__":
    script_main.main(run)
