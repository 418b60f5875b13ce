"""Measure how retraining without some examples changes the queries: loss and generated image."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dasbench import artifacts, command, diffusion, models, outputs, removal


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--models", type=Path, required=True, help="folder of the retrained models")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    device = models.pick_device()
    base, scheduler = models.load(args.base, device)
    retrained = [models.load(args.models / member, device)[0] for member in settings["members"]]
    images = artifacts.load_array(args.queries / "gen.npy", (None, None, None, None), np.float32)
    noise = artifacts.load_array(args.queries / "gen_noise.npy", images.shape, np.float32)
    asked = settings["queries"]
    grid = outputs.grid(**settings["grid"])
    loss, _ = outputs.measure(
        [base, *retrained], base, scheduler, images, "gen", grid, settings["axes"]
    )
    change = loss[0] - loss[1:]  # [members, Q]; outputs are minus the loss
    shared = settings["arm"] != "method"  # one model for every query
    rows, shown = [], []
    for number, model in enumerate(retrained):
        mine = asked if shared else [asked[number]]
        start = torch.from_numpy(noise[mine]).to(device)
        after = (
            diffusion.ddim_sample(model, scheduler, start, settings["sampling_steps"]).cpu().numpy()
        )
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
    artifacts.save_table(args.out / "per_query.parquet", table[columns])
    artifacts.save_array(args.out / "images.npy", np.concatenate(shown))


if __name__ == "__main__":
    command.main(run)
