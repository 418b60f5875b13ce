"""Measure the subset models of some shards on all queries."""

from pathlib import Path

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import KINDS
from dasbench.diffusion import checkpoints, model_inputs, outputs


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder with shard-*/")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    checkpoints.use_threads(args.threads)
    folders = [
        args.models / f"shard-{shard}" / f"{k:02d}"
        for shard in settings["shards"]
        for k in range(settings["models_per_job"])
    ]
    (base, *members), scheduler = model_inputs.family(settings).load_members(
        [args.base, *folders], checkpoints.pick_device(), settings["model"]
    )
    grid = outputs.grid(**settings["grid"])
    for kind in KINDS:
        seen, told = model_inputs.queries(args.queries, kind, args)
        loss, displacement = outputs.measure(
            members, base, scheduler, seen, kind, grid, settings["axes"], told
        )
        artifacts.save_array(args.out / f"loss-{kind}.npy", loss)
        artifacts.save_array(args.out / f"displacement-{kind}.npy", displacement)


if __name__ == "__main__":
    script_main.main(run)
