"""Train shard s of the subset models of one use and retraining seed: models s*K .. s*K + K - 1."""

from pathlib import Path

import numpy as np

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, training
from dasbench.experiments import subsets


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--use", required=True, help="tune or eval")
    parser.add_argument("--seed", type=int, required=True, help="retraining seed r")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard s")
    parser.add_argument("--out", type=Path, required=True, help="output folder of the shard")
    args = parser.parse_args()
    settings, recipe = args.settings, args.settings["training"]
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    train, data = model.training_set(args.examples)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    masks = []
    for k in range(settings["models_per_job"]):
        m = args.shard * settings["models_per_job"] + k
        rng = seeds.generator(*settings["axes"], args.use, m, "mask")
        masks.append(
            subsets.draw_mask(train.labels, settings["fraction"], settings["stratify"], rng)
        )
        axes = (*settings["axes"], args.use, m, args.seed)
        network, process = model.build(data.x.shape[1:], axes)
        training.train(accelerator, network, process, data, masks[-1], recipe, axes)
        model.save_member(args.out / f"{k:02d}", network, process)
        print(f"model {k + 1} of {settings['models_per_job']} trained", flush=True)
    artifacts.save_array(args.out / "masks.npy", np.stack(masks))


if __name__ == "__main__":
    script_main.main(run)
