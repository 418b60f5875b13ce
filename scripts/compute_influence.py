"""Compute a method's scores on its whole grid, by a module of ``dasbench.gradients``."""

import contextlib
from pathlib import Path

import numpy as np

from dasbench.attribution import spectrum
from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs
from dasbench.gradients import influence


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    train = artifacts.load_examples(args.examples)
    queries = {kind: model.queries(args.queries, kind)[0] for kind in present(args.queries)}
    dampings = spectrum.damping_grid(settings["damping"]) if "damping" in settings else None
    images, gradients = model.images(train), settings["gradients"]
    given = (network, process, gradients, settings["axes"], images, train.ids, queries, dampings)
    problem = influence.Problem(*given)
    computation = influence.computation(settings["computation"])
    values = computation.values(problem)
    artifacts.save_array(args.out / "dampings.npy", values)
    with contextlib.ExitStack() as files:
        stored = {}
        for kind, asked in queries.items():
            shape = (len(values), len(images), len(asked))
            file = memmaps.create(args.out / f"{kind}.npy", shape, np.float32)
            stored[kind] = files.enter_context(file)
        for block in computation.blocks(problem):
            stored[block.kind][:, block.rows, block.columns] = block.scores
            rows = block.rows.indices(len(images))[1]
            print(f"{block.kind}: {rows} examples, {block.columns.stop} queries", flush=True)


if __name__ == "__main__":
    script_main.main(run)
