"""The folders that people bring: read as they are, or refused with the line that helps."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchLCMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from dasbench.diffusion import own_checkpoint
from dasbench.errors import Note, UserError
from tiny import MODEL

X, T = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 70])
SAFE = "diffusion_pytorch_model.safetensors"


def unet(**changes):
    torch.manual_seed(0)
    form = {"sample_size": 8, "in_channels": 1, "out_channels": 1, **MODEL, **changes}
    return UNet2DModel(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in form.items()}
    ).eval()


@pytest.fixture
def expected():
    with torch.no_grad():
        return unet()(X, T).sample


@pytest.fixture
def folder(tmp_path):
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def predicted(folder, **options):
    network, process = own_checkpoint.load(folder, **options)
    assert process.total == 1000
    assert not network.training
    assert next(network.parameters()).dtype == torch.float32
    with torch.no_grad():
        return network(X, T).sample


def change(file, **changes):
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def test_a_pipeline_is_read(folder, expected):
    assert torch.equal(predicted(folder), expected)
    (folder / "model_index.json").unlink()
    assert torch.equal(predicted(folder), expected)


def test_a_bare_unet_with_a_scheduler_in_it_beside_it_or_given(folder, expected, tmp_path):
    assert torch.equal(predicted(folder / "unet"), expected)  # beside it
    bare = tmp_path / "bare"
    shutil.copytree(folder / "unet", bare)
    with pytest.raises(UserError, match=r"bare/scheduler_config\.json is missing, .*save_pretrai"):
        own_checkpoint.load(bare)
    for given in (folder, folder / "scheduler", folder / "scheduler/scheduler_config.json"):
        assert torch.equal(predicted(bare, scheduler=given), expected)
    shutil.copy(folder / "scheduler/scheduler_config.json", bare)
    assert torch.equal(predicted(bare), expected)


def test_a_variant_is_read_and_told(folder, tmp_path):
    half = unet().half()
    shutil.rmtree(folder / "unet")
    half.save_pretrained(folder / "unet", variant="fp16")
    assert not (folder / "unet" / SAFE).exists()
    with torch.no_grad():
        rounded = half.float()(X, T).sample
    with pytest.warns(Note, match="are the variant fp16; they are read as float32"):
        assert torch.equal(predicted(folder), rounded)
    unet().save_pretrained(folder / "unet")  # both: the full one
    with torch.no_grad():
        assert torch.equal(predicted(folder), unet()(X, T).sample)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_read(folder, variant):
    shutil.rmtree(folder / "unet")
    network = unet().half() if variant else unet()
    network.save_pretrained(folder / "unet", max_shard_size="4KB", variant=variant)
    shards = sorted((folder / "unet").glob("*.safetensors"))
    assert len(shards) > 2
    with torch.no_grad():
        whole = network.float()(X, T).sample
    assert torch.equal(predicted(folder), whole)
    shards[1].unlink()
    with pytest.raises(UserError, match=rf"{shards[1].name} is missing, a part of the weights"):
        own_checkpoint.load(folder)


def test_an_index_may_not_lead_out_of_the_folder(folder):
    shutil.rmtree(folder / "unet")
    unet().save_pretrained(folder / "unet", max_shard_size="4KB")
    shutil.copy(next((folder / "unet").glob("*.safetensors")), folder / "out.safetensors")
    index = folder / "unet" / f"{SAFE}.index.json"
    mapped = json.loads(index.read_text())
    mapped["weight_map"] = dict.fromkeys(mapped["weight_map"], "../out.safetensors")
    index.write_text(json.dumps(mapped))
    with pytest.raises(UserError, match=r"out\.safetensors is missing, a part of the weights"):
        own_checkpoint.load(folder)
    index.unlink()
    with pytest.raises(UserError, match=r"index\.json is missing, which says what"):
        own_checkpoint.load(folder)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_known(folder, prefix, expected):
    file = folder / "unet" / SAFE
    save_file({prefix + name: value for name, value in load_file(file).items()}, file)
    assert torch.equal(predicted(folder), expected)
    twice = load_file(file)
    save_file({**twice, "conv_in.bias": torch.zeros(4)}, file)
    with pytest.raises(UserError, match="with and without a prefix"):
        own_checkpoint.load(folder)


def test_old_names_of_attention_are_known(tmp_path):
    """google/ddpm-* name the parts of an attention as diffusers did before 0.17."""
    blocks = {"down_block_types": ["AttnDownBlock2D", "DownBlock2D"], "attention_head_dim": None}
    network = unet(**blocks)
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path)
    file = tmp_path / "unet" / SAFE
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = {}
    for name, value in load_file(file).items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        weights[name] = value
    assert any("proj_attn" in name for name in weights)
    save_file(weights, file)
    with torch.no_grad():
        assert torch.equal(predicted(tmp_path), network(X, T).sample)


def test_pickled_weights_are_refused_with_a_line_that_converts_them(folder, expected):
    file = folder / "unet" / SAFE
    pickled = folder / "unet/diffusion_pytorch_model.bin"
    torch.save(load_file(file), pickled)
    file.unlink()
    with pytest.raises(UserError, match=r"pickled weights alone .*convert them: python -c") as told:
        own_checkpoint.load(folder)
    line = str(told.value).partition("convert them: python -c ")[2]
    subprocess.run([sys.executable, "-c", *shlex.split(line)], check=True)
    assert torch.equal(predicted(folder), expected)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.ckpt", "model.pt"])
def test_a_single_file_is_refused_with_a_line(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"{name} is a single file.*expected a folder.*python -c"):
        own_checkpoint.find(tmp_path / name)


def test_the_line_for_a_single_file_works(folder, tmp_path, expected):
    file = tmp_path / "model.safetensors"
    shutil.copy(folder / "unet" / SAFE, file)
    with pytest.raises(UserError) as told:
        own_checkpoint.find(file)
    code = str(told.value).partition("python -c ")[2].strip('"')
    code = code.replace("FOLDER-WITH-CONFIG", str(folder / "unet"))
    code = code.replace("FOLDER/unet", str(tmp_path / "made/unet"))
    subprocess.run([sys.executable, "-c", code], check=True)
    assert torch.equal(predicted(tmp_path / "made/unet", scheduler=folder), expected)


CONFIGS = [
    ({"sample_size": None}, r"the sample_size null; write the side"),
    ({"sample_size": ...}, r"the sample_size null; write the side"),
    ({"sample_size": [16]}, r"the sample_size \[16\]; write"),
    ({"sample_size": "8"}, r'the sample_size "8"; write'),
    ({"sample_size": [0, 8]}, r"the sample_size \[0, 8\]; write"),
    ({"in_channels": ...}, r"config\.json has no in_channels; write the number of channels"),
    ({"in_channels": None}, r"no in_channels"),
    ({"out_channels": 3}, r"out_channels 3 for in_channels 1, expected as many, or twice"),
    ({"out_channels": ...}, r"out_channels 3 for in_channels 1"),  # the default of diffusers
    ({"_class_name": "UNet2DConditionModel"}, r"of a UNet2DConditionModel, expected a UNet2DModel"),
    ({"_class_name": "DiTTransformer2DModel"}, r"of a DiTTransformer2DModel, expected"),
]


@pytest.mark.parametrize(("changes", "told"), CONFIGS)
def test_what_a_configuration_must_say(folder, changes, told):
    change(folder / "unet/config.json", **changes)
    with pytest.raises(UserError, match=told) as caught:
        own_checkpoint.find(folder)
    assert "./run" not in str(caught.value)


def test_two_sides_are_read(folder, expected):
    change(folder / "unet/config.json", sample_size=[8, 8])
    assert own_checkpoint.find(folder).shape == (1, 8, 8)
    assert torch.equal(predicted(folder), expected)


def test_a_learned_variance_is_known(tmp_path):
    DDPMPipeline(unet(out_channels=2), DDPMScheduler()).save_pretrained(tmp_path)
    network, _ = own_checkpoint.load(tmp_path)
    assert network(X, T).sample.shape == (2, 2, 8, 8)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("model_index.json", "{", r"model_index\.json cannot be read"),
        ("unet/config.json", "[]", r"config\.json is no configuration, but a list"),
        ("scheduler/scheduler_config.json", "{", r"scheduler_config\.json cannot be read"),
        (f"unet/{SAFE}", "x", r"safetensors cannot be read"),
    ],
)
def test_damaged_files_of_a_user_are_not_said_to_be_the_workflow_s(folder, file, content, told):
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        own_checkpoint.load(folder)
    assert "./run" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["scheduler/scheduler_config.json", "unet/config.json", SAFE])
def test_missing_files_are_named(folder, name):
    (folder / "unet" / name if name == SAFE else folder / name).unlink()
    with pytest.raises(UserError, match="is missing|is no folder of a model") as caught:
        own_checkpoint.load(folder)
    assert "./run" not in str(caught.value)


def test_other_weights_are_refused(folder):
    file = folder / "unet" / SAFE
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if k != "conv_in.bias"}, file)
    with pytest.raises(UserError, match="missing keys conv_in.bias"):
        own_checkpoint.load(folder)
    save_file({**weights, "conv_in.bias": torch.full((4,), torch.nan)}, file)
    with pytest.raises(UserError, match="values in conv_in.bias that are not finite"):
        own_checkpoint.load(folder)


def test_an_index_of_another_process_is_refused(folder):
    FlowMatchLCMScheduler().save_pretrained(folder / "scheduler")
    with pytest.raises(UserError, match=r"names a DDPMScheduler, .* is of a FlowMatchLCM.*differ"):
        own_checkpoint.find(folder)
    change(folder / "model_index.json", scheduler=["diffusers", "FlowMatchLCMScheduler"])
    with pytest.raises(UserError, match="another kind of flow, which is not supported"):
        own_checkpoint.load(folder)
