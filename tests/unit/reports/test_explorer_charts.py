"""Charts: every number is the table's; methods that are undefined leave no mark."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import synthetic_results
from dasbench.core import tables
from dasbench.reports.explorer import alternatives, charts
from dasbench.reports.figures import style

NAMES = ["random", "class_match", "floor", "trak", "das", "das_common"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    root = synthetic_results.make(tmp_path_factory.mktemp("results"), NAMES)
    return {name: tables.load_table(root / f"lds/{name}.csv") for name in ("summary", "ceiling")}


def _values(chart: dict, layer: int) -> list[dict]:
    return chart["layer"][layer]["data"]["values"]


@pytest.mark.parametrize("measure", charts.MEASURES)
def test_marks_are_the_rows_of_the_summary(made: dict, measure: str) -> None:
    """One mark for each method that is defined, at its held-out parameters."""
    chart = charts.lds(made["summary"], made["ceiling"], "val", NAMES, "floor")
    shown = {v["method"]: v for v in _values(chart, -1) if v["measure"] == measure}
    target = "displacement" if measure == "displacement" else "loss"
    checked = 0
    for row in made["summary"].to_dict("records"):
        same = (row["queries"], row["target"], row["selection"]) == ("val", target, "held_out")
        if not (same and row["own"]):
            continue
        lost = row["partial_undefined" if measure == "partial" else "undefined"] >= row["Q"]
        assert (row["method"] in shown) != lost
        if not lost:
            names = (
                ("partial", "partial_lo", "partial_hi")
                if measure == "partial"
                else ("lds", "lo", "hi")
            )
            mark = shown[row["method"]]
            for key, name in zip(("lds", "lo", "hi"), names, strict=True):
                assert abs(mark[key] - 100 * row[name]) <= 0.005 + 1e-9
            assert mark["place"] == NAMES.index(row["method"]) + 1
            checked += 1
    assert checked >= 3


def test_the_ceiling_is_the_tables(made: dict) -> None:
    chart = charts.lds(made["summary"], made["ceiling"], "val", NAMES, "floor")
    for bound in _values(chart, 0):
        rows = made["ceiling"]
        row = rows[(rows.queries == "val") & (rows.target == bound["measure"])].iloc[0]
        assert abs(bound["ceiling"] - 100 * row["ceiling"]) <= 0.005 + 1e-9


def test_the_lines_of_the_dampings_are_the_grid(made: dict) -> None:
    chart = charts.damping(made["summary"], "gen", ["das"])
    rows = made["summary"]
    rows = rows[rows.own & (rows.queries == "gen") & (rows.target == "loss") & rows.damping.notna()]
    found = {
        (v["method"], v["mark"].replace("-", "_"), v["damping"]): v["lds"]
        for v in chart["data"]["values"]
    }
    assert len(found) == len(rows)
    for row in rows.to_dict("records"):
        assert (
            abs(found[row["method"], row["selection"], row["damping"]] - 100 * row["lds"])
            <= 0.005 + 1e-9
        )
    assert charts.damped(made["summary"], NAMES) == ["trak", "das", "das_common"]


def test_the_first_lines_are_one_of_each_family() -> None:
    methods = ["das_stepwise", "das_common", "dtrak_common", "das", "trak", "ekfac_if", "gas"]
    assert charts.first(methods) == ["das_stepwise", "dtrak_common", "trak", "ekfac_if", "gas"]
    assert charts.first(methods[:2]) == ["das_stepwise", "das_common"]


def test_every_family_has_a_colour_on_both_pages() -> None:
    assert all(len(colours) == len(style.FAMILIES) for colours in charts.PALETTE.values())
    assert [one["title"] for one in charts.legend(["das", "random"])] == ["DAS", "control"]


def test_the_alternative_text_names_the_highest(made: dict) -> None:
    rows = made["summary"]
    held = rows[
        rows.own
        & (rows.selection == "held_out")
        & (rows.queries == "val")
        & (rows.target == "loss")
    ]
    best = held[held.undefined < held.Q].sort_values("lds").iloc[-1]
    texts = alternatives.of_chart("lds-val", rows)
    assert list(texts) == ["loss", "displacement", "partial"]
    assert f"the highest are {best.method} {100 * best.lds:.1f}" in texts["loss"]
    assert f"the highest are {best.method} {100 * best.lds:.1f}" not in texts["displacement"]
    assert "class_match" not in texts["partial"]
    text = alternatives.of_chart("damping-val", rows)["loss"]
    assert "At the chosen damping: " in text
    assert "random" not in text
    words = alternatives.of_figures(rows, [])
    assert (
        f"On held-out images: the highest are {best.method} {100 * best.lds:.1f}"
        in words["lds-loss"]
    )
    assert "removal" not in words


def test_the_alternative_text_of_removal_names_the_largest_effect() -> None:
    made = [("a", 0.1, False), ("b", 0.3, False), ("null", 0.9, True), ("bottom-a", 0.9, False)]
    rows = [
        {
            "method": name,
            "k": 50.0,
            "reference": reference,
            "measures": {"loss_change": {"excess": e}},
        }
        for name, e, reference in made
    ]
    summary = pd.DataFrame({"queries": []})
    text = alternatives.of_figures(summary, rows)["removal"]
    assert text.startswith(
        "The loss rises most without the 50 images that b ranks highest, by 0.3000"
    )


def test_charts_are_json(made: dict) -> None:
    chart = charts.lds(made["summary"], made["ceiling"], "val", NAMES, "floor")
    assert json.loads(json.dumps(chart, allow_nan=False)) == chart


def test_the_libraries_are_the_files_of_their_packages() -> None:
    """Hashes of the copies, as their README lists them."""
    import hashlib

    from dasbench.reports import pages

    listed = (pages.VENDOR / "README.md").read_text()
    files = sorted(pages.VENDOR.glob("*.js"))
    assert {path.name for path in files} == {f"{name}.min.js" for name in pages.LIBRARIES}
    for path in files:
        assert f"| `{path.name}` |" in listed
        assert hashlib.sha256(path.read_bytes()).hexdigest() in listed
    assert (Path(pages.VENDOR) / "LICENSE-vega").is_file()


def test_hover_texts_have_parameters_in_words():
    assert charts._parameters('{"damping": 2e-05}') == "damping 2·10⁻⁵"
    assert charts._parameters('{"centre": "mean", "power": 4}') == "centre mean, power 4"
    assert charts._parameters(float("nan")) == charts._parameters("{}") == "none"
