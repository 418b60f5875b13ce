"""Settings of figures and of the report's page."""

import json

import pytest

from dasbench import registry
from dasbench.experiments.files import pages
from experiment_files import ROOT, child, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_curves_are_of_the_methods_with_scores(smoke):
    methods = json.loads(pages.curve_settings(smoke))["methods"]
    assert set(methods["gen"]) - set(methods["val"]) == {"journey_trak"}


def test_neighbours_are_shown_of_the_removed_methods_or_of_the_best(blank, smoke):
    """The best methods come first and a control last, in whatever order the file has them."""
    assert pages.neighbour_methods(smoke, "val") == ["das", "pixel_cosine", "floor"]
    names = ["random", "journey_trak", "das", "trak", "dtrak", "das_common", "das_l1"]
    none = child(blank, methods={name: {} for name in names})
    best = ["das_common", "das", "dtrak", "trak"]
    assert pages.neighbour_methods(none, "gen") == [*best, "journey_trak", "random"]
    assert pages.neighbour_methods(none, "val") == [*best, "das_l1", "random"]
    assert pages.neighbour_scores(smoke, "val")[0] == "results/changed/scores/das/val.npy"
    assert json.loads(pages.neighbour_settings(smoke, "val"))["top"] == 4


def test_the_page_of_ones_own_pictures_shows_das_first(blank):
    """The methods that `./run new-experiment` writes, controls first there."""
    names = ["random", "class_match", "pixel_cosine", "gradient_cosine", "trak", "dtrak", "das"]
    own = child(blank, methods={name: {} for name in [*names, "das_common"]})
    shown = pages.neighbour_methods(own, "gen")
    assert shown[:2] == ["das_common", "das"]
    assert shown[-1] == "random"
    assert "class_match" not in shown


def test_the_best_methods_are_those_of_the_recorded_experiments():
    """By the mean LDS of the references; what changes there changes the order here."""
    means = {}
    for name in ("digits", "fashion", "emoji"):
        rows = json.loads((ROOT / f"reference/{name}.json").read_text())["lds"]
        for method in pages.BEST:
            lds = [r["lds"] for r in rows if r["method"] == method and r["target"] == "loss"]
            means.setdefault(method, []).extend([sum(lds) / len(lds)] if lds else [])
    pairs = (("das_stepwise", "dtrak"), ("das_common", "dtrak_common"), ("das", "trak"))
    for better, worse in pairs:
        assert sum(means[better]) / len(means[better]) > sum(means[worse]) / len(means[worse])
    assert set(pages.BEST) <= set(registry.METHODS)


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
