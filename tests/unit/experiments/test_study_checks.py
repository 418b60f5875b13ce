"""What an experiment may take from another one, and which truths it may ask for."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from dasbench.core import tables
from experiment_files import ROOT, load, raw, refusal, resolved

MARKED = {"dataset": "digits_marked", "train": 100}
COPIES = {"dataset": "digits_repeated", "train": 100}
EMPTY = ("removal", "comparisons", "ablation", "acceleration", "replay", "replicate")
LOSE = {"methods": {"das": {}, "pixel_rbf": {}}, "subsets": None}


def borrowing(**sections):
    """Smoke without subset models, with the parameters of smoke."""
    data = {key: value for key, value in raw().items() if key not in EMPTY}
    return {**data, **LOSE, "parameters_of": "smoke", **sections}


def test_parameters_may_come_from_an_experiment_with_subset_models(blank):
    experiment = load(blank, borrowing())
    assert experiment["parameters_of"] == "smoke"
    assert len(experiment["damping"]["mantissas"]) > 1  # a grid, of which smoke chose


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"parameters_of": "other"}, "parameters_of is other, expected one of the other"),
        ({"damping": {"mantissas": [1], "exponents": [-4, -4]}}, "is not the grid of smoke"),
        ({"methods": {"das": {"leverage": False}}}, "has other options there"),
        ({"methods": {"dtrak": {}, "unlearning_plus": {}}}, "but is absent there"),
        ({"subsets": raw()["subsets"]}, "but subset models choose the parameters here"),
    ],
)
def test_other_methods_or_grids_have_no_chosen_parameters(blank, sections, sentence):
    assert sentence in refusal(blank, borrowing(**sections))


def test_an_experiment_without_subset_models_has_chosen_nothing(blank):
    damping, name = {"mantissas": [1], "exponents": [-4, -4]}, "unjudged"
    data = borrowing(methods={"das": {}}, damping=damping)
    del data["parameters_of"]
    (blank / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(data))
    told = refusal(blank, borrowing(parameters_of=name, methods={"das": {}}, damping=damping))
    assert "which has no subset models to choose parameters" in told


def test_a_grid_without_choice_stays_refused(blank):
    data = borrowing()
    del data["parameters_of"]
    told = refusal(blank, data)
    assert "or parameters_of" in told
    assert "methods.pixel_rbf has a grid" in told


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"retrieval": {"truth": "marks"}}, "is marks, which digits does not have"),
        ({"data": COPIES, "retrieval": {"truth": "marks"}}, "digits_repeated does not have"),
        ({"retrieval": {"truth": "labels", "top": 121}}, "retrieval.top is 121, expected at most"),
        ({"retrieval": {"truth": "labels", "once": "smoke"}}, "only truth: copies compares copies"),
        ({"trajectory": {"places": 6}}, "trajectory.places is 6, expected at most"),
        ({"data": {**MARKED, "limit": 5}}, "data.limit is for data sets that are read from files"),
        ({"data": {**MARKED, "classes": [1]}}, "expected all: digits_marked is used whole"),
    ],
)
def test_truths_need_their_data(blank, sections, sentence):
    assert sentence in refusal(blank, {**raw(), **sections})


def test_paths_need_subset_models_and_labels_held_out_images(blank):
    assert "trajectory.places needs subset models" in refusal(
        blank, borrowing(trajectory={"places": 2})
    )
    queries = {**raw()["queries"], "val": 0}
    told = refusal(blank, borrowing(queries=queries, retrieval={"truth": "labels"}))
    assert "only labels of held-out images are known" in told


def test_copies_are_compared_with_an_experiment_that_has_the_methods(blank):
    study = {"truth": "copies", "once": "smoke"}
    changed = resolved(blank, data=COPIES, retrieval=study)
    assert changed["retrieval"]["once"] == "smoke"
    methods = {**raw()["methods"], "unlearning_plus": {}}
    told = refusal(blank, {**raw(), "data": COPIES, "retrieval": study, "methods": methods})
    assert "is smoke, which lacks unlearning_plus; give it the same methods" in told


def test_parameters_are_taken_as_they_were_chosen_and_not_for_other_kinds(tmp_path):
    rows = {"queries": ["val", "gen"], "transform": "square", "parameters": ["{}", '{"damping":1}']}
    chosen, taken = tmp_path / "chosen.csv", tmp_path / "taken.csv"
    tables.save_table(chosen, pd.DataFrame({**rows, "damping": [0.5, 1.0], "lds": 0.1}))

    def take(*kinds):
        words = ["--settings", json.dumps({"kinds": kinds}), "--chosen", chosen]
        command = [sys.executable, ROOT / "scripts/take_parameters.py", *words]
        return subprocess.run(
            [*command, "--selection", taken], capture_output=True, text=True, check=False
        )

    assert take("gen").returncode == 0
    table = tables.load_table(taken)
    assert table.to_dict("records") == [
        {"queries": "gen", "transform": "square", "parameters": '{"damping":1}', "damping": 1.0}
    ]
    other = pd.DataFrame({**rows, "damping": 1.0})
    tables.save_table(chosen, other[other.queries == "val"])
    done = take("val", "gen")
    assert done.returncode == 1
    assert "has no parameters for queries of kind gen" in done.stderr
