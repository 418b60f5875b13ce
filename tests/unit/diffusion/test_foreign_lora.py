"""Adapters in the formats of diffusers, peft and kohya: the network's output is diffusers' own."""

import json

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_pipelines
from dasbench.diffusion.families import foreign_lora
from dasbench.errors import UserError

KINDS = {
    "sd": (tiny_pipelines.stable_diffusion, diffusers.StableDiffusionPipeline, "unet"),
    "xl": (tiny_pipelines.stable_diffusion_xl, diffusers.StableDiffusionXLPipeline, "unet"),
    "sd3": (tiny_pipelines.stable_diffusion_3, diffusers.StableDiffusion3Pipeline, "transformer"),
    "flux": (tiny_pipelines.flux, diffusers.FluxPipeline, "transformer"),
}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
RANK = 2


class Kind:
    """A tiny pipeline and random low-rank weights for its network, by layer."""

    def __init__(self, kind, folder):
        write, self.pipeline, self.prefix = KINDS[kind]
        self.kind, self.folder = kind, write(folder / "pipeline")
        generator = torch.Generator().manual_seed(0)
        self.weights = {}
        for name, module in self.network().named_modules():
            if isinstance(module, torch.nn.Linear) and name.endswith(tuple(TARGETS)):
                self.weights[name] = tuple(
                    0.1 * torch.randn(shape, generator=generator)
                    for shape in ((RANK, module.in_features), (module.out_features, RANK))
                )

    def network(self):
        part = getattr(self.pipeline.from_pretrained(self.folder), self.prefix)
        return part.float().eval().requires_grad_(False)

    def theirs(self, path):
        """Weights of the network after ``load_lora_weights`` and fusing."""
        pipeline = self.pipeline.from_pretrained(self.folder)
        pipeline.load_lora_weights(path.parent, weight_name=path.name)
        network = getattr(pipeline, self.prefix)
        network.fuse_lora()
        return fused(network)

    def ours(self, path):
        network = foreign_lora.load(self.network(), path, self.pipeline, self.prefix)
        trained = [n for n, p in network.named_parameters() if p.requires_grad]
        assert trained
        assert all("lora_" in name for name in trained)
        network.fuse_lora()
        return fused(network)

    def expected(self, alpha_of):
        """W + alpha / rank * B A, by hand."""
        whole = {k: v.clone() for k, v in self.network().state_dict().items()}
        for k, (name, (a, b)) in enumerate(self.weights.items()):
            whole[f"{name}.weight"] += alpha_of(k) / RANK * b @ a
        return whole


def fused(network):
    state = network.state_dict()
    return {k.replace(".base_layer", ""): v for k, v in state.items() if "lora_" not in k}


def same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    return Kind(request.param, tmp_path_factory.mktemp(request.param))


def test_diffusers_format(kind, tmp_path):
    state = {}
    for name, (a, b) in kind.weights.items():
        state |= {
            f"{kind.prefix}.{name}.lora_A.weight": a,
            f"{kind.prefix}.{name}.lora_B.weight": b,
        }
    path = tmp_path / "pytorch_lora_weights.safetensors"
    save_file(state, path)
    same(kind.ours(path), kind.theirs(path))
    same(kind.ours(tmp_path), kind.expected(lambda k: RANK))


