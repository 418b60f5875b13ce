"""Compute gradient features by timestep; the same passes serve sets of several readouts.

Each batch of images goes to the files at once, so memory holds the timesteps of one batch.
"""

import contextlib
from pathlib import Path

import numpy as np

from dasbench.attribution import candidates
from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.blocks import blocks
from dasbench.core.mapped_pages import release
from dasbench.diffusion import model_inputs
from dasbench.gradients import features


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
    settings = next(iter(sets.values()))  # sets differ only in readout and normalise
    readouts = [(each["readout"], each["normalise"]) for each in sets.values()]
    if settings["readout"] == "probe":  # one set of several readouts, side by side
        readouts = None
    axes = args.settings["axes"]
    extractor = features.Extractor(network, process, settings, axes, readouts=readouts)
    width = extractor.dimensions * (1 if readouts else len(extractor.readouts))
    examples = artifacts.load_examples(args.examples)
    splits = model.splits(examples, args.queries, by_position=settings["noise"] == "batch")
    is_candidate = candidates.chosen(examples.images, args.queries, settings["candidates"])
    for split, (images, keys, condition) in splits.items():
        shape = (len(extractor.grid), len(images), width)
        positions = np.flatnonzero(is_candidate) if split == "train" else np.arange(len(images))
        with contextlib.ExitStack() as files:
            stored = [  # full of zeros
                files.enter_context(
                    memmaps.create(args.out / folder / f"{split}.npy", shape, np.float32)
                )
                for folder in sets
            ]
            for part in blocks(len(positions), extractor.batch):
                rows = positions[part]
                c = condition and condition[rows]
                parts = extractor.by_timestep(images[rows], keys[rows], split, c)
                parts = parts if readouts else [np.concatenate(parts, axis=2)]
                for array, phi in zip(stored, parts, strict=True):
                    array[:, rows] = phi
                    release(array)
                print(f"{split}: {part.stop} of {len(positions)} images", flush=True)


if __name__ == "__main__":
    script_main.main(run)
