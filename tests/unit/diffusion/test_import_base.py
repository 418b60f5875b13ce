"""A checkpoint beside subset models: it is like them, or refused with the key that differs."""

import json
import sys

import numpy as np
import pytest
import torch
from diffusers import EDMEulerScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

import import_base
from dasbench.core import artifacts
from dasbench.diffusion.families import pixel
from dasbench.errors import Note, UserError
from tiny import DIFFUSION, MODEL

# what Google's DDPM checkpoints have: one attention head, and another way to draw noise in sampling
THEIRS = {**MODEL, "attention_head_dim": None}


@pytest.fixture
def place(tmp_path):
    """A pipeline of 8 x 8 grey images, and images."""
    unet, process = pixel.build(THEIRS, DIFFUSION, (1, 8, 8), ("test", 0))
    pixel.save(tmp_path / "pipeline", unet, process)
    mend(tmp_path, "scheduler/scheduler_config.json", variance_type="fixed_large")
    mend(tmp_path, "unet/config.json", _name_or_path="elsewhere", mid_block_scale_factor=1.0)
    images = np.zeros((4, 8, 8, 1), np.uint8)
    artifacts.save_examples(tmp_path / "train.npz", images, np.zeros(4), np.arange(4))
    return tmp_path


def mend(place, name, **changes):
    """Change keys of a configuration."""
    file = place / "pipeline" / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def imported(place, monkeypatch, retrained=True, same=True, **changes):
    """Run the script."""
    settings = {"model": THEIRS, "diffusion": DIFFUSION, "axes": ["test", 0], **changes}
    settings = {"base": str(place / "pipeline"), **settings}
    settings |= {"family": "pixel", "retrained": retrained}
    words = ["--settings", json.dumps(settings), "--examples", str(place / "train.npz")]
    monkeypatch.setattr(sys, "argv", ["import_base", *words, "--model", str(place / "out")])
    import_base.run()
    weights = "pipeline/unet/diffusion_pytorch_model.safetensors"
    assert not same or (place / weights.replace("pipeline", "out")).read_bytes() == (
        (place / weights).read_bytes()
    )


def test_the_same_model_is_taken(place, monkeypatch):
    imported(place, monkeypatch)


# by which settings subset models would be others, and what tells it
OTHERS = [
    ({"model": MODEL}, r"the UNet's attention_head_dim is 8 by .*, null in .*pipeline; subset"),
    ({"model": {**THEIRS, "dropout": 0.1}}, r"the UNet's dropout is 0\.1 by .*, 0\.0 in "),
    ({"model": {**THEIRS, "mid_block_type": None}}, r"mid_block_type is null by .*UNetMidBlock2D"),
    ({"diffusion": {**DIFFUSION, "timesteps": 500}}, r"num_train_timesteps is 500 by .*, 1000 in"),
    ({"diffusion": {**DIFFUSION, "beta_end": 0.03}}, r"scheduler's beta_end is 0\.03 by .*, 0\.02"),
    (
        {"diffusion": {**DIFFUSION, "prediction_type": "v_prediction"}},
        r"the scheduler's prediction_type is \"v_prediction\" by .*, \"epsilon\" in",
    ),
]


@pytest.mark.parametrize(("changes", "told"), OTHERS)
def test_another_model_is_refused_where_subset_models_follow(place, monkeypatch, changes, told):
    with pytest.raises(UserError, match=told) as caught:
        imported(place, monkeypatch, **changes)
    assert len(str(caught.value).splitlines()) == 1
    assert not (place / "out").exists()
    imported(place, monkeypatch, retrained=False, **changes)


def test_keys_for_sampling_may_differ(place, monkeypatch):
    keys = {"clip_sample": False, "thresholding": True, "timestep_spacing": "trailing"}
    mend(place, "scheduler/scheduler_config.json", **keys, steps_offset=1)
    imported(place, monkeypatch)


def test_another_sampler_of_the_process_is_imported_with_its_betas(place, monkeypatch):
    (place / "pipeline/model_index.json").unlink()
    scheduler = PNDMScheduler(beta_end=0.03, prediction_type="v_prediction")
    scheduler.save_pretrained(place / "pipeline/scheduler")
    imported(place, monkeypatch, retrained=False)
    _, process = pixel.load(place / "out")
    assert process.settings["beta_end"] == 0.03
    assert process.settings["prediction_type"] == "v_prediction"
    assert torch.equal(process.scheduler.alphas_cumprod, scheduler.alphas_cumprod)


def test_a_flow_is_imported_and_compared(place, monkeypatch):
    (place / "pipeline/model_index.json").unlink()
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(place / "pipeline/scheduler")
    flow = {"process": "flow", "timesteps": 1000, "weighting": "none"}
    flow["timestep_sampling"] = "uniform"
    imported(place, monkeypatch, diffusion={**flow, "shift": 3.0})
    with pytest.raises(UserError, match=r"the scheduler's shift is 2\.0 by .*, 3\.0 in"):
        imported(place, monkeypatch, diffusion={**flow, "shift": 2.0})


def test_another_process_is_refused(place, monkeypatch):
    (place / "pipeline/model_index.json").unlink()
    EDMEulerScheduler().save_pretrained(place / "pipeline/scheduler")
    with pytest.raises(UserError, match="^base is .*not supported .*other noise would give wrong"):
        imported(place, monkeypatch, retrained=False)


def test_weights_of_every_layout_become_a_pipeline(place, monkeypatch):
    unet = place / "pipeline/unet"
    name = "diffusion_pytorch_model.safetensors"
    weights = load_file(unet / name)
    (unet / name).unlink()
    save_file({f"_orig_mod.{k}": v for k, v in weights.items()}, unet / name)
    imported(place, monkeypatch, same=False)
    (place / "pipeline/model_index.json").unlink()
    imported(place, monkeypatch, same=False, base=str(unet))
    for key, value in load_file(place / "out/unet" / name).items():
        assert torch.equal(value, weights[key])


def test_a_learned_variance_is_imported_unless_subset_models_follow(place, monkeypatch):
    network, process = pixel.load(place / "pipeline")
    wide = UNet2DModel.from_config({**network.config, "out_channels": 2})
    pixel.save(place / "pipeline", wide, process)
    with pytest.warns(Note, match="learned a variance"):
        imported(place, monkeypatch, retrained=False)
    assert pixel.load(place / "out")[0].config.out_channels == 2
    with pytest.raises(
        UserError, match="the UNet's out_channels is 1 by the experiment file, 2 in"
    ):
        imported(place, monkeypatch)


def test_what_no_experiment_can_say_is_refused_too(place, monkeypatch):
    mend(place, "scheduler/scheduler_config.json", trained_betas=[0.1] * 1000)
    with pytest.raises(UserError, match=r"trained_betas is null by .*, \[0\.1, 0\.1,.*… in "):
        imported(place, monkeypatch)


def test_images_of_another_size_are_refused(place, monkeypatch):
    images = np.zeros((4, 16, 16, 1), np.uint8)
    artifacts.save_examples(place / "train.npz", images, np.zeros(4), np.arange(4))
    with pytest.raises(UserError, match=r"\(16, 16, 1\), .* works on \(8, 8, 1\); set data\.size"):
        imported(place, monkeypatch)


def test_a_pipeline_of_latents_is_refused(place, monkeypatch):
    mend(place, "model_index.json", vqvae=["diffusers", "VQModel"])
    with pytest.raises(UserError, match=r"base is .*pipeline takes latents, expected an unc"):
        imported(place, monkeypatch)