def test_peft_format_with_its_own_alpha_of_some_layers(kind, tmp_path):
    state = {}
    for name, (a, b) in kind.weights.items():
        stem = f"base_model.model.{name}"
        state |= {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
    save_file(state, tmp_path / "adapter_model.safetensors")
    first = next(iter(kind.weights))
    settings = {"r": RANK, "lora_alpha": 3, "alpha_pattern": {f"^{first}": 5}}
    settings |= {"target_modules": TARGETS, "rank_pattern": {}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    same(kind.ours(tmp_path), kind.expected(lambda k: 5 if k == 0 else 3))
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"cannot be read as an adapter .*adapter_config.json"):
        kind.ours(tmp_path)


@pytest.mark.parametrize("kind", ["sd", "xl"], indirect=True)
@pytest.mark.parametrize("equal", [True, False])
def test_kohya_format_with_an_alpha_of_each_layer(kind, equal, tmp_path):
    """Where alphas differ, diffusers 0.42 loses them: then the truth is computed by hand alone."""

    def alpha_of(k):
        return 3 if equal else k + 1

    state = {}
    for k, (name, (a, b)) in enumerate(kind.weights.items()):
        stem = f"lora_unet_{name.replace('.', '_')}"
        state |= {f"{stem}.lora_down.weight": a, f"{stem}.lora_up.weight": b}
        state[f"{stem}.alpha"] = torch.tensor(float(alpha_of(k)))
    path = tmp_path / "kohya.safetensors"
    save_file(state, path)
    found = kind.ours(path)
    same(found, kind.expected(alpha_of))
    if equal:
        same(found, kind.theirs(path))


@pytest.mark.parametrize("kind", ["sd", "xl"], indirect=True)
def test_kohya_adapts_any_layer_and_its_scale_is_1_without_an_alpha(kind, tmp_path):
    """Kohya's usual targets are more than the projections of the attentions."""
    generator, network = torch.Generator().manual_seed(1), kind.network()
    expected = {k: v.clone() for k, v in network.state_dict().items()}
    kinds = {"net.2": 3.0, "proj_in": 5.0, "to_q": None}  # end of a name -> alpha
    state = {}
    for name, module in network.named_modules():
        end = next((end for end in kinds if name.endswith(f".{end}")), None)
        if end is None or not isinstance(module, torch.nn.Linear):
            continue
        a = 0.1 * torch.randn((RANK, module.in_features), generator=generator)
        b = 0.1 * torch.randn((module.out_features, RANK), generator=generator)
        stem = f"lora_unet_{name.replace('.', '_')}"
        state |= {f"{stem}.lora_down.weight": a, f"{stem}.lora_up.weight": b}
        if kinds[end] is not None:
            state[f"{stem}.alpha"] = torch.tensor(kinds[end])
        expected[f"{name}.weight"] += (kinds[end] or RANK) / RANK * b @ a
    assert any("net_2" in key for key in state)
    save_file(state, tmp_path / "kohya.safetensors")
    same(kind.ours(tmp_path / "kohya.safetensors"), expected)


@pytest.mark.parametrize("kind", ["sd"], indirect=True)
def test_a_dora_is_refused(kind, tmp_path):
    state = {}
    for name, (a, b) in kind.weights.items():
        state |= {f"base_model.model.{name}.lora_A.weight": a}
        state |= {f"base_model.model.{name}.lora_B.weight": b}
        state[f"base_model.model.{name}.lora_magnitude_vector"] = torch.ones(len(b))
    save_file(state, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "use_dora": True}))
    with pytest.raises(UserError, match=r"is a DoRA \(.*; expected a plain LoRA"):
        kind.ours(tmp_path)


@pytest.mark.parametrize("kind", ["flux"], indirect=True)
def test_kohya_format_of_flux(kind, tmp_path):
    """Its names are those of the original code: one matrix for queries, keys and values."""
    width = 16
    generator = torch.Generator().manual_seed(1)
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    state = {
        f"{stem}.lora_down.weight": 0.1 * torch.randn(RANK, width, generator=generator),
        f"{stem}.lora_up.weight": 0.1 * torch.randn(3 * width, RANK, generator=generator),
        f"{stem}.alpha": torch.tensor(3.0),
    }
    path = tmp_path / "kohya.safetensors"
    save_file(state, path)
    found = kind.ours(path)
    same(found, kind.theirs(path))
    plain = kind.network().state_dict()
    up, down = (load_file(path)[f"{stem}.lora_{side}.weight"] for side in ("up", "down"))
    for k, part in enumerate(("to_q", "to_k", "to_v")):
        name = f"transformer_blocks.0.attn.{part}.weight"
        delta = 3 / RANK * up[k * width : (k + 1) * width] @ down
        torch.testing.assert_close(found[name] - plain[name], delta, rtol=1e-3, atol=1e-5)


def test_unknown_keys_are_listed(kind, tmp_path):
    name, (a, b) = next(iter(kind.weights.items()))
    state = {f"{kind.prefix}.{name}.lora_A.weight": a, f"{kind.prefix}.{name}.lora_B.weight": b}
    state |= {f"{kind.prefix}.nowhere.lora_A.weight": a, "text_encoder.q.lora_A.weight": a}
    state = {key: value.clone() for key, value in state.items()}
    save_file(state, tmp_path / "mixed.safetensors")
    with pytest.raises(UserError, match=r"2 of 4 keys .*text_encoder.*nowhere.lora_A"):
        kind.ours(tmp_path)
    with pytest.raises(UserError, match="has no .safetensors files; expected one"):
        kind.ours(tmp_path / "absent.safetensors")
    save_file(state, tmp_path / "second.safetensors")
    with pytest.raises(UserError, match="has 2 .safetensors files; expected one"):
        kind.ours(tmp_path)
