"""Judge scores by the exact influence on one run, and by its replays without some images."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import among
from dasbench.evaluation import bootstrap, this_run

EXACT = "exact"  # the derivatives, judged like a method


def masks_of(models: Path, run: dict) -> np.ndarray:
    """Masks [M, N] of a run, from its shards."""
    files = [models / f"shard-{shard}/masks.npy" for shard in run["shards"]]
    return np.concatenate([artifacts.load_array(f, (None, None), bool) for f in files])


def smoothness(outputs: dict, name: str) -> float:
    """Mean metasmoothness of the outputs of all queries, from all examples to the masks."""
    halves = outputs.get(name.replace("kept", "half"), [])
    ends = zip(halves, outputs[name], strict=False)  # the first masks have halves
    each = [this_run.metasmoothness(outputs["whole"][0], *pair) for pair in ends]
    return float(np.mean(each)) if each else float("nan")


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, home = args.settings, args.home
    draw = bootstrap.Bootstrap(settings["draws"], settings["level"])
    runs, rows = settings["runs"], {"agreement": [], "lds": [], "linearity": []}
    kept = {name: r for name, r in runs.items() if name.startswith("kept")}
    masks = {name: masks_of(home / f"models/replay/{name}", r) for name, r in kept.items()}
    for kind in among(settings["methods"]):
        parts = {part: where for part, (of, where) in settings["parts"].items() if of == kind}
        files = [home / f"replay/exact/{part}.npy" for part in parts]
        exact = np.concatenate([artifacts.load_array(f, (None, None)) for f in files], axis=1)
        queries = [q for where in parts.values() for q in where]
        scores = {
            name: artifacts.load_array(home / f"scores/{name}/{kind}.npy", (None, None))[:, queries]
            for name in settings["methods"][kind]
        }
        scores[EXACT] = exact
        outputs = {
            name: artifacts.load_array(home / f"replay/outputs/{name}/loss-{kind}.npy")
            for name in runs
        }
        labels = {"experiment": settings["experiment"], "queries": kind}
        rng = bootstrap.generator(settings["axes"], f"replay-{kind}")
        rows["agreement"].append(this_run.agreement(scores, exact, draw, rng).assign(**labels))
        for name, mask in masks.items():
            chosen, size = outputs[name][:, queries], {"fraction": kept[name]["fraction"]}
            draws = draw.shared(settings["axes"], f"{name}-{kind}", *chosen.shape)
            table = this_run.judge(scores, mask, chosen, draws, settings["floor"])
            rows["lds"].append(table.assign(**labels, **size))
            linear = this_run.linearity(exact, mask, chosen, outputs["whole"][0, queries])
            smooth = {"metasmoothness": smoothness(outputs, name)}
            rows["linearity"].append(
                pd.DataFrame([labels | size | linear._asdict() | smooth | {"M": len(mask)}])
            )
    for name, of_kinds in rows.items():
        tables.save_table(args.out / f"{name}.csv", pd.concat(of_kinds))


if __name__ == "__main__":
    script_main.main(run)
