"""Compute what one model would add to averages of scores: predictions, and means over timesteps."""

from pathlib import Path

import numpy as np

from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs
from dasbench.evaluation import ensemble_members
from dasbench.gradients import features, member_features


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="folder: queries, tuning masks")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    extractor = features.Extractor(network, process, settings["features"], settings["axes"])
    grids = member_features.grids(settings["features"], settings["grids"], process.total)
    steps = np.unique(np.concatenate(grids))
    uses = artifacts.load_json(args.home / "queries/uses.json")
    examples = artifacts.load_examples(args.examples)
    splits = model.splits(examples, args.home / "queries", by_position=False)
    for kind in uses:
        splits[kind] = member_features.about(splits[kind], uses[kind]["tuning"])
    masks = artifacts.load_array(args.home / "masks/tune.npy", (None, len(examples.ids)), bool)
    dampings = method.searched(damping_grid(settings["damping"]).tolist())
    given = (grids, masks, dampings, settings["functions"])
    passes = member_features.by_step(extractor, splits, steps)
    for kind, kept in ensemble_members.explore(passes, *given).items():
        artifacts.save_array(args.out / f"predictions-{kind}.npy", kept.predictions)
        artifacts.save_array(args.out / f"means-{kind}.npy", kept.means)


if __name__ == "__main__":
    script_main.main(run)
