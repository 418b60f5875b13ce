"""The measured part of docs/evidence.md: tables and a figure, between two markers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import machine
from benchmarks.calibration import COPIES, PLANTED
from benchmarks.page import BEGIN, END
from dasbench.attribution.evidence import BALANCED, RATE
from dasbench.core.writing import write_text
from dasbench.errors import UserError
from dasbench.evaluation.calibration import BINS, DECOYS
from dasbench.reports.figures import layout, style

SHOWN = (0.05, 0.2)  # nominal rates in the table
CANDIDATES = {"unseen": "unseen images", "training": "training images"}


def block(measured: Mapping[str, Any]) -> str:
    """Everything between the markers.

    Args:
        measured: What ``benchmarks.calibration.measure`` returned.
    """
    sizes = (
        f"{measured['models']} half-models with {measured['training']} training images and "
        f"{measured['unseen']} unseen ones. The queries are {measured['asked']} held-out images, "
        f"and {measured['generated']} images that each half-model generates. The decoys of "
        f"{measured['held_out']} other held-out images are pooled, as in an index."
    )
    parts = [sizes, "![Rates of discoveries and p-values](evidence.svg)", verdict(measured)]
    return "\n\n".join([*parts, _rates(measured), _auc(measured), _planted(measured)])


def verdict(measured: Mapping[str, Any]) -> str:
    """Whether calibration holds at the rate of 5 %, in one sentence for each score.

    It fails if the whole interval of a rate lies above 5 %, or the AUC outside its range. It is in
    doubt if a rate lies above the binomial interval. A rate below that interval is said, too: then
    fewer images are listed than the rate allows.
    """
    sentences = []
    for name, score in measured["scores"].items():
        rows = [row for row in score["rates"] if row["nominal"] == RATE]
        faults = [f"{_place(row)} have a rate above 0.05" for row in rows if row["lo"] > RATE]
        if not BALANCED[0] <= score["auc"]["auc"] <= BALANCED[1]:
            faults.append(f"the AUC lies outside {BALANCED[0]} to {BALANCED[1]}")
        doubts = [
            f"{_place(row)} have a rate of {row['rate']:.3f}, above the binomial interval"
            for row in rows
            if row["rate"] > row["expected_hi"]
        ]
        result = "holds at the rate of 5 %"
        if faults or doubts:
            result = (
                f"{'**fails**' if faults else 'is **in doubt**'}: {'; '.join(faults or doubts)}"
            )
        careful = [
            f"{_place(row)} ({row['rate']:.3f})" for row in rows if row["rate"] < row["expected_lo"]
        ]
        if careful:
            result += f"; it is conservative, below the binomial interval, for {', '.join(careful)}"
        sentences.append(f"Calibration of `{name}` {result}.")
    return " ".join(sentences)


def _place(row: Mapping[str, Any]) -> str:
    return f"{CANDIDATES[row['candidates']]} with {row['decoys']} decoys, {row['queries']} queries"


def _rates(measured: Mapping[str, Any]) -> str:
    columns = ("score", "queries", "candidates", "decoys", "nominal", "rate", "interval")
    columns += ("by chance", "highest")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, score in measured["scores"].items():
        for row in score["rates"]:
            if row["nominal"] in SHOWN:
                lines.append(
                    f"| `{name}` | {row['queries']} | {CANDIDATES[row['candidates']]} "
                    f"| {row['decoys']} "
                    f"| {row['nominal']:.2f} | {row['rate']:.3f} | {row['lo']:.3f} to "
                    f"{row['hi']:.3f} | {row['expected_lo']:.3f} to {row['expected_hi']:.3f} "
                    f"| {row['highest']:.2f} |"
                )
    return "\n".join(lines)


def _auc(measured: Mapping[str, Any]) -> str:
    lines = [
        "| score | AUC of training images | interval | of single models |",
        "|---|---|---|---|",
    ]
    for name, score in measured["scores"].items():
        a = score["auc"]
        lines.append(
            f"| `{name}` | {a['auc']:.3f} | {a['lo']:.3f} to {a['hi']:.3f} "
            f"| {a['least']:.3f} to {a['greatest']:.3f} |"
        )
    return "\n".join(lines)


def _planted(measured: Mapping[str, Any]) -> str:
    lines = [
        f"| the model saw the copies | score | images found, of {PLANTED} | largest q of a copy "
        "| other images listed for an image |",
        "|---|---|---|---|---|",
    ]
    for model, scores in measured["planted"].items():
        for name, found in scores.items():
            lines.append(
                f"| {'yes' if model == 'trained' else 'no'} | `{name}` "
                f"| {PLANTED * found['found']:.0f} | {found['largest_q']:.3f} "
                f"| {found['others']:.1f} |"
            )
    return f"{COPIES} near-copies of each of {PLANTED} held-out images:\n\n" + "\n".join(lines)


@style.styled
def chart(measured: Mapping[str, Any]) -> Figure:
    """Rates against nominal rates for both forms of decoys, and the histogram of p-values."""
    figure = style.new(height=3.4)
    panels = layout.panels(figure, 3, left=0.6, right=0.15, gap=0.6, bottom=0.55)
    colours = dict(
        zip(measured["scores"], (style.FAMILIES["das"], style.FAMILIES["dtrak"]), strict=True)
    )
    for panel, decoys in zip(panels[:2], DECOYS, strict=True):
        _draw_rates(panel, measured, colours, decoys)
    panels[0].set_ylabel("queries with a discovery")
    panels[0].legend(loc="upper left")
    for name, score in measured["scores"].items():
        for kind, dash in zip(CANDIDATES, (":", "-"), strict=True):
            heights = BINS * np.array(score["p"][kind])
            edges = np.linspace(0, 1, BINS + 1)
            panels[2].stairs(heights, edges, baseline=None, color=colours[name], linestyle=dash)
    panels[2].axhline(1, color=style.MUTED, linewidth=0.8)
    panels[2].set_ylim(0.5, 1.5)
    panels[2].set_title("p-values, own decoys")
    panels[2].set_xlabel("p-value (dotted: unseen images)")
    panels[2].set_ylabel("density")
    return figure


def _draw_rates(
    panel: Axes, measured: Mapping[str, Any], colours: Mapping[str, str], decoys: str
) -> None:
    """Rates with their intervals; open markers are unseen images."""
    for number, (name, score) in enumerate(measured["scores"].items()):
        for shift, kind in enumerate(CANDIDATES):
            shown = ("held-out", kind, decoys)
            rows = [
                r for r in score["rates"] if (r["queries"], r["candidates"], r["decoys"]) == shown
            ]
            x, rate, lo, hi = (
                np.array([row[key] for row in rows]) for key in ("nominal", "rate", "lo", "hi")
            )
            if not number and not shift:
                ends = ([row[key] for row in rows] for key in ("expected_lo", "expected_hi"))
                panel.fill_between(x, *ends, color=style.FAINT, alpha=0.6, label="by chance, 95 %")
                panel.plot([0, x[-1]], [0, x[-1]], color=style.MUTED, linewidth=0.8)
            panel.errorbar(
                x + 0.008 * (2 * number + shift - 1.5),
                rate,
                [np.maximum(rate - lo, 0), np.maximum(hi - rate, 0)],
                color=colours[name],
                fmt="os"[number],
                markersize=4,
                markerfacecolor="white" if kind == "unseen" else colours[name],
                elinewidth=0.8,
                label=f"{name}, {kind}",
            )
    panel.set_title(f"{decoys.capitalize()} decoys")
    panel.set_xlabel("nominal rate")
    panel.grid(axis="y")


def write(docs: Path, part: Mapping[str, Any]) -> None:
    """Renew evidence.md between its markers, and the figure.

    Args:
        docs: Folder with evidence.md.
        part: The part ``calibration`` of details.json.

    Raises:
        UserError: If the page lacks its markers.
    """
    page, measured = docs / "evidence.md", part["threads"]["1"]
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{page} lacks the lines {BEGIN} and {END}; put them where numbers belong")
    style.save(chart(measured), [docs / "evidence.svg", docs / "evidence.png"])
    where = machine.sentence(part["machine"])
    write_text(page, f"{before}{begin}\n{block(measured)}\n\nMeasured on {where}\n{end}{after}")
