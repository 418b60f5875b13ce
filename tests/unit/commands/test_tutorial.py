"""The notebook of the tutorial runs, cell by cell, with a small model in the place of digits'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import dasbench
from dasbench.core import artifacts
from dasbench.diffusion.families import pixel
from tiny import DIFFUSION, MODEL

NOTEBOOK = Path(dasbench.__file__).parents[2] / "docs/tutorial.ipynb"


def test_every_cell_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    home = tmp_path / "results/digits"
    pixel.save(home / "models/base", *pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("t", 0)))
    (home / "examples").mkdir()
    for split, count in (("train", 60), ("val", 40)):
        images = rng.integers(0, 256, (count, 8, 8, 1), np.uint8)
        ids = np.arange(count)
        artifacts.save_examples(home / f"examples/{split}.npz", images, ids % 10, ids)
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    space: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "tutorial.ipynb", "exec"), space)
            assert cell["outputs"] == []
    assert space["answer"].scores.shape == (60, 4)
    assert (tmp_path / "docs/answer.html").stat().st_size > 10_000
    assert "q_value" in space["answer"].frame().columns
