"""The drawing and report scripts, from tables to a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import synthetic_results
from report_page import VERSIONS, Page

from dasbench.core import tables
from dasbench.reports import report

ROOT = Path(report.__file__).parents[3]


def _run(script: str, *args: str | Path, home: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, args)]
    env = {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def _drawings(root: Path, made: Path) -> list[list[str | Path]]:
    """The calls of the drawing scripts, as the rules make them."""
    gen, examples, gone = root / "queries/gen.npy", root / "examples/train.npz", root / "removal"
    samples = ["--generated", gen, "--examples", examples, "--samples", made / "samples.png"]
    samples += ["--settings", "{}"]
    lds = ["--summary", root / "lds/summary.csv", "--ceiling", root / "lds/ceiling.csv"]
    lds += ["--lds-loss", made / "lds-loss.svg", made / "lds-loss.png"]
    lds += ["--damping", made / "damping.svg", "--settings", "{}"]
    removal = ["--summary", gone / "summary.csv", "--per-query", gone / "per_query.parquet"]
    removal += ["--images", gone / "images.npy", "--index", gone / "images.csv", "--queries", gen]
    removal += ["--removal", made / "removal.svg", "--before-after", made / "before-after.png"]
    removal += ["--settings", '{"tuning": 5, "queries": 2}']
    near = ["--queries", gen, "--examples", examples, "--scores", root / "scores/das/gen.npy"]
    near += ["--labels", root / "queries/gen_labels.npy"]
    near += ["--neighbours", made / "neighbours-gen.svg", "--settings"]
    near += ['{"kind": "gen", "methods": ["das"], "tuning": 5, "queries": 2, "top": 3}']
    parts = {"samples": samples, "lds": lds, "removal": removal, "neighbours": near}
    return [[f"plot_{name}.py", *call] for name, call in parts.items()]


def test_scripts_from_tables_to_page(tmp_path: Path) -> None:
    """Files in, figures and page out, an error in one sentence."""
    root = synthetic_results.make(tmp_path / "results", ["random", "das", "dtrak"])
    calls = _drawings(root, tmp_path / "figures")
    for call in calls:
        done = _run(*call, home=tmp_path)
        assert done.returncode == 0, done.stderr
    names = ("summary", "selection", "comparisons", "ceiling", "leverage")
    given = [word for name in names for word in (f"--{name}", root / f"lds/{name}.csv")]
    figures = sorted((tmp_path / "figures").iterdir())
    settings = {"experiment": "made_up", "settings": synthetic_results.settings(["das"])}
    settings["versions"] = VERSIONS
    rest = ["--removal", root / "removal/summary.csv", "--figures", *figures]
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
