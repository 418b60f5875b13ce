"""Expected numbers of an experiment, in git: ``reference/<experiment>.json``.

On another kind of CPU the last bits of a training run differ, so the reproduced LDS of a method is
another draw of the same thing. The question to ask is whether it lies inside the published interval.

``python -m dasbench.reference write digits`` makes the file from results, ``table`` prints the
Markdown table that README shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dasbench import artifacts, command
from dasbench.errors import UserError

KEYS = ("method", "queries", "target")
VALUES = ("transform", "lds", "lo", "hi")


def collect(folder: str | Path) -> list[dict[str, Any]]:
    """The held-out LDS of every method under its own transform, with its interval.

    Args:
        folder: results/<experiment>.

    Returns:
        One row per method, kind of queries and target; numbers are fractions with four decimals.
    """
    summary = artifacts.load_table(Path(folder) / "lds" / "summary.csv")
    own = summary[summary["own"] & (summary["selection"] == "held_out")]
    rows = own[[*KEYS, *VALUES]].to_dict("records")
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()} for r in rows]


def outside(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    """Which results do not lie inside the expected intervals.

    Returns:
        One sentence for each missing or deviating row; empty if all is as expected.
    """
    here = {tuple(row[k] for k in KEYS): row for row in found}
    problems = []
    for row in expected:
        name = " ".join(row[k] for k in KEYS)
        got = here.get(tuple(row[k] for k in KEYS))
        if got is None:
            problems.append(f"{name}: expected {row['lds']:.4f}, but the results have no such row")
        elif not row["lo"] <= got["lds"] <= row["hi"]:
            problems.append(
                f"{name}: LDS {got['lds']:.4f} is outside the expected {row['lo']:.4f} to "
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
            f"write it with python -m dasbench.reference write {experiment}"
        )
    return outside(collect(Path(root) / "results" / experiment), artifacts.load_json(path))


def table(rows: list[dict[str, Any]], target: str = "loss") -> str:
    """Markdown table of LDS x 100 with intervals, highest mean first."""
    cells: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["target"] == target:
            cells.setdefault(row["method"], {"transform": row["transform"]})[row["queries"]] = row
    order = sorted(cells, key=lambda m: -(cells[m]["val"]["lds"] + cells[m]["gen"]["lds"]))
    lines = ["| method | transform | held-out images | generated images |", "|---|---|---|---|"]
    for method in order:
        shown = [_percent(cells[method][kind]) for kind in ("val", "gen")]
        lines.append(f"| `{method}` | {cells[method]['transform']} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['lds']:.1f} ({100 * row['lo']:.1f} to {100 * row['hi']:.1f})"


def main() -> None:
    """Write or show the reference of an experiment."""
    parser = argparse.ArgumentParser(prog="python -m dasbench.reference", description=main.__doc__)
    parser.add_argument("action", choices=["write", "table"])
    parser.add_argument("experiment")
    args = parser.parse_args()
    path = Path("reference") / f"{args.experiment}.json"
    if args.action == "write":
        artifacts.save_json(path, collect(Path("results") / args.experiment))
    else:
        print(table(artifacts.load_json(path)))


if __name__ == "__main__":
    command.main(main)
