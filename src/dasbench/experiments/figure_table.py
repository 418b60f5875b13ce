"""Table of every figure of an experiment: its script, input files, section of the report, texts.

The rules, the report and Snakemake's report read this table; none of them has a list of figures.
To add a figure, write its script and add a row here. The row defines the rule, and the report shows
the figure in its section. ``figure_rows`` says what a row holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.experiments.figure_rows import Drawing, Figure
from dasbench.registry import METHODS

FORMATS = ("svg", "png")

_NEIGHBOURS = (
    "Left: a query. Right: the highest-scored training images per method, first to last, with the "
    "label of each; bold where it differs from the query’s. The bar under an image is its score "
    "relative to the first in its row. The first evaluation queries, no selection. Looking alike "
    "is no evidence of influence: pixel similarity always looks convincing."
)

DRAWINGS = (
    Drawing(
        "plot_samples",
        shares={"generated": "queries/gen.npy", "examples": "examples/train.npz"},
        figures=(
            Figure(
                "samples",
                section="model",
                alt="Generated images beside training images",
                caption="Left: the first images that the base model generated (no selection). "
                "Right: training images at even distances through the training set. If the left "
                "side does not look like the right side, no statement about attribution on this "
                "page means much.",
            ),
        ),
    ),
    Drawing(
        "plot_lds",
        needs="lds",
        reads={
            "summary": "lds/summary.csv",
            "ceiling": "lds/ceiling.csv",
            "by-models": "lds/by_models.csv",
        },
        figures=(
            Figure(
                "lds-loss",
                section="lds",
                alt="LDS of every method with its interval, for the loss target",
                caption="Held-out LDS per method (bar), its bootstrap interval (line) and the LDS "
                "at the oracle damping (ring); ordered by the mean over both kinds of query, the "
                "controls set apart. Grey band: the ceiling with its interval; an arrow means that "
                "it lies to the right of the axis. Colours mark families of methods and are the "
                "same in every figure.",
            ),
            Figure(
                "lds-by-models",
                section="lds",
                alt="LDS of the best methods against the number of subset models",
                caption="What fewer subset models would have shown: LDS of the five methods that "
                "are best with all, mean over random choices of the models; bars are bootstrap "
                "intervals with that many models. Intervals shrink with the root of their number.",
            ),
            Figure(
                "damping",
                section="choices",
                alt="LDS of every method along the damping grid",
                caption="LDS (loss target, evaluation data) along the damping grid, each method "
                "under its own transform; damping in units of the largest eigenvalue of the "
                "method’s own kernel. Dot: the value chosen on tuning "
                "data. Ring: the best value in hindsight. The height between dot and ring is what "
                "reporting the best value would have added.",
            ),
            Figure(
                "lds-transforms",
                section="choices",
                alt="LDS of every method under three transforms of its score",
                caption="Held-out LDS of each method under three transforms of the same score; the "
                "filled mark is the transform that the method’s authors use. Square and signed "
                "square differ only where scores are negative.",
            ),
            Figure(
                "lds-displacement",
                section="displacement",
                alt="LDS of every method with its interval, for the displacement target",
                caption="As the first figure, for the displacement target.",
            ),
        ),
    ),
    Drawing(
        "plot_beyond",
        needs="floor",
        reads={"summary": "lds/summary.csv"},
        figures=(
            Figure(
                "lds-beyond",
                section="beyond",
                alt="LDS of every method, and its partial LDS given the floor, with intervals",
                caption="Bar and interval: the partial LDS of each method given the floor’s "
                "predictions (loss target, own transform). Ring: its LDS. A score whose bar is "
                "at zero has not been shown to know more than this similarity of images.",
            ),
        ),
    ),
    Drawing(
        "plot_dampings",
        needs="dampings",
        reads={"rules": "dampings/rules.csv"},
        figures=(
            Figure(
                "damping-rules",
                section="choices",
                alt="Points of LDS that each rule for the damping loses to the best damping",
                caption="LDS × 100 (loss target, own transform) of the best damping of the grid on "
                "evaluation data, minus that of the damping which a rule chooses. Rules above the "
                "line need models that are retrained from nothing; those below do not.",
            ),
        ),
    ),
    Drawing(
        "plot_ablation",
        needs="ablation",
        reads={"main-effects": "ablation/main_effects.csv", "gains": "ablation/gains.csv"},
        figures=(
            Figure(
                "ablation-effects",
                section="ablation",
                flag="effects-figure",
                alt="Effect of every choice of a score on its LDS, with intervals",
                caption="Effect of every level against the reference of its factor: the mean over "
                "all other choices, and with everything else as in DAS. Intervals are bootstrap "
                "intervals of the paired difference.",
            ),
            Figure(
                "ablation-gains",
                section="ablation",
                flag="gains-figure",
                alt="Share of each choice in the gain of one method over another",
                caption="The shares of the table. Intervals are bootstrap intervals of the paired "
                "difference.",
            ),
        ),
    ),
    Drawing(
        "plot_removal",
        needs="removal",
        reads={
            "summary": "removal/summary.csv",
            "per-query": "removal/per_query.parquet",
            "images": "removal/images.npy",
            "index": "removal/images.csv",
        },
        shares={"queries": "queries/gen.npy"},
        figures=(
            Figure(
                "removal",
                section="removal",
                alt="Effect of removing the highest-scored images minus that of random ones",
                caption="Excess over removing random images, with bootstrap intervals over queries "
                "and random sets; right of (or above) zero means a larger effect than chance. "
                "Grey: the range of the random sets. Dotted: the null models, one line each; their "
                "distance from zero is what the mere removal of any k images does.",
            ),
            Figure(
                "before-after",
                section="removal",
                alt="Generated images before and after retraining without some training images",
                caption="Generated from the same initial noise: by the base model, by models "
                "retrained without the images each method names for this query, without random "
                "images, and by a model trained on everything with other seeds (null). Under each "
                "image its L2 distance to the base model’s image. An image that changes no more "
                "than in the null column has not been shown to depend on what was removed.",
            ),
        ),
    ),
    Drawing(
        "plot_groups",
        needs="groups",
        reads={"summary": "groups/summary.csv", "noise": "groups/noise.csv"},
        figures=(
            Figure(
                "groups-loss",
                section="groups",
                alt="Rank correlation of every method with the change of the loss without a group",
                caption="Spearman correlation over groups between the sum of a group’s scores and "
                "the change of the query’s loss when the group is left out; mean over queries "
                "with bootstrap intervals over queries. Filled: all groups. Open: without the "
                "query’s own group, which any similarity of classes names. Line: the ceiling for "
                "all groups, given how far two seeds agree.",
            ),
            Figure(
                "groups-displacement",
                section="groups",
                alt="As before, for the displacement of the prediction",
                caption="As before, for the displacement of the model’s prediction from that of "
                "the model of all images with the same seed.",
            ),
        ),
    ),
    Drawing(
        "plot_truths",
        needs="groups",
        reads={"ranks": "groups/truths.csv"},
        figures=(
            Figure(
                "truths",
                section="groups",
                alt="Rank of every method under every ground truth, with intervals",
                caption="Rank of each method among those that a ground truth judges, 1 is the "
                "best, with bootstrap intervals; methods by their mean place, controls last. "
                "Loss and displacement: LDS. All and others: with and without the query’s own "
                "group. Exact: agreement with exact influence on one run, signed and by size. "
                "Below each truth stands the experiment that measured it.",
            ),
        ),
    ),
    Drawing(
        "plot_neighbours",
        by_hand=True,
        figures=(
            Figure(
                "neighbours-val",
                section="neighbours",
                needs="val",
                alt="Highest-scored training images of some held-out images, by method",
                caption=f"Held-out images. {_NEIGHBOURS}",
            ),
            Figure(
                "neighbours-gen",
                section="neighbours",
                alt="Highest-scored training images of some generated images, by method",
                caption=f"Generated images. {_NEIGHBOURS}",
            ),
        ),
    ),
    Drawing(
        "plot_cost_quality",
        needs="costs",
        reads={"table": "cost-quality.csv", "speedups": "cost-speedup.json"},
        figures=(
            Figure(
                "cost-quality",
                section="",
                alt="Seconds of every configuration against its LDS",
                caption="Seconds against held-out LDS. Numbered points: no other configuration is "
                "both cheaper and at least as good. Dashed: the LDS of the reference.",
            ),
        ),
    ),
    Drawing(
        "plot_ensembles",
        needs="ensembles",
        reads={"table": "ensembles/tuning.csv"},
        figures=(
            Figure(
                "ensembles",
                section="",
                alt="LDS of averages over models against their number of passes",
                caption="LDS on tuning data against models times timesteps T, with bootstrap "
                "intervals. Each point is the best function and order for this number of models "
                "and timesteps. Lines join averages with equal T. Averages over tuning models are "
                "judged with half of their models, on the subsets of the other half.",
            ),
        ),
    ),
    Drawing(
        "plot_retrieval",
        needs="retrieval",
        reads={"table": "retrieval/retrieval.csv"},
        figures=(
            Figure(
                "retrieval",
                section="",
                alt="Average precision of every method in finding the images that an answer needs",
                caption="Bar and interval: average precision. Ring: how often the first image is "
                "one of those that the answer needs. Dashed: average precision of a random order. "
                "In brackets: the number of queries.",
            ),
        ),
    ),
    Drawing(
        "plot_trajectory",
        needs="trajectory",
        reads={"table": "trajectory/lds.csv", "places": "trajectory/places.csv"},
        figures=(
            Figure(
                "trajectory",
                section="",
                alt="LDS of every method along sampling paths, and what each place of a path adds",
                caption="Left: LDS under three targets on the same draws, with bootstrap "
                "intervals. Right: distance of the subset models from the base model at each "
                "place of the sampling path, and the rank correlation of this distance over "
                "subsets with the mean over all places.",
            ),
        ),
    ),
)
FIGURES = {figure.stem: figure for drawing in DRAWINGS for figure in drawing.figures}
SECTIONS = tuple(dict.fromkeys(f.section for f in FIGURES.values() if f.section))


def parts(experiment: Mapping[str, Any]) -> dict[str, bool]:
    """Whether an experiment has each part that drawings need: part -> bool.

    Args:
        experiment: As ``config.load`` returns it.
    """
    judged = bool(experiment["subsets"])
    entries = [METHODS.get(o.get("like", n), {}) for n, o in experiment["methods"].items()]
    return {
        "": True,
        "lds": judged,
        "floor": judged and any("members" in entry for entry in entries),
        "ablation": judged and bool(experiment["ablation"]["readouts"]),
        "dampings": judged and bool(experiment["dampings"]["twins"]),
        "removal": judged and bool(experiment["removal"]["methods"]),
        "groups": judged and bool(experiment["groups"]["by"]),
        "costs": judged and bool(experiment["acceleration"]["reference"]),
        "ensembles": judged and bool(experiment["ensembles"]["groups"]),
        "retrieval": bool(experiment["retrieval"]["truth"]),
        "trajectory": judged and bool(experiment["trajectory"]["places"]),
        "val": bool(experiment["queries"]["val"]),
    }


def drawings(experiment: Mapping[str, Any]) -> list[Drawing]:
    """The drawings of an experiment, in the order of the table."""
    present = parts(experiment)
    return [drawing for drawing in DRAWINGS if present[drawing.needs]]


def stems(experiment: Mapping[str, Any], reported: bool) -> list[str]:
    """Stems of an experiment's figures.

    Args:
        experiment: As ``config.load`` returns it.
        reported: True for the figures that the report shows, False for those that it leaves out.
    """
    present = parts(experiment)
    figures = [
        figure
        for drawing in drawings(experiment)
        for figure in drawing.figures
        if present[figure.needs]
    ]
    return [figure.stem for figure in figures if bool(figure.section) == reported]
