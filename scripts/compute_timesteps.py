"""Compute gradient features by timestep: sets that differ in readout and norm share each pass."""

from pathlib import Path

import numpy as np

from dasbench.attribution import candidates
from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.query_kinds import KINDS
from dasbench.diffusion import checkpoints, model_inputs
from dasbench.gradients import features

CHUNK = 512  # images whose features of all timesteps are held


def read(args, family, settings: dict) -> dict[str, tuple]:
    """By split: what the model sees, what keys its noise, what it is told, what is wanted."""
    train = artifacts.load_examples(args.examples)
    who = train.ids if settings["noise"] != "batch" else np.arange(len(train.ids))
    told = family.condition(args.settings["model"], train.labels, model_inputs.prompts(args))
    found = {"train": (model_inputs.examples(train, args), who, told)}
    for kind in KINDS:
        seen, told = model_inputs.queries(args.queries, kind, args)
        found[kind] = (seen, np.arange(len(seen)), told)
    wanted = {split: np.ones(len(seen), bool) for split, (seen, *_) in found.items()}
    wanted["train"] = candidates.chosen(train.images, args.queries, settings["candidates"])
    return {split: (*found[split], wanted[split]) for split in found}


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sets' folders")
    args = parser.parse_args()
    checkpoints.use_threads(args.threads)
    family = model_inputs.family(args.settings)
    unet, scheduler = family.load(args.model, checkpoints.pick_device(), args.settings["model"])
    sets = args.settings["sets"]  # folder -> settings of the features
    chosen = next(iter(sets.values()))
    readouts = [(own["readout"], own["normalise"]) for own in sets.values()]
    if chosen["readout"] == "probe":  # one set of several readouts, side by side
        readouts = None
    axes = args.settings["axes"]
    extractor = features.Extractor(unet, scheduler, chosen, axes, readouts=readouts)
    wide = extractor.dimensions * (1 if readouts else len(extractor.readouts))
    for split, (images, examples, told, wanted) in read(args, family, chosen).items():
        shape = (len(sets), len(extractor.grid), len(images), wide)
        made = np.zeros(shape, np.float32)
        rows = np.flatnonzero(wanted)
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            c = told and told[some]
            found = extractor.by_timestep(images[some], examples[some], split, c)
            made[:, :, some] = found if readouts else np.concatenate(found, axis=2)
            print(f"{split}: {start + len(some)} of {len(rows)} images", flush=True)
        for folder, own in zip(sets, made, strict=True):
            with memmaps.create(args.out / folder / f"{split}.npy", own.shape, np.float32) as file:
                file[:] = own


if __name__ == "__main__":
    script_main.main(run)
