"""Which methods of a child have the scores and the LDS of a parent."""

import functools

import pytest

from dasbench.experiments.files import shared_scores
from experiment_files import load_family, make_repository

METHODS = {"das": {}, "mine": {"like": "das", "features": {"timesteps": 3}}, "pixel_cosine": {}}


@pytest.fixture
def family(tmp_path):
    """Load smoke with children: name -> sections."""
    return functools.partial(load_family, make_repository(tmp_path / "root"), METHODS)


def test_equal_settings_share_the_scores_of_the_topmost_parent(family):
    everyone = family(child={}, grandchild={"parent": "child"})
    e = everyone["grandchild"]
    assert shared_scores.score_file(e, "das", "gen") == "results/smoke/scores/das/gen.npy"
    assert shared_scores.home(e, "mine") == "results/child"
    assert shared_scores.home(everyone["smoke"], "das") == "results/smoke"
    assert shared_scores.equal(everyone["child"], e, "mine")


@pytest.mark.parametrize(
    ("sections", "shared"),
    [
        ({"features": {"dimensions": 128}}, []),
        ({"damping": {"exponents": [-4, 0]}}, []),
        ({"lds": {"draws": 300}}, []),
        ({"replicate": {"features": 1}}, []),
        ({"replicate": {"base": 1}}, []),
        ({"methods": {"das": {"leverage": False}, "pixel_cosine": {}}}, ["pixel_cosine"]),
        ({"report": {"top": 2}}, ["das", "pixel_cosine"]),
    ],
)
def test_other_settings_share_nothing(family, sections, shared):
    child = family(child=sections)["child"]
    found = [m for m in child.methods if shared_scores.home(child, m) == "results/smoke"]
    assert found == shared


def test_a_floor_depends_on_the_floors_that_it_selects_from(family):
    floors = {"floor": {}, "pixel_rbf": {}}
    few = family(child={"methods": floors})["child"]
    assert shared_scores.home(few, "floor") == "results/child"
    assert shared_scores.home(few, "pixel_rbf") == "results/smoke"
