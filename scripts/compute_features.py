"""Compute one set of gradient features for the training set and both kinds of queries."""

import os
from pathlib import Path

import numpy as np
from accelerate import PartialState

from dasbench.attribution import candidates
from dasbench.core import artifacts, resumable, script_main
from dasbench.core.blocks import blocks
from dasbench.diffusion import model_inputs
from dasbench.gradients import features
from dasbench.sharing import codehash

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 512  # images: a kill costs at most this much work, half a minute on a small model


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    state = PartialState(cpu=os.environ.get("DAS_DEVICE") == "cpu")
    device = state.device if state.num_processes > 1 else None
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts, device)
    network, process = model.load(args.model)
    settings = args.settings["features"]
    extractor = features.Extractor(network, process, settings, args.settings["axes"])
    code = codehash.code_hash(ROOT, "scripts/compute_features.py", model.family.__file__)
    inputs = (args.examples, args.queries, args.model, args.latents, args.prompts)
    files = [f for path in inputs if path for f in (path, *sorted(path.rglob("*.*")))]
    mark = resumable.fingerprint(str(args.settings), code, *(f for f in files if f.is_file()))
    store, examples = resumable.Store(args.out, mark), artifacts.load_examples(args.examples)
    splits = model.splits(examples, args.queries, by_position=settings["noise"] == "batch")
    is_candidate = candidates.chosen(examples.images, args.queries, settings["candidates"])
    width = extractor.dimensions * len(extractor.readouts)
    for split, (images, keys, condition) in splits.items():
        # each process computes every num_processes-th chunk
        for rows in blocks(len(images), CHUNK)[state.process_index :: state.num_processes]:
            if not store.has(split, rows):
                use = is_candidate[rows] if split == "train" else np.ones(len(images[rows]), bool)
                phi = np.zeros((len(use), width), np.float32)
                if use.any():
                    c = condition and condition[rows][use]
                    parts = extractor(images[rows][use], keys[rows][use], split, c)
                    phi[use] = np.hstack(parts)
                store.save(split, rows, phi)
            print(f"{split}: {rows.stop} of {len(images)} images", flush=True)
    state.wait_for_everyone()
    if state.is_main_process:
        store.sweep()
        for split, (images, *_) in splits.items():
            store.join(split, blocks(len(images), CHUNK), (len(images), width))
        store.clear()


if __name__ == "__main__":
    script_main.main(run)
