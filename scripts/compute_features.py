"""Compute one set of gradient features for the training set and both kinds of queries."""

import os
from pathlib import Path

import numpy as np
from accelerate import PartialState

from dasbench.attribution import candidates
from dasbench.core import artifacts, resumable, script_main
from dasbench.core.query_kinds import KINDS
from dasbench.diffusion import checkpoints, model_inputs
from dasbench.gradients import features
from dasbench.sharing import codehash

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 512  # images: a kill costs at most this much work, half a minute on a small model


def read(args, family) -> tuple[dict, np.ndarray]:
    """What the model sees, what keys its noise, what it is told, by split; candidates, [N]."""
    train, model = artifacts.load_examples(args.examples), args.settings["model"]
    keyed = args.settings["features"]["noise"] != "batch"
    who = train.ids if keyed else np.arange(len(train.ids))
    told = family.condition(model, train.labels, model_inputs.prompts(args))
    splits = {"train": (model_inputs.examples(train, args), who, told)}
    for kind in KINDS:
        seen, told = model_inputs.queries(args.queries, kind, args)
        splits[kind] = (seen, np.arange(len(seen)), told)
    count = args.settings["features"]["candidates"]
    return splits, candidates.chosen(train.images, args.queries, count)


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    state = PartialState(cpu=os.environ.get("DAS_DEVICE") == "cpu")
    checkpoints.use_threads(args.threads)
    device = state.device if state.num_processes > 1 else checkpoints.pick_device()
    family = model_inputs.family(args.settings)
    unet, scheduler = family.load(args.model, device, args.settings["model"])
    settings = args.settings["features"]
    extractor = features.Extractor(unet, scheduler, settings, args.settings["axes"])
    code = codehash.code_hash(ROOT, "scripts/compute_features.py", family.__file__)
    read_here = (args.examples, args.queries, args.model, args.latents, args.prompts)
    files = [f for place in read_here if place for f in (place, *sorted(place.rglob("*.*")))]
    mark = resumable.fingerprint(str(args.settings), code, *(f for f in files if f.is_file()))
    store, (splits, wanted) = resumable.Store(args.out, mark), read(args, family)
    width = extractor.dimensions * len(extractor.readouts)
    for split, (seen, examples, told) in splits.items():
        mine = resumable.slices(len(seen), CHUNK)[state.process_index :: state.num_processes]
        for rows in mine:
            if not store.has(split, rows):
                use = wanted[rows] if split == "train" else np.ones(len(seen[rows]), bool)
                phi = np.zeros((len(use), width), np.float32)
                if use.any():
                    c = told and told[rows][use]
                    found = extractor(seen[rows][use], examples[rows][use], split, c)
                    phi[use] = np.hstack(found)
                store.save(split, rows, phi)
            print(f"{split}: {rows.stop} of {len(seen)} images", flush=True)
    state.wait_for_everyone()
    if state.is_main_process:
        store.sweep()
        for split, (seen, *_) in splits.items():
            store.join(split, resumable.slices(len(seen), CHUNK), (len(seen), width))
        store.clear()


if __name__ == "__main__":
    script_main.main(run)
