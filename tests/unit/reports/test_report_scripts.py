"""The drawing and report scripts, from tables to a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import synthetic_results
from dasbench.core import tables
from dasbench.experiments.figure_rows import Drawing, keyword
from dasbench.experiments.figure_table import DRAWINGS, FIGURES, FORMATS
from dasbench.reports import report
from report_page import VERSIONS, Page

ROOT = Path(report.__file__).parents[3]


def _run(script: str, *args: str | Path, home: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, args)]
    env = {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


class _Files(dict):
    """What Snakemake puts in the place of ``{input.name}`` and ``{output.name}``."""

    __getattr__ = dict.__getitem__


def _call(drawing: Drawing, root: Path, made: Path) -> list[str]:
    """The call of a drawing script, as its rule makes it."""
    read = {
        keyword(option): root / file for option, file in (drawing.reads | drawing.shares).items()
    }
    written = {
        keyword(figure.option): " ".join(f"{made / figure.stem}.{suffix}" for suffix in FORMATS)
        for figure in drawing.figures
    }
    flags = drawing.flags().format(input=_Files(read), output=_Files(written))
    return [f"{drawing.rule}.py", "--settings", "{}", *flags.split()]


def _neighbours(root: Path, made: Path, kind: str) -> list[str | Path]:
    """The call of the one drawing script whose rule is written by hand."""
    near = ["plot_neighbours.py", "--queries", root / f"queries/{kind}.npy"]
    near += ["--examples", root / "examples/train.npz", "--scores", root / f"scores/das/{kind}.npy"]
    near += ["--labels", root / "queries/gen_labels.npy"]
    near += ["--neighbours", *(made / f"neighbours-{kind}.{suffix}" for suffix in FORMATS)]
    settings = {"kind": kind, "methods": ["das"], "tuning": 5, "queries": 2, "top": 3}
    return [*near, "--settings", json.dumps(settings)]


def test_scripts_from_tables_to_page(tmp_path: Path) -> None:
    """Files in, figures and page out, an error in one sentence."""
    root = synthetic_results.make(tmp_path / "results", ["random", "das", "dtrak"])
    made = tmp_path / "figures"
    calls = [_call(drawing, root, made) for drawing in DRAWINGS if not drawing.by_hand]
    calls += [_neighbours(root, made, kind) for kind in ("val", "gen")]
    for call in calls:
        done = _run(*call, home=tmp_path)
        assert done.returncode == 0, done.stderr
    files = {f"{stem}.{suffix}" for stem in FIGURES for suffix in FORMATS}
    assert {path.name for path in made.iterdir()} == files
    names = ("summary", "selection", "comparisons", "ceiling", "leverage")
    given = [word for name in names for word in (f"--{name}", root / f"lds/{name}.csv")]
    figures = [path for path in sorted(made.iterdir()) if FIGURES[path.stem].section]
    settings = {"experiment": "made_up", "settings": synthetic_results.settings(["das"])}
    settings["versions"] = VERSIONS
    rest = ["--removal", root / "removal/summary.csv", "--gains", root / "ablation/gains.csv"]
    rest += ["--groups", root / "groups", "--figures", *figures]
    rest += ["--report", tmp_path / "report.html", "--settings", json.dumps(settings)]
    done = _run("render_report.py", *given, *rest, home=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert {f"figure-{path.stem}" for path in figures} <= set(Page(page).ids)
    assert "leverage-table" in page
    assert "2.99.0" in page
    bare = [*given[:8], *rest[-4:]]
    header = root / "lds/header.csv"
    tables.save_table(header, tables.load_table(root / "lds/leverage.csv").iloc[:0])
    for call in (bare, [*bare, "--leverage", header]):
        done = _run("render_report.py", *call, home=tmp_path)
        assert done.returncode == 0, done.stderr
        ids = set(Page((tmp_path / "report.html").read_text()).ids)
        assert not {"removal", "leverage"} & ids
    (root / "queries/gen.npy").unlink()
    done = _run(*calls[0], home=tmp_path)
    assert done.returncode == 1
    assert "is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_neighbours_of_no_method_are_refused(tmp_path: Path) -> None:
    """Before any file is read."""
    words = ["--queries", "q.npy", "--examples", "e.npz", "--scores", "--neighbours", "n.svg"]
    settings = ["--settings", '{"kind": "gen", "methods": []}']
    done = _run("plot_neighbours.py", *words, *settings, home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there are no methods to draw")
