"""Train the model that is attributed, on the full training set, and keep checkpoints on the way."""

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
    family, _, data = model_inputs.training(args.examples, args)
    axes = (*settings["axes"], "base", 0, 0)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    model = settings["model"]
    network, scheduler = family.build(model, settings["diffusion"], data.x.shape[1:], axes)

    def keep(epoch: int, averaged) -> None:
        if epoch in settings["checkpoints"]:
            number = settings["checkpoints"].index(epoch)
            family.save_member(args.checkpoints / f"{number:02d}", averaged, scheduler, model)

    everything = np.ones(len(data.x), dtype=bool)
    training.train(accelerator, network, scheduler, data, everything, recipe, axes, keep)
    if accelerator.is_main_process:
        family.save(args.model, network, scheduler, model)


if __name__ == "__main__":
    script_main.main(run)
