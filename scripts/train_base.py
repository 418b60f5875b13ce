"""Train the base model on the full training set, and save checkpoints during training."""

from pathlib import Path

import numpy as np

from dasbench.core import script_main
from dasbench.diffusion import model_inputs, training


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="output folder")
    parser.add_argument(
        "--checkpoints", type=Path, required=True, help="output folder, one folder each"
    )
    args = parser.parse_args()
    settings, recipe = args.settings, args.settings["training"]
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    _, data = model.training_set(args.examples)
    axes = (*settings["axes"], "base", 0, 0)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    network, process = model.build(data.x.shape[1:], axes)

    def keep(epoch: int, averaged) -> None:
        if epoch in settings["checkpoints"]:
            number = settings["checkpoints"].index(epoch)
            model.save_member(args.checkpoints / f"{number:02d}", averaged, process)

    everything = np.ones(len(data.x), dtype=bool)
    training.train(accelerator, network, process, data, everything, recipe, axes, keep)
    if accelerator.is_main_process:
        model.save(args.model, network, process)


if __name__ == "__main__":
    script_main.main(run)
