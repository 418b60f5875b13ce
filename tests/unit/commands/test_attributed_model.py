"""Models that people bring, at the doors of attribution: Python and the command."""

import copy
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EDMEulerScheduler,
    FlowMatchLCMScheduler,
    ScoreSdeVePipeline,
    ScoreSdeVeScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)
from PIL import Image
from torch import nn
from torch.nn import functional

import dasbench
from dasbench.commands import attribute
from dasbench.errors import Note, UserError
from dasbench.gradients import features, residuals
from tiny import MODEL

SIZES = {"timesteps": 2, "dimensions": 400}
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
QUERIES = IMAGES[:2]


def unet(**changes):
    torch.manual_seed(0)
    form = {"sample_size": 8, "in_channels": 1, "out_channels": 1, **MODEL, **changes}
    return UNet2DModel(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in form.items()}
    ).eval()


def asked(model, **options):
    return dasbench.attribute(model, IMAGES, QUERIES, "dtrak", **{**SIZES, **options})


def itself(model, **options):
    """Scores of training images that are asked about themselves, which come first."""
    form = {**SIZES, "damping": 1e-6, **options}
    found = dasbench.attribute(model, IMAGES, QUERIES, **form)
    assert found.argmax(0).tolist() == [0, 1]
    return found


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run ``./run attribute`` on files; the scores that it wrote, and what it printed."""
    (tmp_path / "data").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image[..., 0]).save(tmp_path / f"data/{i}.png")

    def run(folder, *words, query="data/0.png"):
        scores = tmp_path / "scores.npy"
        scores.unlink(missing_ok=True)
        options = ["--model", folder, "--data", tmp_path / "data", "--scores", scores]
        options += ["--cache", tmp_path / "cache", *words]
        monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / query), *map(str, options)])
        monkeypatch.setitem(attribute.FEATURE_DEFAULTS, "timesteps", 2)
        monkeypatch.setitem(attribute.FEATURE_DEFAULTS, "dimensions", 400)
        attribute.main()
        return np.load(scores), capsys.readouterr().out

    return run


OTHER_PROCESSES = {
    "edm": EDMEulerScheduler,
    "other flow": FlowMatchLCMScheduler,
    "ve": ScoreSdeVeScheduler,
}


@pytest.mark.parametrize("kind", OTHER_PROCESSES.values(), ids=OTHER_PROCESSES)
def test_a_model_of_another_process_is_refused_at_every_door(kind, command, tmp_path):
    network, place = unet(), tmp_path / "model"
    if kind is ScoreSdeVeScheduler:
        ScoreSdeVePipeline(network, kind()).save_pretrained(place)
    else:
        DDPMPipeline(network, kind()).save_pretrained(place)
    pipeline = SimpleNamespace(components={"unet": network, "scheduler": kind()})
    for ask in (asked, command):
        with pytest.raises(UserError, match="which is not supported .* would give wrong scores"):
            ask(place)
    for model in ((network, kind()), pipeline):
        with pytest.raises(UserError, match="which is not supported"):
            asked(model)


def test_schedulers_of_one_process_give_the_same_scores(command, tmp_path):
    form = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    expected = asked((unet(), DDPMScheduler(**form)))
    others = asked((unet(), DDPMScheduler()))
    assert not np.allclose(expected, others, rtol=0.01)
    assert np.array_equal(asked((unet(), DDIMScheduler(**form))), expected)
    pipeline = DDPMPipeline(unet(), DDIMScheduler(**form))
    assert np.array_equal(asked(pipeline), expected)
    pipeline.save_pretrained(tmp_path / "model")
    assert np.array_equal(asked(tmp_path / "model"), expected)
    found, _ = command(tmp_path / "model", "--method", "dtrak")
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-3, atol=1e-5)


def test_a_missing_entry_is_refused_at_both_doors(command, tmp_path):
    place = tmp_path / "model"
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(place)
    file = place / "scheduler/scheduler_config.json"
    whole = json.loads(file.read_text())
    for key in ("num_train_timesteps", "beta_end", "prediction_type"):
        file.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        for ask in (asked, command):
            with pytest.raises(UserError, match=f"does not state {key}"):
                ask(place)


def widened(network):
    """The same network with a learned variance: more output channels, of other weights."""
    wide = copy.deepcopy(network)
    torch.manual_seed(9)
    wide.conv_out = nn.Conv2d(4, 2, 3, padding=1)
    wide.conv_out.weight.data[:1] = network.conv_out.weight.data
    wide.conv_out.bias.data[:1] = network.conv_out.bias.data
    wide.register_to_config(out_channels=2)
    return wide


def test_of_a_learned_variance_the_first_channels_count(tmp_path, command, monkeypatch, capsys):
    plain, wide = unet(), widened(unet())
    noise = DDPMScheduler(variance_type="learned_range")
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    form = {"kind": "scalar", "timesteps": 3, "timestep_rule": "midpoint", "draws": 1}
    process = attribute.attributed_model.checked((plain, noise))[1]
    rs = [residuals.compute(n, process, images, range(3), form, ("t", 0)) for n in (plain, wide)]
    assert np.array_equal(*rs)
    # gradients of all layers but the last are the same; of the last, the second half is zero
    t, x = torch.tensor([5, 500, 900]), torch.from_numpy(images)
    one, two = (
        features.per_example_gradients(n.double(), "loss")(x.double(), t, x.double().sin())
        for n in (plain, wide)
    )
    kept = [torch.ones(p.numel(), dtype=bool) for p in wide.parameters()]
    for mask, (name, parameter) in zip(kept, wide.named_parameters(), strict=True):
        if name.startswith("conv_out"):
            mask[parameter[0].numel() :] = False
    kept = torch.cat(kept)
    torch.testing.assert_close(two[:, kept], one, rtol=1e-12, atol=0)
    assert not two[:, ~kept].any()
    with pytest.warns(Note, match="2 output channels for images of 1: it learned a variance; the"):
        assert np.isfinite(asked((wide.float(), noise))).all()
    DDPMPipeline(wide, noise).save_pretrained(tmp_path / "model")
    with pytest.warns(Note, match="learned a variance"):
        found, _ = command(tmp_path / "model", "--method", "dtrak")
    np.testing.assert_allclose(found, asked((wide, noise))[:, :1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 4])
def test_other_output_channels_are_refused_at_every_door(channels, command, tmp_path):
    network = unet(out_channels=channels)
    with pytest.raises(UserError, match=f"out_channels {channels} for in_channels 1, expected"):
        asked((network, DDPMScheduler()))
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / "model")
    for ask in (asked, command):
        with pytest.raises(UserError, match=f"out_channels {channels} for in_channels 1, expected"):
            ask(tmp_path / "model")


class Plain(nn.Module):
    """A network that is not of diffusers."""

    def __init__(self, out=1, layer=None):
        super().__init__()
        torch.manual_seed(1)
        self.layer = layer or nn.Conv2d(1, 4, 3, padding=1)
        self.time = nn.Embedding(1000, 4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Conv2d(4, out, 3, padding=1)

    def forward(self, x, t):
        h = self.layer(x) + self.time(t)[:, :, None, None]
        return self.out(self.drop(h.sin()))


def test_a_network_of_ones_own_may_return_a_tensor():
    found = itself((Plain(), DDPMScheduler()))

    class Tuple(Plain):
        def forward(self, x, t):
            return (super().forward(x, t),)

    assert np.array_equal(itself((Tuple(), DDPMScheduler())), found)
    with pytest.raises(UserError, match=r"the network returns \(3, 8, 8\) .* for images of \(1, 8"):
        asked((Plain(3), DDPMScheduler()))


@pytest.mark.parametrize("projection", ["kronecker", "rademacher"])
@pytest.mark.parametrize("build", [lambda: unet(dropout=0.5), Plain])
def test_a_model_in_train_mode_is_evaluated_and_left_as_it_was(build, projection):
    expected = asked((build().eval(), DDPMScheduler()), projection=projection)
    network = build().train().to(memory_format=torch.channels_last)
    part = next(m for m in network.modules() if isinstance(m, nn.Dropout))
    part.eval()
    modes = [m.training for m in network.modules()]
    before = [(p.stride(), p.device, p.requires_grad, p.clone()) for p in network.parameters()]
    for _ in range(2):  # two calls do not differ
        found = asked((network, DDPMScheduler()), projection=projection)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert [m.training for m in network.modules()] == modes
    for p, (stride, device, flag, value) in zip(network.parameters(), before, strict=True):
        assert (p.stride(), p.device, p.requires_grad) == (stride, device, flag)
        assert torch.equal(p, value)
        assert p.grad is None


def test_the_layout_comes_back_after_large_images():
    images = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
    network = unet(sample_size=16)
    strides = [p.stride() for p in network.parameters()]
    dasbench.attribute((network, DDPMScheduler()), images, images[:1], "dtrak", **SIZES)
    assert [p.stride() for p in network.parameters()] == strides


def test_half_precision_is_as_its_values_in_float32():
    with pytest.warns(Note, match="float16; a copy in float32"):
        found = asked((unet().half(), DDPMScheduler()))
    assert np.array_equal(found, asked((unet().half().float(), DDPMScheduler())))


def test_wrapped_networks_are_used():
    expected = asked((unet(), DDPMScheduler()))
    for wrapped in (torch.compile(unet()), nn.DataParallel(unet())):
        assert np.array_equal(asked((wrapped, DDPMScheduler())), expected)


def conditional():
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(4, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=2,
        cross_attention_dim=6,
        attention_head_dim=4,
    )


MISTAKES = {
    "prompts": (
        lambda: (conditional(), DDPMScheduler()),
        "the model takes prompts, expected an un",
    ),
    "classes": (
        lambda: (unet(num_class_embeds=3), DDPMScheduler()),
        "the model takes classes, exp",
    ),
    "identity classes": (
        lambda: (unet(class_embed_type="identity"), DDPMScheduler()),
        "the network embeds its classes by identity, expected numbers of classes",
    ),
    "three parts": (lambda: (unet(), DDPMScheduler(), 1), "model has 3 parts, expected"),
    "a number": (lambda: 3, "the model is a int; expected the folder"),
    "no network": (lambda: ("unet", DDPMScheduler()), "the model is a str; expected"),
    "no scheduler": (lambda: (unet(), None), "the scheduler is a NoneType; expected one of diff"),
    "frozen": (
        lambda: (unet().requires_grad_(False), DDPMScheduler()),
        "no parameter of the network requires a gradient",
    ),
    "meta": (lambda: (unet().to("meta"), DDPMScheduler()), "weights on the meta device"),
    "another call": (
        lambda: (nn.Linear(8, 8), DDPMScheduler()),
        "the network cannot be called with",
    ),
    "no size": (
        lambda: (unet(sample_size=None), DDPMScheduler()),
        "the network's config has the sample_size null; write",
    ),
}


@pytest.mark.parametrize(("build", "told"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_a_model_is_told_in_a_sentence(build, told):
    with pytest.raises(UserError, match=told) as caught:
        asked(build())
    assert "\n" not in str(caught.value)


def test_options_of_the_model_are_told():
    for option in ({"projection": "x"}, {"parameters": "x"}):
        with pytest.raises(UserError, match='is "x", expected one of'):
            asked((unet(), DDPMScheduler()), **option)
    with pytest.raises(UserError, match="scheduler is for a folder"):
        asked((unet(), DDPMScheduler()), scheduler="x")


class Equalised(nn.Conv2d):
    def forward(self, x):
        return functional.conv2d(x, 20 * self.weight, self.bias, padding=1)


class Borrowing(Plain):
    def forward(self, x, t):
        return super().forward(x, t) + functional.conv2d(x, self.layer.weight).mean((1, 2, 3), True)


@pytest.mark.parametrize(
    "build", [lambda: Plain(layer=Equalised(1, 4, 3)), Borrowing], ids=["layer", "function"]
)
def test_a_network_without_rules_is_refused_before_work_with_an_advice_that_works(
    build, monkeypatch
):
    network = build().eval()
    with monkeypatch.context() as patch:
        patch.setattr(residuals, "compute", lambda *_: pytest.fail("work was done"))
        with pytest.raises(UserError, match=r"layer.*; give projection='rademacher', or param"):
            dasbench.attribute((network, DDPMScheduler()), IMAGES, QUERIES, "das", **SIZES)
    itself((network, DDPMScheduler()), projection="rademacher")


def test_the_command_has_its_own_advice(command, tmp_path, monkeypatch):
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(tmp_path / "model")
    load = attribute.attributed_model.load

    def odd(folder, *rest):
        model = load(folder, *rest)
        spectral = nn.utils.parametrizations.spectral_norm
        spectral(model.network.conv_in)
        return model

    monkeypatch.setattr(attribute.attributed_model, "load", odd)
    told = r"conv_in is parametrised; give --projection rademacher, or --parameters$"
    with pytest.raises(UserError, match=told):
        command(tmp_path / "model")
    found, _ = command(tmp_path / "model", "--projection", "rademacher")
    assert np.isfinite(found).all()
    found, _ = command(tmp_path / "model", "--parameters", "up_blocks")
    assert np.isfinite(found).all()


def test_folders_of_every_layout_have_the_same_scores(command, tmp_path):
    place = tmp_path / "model"
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(place)
    expected = asked(place)
    bare = tmp_path / "bare"
    shutil.copytree(place / "unet", bare)
    assert np.array_equal(asked(place / "unet"), expected)
    assert np.array_equal(asked(bare, scheduler=place / "scheduler"), expected)
    found, _ = command(bare, "--scheduler", place / "scheduler", "--method", "dtrak")
    # the command asks an index, whose features have half precision
    tolerance = 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-2, atol=tolerance)
    for ask in (asked, command):
        with pytest.raises(UserError, match=r"bare/scheduler_config\.json is missing"):
            ask(bare)
        with pytest.raises(
            UserError,
            match="gone is (no folder here; expected a folder that|missing; check the path)",
        ):
            ask(tmp_path / "gone")


def test_a_model_of_an_experiment_that_was_not_run_has_the_workflow_s_advice(tmp_path, monkeypatch):
    (tmp_path / "config/experiments").mkdir(parents=True)
    (tmp_path / "config/experiments/mine.yaml").touch()
    place = tmp_path / "results/mine/models/base"
    told = r"model_index\.json is missing: mine has not been run here; make it with \./run mine, or"
    with pytest.raises(UserError, match=told):
        asked(place)
    place.mkdir(parents=True)
    with pytest.raises(UserError, match=r"is missing: remake it with \./run mine --forcerun"):
        asked(place)
