"""metrics.json: the numbers that ``dvc metrics`` compares."""

import subprocess
import sys

import pandas as pd

from clones import ROOT
from dasbench.core import artifacts, tables


def test_a_partial_lds_that_is_undefined_for_every_query_is_left_out(tmp_path):
    row = {"transform": "identity", "queries": "val", "target": "loss", "selection": "held_out"}
    row |= {"lds": 0.5, "own": True, "Q": 4}
    beyond = {"das": (0.25, 1), "floor": (0.0, 4)}
    summary = pd.DataFrame(
        [
            {**row, "method": name, "partial": partial, "partial_undefined": undefined}
            for name, (partial, undefined) in beyond.items()
        ]
    )
    ceiling = pd.DataFrame([{"target": "loss", "queries": "val", "ceiling": 0.75}])
    for name, table in (("summary", summary), ("ceiling", ceiling)):
        tables.save_table(tmp_path / f"{name}.csv", table)
    files = ["--summary", tmp_path / "summary.csv", "--ceiling", tmp_path / "ceiling.csv"]
    command = [sys.executable, "scripts/write_metrics.py", "--settings", "{}", *files]
    subprocess.run([*command, "--metrics", tmp_path / "metrics.json"], cwd=ROOT, check=True)
    assert artifacts.load_json(tmp_path / "metrics.json") == {
        "lds.loss.val.das": 0.5,
        "lds.loss.val.floor": 0.5,
        "partial.loss.val.das": 0.25,
        "ceiling.loss.val": 0.75,
    }
