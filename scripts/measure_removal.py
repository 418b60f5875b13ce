"""Measure how retraining without some examples changes the queries: loss and generated image."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dasbench.core import artifacts, script_main, tables
from dasbench.diffusion import checkpoints, model_inputs, outputs, sampling
from dasbench.evaluation import removal


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder of the retrained models")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, model = args.settings, args.settings["model"]
    checkpoints.use_threads(args.threads)
    family, device = model_inputs.family(settings), checkpoints.pick_device()
    folders = [args.models / member for member in settings["members"]]
    (base, *retrained), scheduler = family.load_members([args.base, *folders], device, model)
    seen, told = model_inputs.queries(args.queries, "gen", args)
    images = artifacts.load_array(args.queries / "gen.npy", (len(seen), None, None, None), "f4")
    noise = artifacts.load_array(args.queries / "gen_noise.npy", seen.shape, np.float32)
    asked, grid, axes = settings["queries"], outputs.grid(**settings["grid"]), settings["axes"]
    loss, _ = outputs.measure([base, *retrained], base, scheduler, seen, "gen", grid, axes, told)
    change = loss[0] - loss[1:]  # [members, Q]; outputs are minus the loss
    shared = settings["arm"] != "method"  # one model for every query
    rows, shown = [], []
    for number, network in enumerate(retrained):
        mine = asked if shared else [asked[number]]
        after = sampling.ddim_sample(
            network,
            scheduler,
            torch.from_numpy(noise[mine]).to(device),
            settings["sampling_steps"],
            condition=None if told is None else told[mine],
            guidance=settings["guidance"],
        )
        after = after.cpu().numpy()
        if args.latents is not None:
            after = family.decode(model, after, device)
        shown.append(after)
        distance = removal.image_l2(images[mine], after)
        rows += [
            {
                "query": q,
                "set": number if shared else None,
                "loss_change": change[number, q],
                "image_l2": d,
            }
            for q, d in zip(mine, distance, strict=True)
        ]
    table = pd.DataFrame(rows).assign(
        method=settings["method"], k=settings["k"], embedding_cosine=np.nan
    )
    table["set"] = table["set"].astype("Int64")
    columns = ["method", "k", "query", "set", *removal.MEASURES]
    tables.save_table(args.out / "per_query.parquet", table[columns])
    artifacts.save_array(args.out / "images.npy", np.concatenate(shown))


if __name__ == "__main__":
    script_main.main(run)
