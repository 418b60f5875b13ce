"""Files and settings of the study of groups."""

import json

import pytest

from dasbench.errors import UserError
from dasbench.experiments.files import groups, phases
from experiment_files import raw, resolved

SECTION = {"by": "label", "count": 3, "seeds": 2}
MODELS = "results/changed/models/groups"


@pytest.fixture
def study(blank):
    """Three groups of smoke's labels; some options and sections changed."""

    def make(sections=None, **changes):
        return resolved(blank, groups={**SECTION, **changes}, **(sections or {}))

    return make


def test_every_seed_has_the_models_that_are_compared(study):
    e = study()
    assert groups.names(e) == ["000", "001", "002"]
    trained = [
        file.format(group=group)
        for family, members in groups.families(e).items()
        for group in members
        for file in groups.trained_files(e, family)
    ]
    measured = [f for seed in groups.seeds(e) for f in groups.models_of_seed(e, str(seed))]
    assert sorted(trained) == sorted(measured)
    assert len(set(trained)) == len(trained)
    assert any(f.startswith(f"{MODELS}/seed-1/shard-null/00/") for f in trained)
    values = json.loads(groups.measure_settings(e))
    assert values["shards"] == ["whole", "null", "000", "001", "002"]
    assert values["models_per_job"] == 1


def test_models_of_equal_seeds_have_equal_places(study):
    """A script gives the member at place i the seed i + 1."""
    e = study()
    of_group, whole = (
        json.loads(groups.training_settings(e, group))["members"] for group in ("001", "whole")
    )
    assert of_group == ["seed-0/shard-001/00", "seed-1/shard-001/00"]
    assert whole[:2] == ["seed-0/shard-whole/00", "seed-1/shard-whole/00"]
    assert whole[2:] == ["seed-0/shard-null/00", "seed-1/shard-null/00"]
    assert json.loads(groups.training_settings(e, "001"))["other_seeds"] is True


def test_more_groups_leave_the_models_that_are_there(study):
    e, more = study(), study(count=5)
    assert groups.training_settings(e, "001") == groups.training_settings(more, "001")
    assert groups.training_settings(e, "whole") == groups.training_settings(more, "whole")
    assert set(groups.plan_files(e)) < set(groups.plan_files(more))


def test_tables_need_outputs_and_scores_and_are_a_phase(study, blank):
    e = study()
    inputs = groups.summary_inputs(e)
    for name in (
        "groups/plan/labels.npy",
        "groups/outputs/seed-1/displacement-gen.npy",
        "scores/das/val.npy",
    ):
        assert f"results/changed/{name}" in inputs
    values = json.loads(groups.summary_settings(e))
    assert values["floor"] == "floor"
    assert "journey_trak" not in values["scores"]["val"]
    made = phases.phase_files(e, {"changed": e})
    assert set(groups.tables(e)) < set(made["left_out"])
    assert "results/changed/figures/groups-loss.svg" in made["left_out"]
    assert groups.report_flag(e) == "--groups results/changed/groups"
    without = resolved(blank)
    assert (groups.tables(without), groups.report_flag(without)) == ([], "")
    assert not {"left_out", "truths"} & set(phases.phase_files(without, {"changed": without}))


def test_groups_judge_the_comparisons_that_say_so(study):
    pair = {"a": "das", "b": "floor", "truth": ["loss", "groups"]}
    e = study({"comparisons": [{"a": "das", "b": "trak"}, pair]})
    assert json.loads(groups.summary_settings(e))["comparisons"] == [pair]


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"groups": {**SECTION, "count": 121}}, "groups.count is 121, expected at most 120, the"),
        (
            {"groups": SECTION, "data": {**raw()["data"], "classes": [0, 1]}},
            "groups.count is 3, expected at most 2, the number of data.classes",
        ),
        (
            {"comparisons": [{"a": "das", "b": "floor", "truth": ["groups"]}]},
            "has groups, but there is no study of groups; give groups.by",
        ),
        (
            {
                "groups": SECTION,
                "subsets": None,
                "removal": {},
                "comparisons": [],
                "methods": {"random": {}},
                "damping": {"mantissas": [1], "exponents": [-4, -4]},
            },
            "groups.by needs subset models",
        ),
    ],
    ids=["images", "classes", "comparison", "subsets"],
)
def test_a_mistake_is_one_sentence(blank, sections, sentence):
    with pytest.raises(UserError, match=sentence):
        resolved(blank, **sections)
