"""Measure the subset models of a shard at all timesteps, and average over several grids."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs, outputs
from dasbench.evaluation import output_grids


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder of the shard")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, total = args.settings, args.settings["timesteps"]
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    folders = [args.models / f"{k:02d}" for k in range(settings["models_per_job"])]
    (_, *members), process = model.load_members([args.base, *folders])
    uses = artifacts.load_json(args.queries / "uses.json")
    grids = [outputs.grid(count, total, spacing) for count, spacing in output_grids.GRIDS]
    grids.append(outputs.grid(total, total, "midpoint"))
    for kind in present(args.queries):
        queries, condition = model.queries(args.queries, kind)
        losses, _ = outputs.measure_by_timestep(
            members,
            None,
            process,
            queries,
            kind,
            np.arange(total),
            settings["axes"],
            chosen=uses[kind]["evaluation"],
            condition=condition,
        )
        artifacts.save_array(args.out / f"{kind}.npy", output_grids.average(losses, grids))


if __name__ == "__main__":
    script_main.main(run)
