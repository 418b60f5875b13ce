"""The table of figures: complete, in step with the pages, and the only reader of what it draws."""

from __future__ import annotations

import re

import jinja2
import pytest
from docutils.core import publish_parts

from dasbench.experiments import config, figure_table
from dasbench.experiments.figure_table import DRAWINGS, FIGURES, SECTIONS
from dasbench.reports import findings, pages
from dasbench.sharing import codehash
from experiment_files import ROOT

LDS = ["lds-loss", "lds-by-models", "damping", "lds-transforms", "lds-displacement"]
NEIGHBOURS = ["neighbours-val", "neighbours-gen"]


@pytest.mark.parametrize(
    ("experiment", "shown", "left_out"),
    [
        ("smoke", ["samples", *LDS, "lds-beyond", "removal", "before-after", *NEIGHBOURS], []),
        ("ablation", ["samples", *LDS, "ablation-effects", "ablation-gains", *NEIGHBOURS], []),
        ("acceleration", ["samples", *LDS, *NEIGHBOURS], ["cost-quality"]),
        ("ensembles", ["samples", *LDS, "lds-beyond", *NEIGHBOURS], ["ensembles"]),
    ],
)
def test_an_experiment_has_the_figures_of_its_parts(experiment, shown, left_out):
    e = config.load(experiment, ROOT)
    assert figure_table.stems(e, reported=True) == shown
    assert figure_table.stems(e, reported=False) == left_out
    unjudged = {**e, "subsets": None}
    assert figure_table.stems(unjudged, reported=True) == ["samples", *NEIGHBOURS]
    assert figure_table.stems(unjudged, reported=False) == []


def test_every_row_is_complete():
    """No stem twice, a script for each rule, and words without markup for both reports."""
    figures = [figure for drawing in DRAWINGS for figure in drawing.figures]
    assert len(FIGURES) == len(figures)
    for drawing in DRAWINGS:
        assert drawing.rule.startswith("plot_")
        assert (ROOT / f"scripts/{drawing.rule}.py").is_file()
        assert drawing.by_hand == (not drawing.reads and not drawing.shares)
    for figure in figures:
        assert figure.alt
        assert not figure.alt.endswith(".")
        assert figure.caption.endswith(".")
        assert not re.search(r"[<>{}*`|]|_ ", figure.alt + figure.caption)


def test_the_report_has_a_place_for_every_section():
    """Otherwise a figure would be in no page, without a word."""
    text = (pages.TEMPLATES / "report/page.html.j2").read_text()
    shown = re.findall(r'm\.drawn\((?:figures\["(\w+)"\]|(neighbours))', text)
    assert {first or second for first, second in shown} == {*SECTIONS, "other"}


def test_other_pages_show_figures_of_the_table():
    stems = [re.search(r"figures/([\w-]+)\.", path)[1] for path in findings.PICTURES.values()]
    card = (ROOT / "src/dasbench/reports/cards/model_card.md.j2").read_text()
    stems += re.findall(r"figures/([\w-]+)\.", card)
    assert set(stems) <= set(FIGURES)


def test_snakemakes_report_shows_the_captions():
    """The one caption file, filled in as Snakemake does, is valid and names each figure."""
    text = (ROOT / "workflow/report/figure.rst").read_text()
    for drawing in DRAWINGS:
        captions = {figure.stem: figure.caption for figure in drawing.figures}
        job = {"rule": drawing.rule, "config": {"captions": {drawing.rule: captions}}}
        filled = jinja2.Template(text).render(snakemake=job)
        body = publish_parts(
            filled, writer="html", settings_overrides={"report_level": 2, "halt_level": 2}
        )["body"]
        for figure in drawing.figures:
            assert f"<strong>{figure.stem}</strong>: {figure.caption}" in " ".join(body.split())


def test_only_drawing_scripts_run_drawing_code():
    """A change of a figure's style redraws figures, and redoes no table and no bootstrap."""
    for script in sorted((ROOT / "scripts").glob("*.py")):
        run = codehash.closure(ROOT, f"scripts/{script.name}")
        draws = any(path.endswith("figures/style.py") for path in run)
        assert draws == script.name.startswith("plot_"), script.name
