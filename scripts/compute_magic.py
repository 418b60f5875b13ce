"""Compute the exact influence of every training example's weight on some queries of one kind."""

from pathlib import Path

import numpy as np
import torch

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, outputs, replay
from dasbench.gradients import exact_influence


def run() -> None:
    """See the module's docstring. The run is that of ``train_replay`` on all examples."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="[N, Q] .npy")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    _, data = model.training_set(args.examples)
    axes = (*settings["axes"], "base", 0, 0)
    network, process = model.build(data.x.shape[1:], axes)
    whole = replay.Replay(network.to(model.device), process, data, settings["training"], axes)
    weights = torch.ones(whole.examples)
    queries, condition = model.queries(args.queries, settings["kind"])
    grid = outputs.grid(**settings["grid"])
    _, final = exact_influence.final_gradients(
        whole,
        whole.run(weights),
        queries,
        settings["positions"],
        settings["kind"],
        grid,
        settings["axes"],
        condition,
    )

    def tell(step: int) -> None:
        if step % 10 == 0:
            print(f"{whole.steps - step} of {whole.steps} steps", flush=True)

    scores = exact_influence.influence(whole, weights, final, tell)
    artifacts.save_array(args.out, np.ascontiguousarray(scores.T, np.float32))


if __name__ == "__main__":
    script_main.main(run)
