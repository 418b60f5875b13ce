"""Compute EK-FAC influence of every training example on both kinds of queries, at all dampings."""

import contextlib
from pathlib import Path

import numpy as np
import torch

from dasbench.attribution import spectrum
from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs
from dasbench.gradients import ekfac


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    train = artifacts.load_examples(args.examples)
    images = model.images(train)
    curvature = ekfac.Ekfac(network, process, settings["gradients"], settings["axes"])
    curvature.fit(images, train.ids)
    print(f"largest eigenvalue {curvature.scale:.4g}", flush=True)
    dampings = spectrum.damping_grid(settings["damping"])
    artifacts.save_array(args.out / "dampings.npy", dampings)
    with contextlib.ExitStack() as files:
        features, stored = [], {}
        for kind in present(args.queries):
            queries, _ = model.queries(args.queries, kind)
            features.append(curvature.features(queries, np.arange(len(queries)), kind))
            shape = (len(dampings), len(images), len(queries))
            file = memmaps.create(args.out / f"{kind}.npy", shape, np.float32)
            stored[kind] = files.enter_context(file)
        both = {name: torch.cat([f[name] for f in features]) for name in features[0]}
        for rows, block in curvature.scores(images, train.ids, both, dampings):
            start = 0
            for file in stored.values():
                file[:, rows] = block[:, :, start : start + file.shape[2]]
                start += file.shape[2]
            print(f"{rows.stop} of {len(images)} examples", flush=True)


if __name__ == "__main__":
    script_main.main(run)
