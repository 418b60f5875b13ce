"""An experiment with what follows from it."""

import pytest

from dasbench.core import query_kinds
from dasbench.experiments import config, feature_sets
from dasbench.experiments.files import queries
from dasbench.experiments.files.resolved import Resolved, load_all
from experiment_files import child, resolved


def test_a_root_lies_in_one_folder_and_a_child_in_two(blank):
    root, young = resolved(blank), child(blank)
    assert (root.folder, root.home) == ("results/changed", "results/changed")
    assert (young.folder, young.home) == ("results/child", "results/smoke")
    assert young.base == "results/smoke/models/base"
    assert (root.is_root, young.is_root) == (True, False)
    assert root.is_judged
    assert not Resolved({**root, "subsets": None}).is_judged


def test_methods_and_features_are_those_of_the_settings_and_worked_out_once(blank):
    e = resolved(blank)
    assert e.methods == config.methods(e)
    assert e.features == feature_sets.sets(e)
    assert e.timesteps == feature_sets.by_timestep(e)
    assert e.methods is e.methods
    assert e["methods"]["das"] == {}  # the file's overrides


def test_it_is_still_the_dict_of_the_experiment(blank):
    loaded = config.load("smoke", blank)
    assert load_all(blank) == {"smoke": loaded}
    assert config.canonical(Resolved(loaded)) == config.canonical(loaded)


@pytest.mark.parametrize("name", queries.LATENT_QUERIES)
def test_queries_of_models_of_latents_lie_beside_the_images(name):
    assert name.replace("_latents", "") in query_kinds.query_files(query_kinds.KINDS)


def test_queries_depend_on_their_section_and_the_model(blank):
    e = resolved(blank)
    assert queries.query_settings(e) != queries.query_settings(
        resolved(blank, queries={**e["queries"], "gen": 16})
    )
