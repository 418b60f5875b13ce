"""Measure how retraining without some examples changes the loss and the image of each query."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dasbench.core import artifacts, script_main, tables
from dasbench.diffusion import model_inputs, outputs, sampling
from dasbench.evaluation import removal


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder of the retrained models")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    folders = [args.models / member for member in settings["members"]]
    (base, *retrained), process = model.load_members([args.base, *folders])
    x, condition = model.queries(args.queries, "gen")
    images = artifacts.load_array(args.queries / "gen.npy", (len(x), None, None, None), "f4")
    noise = artifacts.load_array(args.queries / "gen_noise.npy", x.shape, np.float32)
    queries, grid, axes = settings["queries"], outputs.grid(**settings["grid"]), settings["axes"]
    loss, _ = outputs.measure([base, *retrained], base, process, x, "gen", grid, axes, condition)
    change = loss[0] - loss[1:]  # [members, Q]; an output is minus the loss
    shared = settings["arm"] != "method"  # one model for every query
    rows, generated = [], []
    for number, network in enumerate(retrained):
        positions = queries if shared else [queries[number]]
        after = sampling.sample(
            network,
            process,
            torch.from_numpy(noise[positions]).to(model.device),
            settings["sampling_steps"],
            condition=None if condition is None else condition[positions],
            guidance=settings["guidance"],
        )
        after = model.decode(after.cpu().numpy())
        generated.append(after)
        distance = removal.image_l2(images[positions], after)
        rows += [
            {
                "query": q,
                "set": number if shared else None,
                "loss_change": change[number, q],
                "image_l2": d,
            }
            for q, d in zip(positions, distance, strict=True)
        ]
    table = pd.DataFrame(rows).assign(
        method=settings["method"], k=settings["k"], embedding_cosine=np.nan
    )
    table["set"] = table["set"].astype("Int64")
    columns = ["method", "k", "query", "set", *removal.MEASURES]
    tables.save_table(args.out / "per_query.parquet", table[columns])
    artifacts.save_array(args.out / "images.npy", np.concatenate(generated))


if __name__ == "__main__":
    script_main.main(run)
