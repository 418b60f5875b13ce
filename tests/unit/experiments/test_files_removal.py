"""Files and settings of the removal study."""

import importlib
import json

import numpy as np
import pytest

from dasbench.attribution import candidates
from dasbench.core import artifacts
from dasbench.diffusion import denoiser
from dasbench.experiments.files import removal
from experiment_files import child, raw, refusal, resolved

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


def test_lowest_scores_are_an_arm_beside_the_highest(blank, smoke):
    study = {**raw()["removal"], "bottom": ["floor"]}
    both = resolved(blank, removal=study)
    assert removal.arms(both) == [
        *((name, 12) for name in ("das", "pixel_cosine", "floor", "bottom-floor", "random")),
        ("null", 0),
    ]
    assert removal.arm_families(both)["methods"][-1] == "bottom-floor"
    assert removal.members(both, "bottom-floor") == removal.members(both, "floor")
    assert removal.choice_flags(both, "bottom-floor") == removal.choice_flags(both, "floor")
    for name in ("floor", "das"):
        one, other = (removal.choice_settings(e, name, "12") for e in (both, smoke))
        assert one == other
    values = json.loads(removal.measure_removal_settings(both, "bottom-floor", "12"))
    assert (values["arm"], values["method"]) == ("method", "bottom-floor")
    sentence = refusal(blank, {**raw(), "removal": {**study, "bottom": ["das", "trak"]}})
    assert "removal.bottom[1] is trak, expected one of removal.methods: das," in sentence


def test_the_lowest_scores_of_candidates_are_chosen(tmp_path, monkeypatch):
    """Images that are no candidates of a query have no scores, and stay."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 4, 4, 1)).astype(np.uint8)
    ids = np.array([5, 3, 9, 1, 7, 0, 2, 8])
    artifacts.save_examples(tmp_path / "train.npz", images, np.zeros(8), ids)
    scores = rng.integers(-2, 3, (8, 3)).astype(np.float32)
    artifacts.save_array(tmp_path / "scores.npy", scores)
    queries = denoiser.to_model(images[:3])
    artifacts.save_array(tmp_path / "gen.npy", queries)
    near = candidates.nearest(candidates.pixels(images), queries, 4)
    for flags, able in ((["--asked", "gen.npy"], near), ([], np.ones_like(near))):
        values = {"axes": [], "k": 2, "queries": [2, 0], "candidates": 4}
        words = [
            "--examples",
            "train.npz",
            "--scores",
            "scores.npy",
            "--masks",
            "masks.npy",
            *flags,
        ]
        words = [str(tmp_path / w) if "." in w else w for w in words]
        monkeypatch.setattr("sys.argv", ["choose_bottom", "--settings", json.dumps(values), *words])
        importlib.import_module("choose_bottom").run()
        for mask, q in zip(np.load(tmp_path / "masks.npy"), (2, 0), strict=True):
            order = sorted(np.flatnonzero(able[:, q]), key=lambda n: (scores[n, q], ids[n]))
            assert sorted(np.flatnonzero(~mask)) == sorted(order[:2])
