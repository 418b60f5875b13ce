"""Join the curves of all methods, and list what each rule for the damping loses to the oracle."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import damping_rules
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of all experiments")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, curves, losses = args.settings, {}, {}
    for name, methods in settings["sets"].items():
        folders = [args.results / name / "dampings/methods" / method for method in methods]
        parts = [tables.load_table(folder / "curve.csv") for folder in folders]
        curves[name] = pd.concat(parts, ignore_index=True)
        losses[name] = np.concatenate(
            [artifacts.load_array(f / "losses.npy", (None, settings["draws"])) for f in folders]
        )
    bootstrap, rules, means = Bootstrap(settings["draws"], settings["level"]), [], []
    for name, curve in curves.items():
        chosen = [damping_rules.choose(curve, settings["fixed"])]
        if others := [other for one, other in curves.items() if one != name]:
            chosen.append(damping_rules.from_others(curve, pd.concat(others)))
        table = pd.concat(chosen)
        table["own"] = table["transform"] == table["method"].map(settings["own"])
        rules.append(table)
        means.append(damping_rules.overall(table, losses[name], bootstrap))
    tables.save_table(args.out / "curve.csv", pd.concat(curves.values())[damping_rules.CURVE])
    tables.save_table(args.out / "rules.csv", pd.concat(rules)[damping_rules.RULES])
    tables.save_table(args.out / "overall.csv", pd.concat(means))


if __name__ == "__main__":
    script_main.main(run)
