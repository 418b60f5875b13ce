"""Families of models through the whole graph, at toy size, on the digits.

Text to image: debug_artbench5 in test_paper_experiments.py.
"""

from collections import Counter

import judged
import numpy as np
import pytest
import yaml
from plans import counts

import tiny_pipelines
from clones import RECORDED, checkout
from dasbench.core import artifacts, tables
from dasbench.diffusion import outputs
from dasbench.diffusion.families import dit
from dasbench.experiments import config

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

UNET = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}
# what the paper's settings ask for, in small
PAPER = {
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.01,
    "betas": [0.95, 0.999],
    "weight_decay": 1e-6,
    "warmup_fraction": 0.1,
    "ema_decay": None,
    "flip": True,
    "checkpoints": 2,
    "gradient_accumulation": 2,
}
DIT = {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 4, "patch_size": 2}
COMMON = {
    "data": {"dataset": "digits", "classes": [0, 1, 2], "train": 48},
    "subsets": {"models_per_job": 4, "eval": {"models": 4}, "tune": {"models": 4}},
    "queries": {"val": 8, "gen": 8, "tuning": 3, "sampling_steps": 3},
    "outputs": {"timesteps": 3},
    "features": {"timesteps": 2, "dimensions": 512},
    "residuals": {"released_timesteps": 3},
    "methods": {"das_common": {}, "pixel_cosine": {}},
    "lds": {"draws": 100},
    "removal": {
        "methods": ["das_common"],
        "k": [6],
        "queries": 2,
        "random_sets": 1,
        "null_models": 1,
    },
    "report": {"queries": 2, "top": 3},
}
FLOORS = ("pixel_rbf", "nearest", "embedding_cosine_power", "embedding_ridge", "floor")
SHAPE = (1, 8, 8)


def experiments(vq):
    """Class-conditional with v-prediction and cosine; latent with v-prediction, too."""
    model = {
        **UNET,
        "num_class_embeds": 3,
        "dropout": 0.1,
        "resnet_time_scale_shift": "scale_shift",
    }
    cosine = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    return {
        # its removals are compared by a CLIP model too, and its floor may be one of embeddings
        "classes": {
            "model": model,
            "methods": {**COMMON["methods"], **{name: {} for name in FLOORS}},
            "diffusion": cosine,
            "embedding": {"model": "data/pretrained/clip"},
        },
        "latents": {
            "model": {**UNET, "family": "latent", "pretrained": vq},
            "diffusion": {"prediction_type": "v_prediction"},
        },
        "flowing": {
            "model": {**DIT, "family": "transformer"},
            "diffusion": {"process": "flow", "timestep_sampling": "logit_normal"},
        },
        "flowing_latents": {
            "model": {
                **DIT,
                "family": "latent_transformer",
                "pretrained": vq,
                "num_class_embeds": 3,
            },
            "diffusion": {"process": "flow", "shift": 3.0, "weighting": "precondition"},
        },
        # the run trains the base model of flowing before
        "adapting": {
            "model": {
                **DIT,
                "family": "transformer_adapter",
                "frozen": "flowing",
                "lora": {"rank": 2, "alpha": 2, "targets": ["to_q", "to_v", "norm1.linear"]},
            },
            "diffusion": {"process": "flow", "timestep_sampling": "mode"},
            "features": {**COMMON["features"], "dimensions": 128, "parameters": "lora"},
            "training": {**PAPER, "learning_rate": 0.3},  # at less, float32 outputs are equal
        },
    }


NAMES = ("classes", "latents", "flowing", "flowing_latents", "adapting")


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """A checkout where one run has made all; the plan that it followed."""
    clone = checkout(tmp_path_factory.mktemp("families"), experiments=RECORDED)
    frozen = clone.folder / "data/pretrained"
    frozen.mkdir()
    tiny_pipelines.clip(frozen / "clip")
    tiny_pipelines.autoencoder(tiny_pipelines.VQModel).save_pretrained(frozen / "tests/vq")
    made = experiments("tests/vq")  # a name like a hub id
    for name, own in made.items():
        content = {"title": name, **COMMON, "training": PAPER, **own}
        (clone.folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(content))
    plan = clone.plan(*made)
    clone.run(*made)
    return clone, plan


