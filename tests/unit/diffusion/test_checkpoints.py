"""Denoisers: built from names, saved as pipelines, refused when damaged."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file, save_file

from dasbench.diffusion import checkpoints, denoiser
from dasbench.diffusion.families import pixel
from dasbench.diffusion.families.pixel import FILES as PIPELINE_FILES
from dasbench.errors import UserError
from tiny import AXES, DIFFUSION, MODEL, SHAPE

WEIGHTS = PIPELINE_FILES[-1]


def build(axes=AXES, shape=SHAPE, **diffusion_options):
    return pixel.build(MODEL, {**DIFFUSION, **diffusion_options}, shape, axes)


def flat(unet):
    return torch.cat([p.detach().flatten() for p in unet.parameters()])


@pytest.fixture
def folder(tmp_path):
    pixel.save(tmp_path / "results" / "smoke" / "base", *build())
    return tmp_path / "results" / "smoke" / "base"


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def refused(folder, match):
    with pytest.raises(UserError, match=match) as caught:
        pixel.load(folder)
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert "./run smoke --forcerun" in sentence
    assert "\n" not in sentence


def test_initial_weights_belong_to_the_name():
    torch.manual_seed(0)
    first = flat(build()[0])
    torch.manual_seed(1)
    assert torch.equal(first, flat(build()[0]))
    others = [flat(build(axes)[0]) for axes in ((*AXES, 0), (AXES[0], 4), (*AXES, "eval", 1))]
    for other in others:
        assert not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize(("shape", "size"), [((1, 8, 8), 8), ((3, 4, 6), (4, 6))])
def test_size_and_channels_follow_the_data(shape, size):
    unet, process = build(shape=shape, timesteps=500, prediction_type="v_prediction")
    assert unet.config.sample_size == size
    assert unet(torch.zeros(1, *shape), torch.tensor([3])).sample.shape == (1, *shape)
    assert unet.config.block_out_channels == (4, 8)
    assert process.scheduler.config.num_train_timesteps == 500
    assert process.scheduler.config.prediction_type == "v_prediction"
    assert process.scheduler.config.beta_schedule == "linear"


def test_what_is_loaded_is_what_was_saved(folder):
    unet, process = build(prediction_type="v_prediction", timesteps=300)
    pixel.save(folder, unet, process)
    loaded, again = pixel.load(folder)
    assert torch.equal(flat(loaded), flat(unet))
    assert [n for n, _ in loaded.named_parameters()] == [n for n, _ in unet.named_parameters()]
    assert not loaded.training
    assert again.settings == process.settings
    assert set(files(folder)) == set(PIPELINE_FILES)


def test_the_same_weights_give_the_same_bytes(folder, tmp_path):
    pixel.save(tmp_path / "again", *build())
    assert files(folder) == files(tmp_path / "again")
    pixel.save(folder, *pixel.load(folder))
    for name in set(PIPELINE_FILES) - {"unet/config.json"}:  # diffusers adds where it was loaded
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_folder_opens_with_diffusers_and_makes_images(folder):
    pipeline = DDPMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 4, 6, 2)
    assert np.isfinite(images).all()
    assert torch.equal(flat(pipeline.unet), flat(build()[0]))


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_permissions_follow_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        pixel.save(tmp_path / "m", *build())
    finally:
        os.umask(before)
    modes = {f.stat().st_mode & 0o777 for f in (tmp_path / "m").rglob("*") if f.is_file()}
    assert modes == {0o666 & ~mask}


def test_a_failed_save_is_one_sentence_and_leaves_the_old_files(folder, monkeypatch):
    old = files(folder)

    def full(self, path, **_):
        (path / "unet").mkdir()
        (path / "unet" / "config.json").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DDPMPipeline, "save_pretrained", full)
    with pytest.raises(UserError, match=r"could not be written .*No space left.*make room"):
        pixel.save(folder, *build((*AXES, 1)))
    assert files(folder) == old


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        pixel.save(tmp_path / "file" / "m", *build())


@pytest.mark.parametrize("name", PIPELINE_FILES)
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    refused(folder, f"{name} is missing")


def test_pickled_weights_are_never_opened(folder):
    """A .bin beside absent safetensors would be unpickled by other loaders."""
    unet, _ = build()
    (folder / WEIGHTS).unlink()
    torch.save(unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    refused(folder, "safetensors is missing")
    # nor a pickle under the expected name
    (folder / WEIGHTS).write_bytes(pickle.dumps({"a": 1}))
    refused(folder, "is damaged")


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.999])
def test_truncated_weights_are_refused(folder, keep):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: keep if keep > 1 else int(len(content) * keep)])
    refused(folder, "is damaged")


def test_flipped_bits_in_the_header_of_the_weights_are_refused_or_harmless(folder):
    unet, _ = build()
    content, caught = (folder / WEIGHTS).read_bytes(), 0
    for position in range(8, 400, 28):
        flipped = bytearray(content)
        flipped[position] ^= 4
        (folder / WEIGHTS).write_bytes(flipped)
        try:
            assert torch.equal(flat(pixel.load(folder)[0]), flat(unet))
        except UserError:
            caught += 1
    assert caught >= 10


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, value):
    weights = load_file(folder / WEIGHTS)
    weights["conv_out.bias"][0] = value
    save_file(weights, folder / WEIGHTS)
    refused(folder, r"has values in conv_out.bias that are not finite")


@pytest.mark.parametrize("change", ["one missing", "one too many", "another shape"])
def test_weights_of_another_model_are_refused(folder, change):
    weights = load_file(folder / WEIGHTS)
    if change == "one missing":
        del weights["conv_out.bias"]
    elif change == "one too many":
        weights["more"] = torch.zeros(2)
    else:
        weights["conv_out.bias"] = torch.zeros(5)
    save_file(weights, folder / WEIGHTS)
    refused(folder, "is damaged")


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("unet/config.json", "norm_num_groups", 3),
        ("unet/config.json", "block_out_channels", None),
        ("unet/config.json", "layers_per_block", 2),
        ("unet/config.json", "down_block_types", ["No", "Such"]),
        ("scheduler/scheduler_config.json", "num_train_timesteps", "many"),
        ("scheduler/scheduler_config.json", "beta_schedule", "none"),
    ],
)
def test_a_wrong_config_is_refused(folder, name, key, value):
    content = json.loads((folder / name).read_text())
    assert content[key] != value
    (folder / name).write_text(json.dumps({**content, key: value}))
    refused(folder, "is damaged")


@pytest.mark.parametrize("name", PIPELINE_FILES[1:3])
def test_a_truncated_config_is_refused(folder, name):
    (folder / name).write_text((folder / name).read_text()[:40])
    refused(folder, "is damaged")


def test_the_device_can_be_chosen_and_double_weights_become_single(folder, monkeypatch):
    monkeypatch.setenv("DAS_DEVICE", "cpu")
    assert checkpoints.pick_device() == torch.device("cpu")
    monkeypatch.setenv("DAS_DEVICE", "cuda:1")
    assert checkpoints.pick_device() == torch.device("cuda:1")
    unet, process = build()
    pixel.save(folder, unet.double(), process)
    loaded, _ = pixel.load(folder)
    assert next(loaded.parameters()).dtype == torch.float32
    x = denoiser.to_model(np.zeros((1, 4, 6, 2), np.uint8))
    assert loaded(torch.from_numpy(x), 3).sample.dtype == torch.float32
