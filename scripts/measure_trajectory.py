"""Measure the subset models of a shard along the paths by which the queries were sampled."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, path_displacement


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder of the shard")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", required=True, help="output, .npy")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    folders = [args.models / f"{k:02d}" for k in range(settings["models_per_job"])]
    (base, *members), process = model.load_members([args.base, *folders])
    noise = artifacts.load_array(args.queries / "gen_noise.npy", (None,) * 4, np.float32)
    labels = artifacts.load_array(args.queries / "gen_labels.npy", (len(noise),), np.int64)
    measured = path_displacement.measure(
        members,
        base,
        process,
        noise,
        settings["sampling_steps"],
        settings["places"],
        model.condition(labels),
        settings["guidance"],
    )
    artifacts.save_array(args.out, measured)


if __name__ == "__main__":
    script_main.main(run)
