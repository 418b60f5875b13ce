"""Compute features of the generated queries along their sampling trajectories."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs
from dasbench.gradients import trajectories


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--noise", required=True, help="initial noise of the generated queries")
    parser.add_argument("--labels", required=True, help="classes of the generated queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", required=True, help="output, .npy")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    noise = artifacts.load_array(args.noise, (None, None, None, None), np.float32)
    labels = artifacts.load_array(args.labels, (len(noise),), np.int64)
    phi = trajectories.compute(
        network,
        process,
        noise,
        settings["features"],
        settings["axes"],
        settings["sampling_steps"],
        model.condition(labels),
    )
    artifacts.save_array(args.out, phi)


if __name__ == "__main__":
    script_main.main(run)
