"""Figures: equal bytes for equal content, what is drawn is what the tables say, no torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import synthetic_results
from dasbench.core import artifacts
from dasbench.core.tables import load_table, save_table
from dasbench.errors import UserError
from dasbench.reports import thumbnails
from dasbench.reports.figures import (
    before_after,
    canvas,
    costs,
    damping,
    hero,
    layout,
    lds,
    neighbours,
    removal,
    samples,
    style,
)

HOSTILE = "<script>alert(1)</script> $x_1"
NAMES = ["random", "train_norm", "class_match", "pixel_dot", "trak", "dtrak", "das", "das_common"]
SOURCES = Path(style.__file__).parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One made-up results folder for all tests of this file."""
    return synthetic_results.make(tmp_path_factory.mktemp("results"), [*NAMES, HOSTILE])


@pytest.fixture(scope="module")
def tables(root: Path) -> dict[str, pd.DataFrame]:
    """The LDS tables as a script would load them."""
    return {n: load_table(root / f"lds/{n}.csv") for n in ("summary", "ceiling")}


def _removal(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        removal.named(load_table(root / "removal/summary.csv")),
        removal.named(load_table(root / "removal/per_query.parquet")),
    )


def _before_after(root: Path) -> Figure:
    count = synthetic_results.REMOVAL_QUERIES
    return before_after.grid(
        artifacts.load_array(root / "queries/gen.npy")[5 : 5 + count],
        artifacts.load_array(root / "removal/images.npy"),
        removal.named(load_table(root / "removal/images.csv")),
        [f"gen {5 + i}" for i in range(count)],
        per_query=_removal(root)[1],
    )


def _neighbours(root: Path) -> Figure:
    return neighbours.rows(
        artifacts.load_array(root / "queries/gen.npy"),
        artifacts.load_examples(root / "examples/train.npz"),
        {n: artifacts.load_array(root / f"scores/{n}/gen.npy") for n in ("das", "dtrak")},
        [5, 6, 7],
        "gen",
        count=4,
        labels=artifacts.load_array(root / "queries/gen_labels.npy"),
    )


def _samples(root: Path) -> Figure:
    images = artifacts.load_examples(root / "examples/train.npz").images
    return samples.grid(artifacts.load_array(root / "queries/gen.npy"), images, rows=2, columns=5)


def _lds(draw: Callable, *more: str) -> Callable[[Path], Figure]:
    def make(root: Path) -> Figure:
        return draw(*(load_table(root / f"lds/{n}.csv") for n in ("summary", *more)))

    return make


DRAWINGS = {
    "bars": _lds(lds.bars, "ceiling"),
    "transforms": _lds(lds.transforms),
    "damping": _lds(damping.paths),
    "removal": lambda root: removal.effects(*_removal(root)),
    "before_after": _before_after,
    "neighbours": _neighbours,
    "samples": _samples,
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_equal_content_gives_equal_bytes(name: str, root: Path, tmp_path: Path) -> None:
    """Two drawings of the same tables are the same files, and hold no date and no version."""
    for run in ("a", "b"):
        style.save(DRAWINGS[name](root), [tmp_path / f"{run}.svg", tmp_path / f"{run}.png"])
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{run}.{suffix}" for run in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    svg = (tmp_path / "a.svg").read_text()
    assert "dc:date" not in svg
    assert "<script" not in svg
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_bytes_do_not_depend_on_what_was_drawn_before(root: Path, tmp_path: Path) -> None:
    """A fresh process draws the bytes of a process that has drawn other figures and has a style."""
    style.save(lds.bars(*_pair(root)), tmp_path / "here.svg")
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 30;"
        "from pathlib import Path; from dasbench.core.tables import load_table;"
        "from dasbench.reports.figures import lds, style;"
        "root = Path(sys.argv[1]); t = [load_table(root / f'lds/{n}.csv') "
        "for n in ('summary', 'ceiling')]; style.save(lds.bars(*t), sys.argv[2]);"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "there.svg")]
    paths = {"PYTHONPATH": str(SOURCES.parents[2]), "PATH": "", "HOME": str(tmp_path)}
    subprocess.run(command, check=True, env={**paths, "MPLCONFIGDIR": str(tmp_path)})
    assert (tmp_path / "here.svg").read_bytes() == (tmp_path / "there.svg").read_bytes()


