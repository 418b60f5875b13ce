"""The flat numbers of the benchmarks and their limits: a table and a chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from benchmarks.harness import KEYS, flat
from dasbench.errors import UserError
from dasbench.reports.figures import layout, style


class Goal(NamedTuple):
    """What a flat number is, and what it should be.

    Attributes:
        label: In the table and the chart.
        limit: The number wanted.
        at_most: Whether the limit is an upper one.
        form: Format of the number.
    """

    label: str
    limit: float
    at_most: bool
    form: str = "{:.2f}"

    def met(self, value: float) -> bool:
        """Whether a value is on the right side of the limit."""
        return value <= self.limit if self.at_most else value >= self.limit

    def wanted(self) -> str:
        """The limit in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.form.format(self.limit)}"


STEP, RELEASED = "features: ours / training step", "features: released / ours"
GOALS = {
    "features_vs_training_step_digits": Goal(f"{STEP}, digits, T = 10", 1.0, True),
    "features_vs_training_step_fashion": Goal(f"{STEP}, fashion size, T = 10", 0.85, True),
    "features_vs_released_digits": Goal(f"{RELEASED}, digits, T = 10", 5.0, False),
    "features_vs_released_fashion": Goal(f"{RELEASED}, fashion size, T = 10", 4.0, False),
    "features_vs_released_t1": Goal(f"{RELEASED}, T = 1, the smaller of both sizes", 10.0, False),
    "damping_path_vs_released": Goal(
        "damping path: one released run per transform / ours", 5, False
    ),
    "training_share_of_run": Goal("share of a run's wall time x cores in loops", 0.85, False),
    "noop_seconds": Goal("`./run` with nothing to do, seconds", 5.0, True),
    "plan_1000_jobs_seconds": Goal("`./run -n` with 1000 jobs, seconds", 10.0, True),
    "lds_evaluation_share_of_training": Goal("measuring subset models / training them", 0.15, True),
    "index_vs_training_step": Goal("building an index / training steps, N = 60 000", 1.1, True),
    "index_peak_gb": Goal("peak memory of building it, GB", 2.0, True),
    "index_disk_gb": Goal("its size on disk, GB", 1.4, True),
    "ask_one_seconds": Goal("a question with one image, seconds", 2.0, True),
    "ask_hundred_seconds": Goal("a question with 100 images, seconds", 10.0, True),
}


SHORT = 0.2  # a bar that its number does not fit into


def goals_met(results: Mapping[str, float]) -> dict[str, bool]:
    """Per flat number that was measured."""
    return {key: GOALS[key].met(results[key]) for key in KEYS if key in results}


def table(results: Mapping[str, float], details: Mapping[str, Any]) -> str:
    """The flat numbers with their limits, in Markdown; two threads where they were measured."""
    met, second = goals_met(results), two_threads(details)
    lines = ["| quantity | measured | limit | | with two threads |", "|---|---|---|---|---|"]
    for key in met:
        goal = GOALS[key]
        value, other = (goal.form.format(v[key]) if key in v else "" for v in (results, second))
        verdict = "met" if met[key] else "**not met**"
        lines.append(f"| {goal.label} | {value} | {goal.wanted()} | {verdict} | {other} |")
    return "\n".join(lines)


def two_threads(details: Mapping[str, Any]) -> dict[str, float]:
    """What the flat numbers would be by the measurements with two threads."""
    both = {name: part["threads"] for name, part in details.items() if len(part["threads"]) > 1}
    found = [flat(name, {"1": threads["2"]}) for name, threads in both.items()]
    return {key: value for one in found for key, value in one.items()}


@style.styled
def chart(results: Mapping[str, float]) -> Figure:
    """Bars of every number as a part of its limit; left of the line is better."""
    shown = [key for key in KEYS if key in results]
    if not shown:
        raise UserError("nothing is measured yet; `./run bench` first")
    figure = style.new(height=1.1 + 0.28 * len(shown))
    (panel,) = layout.panels(figure, 1, left=4.3, right=0.9, gap=0, bottom=0.55)
    colours = {True: style.FAMILIES["trak"], False: style.FAMILIES["das"]}
    for y, key in enumerate(shown):
        goal, value = GOALS[key], results[key]
        part = value / goal.limit if goal.at_most else goal.limit / max(value, 1e-12)
        panel.barh(y, part, height=0.6, color=style.tint(colours[goal.met(value)], 0.25))
        text = goal.form.format(results[key])
        # beside a long bar the number would meet the line of the limit
        place, where = (part - 0.01, "right") if part > SHORT else (part + 0.01, "left")
        panel.text(place, y, text, va="center", ha=where, fontsize=7, color=style.INK)
    panel.axvline(1, color=style.INK, linewidth=0.9)
    panel.set_yticks(range(len(shown)), labels=[_plain(GOALS[key].label) for key in shown])
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.set_xlim(left=0)
    panel.grid(axis="x")
    panel.set_xlabel("part of the limit that is used (shorter is better)")
    panel.set_title("Measured values against their limits")
    return figure


def _plain(label: str) -> str:
    return label.replace("`", "")
