"""Files and settings of the study of one run."""

import json

import pytest

from dasbench.errors import UserError
from dasbench.experiments.files import phases, replay
from experiment_files import resolved

SECTION = {"fractions": [0.9, 0.5], "models": [4, 2], "models_per_job": 2, "queries": 3}


@pytest.fixture
def study(blank):
    """Runs of two shares on smoke; some options changed."""

    def make(**changes):
        return resolved(blank, replay={**SECTION, "queries_per_job": 2, **changes})

    return make


def test_runs_have_their_replays_in_shards(study):
    assert list(replay.runs(study())) == ["whole", "kept-0.9", "kept-0.5"]
    e = study(halves=2)
    assert list(replay.runs(e)) == ["whole", "kept-0.9", "half-0.9", "kept-0.5", "half-0.5"]
    counts = {name: len(replay.shards(e, name)) for name in replay.runs(e)}
    assert counts == {"whole": 1, "kept-0.9": 2, "half-0.9": 1, "kept-0.5": 1, "half-0.5": 1}
    assert replay.run_families(e)["masks"] == list(replay.runs(e))[1:]
    one = replay.shard_files(e, "kept-0.9", "001")
    assert one[0] == "results/changed/models/replay/kept-0.9/shard-001/masks.npy"
    pattern = replay.family_files(e, "masks")
    assert [file.format(run="kept-0.9", shard="001") for file in pattern] == one
    compared = replay.compared_files(e, "kept-0.9")
    assert compared[0] == "results/changed/models/replay/whole/shard-000/masks.npy"
    assert set(one) < set(compared)
    assert replay.compared_files(e, "whole") == replay.shard_files(e, "whole", "000")


def test_parts_cover_the_first_evaluation_queries(study):
    e = study()
    first = e["queries"]["tuning"]
    expected = {
        "val-000": ("val", [first, first + 1]),
        "val-001": ("val", [first + 2]),
        "gen-000": ("gen", [first, first + 1]),
        "gen-001": ("gen", [first + 2]),
    }
    assert replay.parts(e) == expected
    values = json.loads(replay.exact_settings(e, "gen-001"))
    assert (values["kind"], values["positions"]) == ("gen", [first + 2])
    assert values["training"]["epochs"] == e["training"]["epochs"]
    assert replay.exact_files(e)[3] == "results/changed/replay/exact/gen-001.npy"


def test_a_shard_depends_on_its_run_alone(study):
    e, more = study(), study(models=[8, 2], queries=4)
    assert replay.replay_settings(e, "kept-0.9") == replay.replay_settings(more, "kept-0.9")
    values = json.loads(replay.replay_settings(study(halves=2), "half-0.9"))
    assert (values["fraction"], values["left_out"], values["models_per_job"]) == (0.9, 0.5, 2)
    assert json.loads(replay.replay_settings(e, "whole"))["models_per_job"] == 1


def test_tables_need_everything_and_are_a_phase(study, blank):
    e = study(halves=2)
    inputs = replay.evaluation_inputs(e)
    assert len(inputs) == len(set(inputs))
    for name in (
        "models/replay/kept-0.9/shard-001/masks.npy",
        "replay/outputs/half-0.5/loss-gen.npy",
        "replay/exact/val-000.npy",
        "scores/das/val.npy",
    ):
        assert f"results/changed/{name}" in inputs
    tables = [f"results/changed/replay/{t}.csv" for t in ("agreement", "lds", "linearity")]
    assert phases.phase_files(e, {})["replay"] == tables
    without = resolved(blank)
    assert replay.replay_tables(without) == []
    assert "replay" not in phases.phase_files(without, {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": [4]}, "has 1 numbers, expected 2, one for each of replay.fractions"),
        ({"models": [4, 3]}, "is 3, expected a multiple of replay.models_per_job, 2"),
        ({"halves": 4}, "is 4, expected at most the smallest of replay.models, 2"),
        ({"queries": 9999}, "is 9999, expected at most queries.val - queries.tuning"),
        ({"fractions": [0.9, 1e-9]}, "is 1e-09, expected a share that keeps at least one"),
    ],
    ids=["numbers", "shards", "halves", "queries", "share"],
)
def test_a_mistake_is_one_sentence(study, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        study(**changes)
