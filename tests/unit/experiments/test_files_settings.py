"""Settings strings: what a rule records, so that equal values must give equal strings."""

import json

import pytest

from dasbench.experiments.files import settings
from experiment_files import child, raw, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_a_string_has_the_seed_axes_and_is_canonical(smoke):
    assert settings.settings(smoke, b=1, a=[2, None]) == '{"a":[2,null],"axes":["changed",0],"b":1}'
    assert settings.settings(smoke, a=[2, None], b=1) == settings.settings(smoke, b=1, a=[2, None])
    assert settings.sections(smoke) == '{"axes":["changed",0]}'
    assert json.loads(settings.sections(smoke, ["lds"]))["lds"] == smoke["lds"]


def test_a_child_has_the_seeds_of_its_parent(blank):
    assert settings.sections(child(blank)) == '{"axes":["smoke",0]}'


def test_a_replicate_draws_noise_and_projections_anew_and_nothing_else(blank):
    again = child(blank, replicate={"base": 0, "features": 2})
    assert settings.draw_axes(again) == ["smoke", 0, "replicate", 2]
    assert json.loads(settings.drawn_settings(again))["axes"] == ["smoke", 0, "replicate", 2]
    assert json.loads(settings.model_settings(again))["axes"] == ["smoke", 0]


def test_a_draw_of_an_ensemble_is_one_more_axis(smoke):
    axes = [
        json.loads(settings.drawn_settings(smoke, features))["axes"]
        for features in (None, {"noise": "keyed"}, {"draw": 3})
    ]
    assert axes == [["changed", 0], ["changed", 0], ["changed", 0, "draw", 3]]


def test_frozen_networks_depend_on_no_seed_and_no_training(blank, smoke):
    other = resolved(blank, seed=5, model={**raw()["model"], "layers_per_block": 2})
    assert settings.frozen_settings(other, val=3) == settings.frozen_settings(smoke, val=3)
    assert settings.model_settings(other) != settings.model_settings(smoke)
    assert json.loads(settings.frozen_settings(smoke, val=3))["val"] == 3
