"""Train shard s of the replays on random masks of one size: models s*K .. s*K + K - 1.

Images outside a mask have the weight ``left_out``: 0, or 1/2 for a replay half way.
"""

from pathlib import Path

import numpy as np
import torch

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, replay
from dasbench.experiments import subsets


def run() -> None:
    """See the module's docstring. All replays have the seeds of the base model."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of the shard s")
    parser.add_argument("--out", type=Path, required=True, help="output folder of the shard")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    train, data = model.training_set(args.examples)
    axes, share = (*settings["axes"], "base", 0, 0), settings["fraction"]
    left_out, everything = settings["left_out"], np.ones(len(data.x), dtype=bool)
    network, process = model.build(data.x.shape[1:], axes)
    whole = replay.Replay(network.to(model.device), process, data, settings["training"], axes)
    masks = []
    for k in range(settings["models_per_job"]):
        m = args.shard * settings["models_per_job"] + k
        rng = seeds.generator(*settings["axes"], "replay", f"{share:g}", m, "mask")
        drawn = subsets.draw_mask(train.labels, share, False, rng) if share < 1 else everything
        masks.append(drawn)
        theta = whole.run(torch.from_numpy(np.where(drawn, 1.0, left_out)))
        model.save_member(args.out / f"{k:02d}", whole.fill(theta), process)
        print(f"model {k + 1} of {settings['models_per_job']} trained", flush=True)
    artifacts.save_array(args.out / "masks.npy", np.stack(masks))


if __name__ == "__main__":
    script_main.main(run)
