"""``./run bench --quick``: every part that needs no results, at tiny sizes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import evaluation, orchestration
from benchmarks.machine import ROOT

pytestmark = [pytest.mark.slow]


EVERY_PART = ["features", "readouts", "damping_path", "score_memory", "scaling", "paper_scale"]


@pytest.mark.parametrize(
    "parts", [["damping_path"], pytest.param(EVERY_PART, marks=pytest.mark.deep)]
)
def test_quick_measures_and_writes_elsewhere(tmp_path, parts):
    page = ROOT / "docs/performance.md"
    before = page.read_bytes()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["./run", "bench", "--quick", *parts],
        cwd=ROOT,
        env=os.environ | {"DAS_ENV": "active", "PATH": path, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = tmp_path.glob("dasbench-*")
    assert {file.name for file in (made / "benchmarks").iterdir()} == {
        "details.json",
        "results.json",
    }
    written = (made / "docs/performance.md").read_text()
    assert written.count("\n### ") == len(parts)
    assert "paper_scale" not in parts or re.search(r"core days; released", written)
    assert page.read_bytes() == before


@pytest.mark.workflow
def test_a_plan_is_timed_in_a_copy():
    """Two more shards are one to train and one to measure for each of the two seeds."""
    found = orchestration.plan(2, 1)
    assert found["jobs"] > 50
    assert 0 < found["seconds"]["median"] < 120
    assert not (ROOT / "config/experiments/planned.yaml").exists()


@pytest.mark.deep
@pytest.mark.workflow
def test_measuring_and_training_run_as_in_the_workflow(made, monkeypatch):
    monkeypatch.setattr(evaluation, "ROOT", made.folder)
    monkeypatch.setattr(evaluation, "EXPERIMENT", "smoke")
    monkeypatch.setattr(orchestration, "ROOT", made.folder)
    found = evaluation.measure(1, 1, quick=True)
    assert found["models"] > 1
    assert all(found[name]["min"] > 0 for name in ("start_up", "train_one", "measure"))
