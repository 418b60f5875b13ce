"""What people brought to the doors and got a wrong answer for, or a sentence too late."""

import json
import shlex
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file

import dasbench
from dasbench.commands import answers, attribute_options
from dasbench.data import arrays, folder
from dasbench.diffusion import denoiser, own_checkpoint
from dasbench.diffusion import process as processes
from dasbench.errors import UserError

SAFE = "diffusion_pytorch_model.safetensors"


def unet(**changes):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    form = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1, **blocks}
    return UNet2DModel(**{"sample_size": 8, "in_channels": 1, "out_channels": 1, **form, **changes})


@pytest.fixture
def place(tmp_path):
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(tmp_path / "it's one")
    return tmp_path / "it's one"


class OwnNoise(DDPMScheduler):
    def add_noise(self, x, noise, t):
        return x + noise


class OwnVelocity(DDPMScheduler):
    def get_velocity(self, x, noise, t):
        return x


class OwnScale(FlowMatchEulerDiscreteScheduler):
    def scale_noise(self, x, t, noise):
        return x


class OwnSigmas(FlowMatchEulerDiscreteScheduler):
    def __init__(self, shift=1.0):
        super().__init__(shift=shift)
        self.sigmas = self.sigmas**2


@pytest.mark.parametrize("kind", [OwnNoise, OwnVelocity, OwnScale, OwnSigmas])
def test_a_scheduler_with_noise_of_its_own_is_refused(kind):
    with pytest.raises(UserError, match=rf"the scheduler, a {kind.__name__}, has .*expected th"):
        processes.of(kind())


def test_a_replaced_method_is_refused_and_plain_schedulers_are_not():
    scheduler = DDPMScheduler()
    scheduler.add_noise = lambda x, noise, t: x
    with pytest.raises(UserError, match="has a add_noise of its own"):
        processes.of(scheduler)
    used = FlowMatchEulerDiscreteScheduler(shift=3.0)
    used.set_timesteps(10)  # replaces its sigmas
    for plain in (DDPMScheduler(), used, FlowMatchEulerDiscreteScheduler(shift=3.0)):
        processes.of(plain)


def test_dark_pictures_of_16_bits_are_refused_and_full_ones_are_not():
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    dark, full = (Image.fromarray(values * k) for k in (60, 1040))
    with pytest.raises(UserError, match="16 bits whose largest number anywhere is 3780"):
        arrays.images([dark], (1, 8, 8), "queries")
    assert arrays.images([full], (1, 8, 8), "queries").max() == 255


def test_channels_that_may_come_first_or_last_are_told():
    with pytest.warns(UserWarning, match="may come first or last; they are read as"):
        arrays.images(np.arange(64, dtype=np.uint8).reshape(1, 4, 4, 4), (4, 4, 4), "queries")


@pytest.mark.parametrize("ends", [[0.0, np.inf], [np.nan, 1.0], [2.0, 1.0]])
def test_a_range_without_sense_is_refused(ends):
    with pytest.raises(UserError, match="expected two finite numbers"):
        attribute_options.reading(SimpleNamespace(range=ends, resize=None))


@pytest.mark.parametrize(("value", "told"), [(np.inf, "not finite"), (0.0, "all zero")])
def test_scores_that_say_nothing_are_refused(value, told):
    with pytest.raises(UserError, match=f"the scores are {told} at damping 1e-05"):
        answers.check_scores(np.full((3, 2), value), 1e-5)


def test_a_network_may_change_its_inputs_in_place():
    def changes(x, t):
        return x.mul_(2) + t.mul_(3).view(-1, 1, 1, 1)

    x, t = torch.ones(2, 1, 4, 4), torch.ones(2)
    assert (denoiser.predict(changes, x, t) == 5).all()
    assert (x == 1).all()
    assert (t == 1).all()


def test_held_out_copies_of_training_pictures_are_refused(tmp_path):
    for part, numbers in (("train", (0, 1)), ("new", (1, 2))):
        (tmp_path / part).mkdir()
        for i in numbers:
            Image.new("L", (8, 8), 40 * i).save(tmp_path / part / f"{part}{i}.png")
    folders = [tmp_path / "train", tmp_path / "new"]
    with pytest.raises(UserError, match=r"1 of the 2 held-out .* copies .*new1\.png = train1\.png"):
        folder.compare(folders, [folder.listing(each) for each in folders])


def change(place, **entries):
    file = place / "unet/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"up_block_types": ["UpBlok2D"] * 2}, r"config\.json .*diffusers refuses \(UpBlok2D"),
        ({"norm_num_groups": 3}, r"config\.json has norm_num_groups 3 that diffusers refuses"),
        ({"block_out_channels": [8, 16]}, r"the configuration means|missing keys|unexpected keys"),
        ({"class_embed_type": "timestep"}, 'has class_embed_type "timestep", expected none'),
    ],
)
def test_a_configuration_that_is_not_the_weights_own_is_refused(place, entries, told):
    change(place, **entries)
    with pytest.raises(UserError, match=told):
        own_checkpoint.find(place).check_weights()


def test_a_pointer_of_git_lfs_is_named(place):
    (place / "unet" / SAFE).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="is a pointer of Git LFS.*`git lfs pull`"):
        own_checkpoint.find(place).check_weights()


@pytest.mark.parametrize("form", ["parts", "state_dict"])
def test_the_line_that_converts_pickled_weights_works(place, form):
    file = place / "unet" / SAFE
    weights = load_file(file)
    file.unlink()
    names = list(weights)
    halves = [names[:9], names[9:]] if form == "parts" else [names]
    for k, half in enumerate(halves):
        part = {name: weights[name] for name in half}
        name = f"model-{k + 1:05d}-of-{len(halves):05d}.bin"
        torch.save({"state_dict": part} if form == "state_dict" else part, file.parent / name)
    with pytest.raises(UserError) as told:
        own_checkpoint.find(place)
    line = str(told.value).partition("convert them: python -c ")[2]
    subprocess.run([sys.executable, "-c", *shlex.split(line)], check=True)
    network, _ = own_checkpoint.load(place)
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in names)


def test_das_stepwise_is_a_method_of_the_python_function():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    pair = (unet().eval(), DDPMScheduler())
    found = dasbench.attribute(
        pair, images, images[:2], "das_stepwise", timesteps=2, dimensions=256
    )
    assert found.argmax(0).tolist() == [0, 1]
