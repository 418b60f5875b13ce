"""Files and settings of models: which there are, and which settings leave old ones as they are."""

import json

import pytest

from dasbench.experiments import config
from dasbench.experiments.files import models
from dasbench.experiments.files.resolved import Resolved
from experiment_files import ROOT, child, raw, resolved

FILES = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
]


@pytest.fixture(scope="module")
def smoke(blank):
    return resolved(blank)


def with_eval(blank, **values):
    subsets = raw()["subsets"]
    return resolved(blank, subsets={**subsets, "eval": {**subsets["eval"], **values}})


def test_a_base_model_and_its_checkpoints(smoke):
    folders = ["base", "checkpoints/00", "checkpoints/01"]
    assert sorted(models.trained_files(smoke)) == sorted(
        f"results/changed/models/{folder}/{file}" for folder in folders for file in FILES
    )
    assert models.trained_files(smoke)[:4] == models.base_files(smoke)


def test_a_shard_has_its_masks_and_models(smoke):
    folder = "results/changed/models/eval/seed-1/shard-000"
    assert sorted(models.shard_files(smoke, "eval", 1, "000")) == sorted(
        [f"{folder}/masks.npy", *(f"{folder}/0{k}/{file}" for k in range(4) for file in FILES)]
    )
    pattern = [path.format(seed=1, shard="000") for path in models.shard_files(smoke, "eval")]
    assert pattern == models.shard_files(smoke, "eval", 1, "000")


def test_more_models_and_seeds_keep_the_shards_that_are_there(blank, smoke):
    """M from 8 to 16 and R from 2 to 3: more files, with the settings of the old ones."""
    larger = with_eval(blank, models=16, seeds=3)
    old, new = (models.shard_masks(e, "eval") for e in (smoke, larger))
    assert old == [
        f"results/changed/models/eval/seed-{seed}/shard-{shard}/masks.npy"
        for seed in (0, 1)
        for shard in ("000", "001")
    ]
    assert set(old) < set(new)
    assert len(new) == 3 * 4
    assert models.subset_settings(larger) == models.subset_settings(smoke)
    assert models.base_settings(larger) == models.base_settings(smoke)


@pytest.mark.parametrize("key", ["fraction", "stratify", "models_per_job"])
def test_what_a_subset_is_changes_every_shard(blank, smoke, key):
    changed = {"fraction": 0.4, "stratify": True, "models_per_job": 2}
    other = resolved(blank, subsets={**raw()["subsets"], key: changed[key]})
    assert models.subset_settings(other) != models.subset_settings(smoke)
    assert models.base_settings(other) == models.base_settings(smoke)


def test_more_checkpoints_train_no_subset_model_again(blank, smoke):
    other = resolved(blank, training={**raw()["training"], "checkpoints": 1})
    assert models.subset_settings(other) == models.subset_settings(smoke)
    assert models.base_settings(other) != models.base_settings(smoke)
    assert len(models.trained_files(other)) == len(models.trained_files(smoke)) - len(FILES)


def test_a_child_uses_the_models_of_its_parent(blank):
    young = child(blank)
    assert models.base_files(young) == [f"results/smoke/models/base/{file}" for file in FILES]
    assert models.attributed_files(young) == models.base_files(young)
    assert models.shared(young, ["queries/gen.npy"]) == "results/smoke/queries/gen.npy"
    assert models.shared(young, ["a", "b"]) == ["results/smoke/a", "results/smoke/b"]
    assert models.query_files(young)[0] == "results/smoke/queries/val.npy"
    tests = (models.trains_base, models.imports_base, models.trains_subsets)
    assert not any(test(young) for test in tests)


def test_a_replicate_attributes_a_base_model_that_differs_in_its_seeds(blank, smoke):
    again = child(blank, "again", replicate={"base": 1, "features": 0})
    assert models.attributed_files(again)[0] == "results/again/models/base/model_index.json"
    assert models.base_files(again)[0] == "results/smoke/models/base/model_index.json"
    assert models.trained_files(again)[0] == "results/again/models/base/model_index.json"
    mine, roots = (json.loads(models.base_settings(e)) for e in (again, smoke))
    assert (mine.pop("axes"), roots.pop("axes")) == (["smoke", 0, "replicate", 1], ["changed", 0])
    assert mine == roots


def test_a_pipeline_of_the_users_is_imported(blank, smoke):
    one = {"mantissas": [1], "exponents": [-4, -4]}
    methods = {"methods": {"das": {}}, "comparisons": [], "removal": {}, "damping": one}
    given = resolved(blank, base="/some/pipeline", subsets=None, **methods)
    assert (models.imports_base(given), models.trains_base(given)) == (True, False)
    assert (models.imports_base(smoke), models.trains_base(smoke)) == (False, True)
    assert (models.trains_subsets(given), models.trains_subsets(smoke)) == (False, True)
    assert json.loads(models.import_settings(given))["retrained"] is False


def test_models_of_pixels_need_no_more_than_the_examples(smoke):
    assert (models.given_files(smoke), models.given_options(smoke)) == ([], "")
    assert models.query_files(smoke) == [
        f"results/changed/queries/{name}.npy" for name in ("val", "gen", "val_labels", "gen_labels")
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_models_of_latents_read_those_of_mirrored_images_too(flip):
    e = Resolved(config.load("debug_artbench2", ROOT))
    e["training"]["flip"] = flip
    home = "results/debug_artbench2"
    names = ["train", "val", *["train-mirrored"] * flip]
    assert models.given_files(e) == [
        *(f"{home}/latents/{name}.npy" for name in names),
        f"{home}/latents/pretrained.json",
        f"{home}/prompts/embeddings.npy",
    ]
    assert models.given_options(e) == (
        f"--latents {home}/latents --prompts {home}/prompts/embeddings.npy"
    )
    assert models.query_files(e)[:2] == [
        f"{home}/queries/{kind}_latents.npy" for kind in ("val", "gen")
    ]
    assert models.encodes_latents(e)
