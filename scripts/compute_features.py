"""Compute one set of gradient features for the training set and both kinds of queries."""

import os
from pathlib import Path

import numpy as np
from accelerate import PartialState

from dasbench import artifacts, candidates, chunks, codehash, command, diffusion, features, models
from dasbench.layout import KINDS

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 512  # images: a kill costs at most this much work, half a minute on a small model


def read(args) -> tuple[dict, np.ndarray]:
    """Images and what keys their noise, by split; which training images are candidates, [N]."""
    train = artifacts.load_examples(args.examples)
    keyed = args.settings["features"]["noise"] != "batch"
    who = train.ids if keyed else np.arange(len(train.ids))
    splits = {"train": (diffusion.to_model(train.images), who)}
    for kind in KINDS:
        images = artifacts.load_array(
            args.queries / f"{kind}.npy", (None, None, None, None), np.float32
        )
        splits[kind] = (images, np.arange(len(images)))
    count = args.settings["features"]["candidates"] or len(train.ids)
    queries = np.concatenate([splits[kind][0] for kind in KINDS])
    return splits, candidates.nearest(splits["train"][0], queries, count)


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    state = PartialState(cpu=os.environ.get("DAS_DEVICE") == "cpu")
    models.use_threads(args.threads)
    device = state.device if state.num_processes > 1 else models.pick_device()
    unet, scheduler = models.load(args.model, device)
    settings = args.settings["features"]
    extractor = features.Extractor(unet, scheduler, settings, args.settings["axes"])
    files = [args.examples, *sorted(args.queries.glob("*.npy")), *sorted(args.model.rglob("*.*"))]
    code = codehash.code_hash(ROOT, "scripts/compute_features.py")
    mark = chunks.fingerprint(str(args.settings), code, *(f for f in files if f.is_file()))
    store, (splits, wanted) = chunks.Store(args.out, mark), read(args)
    width = extractor.dimensions * len(extractor.readouts)
    for split, (images, examples) in splits.items():
        mine = chunks.slices(len(images), CHUNK)[state.process_index :: state.num_processes]
        for rows in mine:
            if not store.has(split, rows):
                use = wanted[rows] if split == "train" else np.ones(len(images[rows]), bool)
                phi = np.zeros((len(use), width), np.float32)
                if use.any():
                    phi[use] = np.hstack(extractor(images[rows][use], examples[rows][use], split))
                store.save(split, rows, phi)
            print(f"{split}: {rows.stop} of {len(images)} images", flush=True)
    state.wait_for_everyone()
    if state.is_main_process:
        store.sweep()
        for split, (images, _) in splits.items():
            store.join(split, chunks.slices(len(images), CHUNK), (len(images), width))
        store.clear()


if __name__ == "__main__":
    command.main(run)
