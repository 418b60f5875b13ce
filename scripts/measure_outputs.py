"""Compute the outputs of the subset models of some shards on all queries."""

from pathlib import Path

from dasbench.core import artifacts, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs, outputs


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder with shard-*/")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    folders = [
        args.models / f"shard-{shard}" / f"{k:02d}"
        for shard in settings["shards"]
        for k in range(settings["models_per_job"])
    ]
    (base, *members), process = model.load_members([args.base, *folders])
    grid = outputs.grid(**settings["grid"])
    for kind in present(args.queries):
        queries, condition = model.queries(args.queries, kind)
        loss, displacement = outputs.measure(
            members, base, process, queries, kind, grid, settings["axes"], condition
        )
        artifacts.save_array(args.out / f"loss-{kind}.npy", loss)
        artifacts.save_array(args.out / f"displacement-{kind}.npy", displacement)


if __name__ == "__main__":
    script_main.main(run)
