"""Files and settings of the LDS over methods."""

import json

import pytest

from dasbench.experiments.files import evaluation
from experiment_files import child, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def test_primary_comparisons_come_first_and_all_others_are_with_das(blank):
    young = child(
        blank,
        methods={"random": {}, "das": {}, "dtrak": {}, "trak": {}},
        comparisons=[{"a": "das", "b": "dtrak"}, {"a": "trak", "b": "dtrak", "fixed": "late"}],
    )
    both = {"truth": ["loss", "displacement"]}
    assert evaluation.compared_pairs(young) == [
        {"kind": "primary", "a": "das", "b": "dtrak"} | both,
        {"kind": "primary", "a": "trak", "b": "dtrak", "fixed": "late"} | both,
        {"kind": "exploratory", "a": "random", "b": "das"} | both,
        {"kind": "exploratory", "a": "trak", "b": "das"} | both,
    ]
    assert evaluation.compared_pairs(child(blank, methods={"trak": {}, "dtrak": {}})) == []


def test_the_summary_says_which_methods_are_made_of_tuning_subsets(smoke):
    values = json.loads(evaluation.summary_settings(smoke))
    assert values["tuning"] == {"empirical_influence": 4, "datamodel": 4}
    assert values["methods"] == list(smoke.methods)
    assert "journey_trak" in values["inapplicable"]
    assert values["level"] == 0.95


def test_the_summary_reads_the_tables_of_every_method(blank):
    files = evaluation.lds_tables(child(blank, methods={"das": {}, "dtrak": {}}))
    assert len(files) == len(set(files)) == 10
    assert files[0] == "results/child/lds/methods/das/selection.csv"
