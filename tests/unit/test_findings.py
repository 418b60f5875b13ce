"""The page of findings shows what is kept in reference/findings, and nothing else."""

import pandas as pd
import pytest

from dasbench import artifacts, findings
from dasbench.errors import UserError
from experiment_files import ROOT

PAGE = (ROOT / findings.PAGE).read_text()


def test_the_page_is_made_of_what_is_kept():
    assert findings.blocks(PAGE)
    assert findings.fill(PAGE, ROOT) == PAGE


def test_a_table_that_nobody_makes_is_refused():
    with pytest.raises(UserError, match="there is no table nothing; known: methods-loss"):
        findings.fill("<!-- nothing:begin -->\n<!-- nothing:end -->", ROOT)


def test_results_are_copied_and_shown(tmp_path):
    rows = [("das", 64, 0.2), ("das", 32, 0.31), ("trak", 64, 0.1)]
    table = pd.DataFrame(rows, columns=["method", "models", "width"])
    table = table.assign(queries="val", target="loss")
    folder = tmp_path / "results/digits/lds"
    folder.mkdir(parents=True)
    table.to_csv(folder / "by_models.csv", index=False)
    assert findings.collect(tmp_path) == ["by_models.csv"]
    page = "a\n<!-- by-models:begin -->\nold\n<!-- by-models:end -->\nb\n"
    filled = findings.fill(page, tmp_path)
    assert "| 32 | 31.0 | – |\n| 64 | 15.0 | – |\n<!-- by-models:end -->\nb\n" in filled
    assert "old" not in filled


def test_what_an_experiment_cost_is_one_row(tmp_path):
    folder = tmp_path / "results/emoji"
    folder.mkdir(parents=True)
    made = {f"results/emoji/{i}": {"rule": "score", "log": [f"logs/{i}"]} for i in range(3)}
    # two jobs at once, a pause of an hour, a third
    times = [[0, 3600, 100.0], [1800, 5400, 300.0], [9000, 10800, None]]
    artifacts.save_json(folder / "provenance.json", made)
    artifacts.save_json(folder / "runtimes.json", dict(zip(made, times, strict=True)))
    assert findings.collect(tmp_path) == []  # it has not ended yet
    (folder / "report.html").touch()
    assert findings.collect(tmp_path) == ["emoji-cost.csv"]
    filled = findings.fill("<!-- emoji-cost:begin -->\n<!-- emoji-cost:end -->\n", tmp_path)
    assert "| `emoji` | 3 | 2.50 | 2.00 | 300 |" in filled


def comparisons():
    """A primary difference of both kinds of query, and what is not primary."""
    row = {"kind": "primary", "a": "das", "b": "trak", "target": "loss", "selection": "held_out"}
    row |= {"queries": "val", "difference": 0.1, "lo": 0.05, "hi": 0.15}
    others = [{"queries": "gen", "difference": -0.02, "lo": -0.1, "hi": 0.1}]
    others += [{"kind": "exploratory", "difference": 0.9}, {"selection": "oracle"}]
    return pd.DataFrame([row, *(row | other for other in others)])


def test_primary_comparisons_and_the_ceiling_are_shown():
    shown = findings.primary(comparisons()).splitlines()
    assert shown[2:] == ["| `das` - `trak` | loss | 10.0 (5.0 to 15.0) | -2.0 (-10.0 to 10.0) |"]
    rows = [("loss", kind, 0.5, 0.4, 0.6) for kind in ("val", "gen")]
    ceiling = pd.DataFrame(rows, columns=["target", "queries", "ceiling", "lo", "hi"])
    assert "| loss | 50.0 (40.0 to 60.0) | 50.0 (40.0 to 60.0) |" in findings.ceilings(ceiling)


@pytest.mark.parametrize("name", ["fashion", "emoji"])
def test_the_real_experiments_have_their_tables(name):
    kinds = ("loss", "displacement", "transforms", "ceiling", "primary", "removal", "cost")
    tables = [findings.TABLES[f"{name}-{kind}"] for kind in kinds]
    assert all(table.source.startswith(f"{name}/") for table in tables)
    assert {table.kept for table in tables} >= {f"{name}.csv", f"{name}-cost.csv"}