def _pair(root: Path) -> list[pd.DataFrame]:
    return [load_table(root / f"lds/{n}.csv") for n in ("summary", "ceiling")]


def test_the_font_comes_with_matplotlib() -> None:
    """Otherwise the bytes would depend on the fonts of the machine."""
    found = Path(font_manager.findfont(style.RC["font.family"]))
    assert "mpl-data" in found.parts


def test_bars_show_the_held_out_values_sorted(tables: dict[str, pd.DataFrame]) -> None:
    """Each bar is 100 x the table's held-out LDS of the own transform; controls stand last."""
    summary = tables["summary"]
    figure = lds.bars(summary, tables["ceiling"], "displacement")
    own = summary[summary.own & (summary.target == "displacement")]
    held = own[own.selection == "held_out"].set_index(["queries", "method"]).lds
    methods = lds.order(summary, "displacement")
    assert [name in style.CONTROLS for name in methods] == sorted(
        n in style.CONTROLS for n in methods
    )
    means = [held.xs(name, level="method").mean() for name in methods if name not in style.CONTROLS]
    assert means == sorted(means, reverse=True)
    at = lds.rows_at(methods)
    for panel, kind in zip(figure.axes, ("val", "gen"), strict=True):
        drawn = {
            b.get_y() + b.get_height() / 2: b.get_width()
            for b in panel.patches
            if b.get_height() < 1
        }
        for name in set(methods) - {"class_match"}:
            width = next(w for y, w in drawn.items() if y == pytest.approx(at[name]))
            assert width == pytest.approx(100 * held[kind, name])


def test_a_far_ceiling_is_named_and_not_drawn(tables: dict[str, pd.DataFrame]) -> None:
    """A ceiling that would flatten the bars leaves the axis alone but still tells its value."""
    far = tables["ceiling"].assign(ceiling=0.97, lo=0.95, hi=0.99)
    near = lds.bars(tables["summary"], tables["ceiling"]).axes[0]
    panel = lds.bars(tables["summary"], far).axes[0]
    assert panel.get_xlim()[1] < near.get_xlim()[1]
    assert any("ceiling 97 [95, 99] →" in text.get_text() for text in panel.texts)


def test_damping_marks_lie_on_their_line(tables: dict[str, pd.DataFrame]) -> None:
    """The dot is at the held-out damping and LDS of the table, the ring at the oracle's."""
    summary = tables["summary"]
    panel = damping.paths(summary).axes[0]
    own = summary[summary.own & (summary.target == "loss") & (summary.queries == "val")]
    das = own[own.method == "das"].set_index("selection")
    colour = to_rgb(style.look("das").colour)
    lines = [line for line in panel.lines if to_rgb(line.get_markeredgecolor()) == colour]
    marks = [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in lines if line.get_marker() == "o"
    ]
    for choice in ("held_out", "oracle"):
        row = das.loc[choice]
        assert (row.damping, 100 * row.lds) in [pytest.approx(mark) for mark in marks]


def test_no_damping_is_said(tables: dict[str, pd.DataFrame]) -> None:
    """An experiment of controls alone has a damping figure that says why it is empty."""
    controls = tables["summary"][tables["summary"].method.isin(style.CONTROLS)]
    figure = damping.paths(controls)
    assert "No method" in figure.texts[0].get_text()


@pytest.mark.parametrize("ks", [[50], [20, 50, 100]])
def test_removal_draws_excess_and_interval(ks: list[int]) -> None:
    """One k gives dots, several give lines; both at the table's excess."""
    rng = np.random.default_rng(0)
    summary, per_query = synthetic_results.removal_tables(["das", "dtrak"], ks, rng)
    figure = removal.effects(summary, per_query)
    assert len(figure.axes) == 2  # noqa: PLR2004 - the embedding has no numbers, hence no panel
    rows = summary[(summary.method == "das") & (summary.measure == "loss_change")].sort_values("k")
    marker = style.look("das").marker
    axis = "get_ydata" if len(ks) > 1 else "get_xdata"
    drawn = [getattr(line, axis)() for line in figure.axes[0].lines if line.get_marker() == marker]
    assert any(np.allclose(values, rows.excess) for values in drawn if len(values) == len(ks))


def test_null_survives_a_csv(root: Path, tmp_path: Path) -> None:
    """The null arm keeps its name through files."""
    summary, per_query = _removal(root)
    assert {"null", "random"} <= set(summary.method)
    save_table(tmp_path / "t.csv", summary)
    assert list(removal.named(load_table(tmp_path / "t.csv")).method) == list(summary.method)
    assert {"null", "random"} <= set(per_query.method)


