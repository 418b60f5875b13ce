"""Train shard s of the fine-tuned models, each on a random half: models s*K .. s*K + K - 1."""

from pathlib import Path

import numpy as np

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, training
from dasbench.experiments import subsets

# from the weights of a trained model: no warm-up, no decay of the rate, no average over the steps
CONSTANT = {"schedule": "constant", "warmup_steps": 0, "warmup_fraction": None, "ema_decay": None}


def run() -> None:
    """See the module's docstring. All models have the draws of one run: only their masks differ."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard s")
    parser.add_argument("--out", type=Path, required=True, help="output folder of the shard")
    args = parser.parse_args()
    settings, recipe = args.settings, {**args.settings["training"], **CONSTANT}
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    train, data = model.training_set(args.examples)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    axes, masks = (*settings["axes"], "finetune"), []
    for k in range(settings["models_per_job"]):
        m = args.shard * settings["models_per_job"] + k
        rng = seeds.generator(*axes, m, "mask")
        masks.append(subsets.draw_mask(train.labels, settings["fraction"], False, rng))
        network, process = model.load(args.base)
        training.train(accelerator, network, process, data, masks[-1], recipe, (*axes, 0, 0))
        model.save_member(args.out / f"{k:02d}", network, process)
        print(f"model {k + 1} of {settings['models_per_job']} fine-tuned", flush=True)
    artifacts.save_array(args.out / "masks.npy", np.stack(masks))


if __name__ == "__main__":
    script_main.main(run)
