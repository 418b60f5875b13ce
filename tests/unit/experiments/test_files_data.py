"""Files and settings of pools and examples."""

import json

import pytest

from dasbench.experiments.files import data
from experiment_files import ROOT, child, raw, resolved


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def pictures(blank, **more):
    section = {"dataset": "folder", "path": "/some/pictures", "train": 40, "size": 8, **more}
    return resolved(blank, data=section)


def test_a_pool_belongs_to_its_data_set_or_to_the_experiment_that_reads_files(blank, smoke):
    assert data.pool_of(smoke) == "data/digits/pool.npz"
    assert data.card_of(pictures(blank)) == "data/changed/card.json"
    assert (data.reads_files(smoke), data.reads_files(pictures(blank))) == (False, True)
    assert not data.reads_files(child(blank))


def test_the_number_of_training_images_reads_no_file_again(blank):
    few, many, small = pictures(blank), pictures(blank, train=50), pictures(blank, size=16)
    assert data.read_settings(few, ROOT) == data.read_settings(many, ROOT)
    assert data.split_settings(few) != data.split_settings(many)
    assert data.read_settings(few, ROOT) != data.read_settings(small, ROOT)


def test_digests_of_a_data_sets_files_count(blank):
    archive = resolved(blank, data={"dataset": "cifar10", "train": 100, "classes": "all"})
    assert json.loads(data.read_settings(archive, ROOT))["files"]


@pytest.mark.parametrize(
    ("name", "listed"), [("labels.csv", True), ("{labels}.csv", False), ("gone.csv", False)]
)
def test_a_table_of_labels_is_an_input_where_it_is(blank, tmp_path, name, listed):
    file = tmp_path / name
    if name != "gone.csv":
        file.write_text("file,label\n")
    assert data.labels_of(pictures(blank, labels=str(file))) == [str(file)] * listed
    assert data.labels_of(pictures(blank)) == []


def test_examples_depend_on_the_choice_among_the_pool(blank, smoke):
    queries = raw()["queries"]
    assert json.loads(data.examples_settings(smoke)) == {
        "axes": ["changed", 0],
        "classes": "all",
        "train": 120,
        "val": 12,
    }
    other = resolved(blank, queries={**queries, "gen": 16})
    assert data.examples_settings(other) == data.examples_settings(smoke)


def test_the_settings_of_a_pool_are_of_its_data_set_alone():
    assert set(json.loads(data.pool_settings("digits"))) == {"module"}
