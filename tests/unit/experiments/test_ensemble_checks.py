"""A mistake in averages over models is one sentence."""

import pytest

from experiment_files import raw, refusal


def study(group, **plan):
    return {"ensembles": {"groups": {group: {"models": [2], "timesteps": [3], **plan}}}}


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (study("base"), "base.models[0] is 2, expected at most 1: the base model is one"),
        (study("full", models=[2, 3]), "full.models[1] is 3, expected at most 2: the base model"),
        (study("tune", models=[3]), "tune.models[0] is 3, expected an even number up to"),
        (study("tune", models=[6]), "is 6, expected an even number up to subsets.tune.models, 4"),
        (study("tune", timesteps=[1001]), "is 1001, expected at most diffusion.timesteps, 1000"),
        ({"methods": {"das_ensemble": {"models": 8}}}, "methods.das_ensemble.models is 8"),
        ({"methods": {"das_ensemble_full": {}}}, "methods.das_ensemble_full.models is 5"),
        ({"methods": {"best": {"like": "das_ensemble", "models": 3}}}, "methods.best.models is 3"),
        ({"methods": {"das_ensemble": {"timesteps": 2000}}}, "timesteps is 2000, expected at most"),
        ({"methods": {"das_ensemble": {"group": "full"}}}, "group is not an option"),
        ({"methods": {"das_ensemble": {"order": "both"}}}, 'order is "both"'),
    ],
)
def test_a_mistake_is_one_sentence(blank, sections, sentence):
    data = {**raw(), **sections}
    if "methods" in sections:
        data["methods"] = {**raw()["methods"], **sections["methods"]}
    assert sentence in refusal(blank, data)


def test_without_subset_models_nothing_is_ranked(blank):
    data = {**raw(), "subsets": None, **study("full"), "comparisons": []}
    data["removal"] = {}
    data["methods"] = {"das_stepwise": {}, "das_ensemble": {}}
    sentence = refusal(blank, data)
    assert "ensembles.groups.full needs subset models" in sentence
    assert "methods.das_ensemble averages over models of tuning subsets" in sentence
