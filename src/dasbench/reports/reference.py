"""Expected numbers of an experiment, in git: ``reference/<experiment>.json``.

On another kind of CPU the last bits of a training run differ, so a reproduced LDS is another draw
of the same random quantity. So ``verify`` checks whether it lies in the published interval.

``python -m dasbench.reports.reference write digits`` writes the file from results, ``table`` prints
it as a Markdown table. ``small digits fashion`` prints README's table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import KINDS
from dasbench.errors import UserError

KEYS = ("method", "queries", "target")


def collect(folder: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The expected numbers of an experiment, as fractions with six decimals.

    Args:
        folder: results/<experiment>.

    Returns:
        lds: the held-out LDS of every method under its own transform, per kind of queries and
        target, with its interval; ceiling: the same of the ceiling; comparisons: the primary ones.
    """
    folder = Path(folder) / "lds"
    summary = tables.load_table(folder / "summary.csv")
    own_transform = summary[summary["own"] & (summary["selection"] == "held_out")]
    ceiling = tables.load_table(folder / "ceiling.csv")
    pairs = tables.load_table(folder / "comparisons.csv")
    primary = pairs[(pairs["kind"] == "primary") & (pairs["selection"] == "held_out")]
    return {
        "lds": _rows(own_transform, [*KEYS, "transform", "lds", "lo", "hi"]),
        "ceiling": _rows(ceiling, ["queries", "target", "ceiling", "lo", "hi"]),
        "comparisons": _rows(
            primary, ["a", "b", "queries", "target", "difference", "lo", "hi", "detectable"]
        ),
    }


def _rows(frame: Any, columns: list[str]) -> list[dict[str, Any]]:
    rows = frame[columns].to_dict("records")
    return [{k: round(v, 6) if isinstance(v, float) else v for k, v in r.items()} for r in rows]


def outside(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    """Find results outside the expected intervals.

    Args:
        found: Rows of ``lds`` of the results, from ``collect``.
        expected: The same rows of the reference.

    Returns:
        One sentence for each missing or deviating row; empty if all is as expected.
    """
    here = {tuple(row[k] for k in KEYS): row for row in found}
    problems = []
    for row in expected:
        name = " ".join(row[k] for k in KEYS)
        result = here.get(tuple(row[k] for k in KEYS))
        if result is None:
            problems.append(f"{name}: expected {row['lds']:.4f}, but the results have no such row")
        elif not row["lo"] <= result["lds"] <= row["hi"]:
            problems.append(
                f"{name}: LDS {result['lds']:.4f} is outside the expected {row['lo']:.4f} to "
                f"{row['hi']:.4f}"
            )
    return problems


def verify(root: str | Path, experiment: str) -> list[str]:
    """Compare results/<experiment> with reference/<experiment>.json; see ``outside``.

    Raises:
        UserError: If there is no reference, or no result.
    """
    path = Path(root) / "reference" / f"{experiment}.json"
    if not path.is_file():
        raise UserError(
            f"{path} does not exist, so there is nothing to compare with; "
            f"write it with python -m dasbench.reports.reference write {experiment}"
        )
    results = collect(Path(root) / "results" / experiment)
    return outside(results["lds"], artifacts.load_json(path)["lds"])


def table(reference: dict[str, list[dict[str, Any]]], target: str = "loss") -> str:
    """Markdown: LDS x 100 of each method, highest mean first, ceiling, primary comparisons."""
    cells: dict[str, dict[str, Any]] = {}
    for row in reference["lds"]:
        if row["target"] == target:
            cells.setdefault(row["method"], {"transform": row["transform"]})[row["queries"]] = row
    means = {
        method: sum(kinds[kind]["lds"] for kind in KINDS if kind in kinds)
        / sum(kind in kinds for kind in KINDS)
        for method, kinds in cells.items()
    }
    order = sorted(cells, key=lambda method: -means[method])
    lines = ["| method | transform | held-out images | generated images |", "|---|---|---|---|"]
    for method in order:
        shown = [_percent(cells[method].get(kind), "lds") for kind in KINDS]
        lines.append(f"| `{method}` | {cells[method]['transform']} | {shown[0]} | {shown[1]} |")
    top = {row["queries"]: row for row in reference["ceiling"] if row["target"] == target}
    shown = [_percent(top[kind], "ceiling") for kind in ("val", "gen")]
    lines += [f"| *ceiling* | | {shown[0]} | {shown[1]} |", ""]
    lines += ["| primary comparison | held-out images | generated images |", "|---|---|---|"]
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for row in reference["comparisons"]:
        if row["target"] == target:
            pairs.setdefault((row["a"], row["b"]), {})[row["queries"]] = row
    for (a, b), kinds in pairs.items():
        shown = [_percent(kinds.get(kind), "difference") for kind in KINDS]
        lines.append(f"| `{a}` - `{b}` | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


# rows of the small table: the method, and what README calls it
SMALL = {
    "das_stepwise": "DAS by timestep, `das_stepwise`",
    "floor": "tuned similarity of images, `floor`",
    "das_common": "DAS with common noise, `das_common`",
    "das": "DAS, `das`",
    "dtrak": "D-TRAK, `dtrak`",
    "trak": "TRAK, `trak`",
    "pixel_cosine": "cosine of pixels, not tuned, `pixel_cosine`",
    "random": "random scores, `random`",
}


SHORT = {"val": "held-out", "gen": "generated"}


def small_table(references: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> str:
    """Markdown: LDS x 100 of a few methods on several experiments, for the loss.

    Args:
        references: Experiment -> content of its file.
    """
    columns = [(name, kind) for name in references for kind in KINDS]
    heads = [f"`{name}`, {SHORT[kind]}" for name, kind in columns]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    for method, words in SMALL.items():
        cells = [_only(references[name]["lds"], "lds", kind, method) for name, kind in columns]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    bounds = [_only(references[name]["ceiling"], "ceiling", kind) for name, kind in columns]
    return "\n".join([*lines, f"| *ceiling* | {' | '.join(bounds)} |"])


def _only(rows: list[dict[str, Any]], name: str, kind: str, method: str | None = None) -> str:
    """The one row of a kind of query and the loss, of a method if one is given; or a dash.

    The ends of the interval are whole numbers.
    """
    for row in rows:
        if (row["queries"], row["target"], row.get("method")) == (kind, "loss", method):
            return f"{100 * row[name]:.1f} ({100 * row['lo']:.0f} to {100 * row['hi']:.0f})"
    return "–"


def _percent(row: dict[str, Any] | None, name: str) -> str:
    if row is None:
        return "does not apply"
    return f"{100 * row[name]:.1f} ({100 * row['lo']:.1f} to {100 * row['hi']:.1f})"


def main() -> None:
    """Write or show the reference of an experiment."""
    parser = argparse.ArgumentParser(
        prog="python -m dasbench.reports.reference", description=main.__doc__
    )
    parser.add_argument("action", choices=["write", "table", "small"])
    parser.add_argument("experiments", nargs="+")
    args = parser.parse_args()
    paths = {name: Path("reference") / f"{name}.json" for name in args.experiments}
    if args.action == "small":
        print(small_table({name: artifacts.load_json(path) for name, path in paths.items()}))
        return
    for name, path in paths.items():
        if args.action == "write":
            artifacts.save_json(path, collect(Path("results") / name))
        else:
            print(table(artifacts.load_json(path)))


if __name__ == "__main__":
    script_main.main(main)
