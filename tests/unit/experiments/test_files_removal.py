"""Files and settings of the removal study."""

import json

import pytest

from dasbench.experiments.files import removal
from experiment_files import child, raw, resolved

HOME = "results/changed/models/removal"


@pytest.fixture(scope="module")
def smoke(blank):
    """Methods das, pixel_cosine and floor, k = 12, 2 queries, 2 random sets, 1 null model."""
    return resolved(blank)


def test_arms_and_their_members(smoke):
    arms = [(name, 12) for name in ("das", "pixel_cosine", "floor", "random")]
    assert removal.arms(smoke) == [*arms, ("null", 0)]
    assert removal.removal_queries(smoke) == [4, 5]  # the first after those for tuning
    assert removal.members(smoke, "das") == ["query-4", "query-5"]
    assert removal.members(smoke, "random") == ["set-0", "set-1"]
    assert removal.members(smoke, "null") == ["set-0"]


@pytest.mark.parametrize(
    ("family", "arm", "members"),
    [("methods", "pixel_cosine", 2), ("random", "random", 2), ("null", "null", 1)],
)
def test_a_familys_pattern_gives_the_models_of_each_arm(smoke, family, arm, members):
    pattern = removal.retrained_files(smoke, family)
    files = removal.removal_models(smoke, arm, 12)
    assert [path.format(arm=arm, k=12) for path in pattern] == files
    assert len(files) == 4 * members
    assert files[0].startswith(f"{HOME}/{arm}/k-12/{removal.members(smoke, arm)[0]}/")
    values = json.loads(removal.retrain_settings(smoke, family))
    assert values["members"] == removal.members(smoke, arm)
    assert values["other_seeds"] == (family == "null")


def test_more_sizes_and_methods_leave_the_arms_that_are_there(blank, smoke):
    methods = ["das", "pixel_cosine", "floor", "dtrak"]
    study = {**raw()["removal"], "k": [12, 20], "methods": methods}
    more = resolved(blank, removal=study)
    assert set(removal.arms(smoke)) < set(removal.arms(more))
    for family in ("methods", "random", "null"):
        assert removal.retrain_settings(more, family) == removal.retrain_settings(smoke, family)
    for arm in ("das", "random"):
        assert removal.choice_settings(more, arm, "12") == removal.choice_settings(smoke, arm, "12")


def test_a_choice_depends_on_the_arm(smoke):
    for arm, values in {
        "das": {"k": 12, "queries": [4, 5]},
        "random": {"k": 12, "sets": 2},
        "null": {"k": 12, "sets": 1},
    }.items():
        assert json.loads(removal.choice_settings(smoke, arm, "12")) == {
            "axes": ["changed", 0],
            **values,
        }
    assert removal.choice_flags(smoke, "das") == "--scores results/changed/scores/das/gen.npy"
    assert removal.choice_flags(smoke, "random") == ""
    assert removal.removal_scores(smoke, "null") == []


def test_a_method_with_candidates_reads_the_queries(blank):
    young = child(
        blank,
        methods={"das": {"features": {"candidates": 30}}},
        removal={"methods": ["das"], "k": [12], "queries": 1},
    )
    assert removal.candidate_queries(young, "das") == ["results/smoke/queries/gen.npy"]
    assert removal.candidate_queries(young, "random") == []
    assert removal.choice_flags(young, "das") == (
        "--scores results/child/scores/das/gen.npy --asked results/smoke/queries/gen.npy"
    )
    assert json.loads(removal.choice_settings(young, "das", "12"))["candidates"] == 30


def test_parts_and_the_summary_of_a_study(blank, smoke):
    parts = removal.part_files(smoke, "parts")
    assert len(parts) == 2 * len(removal.arms(smoke))
    assert parts[0] == "results/changed/removal/parts/das/k-12/per_query.parquet"
    assert removal.removal_summary(smoke) == ["results/changed/removal/summary.csv"]
    assert removal.removal_flag(smoke) == "--removal results/changed/removal/summary.csv"
    none = child(blank)
    assert (removal.removal_summary(none), removal.removal_flag(none)) == ([], "")
    assert removal.has_removal(smoke)
    assert not removal.has_removal(none)


def test_a_clip_model_compares_the_images_of_a_study(blank, smoke):
    clip = child(
        blank,
        embedding={"model": "some/clip"},
        removal={"methods": ["das"], "k": [12], "queries": 1},
    )
    assert removal.embeds_removals(clip)
    assert not removal.embeds_removals(smoke)
    assert json.loads(removal.embedded_removal_settings(clip)) == {
        "arms": [["das", 12], ["random", 12], ["null", 0]],
        "model": "some/clip",
    }


def test_a_measurement_names_the_kind_of_arm_and_its_members(smoke):
    for arm, kind in (("das", "method"), ("random", "random"), ("null", "null")):
        values = json.loads(removal.measure_removal_settings(smoke, arm, "12"))
        assert (values["arm"], values["method"], values["k"]) == (kind, arm, 12)
        assert values["members"] == removal.members(smoke, arm)
    assert json.loads(removal.removal_summary_settings(smoke))["draws"] == smoke["lds"]["draws"]


def test_removal_judges_the_comparisons_that_say_so(blank, smoke):
    (pair,) = json.loads(removal.removal_summary_settings(smoke))["comparisons"]
    assert (pair["a"], pair["b"], pair["kind"]) == ("das", "floor", "primary")
    fewer = resolved(blank, comparisons=[{"a": "das", "b": "floor"}])
    assert json.loads(removal.removal_summary_settings(fewer))["comparisons"] == []
    assert removal.removal_flags(smoke) == (
        "--removal results/changed/removal/summary.csv"
        " --removal-comparisons results/changed/removal/comparisons.csv"
    )
