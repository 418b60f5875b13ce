"""The table and the figure that say where the floor is low."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dasbench.core import tables
from dasbench.reports import finding_tables, findings, floor_heights
from dasbench.reports.figures import beyond, style

LDS = {
    "pixel_cosine": 0.1,
    "floor": 0.3,
    "das": 0.4,
    "trak": 0.5,
    "train_norm": 0.9,
    "datamodel": 0.9,
}
TUNED = {
    "pixel_cosine": 0.1,
    "floor": 0.3,
    "das": 0.45,
    "trak": 0.2,
    "train_norm": 0.8,
    "datamodel": 0.7,
}


def write(root, name, shift=0.0):
    """The LDS tables of an experiment in which trak is best and das was best on tuning data."""
    rows = [
        {"experiment": name, "method": method, "transform": transform, "queries": kind}
        | {
            "damping": 0.1,
            "parameters": '{"floor":"nearest","count":3}' if method == "floor" else "{}",
        }
        for method in LDS
        for transform in ("identity", "square")
        for kind in ("val", "gen")
    ]
    shown = [
        row
        | {"target": target, "selection": selection, "own": row["transform"] == "identity"}
        | {"lds": LDS[row["method"]] + shift, "lo": LDS[row["method"]] + shift - 0.05}
        | {
            "hi": LDS[row["method"]] + shift + 0.05,
            "partial": 0.1,
            "partial_lo": 0.05,
            "partial_hi": 0.2,
        }
        for row in rows
        for target in ("loss", "displacement")
        for selection in ("held_out", "oracle")
    ]
    folder = root / "results" / name / "lds"
    tables.save_table(folder / "summary.csv", pd.DataFrame(shown))
    tuned = [row | {"lds": TUNED[row["method"]] + (row["transform"] == "square")} for row in rows]
    tables.save_table(folder / "selection.csv", pd.DataFrame(tuned).assign(edge=False))
    return folder


def test_the_gradient_score_is_the_best_on_tuning_data(tmp_path):
    table = floor_heights.of_experiment(write(tmp_path, "digits"))
    assert list(table) == floor_heights.COLUMNS
    chosen = table.set_index(["queries", "side"])["method"].to_dict()
    for kind in ("val", "gen"):
        assert chosen[kind, "gradient"] == "das"  # not trak, not a control, not of retrained models
        assert chosen[kind, "floor"] == "floor"
        assert chosen[kind, "untuned"] == "pixel_cosine"
    assert len(table) == 6


@pytest.mark.parametrize(
    ("method", "expected"),
    [("das", True), ("ekfac_if", True), ("gradient_dot", True), ("tracincp", True)]
    + [
        (name, False)
        for name in ("random", "train_norm", "pixel_rbf", "floor", "datamodel", "mine")
    ],
)
def test_what_counts_as_a_gradient_score(method, expected):
    assert floor_heights.uses_gradients(method) == expected


def test_results_elsewhere_stay_in_the_table_and_the_figure_is_drawn(tmp_path):
    write(tmp_path, "emoji")
    assert {"floors.csv", "floors.svg"} <= set(findings.collect(tmp_path))
    (tmp_path / "results/emoji").rename(tmp_path / "results/elsewhere")
    write(tmp_path, "digits", 0.1)
    findings.collect(tmp_path)
    table = tables.load_table(tmp_path / findings.KEPT / "floors.csv")
    assert list(table["experiment"]) == ["digits"] * 6 + ["emoji"] * 6
    assert "<svg" in (tmp_path / findings.FIGURES / "floors.svg").read_text()
    page = finding_tables.HEIGHTS.markdown(table)
    assert "| `digits` | floor | 40.0 (35.0 to 45.0); `floor` floor nearest, count 3 |" in page
    assert "| `emoji` | untuned | 10.0 (5.0 to 15.0); `pixel_cosine` – |" in page


def test_an_experiment_without_a_floor_has_no_rows(tmp_path):
    folder = write(tmp_path, "fashion")
    summary = tables.load_table(folder / "summary.csv")
    tables.save_table(folder / "summary.csv", summary[summary["method"] != "floor"])
    assert not len(floor_heights.of_experiment(folder))
    assert not floor_heights.renew(tmp_path / "floors.csv", tmp_path / "results", findings.SETS)


def test_equal_tables_give_equal_figures(tmp_path):
    table = floor_heights.of_experiment(write(tmp_path, "digits"))
    for name in "ab":
        style.save(beyond.heights(table), tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_names_of_near_points_hide_no_point_and_no_other_name():
    rows = [
        {
            "experiment": name,
            "queries": "val",
            "side": side,
            "method": side,
            "lds": at,
            "lo": 0,
            "hi": 1,
        }
        for name, at in (("first", 0.30), ("second", 0.31), ("third", 0.32))
        for side in ("floor", "gradient")
    ]
    figure = beyond.heights(pd.DataFrame(rows))
    (panel,) = figure.axes
    canvas = FigureCanvasAgg(figure)
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in panel.texts]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])
    x, y = panel.transData.transform((31, 31))
    assert not any(box.contains(x, y) for box in boxes)
