"""Models of every kind are opened from their folders, by what the folders and families say."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from peft import LoraConfig, get_peft_model

from dasbench.diffusion import opened, pipelines
from dasbench.diffusion.families import autoencoder
from dasbench.errors import UserError
from dasbench.model_families import FAMILIES
from model_kinds import KINDS, Kind
from tiny import MODEL


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_says_what_its_model_takes(name, tmp_path):
    kind = Kind(name, tmp_path)
    options = opened.Options(lora=kind.options.get("lora"), size=kind.options.get("size"))
    found = opened.from_folder(kind.folder, "cpu", options)
    family, section, _, frozen = KINDS[name]
    assert found.kind == FAMILIES[family]["pipeline"]
    assert (found.classes, found.adapter) == (section.get("num_class_embeds"), "lora" in section)
    assert found.shape == ((1, 8, 8) if frozen else None)
    assert (found.encoder is None, found.embedder is None) == (not frozen, "lora" not in section)
    assert sorted({file.split("/")[0] for file in found.frozen()}) == frozen_parts(name)
    weights = [n for n, p in found.network.named_parameters() if p.requires_grad]
    assert all("lora_" in n for n in weights) == found.adapter


def frozen_parts(name):
    if name not in ("stable diffusion", "stable diffusion xl", "stable diffusion 3", "flux"):
        return {"latents": ["vqvae"], "quantised latents with classes": ["vqvae"]}.get(
            name, ["vae"] if "latent" in name else []
        )
    count = {"stable diffusion": 1, "stable diffusion 3": 3}.get(name, 2)
    numbers = ["", "_2", "_3"][:count]
    return [*(f"{part}{n}" for part in ("text_encoder", "tokenizer") for n in numbers), "vae"]


def test_every_family_is_known_by_its_pipeline():
    for entry in FAMILIES.values():
        found = FAMILIES[pipelines.family(entry["pipeline"])]
        assert found["pipeline"] == entry["pipeline"]
    assert pipelines.family("OtherPipeline") is pipelines.family(None) is None


def test_a_pair_is_a_model_of_pixels():
    plain = opened.from_network(UNet2DModel(sample_size=8, **MODEL), DDPMScheduler())
    assert (plain.kind, plain.takes, plain.encoder) == ("UNet2DModel", None, None)
    assert plain.condition(np.zeros(2, np.int64), None) is None
    network = UNet2DModel(sample_size=8, num_class_embeds=1, **MODEL)
    assert opened.from_network(network, DDPMScheduler()).classes == 1
    network = UNet2DModel(sample_size=8, class_embed_type="identity", **MODEL)
    with pytest.raises(UserError, match="embeds its classes by identity, expected numbers of cl"):
        opened.from_network(network, DDPMScheduler())
    assert opened.from_pipeline("no pipeline") is None


def test_pictures_have_the_size_of_the_latents_or_that_which_is_given():
    config = {"block_out_channels": [8] * 4, "in_channels": 3}
    assert autoencoder.picture_shape(config, 64) == (3, 512, 512)
    assert autoencoder.picture_shape(config, [64, 32]) == (3, 512, 256)
    assert autoencoder.picture_shape(config, 64, 256) == (3, 256, 256)
    assert autoencoder.picture_shape(config, None) is None
    for size in (0, 4, 257):
        with pytest.raises(UserError, match=f"size is {size}, expected a multiple of 8, such"):
            autoencoder.picture_shape(config, 64, size)


def test_hashes_follow_values():
    network = UNet2DModel(sample_size=8, **MODEL)
    before = opened.digest(network)
    assert opened.digest(network) == before
    network.conv_in.bias.data[0] += 1e-6
    assert opened.digest(network) != before


def test_hashes_follow_settings_and_scales_of_adapters():
    unet = UNet2DModel(sample_size=8, **MODEL)
    other = UNet2DModel(sample_size=8, **MODEL | {"act_fn": "gelu"})
    other.load_state_dict(unet.state_dict())
    assert opened.digest(other) != opened.digest(unet)

    def adapted(alpha):
        layer = torch.nn.Sequential(torch.nn.Linear(4, 4))
        config = LoraConfig(r=2, lora_alpha=alpha, target_modules=["0"], init_lora_weights=False)
        return get_peft_model(layer, config)

    first, same, other = adapted(2), adapted(2), adapted(4)
    other.load_state_dict(first.state_dict())
    same.load_state_dict(first.state_dict())
    assert opened.digest(first) == opened.digest(same) != opened.digest(other)


def test_an_adapter_alone_needs_its_pipeline(tmp_path):
    kind = Kind("stable diffusion", tmp_path)
    with pytest.raises(UserError, match="holds an adapter alone; give the folder of its pipeline"):
        opened.from_folder(kind.options["lora"])
