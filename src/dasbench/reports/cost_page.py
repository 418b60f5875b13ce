"""The cost of an experiment: seconds and memory per rule, from the records of its outputs.

A *job* is one pair of rule and log file; it may write several outputs, each with its own times.
Times come from the clock. So this page, its figure and ``costs.csv`` differ between two runs that
are equal otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasbench.core.writing import write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("rule", "jobs", "seconds", "share", "median_seconds", "longest_seconds", "peak_mb")
FILES = ("costs.csv", "figures/cost-by-rule.svg", "figures/cost-by-rule.png", "timings.html")
Runtime = Sequence[
    float | None
]  # start and end in seconds since the epoch, peak memory in MB or None


def jobs(
    manifest: Mapping[str, Mapping[str, Any]], runtimes: Mapping[str, Runtime]
) -> pd.DataFrame:
    """One row per job: rule, start, end, peak_mb (NaN where it was not measured).

    Args:
        manifest: Output path -> its provenance, with ``rule`` and ``log``.
        runtimes: Output path -> [start, end, peak MB or None]. Outputs that are not in both are
            left out.
    """
    import pandas as pd

    rows = [
        {
            "rule": entry["rule"],
            "log": " ".join(entry.get("log") or [path]),
            "start": runtimes[path][0],
            "end": runtimes[path][1],
            "peak_mb": runtimes[path][2],
        }
        for path, entry in sorted(manifest.items())
        if path in runtimes
    ]
    table = pd.DataFrame(rows, columns=["rule", "log", "start", "end", "peak_mb"])
    table["peak_mb"] = table.peak_mb.astype(float)
    grouped = table.groupby(["rule", "log"], as_index=False)
    return grouped.agg(start=("start", "min"), end=("end", "max"), peak_mb=("peak_mb", "max"))


def costs(
    manifest: Mapping[str, Mapping[str, Any]], runtimes: Mapping[str, Runtime]
) -> pd.DataFrame:
    """Cost of each rule, the most expensive first.

    Args:
        manifest: As for ``jobs``.
        runtimes: As for ``jobs``.

    Returns:
        rule, jobs, seconds (summed), share of all seconds, median_seconds and longest_seconds of a
        job, peak_mb (NaN where it was not measured).
    """
    import pandas as pd

    table = jobs(manifest, runtimes)
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table["seconds"] = table.end - table.start
    groups = table.groupby("rule")
    result = pd.DataFrame(
        {
            "jobs": groups.size(),
            "seconds": groups.seconds.sum(),
            "median_seconds": groups.seconds.median(),
            "longest_seconds": groups.seconds.max(),
            "peak_mb": groups.peak_mb.max(),
        }
    ).reset_index()
    result["share"] = result.seconds / max(result.seconds.sum(), 1e-12)
    return result.sort_values(["seconds", "rule"], ascending=[False, True], ignore_index=True)[
        list(COLUMNS)
    ]


def elapsed(manifest: Mapping[str, Mapping[str, Any]], runtimes: Mapping[str, Runtime]) -> float:
    """Seconds during which at least one job ran: pauses between two runs do not count."""
    total, reached = 0.0, float("-inf")
    for start, end in (
        jobs(manifest, runtimes)[["start", "end"]].sort_values("start").itertuples(index=False)
    ):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def render(
    table: pd.DataFrame, experiment: str, seconds_elapsed: float, figure: str | Path | None = None
) -> str:
    """The page with the costs.

    Args:
        table: As ``costs`` returns it.
        experiment: Name of the experiment.
        seconds_elapsed: As ``elapsed`` returns it.
        figure: The ``.svg`` or ``.png`` of ``figures.costs.by_rule``, inlined.
    """
    from dasbench.reports import pages
    from dasbench.reports.figures.costs import duration

    env = pages.environment()
    env.filters["duration"] = duration
    total = float(table.seconds.sum()) if len(table) else 0.0
    picture = pages.figures([Path(figure)])["other"][0]["uri"] if figure else None
    return env.get_template("timings.html.j2").render(
        experiment=experiment,
        rows=table.to_dict("records"),
        jobs=int(table.jobs.sum()) if len(table) else 0,
        total=total,
        elapsed=seconds_elapsed,
        parallel=total / seconds_elapsed if seconds_elapsed > 0 else None,
        figure=picture,
    )


def missing(folder: str | Path) -> bool:
    """Whether a file of ``write`` is missing in ``folder``."""
    return not all(Path(folder, name).is_file() for name in FILES)


def write(
    folder: str | Path,
    experiment: str,
    manifest: Mapping[str, Mapping[str, Any]],
    runtimes: Mapping[str, Runtime],
) -> None:
    """Write costs.csv, figures/cost-by-rule.{svg,png} and timings.html into ``folder``."""
    from dasbench.core.tables import save_table
    from dasbench.reports.figures import costs as drawing
    from dasbench.reports.figures import style

    folder = Path(folder)
    table = costs(manifest, runtimes)
    save_table(folder / "costs.csv", table)
    picture = folder / "figures/cost-by-rule.svg"
    style.save(drawing.by_rule(table), [picture, picture.with_suffix(".png")])
    page = render(table, experiment, elapsed(manifest, runtimes), picture)
    write_text(folder / "timings.html", page)
