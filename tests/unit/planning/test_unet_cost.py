"""The size of a model by formula is what torch counts on the model itself."""

import subprocess
import sys

import pytest

from dasbench.experiments import config
from dasbench.planning import unet_cost
from experiment_files import ROOT

PLAIN = {
    "family": "pixel",
    "block_out_channels": [8, 16, 24],
    "down_block_types": ["DownBlock2D"] * 3,
    "up_block_types": ["UpBlock2D"] * 3,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
ATTENTION = {
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({}, (1, 8, 8)),
        ({"layers_per_block": 3}, (3, 12, 20)),
        (ATTENTION, (3, 16, 16)),
        ({**ATTENTION, "resnet_time_scale_shift": "scale_shift", "dropout": 0.1}, (3, 8, 8)),
        ({**ATTENTION, "downsample_padding": 0, "attention_head_dim": None}, (3, 16, 24)),
        ({"add_attention": False, "time_embedding_dim": 40}, (2, 8, 4)),
    ],
)
def test_formula_is_what_torch_counts(change, shape):
    model = {**PLAIN, **change}
    assert unet_cost.by_formula(model, shape) == unet_cost.by_building(model, shape)


@pytest.mark.parametrize("family", ["transformer", "latent_transformer"])
@pytest.mark.parametrize("change", [{}, {"num_class_embeds": 3}, {"patch_size": 4, "dropout": 0.1}])
def test_the_size_of_a_transformer(family, change):
    model = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "patch_size": 2}
    model |= {"family": family, **change}
    assert unet_cost.size(model, (3, 8, 8)) == unet_cost.by_building(model, (3, 8, 8))


@pytest.mark.parametrize(
    "change",
    [{"down_block_types": ["ResnetDownsampleBlock2D"] * 3}, {"time_embedding_type": "fourier"}],
)
def test_what_has_no_formula_is_built(change):
    model = {**PLAIN, **change}
    assert unet_cost.size(model, (1, 8, 8)) == unet_cost.by_building(model, (1, 8, 8))
    assert unet_cost.size(model, (1, 8, 8)) != unet_cost.size(PLAIN, (1, 8, 8))


@pytest.mark.parametrize("name", ["cifar2", "cifar10"])
def test_the_papers_cifar_models(name, monkeypatch):
    """D-TRAK's configuration, which planning counts without building it."""
    monkeypatch.setattr(unet_cost, "by_building", None)
    model = config.load(name, ROOT)["model"]
    released = {"attention_head_dim": None, "downsample_padding": 0, "flip_sin_to_cos": False}
    released |= {"freq_shift": 1, "norm_eps": 1e-6, "resnet_time_scale_shift": "scale_shift"}
    assert {key: model.get(key, "absent") for key in released} == released
    assert unet_cost.size(model, (3, 32, 32)).parameters == 38_306_691
    plain = {**model, "resnet_time_scale_shift": "default"}
    assert unet_cost.size(plain, (3, 32, 32)).parameters == 35_746_307


def test_planning_imports_no_torch():
    code = (
        "import sys; from dasbench.planning import estimate;"
        "estimate.main(['digits', '--shape', '1,8,8', '--json']);"
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
