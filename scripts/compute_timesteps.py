"""Compute gradient features by timestep: sets that differ in readout and norm share each pass."""

from pathlib import Path

import numpy as np

from dasbench.attribution import candidates
from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.blocks import blocks
from dasbench.diffusion import model_inputs
from dasbench.gradients import features

CHUNK = 512  # images whose features of all timesteps are held


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sets' folders")
    args = parser.parse_args()
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    sets = args.settings["sets"]  # folder -> settings of the features
    chosen = next(iter(sets.values()))
    readouts = [(own["readout"], own["normalise"]) for own in sets.values()]
    if chosen["readout"] == "probe":  # one set of several readouts, side by side
        readouts = None
    axes = args.settings["axes"]
    extractor = features.Extractor(network, process, chosen, axes, readouts=readouts)
    wide = extractor.dimensions * (1 if readouts else len(extractor.readouts))
    examples = artifacts.load_examples(args.examples)
    splits = model.splits(examples, args.queries, by_position=chosen["noise"] == "batch")
    wanted = candidates.chosen(examples.images, args.queries, chosen["candidates"])
    for split, (images, keys, condition) in splits.items():
        shape = (len(sets), len(extractor.grid), len(images), wide)
        made = np.zeros(shape, np.float32)
        rows = np.flatnonzero(wanted) if split == "train" else np.arange(len(images))
        for part in blocks(len(rows), CHUNK):
            some = rows[part]
            c = condition and condition[some]
            found = extractor.by_timestep(images[some], keys[some], split, c)
            made[:, :, some] = found if readouts else np.concatenate(found, axis=2)
            print(f"{split}: {part.stop} of {len(rows)} images", flush=True)
        for folder, own in zip(sets, made, strict=True):
            with memmaps.create(args.out / folder / f"{split}.npy", own.shape, np.float32) as file:
                file[:] = own


if __name__ == "__main__":
    script_main.main(run)