def test_the_estimate_counts_the_jobs(families):
    """Of all experiments together; they share the pool, which each estimate counts."""
    clone, plan = families
    expected = sum(map(Counter, counts(clone, *NAMES).values()), Counter())
    assert plan == expected | {"prepare_pool": 1}


def test_nothing_is_left_to_do(families):
    assert families[0].plan(*NAMES) == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_model_differs_and_is_judged(families, name):
    clone, _ = families
    judged.assert_every_model_differs(clone, name, (2, 4, 8))
    table = tables.load_table(clone.folder / f"results/{name}/lds/summary.csv")
    assert set(table["method"]) == {*COMMON["methods"], *(FLOORS if name == "classes" else ())}
    removed = tables.load_table(clone.folder / f"results/{name}/removal/per_query.parquet")
    assert removed["image_l2"].max() > 0
    assert removed["embedding_cosine"].notna().all() == (name == "classes")
    measures = {"loss_change", "image_l2"} | ({"embedding_cosine"} if name == "classes" else set())
    assert set(tables.load_table(clone.folder / f"results/{name}/removal/summary.csv").measure) == (
        measures
    )
    assert (clone.folder / f"results/{name}/report.html").is_file()


def test_queries_are_images_and_models_see_their_latents(families):
    judged.assert_latents_are_seen(families[0], "latents", (8, *SHAPE), (8, 4, 4, 4))


def test_files_are_those_of_the_pipelines(families):
    from diffusers import DDPMPipeline, LDMPipeline

    clone, _ = families
    home = clone.folder / "results"
    assert DDPMPipeline.from_pretrained(home / "classes/models/base").unet.config.dropout == 0.1
    assert LDMPipeline.from_pretrained(home / "latents/models/base").vqvae
    assert not list((home / "latents/models/eval").rglob("vqvae"))
    assert judged.array(clone, "classes/queries/gen_labels.npy").max() <= 2


def test_exports_run_as_their_cards_say(families, tmp_path, monkeypatch):
    """The code of each card, as it stands there, fewer steps apart."""
    clone, _ = families
    monkeypatch.chdir(clone.folder / "data/pretrained")
    for name in NAMES:
        if name == "adapting":  # its card reads the base model from results/
            monkeypatch.chdir(clone.folder)
        made = judged.exported(clone, name, tmp_path / name)
        if name == "adapting":
            assert made["process"].total == 1000
        elif name == "latents":
            assert {image.size for image in made["images"]} == {(8, 8)}
        else:
            assert made["x"].shape == (2, *SHAPE)
        if "latents" not in name:
            assert not (tmp_path / name / "frozen.json").is_file()
        else:
            judged.assert_frozen(tmp_path / name, clone.folder / "data/pretrained/tests/vq")


def test_fine_tuning_is_measured_on_new_images_and_on_those_of_the_frozen_model(families):
    """The frozen losses are those of the frozen experiment's own network."""
    clone, _ = families
    results = clone.folder / "results"
    table = tables.load_table(results / "adapting/adaptation.csv").set_index("images")
    assert list(table.index) == ["new", "own"]
    network, process = dit.load(results / "flowing/models/base")
    measured = config.load("adapting", clone.folder)["outputs"]
    grid = outputs.grid(measured["timesteps"], 1000, measured["spacing"])
    for name, experiment in (("new", "adapting"), ("own", "flowing")):
        images = artifacts.load_array(
            results / experiment / "queries/val.npy", (None,) * 4, np.float32
        )
        axes = ("adapting", 0)
        loss, _ = outputs.measure([network], network, process, images, "val", grid, axes)
        assert table.loc[name, "frozen"] == pytest.approx(-loss.mean(), rel=1e-5)
        assert table.loc[name, "adapted"] != pytest.approx(-loss.mean(), rel=1e-5)
        assert table.loc[name, "count"] == len(images)
    assert not (results / "flowing/adaptation.csv").exists()
