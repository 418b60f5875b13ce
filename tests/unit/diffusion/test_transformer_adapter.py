"""Adapters of the base model of another experiment: what is trained, stored, and refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dasbench.diffusion import denoiser, model_inputs, training
from dasbench.diffusion.families import transformer
from dasbench.diffusion.families import transformer_adapter as adapter
from dasbench.errors import UserError
from dasbench.gradients import features
from dasbench.planning import unet_cost
from tiny import AXES

SIZES = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "patch_size": 2}
LORA = {"rank": 2, "alpha": 4.0, "targets": ["to_q", "to_v", "to_out.0", "net.2", "norm1.linear"]}
MODEL = {**SIZES, "family": "transformer_adapter", "frozen": "earlier", "lora": LORA}
FLOW = {
    "process": "flow",
    "timesteps": 1000,
    "shift": 1.0,
    "weighting": "none",
    "timestep_sampling": "uniform",
}
TRAINING = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.01,
    "betas": [0.9, 0.999],
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "schedule": "cosine",
    "ema_decay": 0.5,
    "clip_norm": 1.0,
    "flip": False,
}
FEATURES = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 10**6,
    "parameters": "lora",
}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (12, 1, 8, 8)).astype(np.float32)


def fit(network, process):
    data = model_inputs.Data(torch.from_numpy(IMAGES))
    accelerator = training.make_accelerator(1)
    training.train(accelerator, network, process, data, np.ones(12, bool), TRAINING, AXES)


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A folder with the trained base model of another experiment."""
    monkeypatch.chdir(tmp_path)
    network, process = transformer.build(SIZES, FLOW, (1, 8, 8), AXES)
    fit(network, process)
    transformer.save(tmp_path / "results/earlier/models/base", network, process)
    return network


def test_only_the_adapter_is_trained_and_stored(earlier, tmp_path):
    network, process = adapter.build(MODEL, {**FLOW, "weighting": "cosmap"}, (1, 8, 8), AXES)
    assert process.settings["weighting"] == "cosmap"
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    assert sum(p.numel() for p in trained.values()) == unet_cost.size(MODEL, (1, 8, 8)).parameters
    x, t = torch.from_numpy(IMAGES), torch.full((12,), 400)
    with torch.no_grad():
        before = denoiser.predict(earlier, x, t)
        torch.testing.assert_close(denoiser.predict(network.eval(), x, t), before)
    fit(network, process)
    frozen = dict(earlier.named_parameters())
    for name, p in network.named_parameters():
        if not p.requires_grad:
            assert torch.equal(p, frozen[name.replace(".base_layer", "")])
    for name in "ab":
        adapter.save(tmp_path / name, network, process, MODEL)
    (file,) = adapter.FILES
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert all(key.startswith("transformer.") for key in load_file(tmp_path / "a" / file))
    other, _ = adapter.build(MODEL, FLOW, (1, 8, 8), (*AXES, 1))
    adapter.save(tmp_path / "c", other, process, MODEL)
    again, _ = adapter.load(tmp_path / "a", "cpu", MODEL)
    members, _ = adapter.load_members([tmp_path / "c", tmp_path / "a"], "cpu", MODEL)
    with torch.no_grad():
        after = denoiser.predict(network, x, t)
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(denoiser.predict(again, x, t), after)
        torch.testing.assert_close(denoiser.predict(members[1], x, t), after)
        torch.testing.assert_close(denoiser.predict(members[0], x, t), before)


def test_features_are_taken_where_b_is_not_zero(earlier):
    """Before training, B is zero and A has no gradient: an error that says so."""
    network, process = adapter.build(MODEL, FLOW, (1, 8, 8), AXES)
    settings = {**FEATURES, "projection": "kronecker"}
    with pytest.raises(UserError, match=r"lora_A\.default is zero .* before it was trained"):
        features.Extractor(network.eval(), process, settings, AXES)(IMAGES, range(12), "train")
    fit(network, process)
    assert min(p.abs().max() for n, p in network.named_parameters() if "lora_B" in n) > 0
    fast, slow = (
        features.Extractor(network, process, {**FEATURES, "projection": kind}, AXES)(
            IMAGES, range(12), "train"
        )[0].astype(np.float64)
        for kind in ("kronecker", "none")
    )
    assert slow.shape[1] == unet_cost.size(MODEL, (1, 8, 8)).parameters
    np.testing.assert_allclose(fast @ fast.T, slow @ slow.T, rtol=1e-3, atol=1e-7)


def test_another_model_is_refused(earlier):
    for change, sentence in (
        ({"num_layers": 3}, "num_layers is 3, but the base model of earlier has 2"),
        ({"lora": {**LORA, "targets": ["to_z"]}}, "targets is to_z, but no layer"),
        ({"frozen": "none"}, "results/none/models/base/.* is missing"),
    ):
        with pytest.raises(UserError, match=sentence):
            adapter.build({**MODEL, **change}, FLOW, (1, 8, 8), AXES)
    with pytest.raises(UserError, match="sample_size is 16, but the base model"):
        adapter.build(MODEL, FLOW, (1, 16, 16), AXES)
    with pytest.raises(UserError, match=r"diffusion\.shift is 3\.0, but the base model of earlier"):
        adapter.build(MODEL, {**FLOW, "shift": 3.0}, (1, 8, 8), AXES)
