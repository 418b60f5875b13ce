"""Costs: jobs are counted once, the page is escaped and self-contained, the import is cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dasbench.core import tables
from dasbench.reports import cost_page

ROOT = Path(cost_page.__file__).parents[3]
HOSTILE = '<script>alert("x")</script>'
MANIFEST = {
    "a.npy": {"rule": "train", "log": ["logs/train/0.log"]},
    "b.npy": {"rule": "train", "log": ["logs/train/0.log"]},
    "c.npy": {"rule": "train", "log": ["logs/train/1.log"]},
    "d.csv": {"rule": HOSTILE},
    "gone": {"rule": "never"},
}
RUNTIMES = {
    "a.npy": [0.0, 9.0, 300.0],  # each output has the time at which it was done
    "b.npy": [0.0, 10.0, 300.0],
    "c.npy": [5.0, 25.0, 500.0],
    "d.csv": [100.0, 110.0, None],
    "stale": [0.0, 1e6, 1.0],
}


def test_costs_count_jobs_not_outputs() -> None:
    """Two outputs of one job count once; outputs without times and stale times do not count."""
    table = cost_page.costs(MANIFEST, RUNTIMES).set_index("rule")
    assert list(table.index) == ["train", HOSTILE]
    train = table.loc["train"]
    assert (train.jobs, train.seconds, train.median_seconds, train.peak_mb) == (
        2,
        30.0,
        15.0,
        500.0,
    )
    assert train.share == pytest.approx(0.75)
    assert np.isnan(table.loc[HOSTILE].peak_mb)
    assert cost_page.elapsed(MANIFEST, RUNTIMES) == pytest.approx(35.0)


@pytest.mark.parametrize("runtimes", [RUNTIMES, {}])
def test_timings_page(tmp_path: Path, runtimes: dict) -> None:
    """Files are written, names escaped, nothing fetched; no times yet is no error."""
    cost_page.write(tmp_path, "made_up", MANIFEST, runtimes)
    html = (tmp_path / "timings.html").read_text()
    assert "<script" not in html
    assert all(
        v.startswith("data:") or v == "report.html"
        for v in re.findall(r'(?:src|href)="([^"]*)"', html)
    )
    assert ("&lt;script&gt;" in html) == bool(runtimes)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        "cost-by-rule.svg",
        "cost-by-rule.png",
    }
    assert list(tables.load_table(tmp_path / "costs.csv").columns) == list(cost_page.COLUMNS)


def test_importing_timings_is_cheap() -> None:
    """The module is imported at the end of every run: no pandas, matplotlib or torch for that."""
    code = (
        "import sys, dasbench.reports.cost_page;"
        "heavy = {'pandas', 'matplotlib', 'torch', 'numpy', 'jinja2'} & set(sys.modules);"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "src")})
