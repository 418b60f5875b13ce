"""Every family of models through the whole graph, at toy size, on the digits."""

import hashlib

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import tiny_pipelines
from clones import checkout
from dasbench.core import artifacts, tables
from dasbench.experiments import config
from dasbench.planning import workload

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
COMMON = {
    "data": {"dataset": "digits", "classes": [0, 1, 2], "train": 48},
    "subsets": {"models_per_job": 4, "eval": {"models": 4}, "tune": {"models": 4}},
    "queries": {"val": 8, "gen": 8, "tuning": 3, "sampling_steps": 3},
    "outputs": {"timesteps": 3},
    "features": {"timesteps": 2, "dimensions": 512},
    "residuals": {"released_timesteps": 3},
    "methods": {"das_common": {}, "trak": {}, "pixel_cosine": {}},
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
SHAPE = (1, 8, 8)


def experiments(sd, vq):
    """Class-conditional with v-prediction and cosine; latent with v-prediction, too; LoRA."""
    model = {
        **UNET,
        "num_class_embeds": 3,
        "dropout": 0.1,
        "resnet_time_scale_shift": "scale_shift",
    }
    cosine = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    lora = {"rank": 2, "alpha": 2, "targets": ["to_q", "to_k", "to_v", "to_out.0"]}
    painter = {"family": "text_to_image", "pretrained": sd, "lora": lora}
    sd_schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    return {
        # its removals are compared by a CLIP model too
        "classes": {
            "model": model,
            "diffusion": cosine,
            "embedding": {"model": "data/pretrained/clip"},
        },
        "latents": {
            "model": {**UNET, "family": "latent", "pretrained": vq},
            "diffusion": {"prediction_type": "v_prediction"},
        },
        "painter": {
            "model": {**painter, "prompt": "a {class} painting"},
            "diffusion": sd_schedule,
            "queries": {**COMMON["queries"], "guidance": 2},
            "features": {**COMMON["features"], "parameters": "lora"},
        },
    }


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """A checkout where one run has made all three; the plans that it followed."""
    clone = checkout(tmp_path_factory.mktemp("families"))
    frozen = clone.folder / "data/pretrained"
    frozen.mkdir()
    tiny_pipelines.stable_diffusion(frozen / "sd")
    tiny_pipelines.clip(frozen / "clip")
    tiny_pipelines.autoencoder(tiny_pipelines.VQModel).save_pretrained(frozen / "tests/vq")
    made = experiments("data/pretrained/sd", "tests/vq")  # a folder; a name like a hub id
    for name, own in made.items():
        content = {"title": name, **COMMON, "training": PAPER, **own}
        (clone.folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(content))
    plans = {name: clone.plan(name) for name in made}
    clone.run(*made)
    return clone, plans


def array(clone, path):
    return artifacts.load_array(clone.folder / "results" / path)


def test_the_estimate_counts_the_jobs(families, monkeypatch):
    clone, plans = families
    monkeypatch.chdir(clone.folder)
    for name, plan in plans.items():
        groups = workload.Workload(config.load(name, clone.folder), SHAPE).groups()
        # the pool is made by whichever experiment comes first
        assert plan == {g.rule: g.jobs for g in groups if g.family != "target"}, name


def test_nothing_is_left_to_do(families):
    assert families[0].plan(*families[1]) == {}


@pytest.mark.parametrize("name", ["classes", "latents", "painter"])
def test_every_model_differs_and_is_judged(families, name):
    clone, _ = families
    models = sorted((clone.folder / f"results/{name}/models").rglob("*.safetensors"))
    trained = [m for m in models if "vqvae" not in m.parts]
    contents = {m.read_bytes() for m in trained}
    plans = (clone.folder / f"results/{name}/removal/plan").glob("*/k-6/masks.npy")
    kept = [mask.tobytes() for plan in plans for mask in np.load(plan)]
    # the last checkpoint is the base model, and the same images removed give the same model
    assert len(contents) == len(trained) - 1 - (len(kept) - len(set(kept)))
    for target in ("loss", "displacement"):
        for kind in ("val", "gen"):
            found = array(clone, f"{name}/outputs/eval/{target}-{kind}.npy")
            assert found.shape == (2, 4, 8)
            assert len(np.unique(found)) == found.size
    table = tables.load_table(clone.folder / f"results/{name}/lds/summary.csv")
    assert set(table["method"]) == set(COMMON["methods"])
    removed = tables.load_table(clone.folder / f"results/{name}/removal/per_query.parquet")
    assert removed["image_l2"].max() > 0
    assert removed["embedding_cosine"].notna().all() == (name == "classes")
    measures = {"loss_change", "image_l2"} | ({"embedding_cosine"} if name == "classes" else set())
    assert set(tables.load_table(clone.folder / f"results/{name}/removal/summary.csv").measure) == (
        measures
    )
    assert (clone.folder / f"results/{name}/report.html").is_file()


@pytest.mark.parametrize("name", ["latents", "painter"])
def test_queries_are_images_and_models_see_their_latents(families, name):
    clone, _ = families
    for kind in ("val", "gen"):
        images, seen = (array(clone, f"{name}/queries/{k}.npy") for k in (kind, f"{kind}_latents"))
        assert images.shape == (8, *SHAPE)
        assert seen.shape == (8, 4, 4, 4)
    assert array(clone, f"{name}/queries/gen_noise.npy").shape == (8, 4, 4, 4)
    assert array(clone, f"{name}/removal/images.npy").shape[1:] == SHAPE
    latents, mirrored = (
        array(clone, f"{name}/latents/{s}.npy") for s in ("train", "train-mirrored")
    )
    assert latents.shape == mirrored.shape
    assert (latents != mirrored).any()


def test_files_are_those_of_the_pipelines(families):
    from diffusers import DDPMPipeline, LDMPipeline

    clone, _ = families
    home = clone.folder / "results"
    assert DDPMPipeline.from_pretrained(home / "classes/models/base").unet.config.dropout == 0.1
    assert LDMPipeline.from_pretrained(home / "latents/models/base").vqvae
    assert not list((home / "latents/models/eval").rglob("vqvae"))
    adapters = list((home / "painter/models").rglob("*.safetensors"))
    assert {f.name for f in adapters} == {"pytorch_lora_weights.safetensors"}
    assert all(".lora." in key or "lora_" in key for f in adapters for key in load_file(f))
    texts = artifacts.load_json(home / "painter/prompts/texts.json")
    assert len(texts) == 4
    assert texts[-1] == ""
    assert array(clone, "classes/queries/gen_labels.npy").max() <= 2


def test_exports_run_as_their_cards_say(families, tmp_path, monkeypatch):
    """The code of each card, as it stands there, fewer steps apart."""
    clone, plans = families
    monkeypatch.chdir(clone.folder / "data/pretrained")  # where the card's `sd` is
    for name in plans:
        folder = tmp_path / name
        clone.run("export", name, "--out", folder)
        card = (folder / "README.md").read_text()
        assert str(clone.folder) not in card
        code = card.split("```python\n")[1].split("```")[0].replace("FOLDER", str(folder))
        code = code.replace("=1000)", "=2)").replace("scheduler.timesteps", "(999, 500)")
        code = code.replace("guidance_scale=2)", "guidance_scale=2, num_inference_steps=2)")
        made = {}
        exec(compile(code, name, "exec"), made)
        if name == "classes":
            assert made["x"].shape == (2, *SHAPE)
        else:
            assert {image.size for image in made["images"]} == {(8, 8)}
        assert (folder / "frozen.json").is_file() == (name != "classes")
        if name != "classes":
            place = {"latents": "tests/vq", "painter": "sd"}[name]
            source = clone.folder / "data/pretrained" / place
            # model_index.json only names the parts; what the parts are is frozen
            files = [f for f in source.rglob("*") if f.is_file() and f.name != "model_index.json"]
            assert artifacts.load_json(folder / "frozen.json") == {
                f.relative_to(source).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest()
                for f in files
            }


def test_other_frozen_weights_change_what_is_built_on_them_and_an_absent_one_is_told(families):
    clone, _ = families
    clone.edit("config/experiments/painter.yaml", "data/pretrained/sd", "nobody/nothing")
    assert "encode_latents_painter" in clone.plan("painter")
    failed = clone.run("painter", "--until", "encode_latents_painter", check=False)
    assert failed.returncode
    text = failed.stdout + failed.stderr
    assert "hf download nobody/nothing" in text
    assert "Traceback" not in text
