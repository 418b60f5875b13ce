"""Compute the contribution of some models to an average of scores: their sum, at every damping."""

from pathlib import Path

import numpy as np

from dasbench.attribution import ensembles
from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs
from dasbench.gradients import features, member_features


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--models", type=Path, required=True, nargs="+", help="their folders")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    examples = artifacts.load_examples(args.examples)
    splits = model.splits(examples, args.queries, by_position=False)
    dampings = method.searched(damping_grid(settings["damping"]).tolist())
    totals: dict[str, np.ndarray] = {}
    for folder in args.models:
        network, process = model.load(folder)
        extractor = features.Extractor(network, process, settings["features"], settings["axes"])
        passes = member_features.by_step(extractor, splits, extractor.grid)
        form = settings["function"], settings["order"]
        for kind, scores in ensembles.contributions(passes, dampings, *form).items():
            totals[kind] = totals.get(kind, 0.0) + scores
        print(f"{folder}: {len(extractor.grid)} timesteps", flush=True)
    for kind, total in totals.items():
        artifacts.save_array(args.out / f"{kind}.npy", total.astype(np.float32))


if __name__ == "__main__":
    script_main.main(run)
