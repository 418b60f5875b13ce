"""Settings of figures and of the report's page."""

import json

import pytest

from dasbench.experiments.files import pages
from experiment_files import ROOT, child, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_curves_are_of_the_methods_with_scores(smoke):
    methods = json.loads(pages.curve_settings(smoke))["methods"]
    assert set(methods["gen"]) - set(methods["val"]) == {"journey_trak"}


def test_neighbours_are_shown_of_the_removed_methods_or_of_the_first_five(blank, smoke):
    assert pages.neighbour_methods(smoke, "val") == ["das", "pixel_cosine", "floor"]
    names = ["random", "journey_trak", "das", "trak", "dtrak", "das_common", "das_l1"]
    none = child(blank, methods={name: {} for name in names})
    assert pages.neighbour_methods(none, "gen") == names[:5]
    assert pages.neighbour_methods(none, "val") == [n for n in names if n != "journey_trak"][:5]
    assert pages.neighbour_scores(smoke, "val")[0] == "results/changed/scores/das/val.npy"
    assert json.loads(pages.neighbour_settings(smoke, "val"))["top"] == 4


def test_figures_are_in_the_report_or_beside_it(blank):
    """The table of figures says which; costs differ from run to run."""
    timed = child(blank, acceleration={"reference": "das"})
    folder = "results/child/figures"
    assert pages.figure_files(timed, reported=False) == [
        f"{folder}/cost-quality.svg",
        f"{folder}/cost-quality.png",
    ]
    assert f"{folder}/samples.png" in pages.figure_files(timed, reported=True)
    assert pages.figure_files(child(blank), reported=False) == []


def test_versions_are_those_of_the_lock():
    versions = pages.locked_versions(ROOT)
    assert f"torch=={versions['torch']}" in (ROOT / "requirements.lock").read_text().split()


def test_the_page_shows_the_whole_experiment_with_complete_methods(smoke):
    values = json.loads(pages.report_settings(smoke, ROOT))
    assert values["settings"]["methods"] == json.loads(json.dumps(smoke.methods))
    assert values["settings"]["training"] == smoke["training"]
    assert values["data_card"]["licence"]