def test_nearest_pixels_and_grey() -> None:
    """-1 is black, 1 white, one channel is repeated, three are kept, two are refused."""
    grey = canvas.displayable(np.array([[[[-1.0, 1.0], [0.0, 3.0]]]], np.float32))
    assert grey.shape == (1, 2, 2, 3)
    assert grey[0, ..., 0].tolist() == [[0, 255], [128, 255]]
    colour = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert (canvas.displayable(colour) == colour).all()
    with pytest.raises(UserError, match="2 channels"):
        canvas.displayable(np.zeros((1, 2, 4, 4), np.float32))


def test_top_breaks_ties_by_id() -> None:
    """Equal scores are ordered by id, as the removal experiment does."""
    best = neighbours.top(np.array([1.0, 2.0, 2.0, 0.0]), np.array([7, 9, 3, 1]), 3)
    assert best.tolist() == [2, 1, 0]


def test_neighbours_refuse_scores_that_do_not_fit(root: Path) -> None:
    """The sentence names the method and both shapes."""
    queries = artifacts.load_array(root / "queries/gen.npy")
    examples = artifacts.load_examples(root / "examples/train.npz")
    with pytest.raises(UserError, match=r"das have shape \(3, 20\), expected \(60, 20\)"):
        neighbours.rows(queries, examples, {"das": np.zeros((3, 20))}, [0], "gen")
    with pytest.raises(UserError, match=r"\[20\] do not exist, there are 20"):
        neighbours.rows(queries, examples, {"das": np.zeros((60, 20))}, [20], "gen")


def test_a_look_depends_on_the_name_alone() -> None:
    """Known variants of a family share no look; families follow from names or from settings."""
    family = ["das", "das_common", "das_l1", "das_released", "das_probes"]
    assert len({(style.look(n).colour, str(style.look(n).dash)) for n in family}) == len(family)
    assert {style.family(n) for n in family} == {"das"}
    assert style.family("mine", {"mine": "trak"}) == "trak"
    assert style.family("dtrak_common") == "dtrak"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=15), st.floats(0.1, 5))
def test_labels_move_apart_and_keep_their_order(positions: list[float], gap: float) -> None:
    """Gaps are kept, order is kept, the mean stays, and nothing moves without need."""
    moved = np.array(layout.spread(positions, gap))
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= gap - 1e-9).all()
    assert moved.mean() == pytest.approx(np.mean(positions), abs=1e-9)
    if (np.diff(np.sort(positions)) >= gap).all():
        assert moved == pytest.approx(positions)


def test_missing_columns_and_wrong_suffix_are_said(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """A table of another version and a .pdf both get a sentence."""
    with pytest.raises(UserError, match="lacks the columns \\['damping'\\]"):
        damping.paths(tables["summary"].drop(columns="damping"))
    with pytest.raises(UserError, match="no rows to draw"):
        lds.bars(tables["summary"], tables["ceiling"], "elsewhere")
    with pytest.raises(UserError, match="not as .*x.pdf"):
        style.save(style.new(1), tmp_path / "x.pdf")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.84, "0.8 s"),
        (42.4, "42 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (4321, "1 h 12 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """Lengths of time as people say them, with carries."""
    assert costs.duration(seconds) == words


def test_the_picture_of_the_readme_shows_the_lists_of_the_explorer() -> None:
    """As many images as lines and columns; the first bar is as long as its image is wide."""
    rng = np.random.default_rng(0)
    uris = [thumbnails.data_uri(rng.integers(0, 256, (4, 4, 1), np.uint8)) for _ in range(9)]
    lists = {"rows": [[0, 1, 2], [3, 4, 5]], "scores": [[4.0, 2.0, 1.0], [1.0, 0.5, 0.0]]}
    kind = {"pictures": uris[:2], "lists": {"das": lists}}
    explorer = {"kinds": {"gen": kind}, "training": {"pictures": uris}, "highest": 3}
    figure = hero.rows(explorer, "das", count=2, top=3)
    (axes,) = figure.axes
    assert len(axes.images) == 2 * (1 + 3)
    widths = sorted({round(patch.get_width(), 3) for patch in axes.patches if patch.get_lw() == 0})
    assert widths[-1] == round(2 * widths[-2], 3)
