"""Families of models and their noise processes; this module imports nothing of the package.

``dasbench.diffusion.families`` has one file for each family. A job depends on the code of its own
family alone, so a new family retrains nothing.
"""

from collections.abc import Mapping
from typing import Any

_SCHEDULER = "scheduler/scheduler_config.json"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_UNET = (_SCHEDULER, "unet/config.json", f"unet/{_WEIGHTS}")
_TRANSFORMER = (_SCHEDULER, "transformer/config.json", f"transformer/{_WEIGHTS}")
_TRANSFORMER_SIZES = ("num_layers", "num_attention_heads", "patch_size")
_SIZES = ("block_out_channels", "down_block_types", "up_block_types")
_GROUPS = ("all", "weights", "up_blocks", "attention")
_FROZEN = 4 * 1_070_000_000  # all of Stable Diffusion 1 in float32


_ADAPTER = ("pytorch_lora_weights.safetensors",)
_LIKE_DIT = {
    "parameters": ("all", "weights", "attention"),
    "takes": ("num_class_embeds", "dropout"),
    "formula": "dit",
}
_PIPELINE = {
    "latents": True,
    "prompts": True,
    "classes": None,
    "adapter": True,
    "tag": "text-to-image",
    "needs": ("pretrained", "lora", "prompt"),
    "takes": (),
}


def _family(module: str, files: tuple[str, ...], **facts: Any) -> dict[str, Any]:
    """An entry of ``FAMILIES``; without ``facts``, of models of images that are trained whole."""
    usual = {
        "member_files": files,
        "latents": False,
        "prompts": False,
        "classes": "num_class_embeds",
        "imports": False,
        "adapter": False,
        "cost": None,
        "frozen_bytes": 0,
        "parameters": _GROUPS,
        "tag": "unconditional-image-generation",
        "takes": None,
        "refuses": (),
        "frozen_files": (),
        "formula": "unet",
    }
    return {"module": module, "files": files, **usual, **facts}


def _lora(pipeline: str, flops: int, parameters: int, weights: int) -> dict[str, Any]:
    """The entry of adapters of a pipeline with a transformer or a large UNet.

    The numbers: operations for each position of the latents, at 64 by 64; weights of an adapter of
    its attentions for each unit of the rank; numbers in the whole pipeline.
    """
    return _family(
        "pipeline_lora",
        _ADAPTER,
        **_PIPELINE,
        cost={"flops": flops, "parameters": parameters},
        frozen_bytes=4 * weights,
        parameters=("all", "weights", "attention", "lora"),
        pipeline=pipeline,
    )


# Facts about each family of models for the rules and checks, which must not import torch:
#
# * module: its file, see ``dasbench.diffusion.families``
# * files: files of the base model's folder, weights last; the module repeats this list
# * member_files: files of every other model's folder
# * latents: whether it denoises latents of a frozen autoencoder; if not, images
# * prompts: whether its condition is a prompt
# * classes: the key of ``model`` with the number of classes of its condition, or None
# * imports: whether the base model can be a pipeline that was trained elsewhere
# * adapter: whether an adapter of a pretrained network is trained; if not, all weights are
# * cost: assumed size of a pretrained network, which may be absent when hours are predicted:
#   ``flops`` for each position of the denoised array, trained ``parameters`` for each unit of the
#   rank; None: count the size from ``model``
# * frozen_bytes: memory of the pretrained pipeline
# * parameters: groups of parameters that its network has, from
#   ``dasbench.gradients.selection.SUBSETS``
# * pipeline: the class of diffusers that opens the folder
# * tag: the hub's name of its task
# * needs: keys of ``model`` that it needs
# * takes: keys of ``model`` besides ``needs``, family and revision; None: all but ``refuses``
# * frozen_files: files of the base model of the experiment ``model.frozen`` that its jobs read
# * formula: how its size is counted, see ``dasbench.planning.unet_cost``
FAMILIES: dict[str, dict[str, Any]] = {
    "pixel": _family(
        "pixel",
        ("model_index.json", *_UNET),
        imports=True,
        pipeline="DDPMPipeline",
        needs=_SIZES,
        refuses=("pretrained", "revision", "lora", "prompt", "frozen", *_TRANSFORMER_SIZES),
    ),
    "latent": _family(
        "latent",
        ("model_index.json", "vqvae/config.json", f"vqvae/{_WEIGHTS}", *_UNET),
        member_files=_UNET,
        latents=True,
        frozen_bytes=_FROZEN,
        pipeline="LDMPipeline",
        needs=(*_SIZES, "pretrained"),
        refuses=("lora", "prompt", "frozen", *_TRANSFORMER_SIZES),
    ),
    "transformer": _family(
        "transformer",
        _TRANSFORMER,
        **_LIKE_DIT,
        pipeline="DiTTransformer2DModel",
        needs=(*_TRANSFORMER_SIZES, "attention_head_dim"),
    ),
    "latent_transformer": _family(
        "latent_transformer",
        ("model_index.json", "vae/config.json", f"vae/{_WEIGHTS}", *_TRANSFORMER),
        **_LIKE_DIT,
        member_files=_TRANSFORMER,
        latents=True,
        frozen_bytes=_FROZEN,
        pipeline="DiTPipeline",
        needs=(*_TRANSFORMER_SIZES, "attention_head_dim", "pretrained"),
    ),
    "transformer_adapter": _family(
        "transformer_adapter",
        _ADAPTER,
        classes=None,
        adapter=True,
        parameters=("all", "weights", "attention", "lora"),
        pipeline="DiTTransformer2DModel",
        needs=(*_TRANSFORMER_SIZES, "attention_head_dim", "frozen", "lora"),
        takes=(),
        frozen_files=_TRANSFORMER,
        formula="dit",
    ),
    "text_to_image": _family(
        "text_to_image",
        _ADAPTER,
        **_PIPELINE,
        # Stable Diffusion 1's UNet, and an adapter of its attentions
        cost={"flops": 166_000_000, "parameters": 199_296},
        frozen_bytes=_FROZEN,
        parameters=(*_GROUPS, "lora"),
        pipeline="StableDiffusionPipeline",
    ),
    "lora_xl": _lora("StableDiffusionXLPipeline", 388_000_000, 1_451_520, 3_500_000_000),
    "lora_sd3": _lora("StableDiffusion3Pipeline", 515_000_000, 294_912, 8_000_000_000),
    "lora_flux": _lora("FluxPipeline", 5_250_000_000, 1_167_360, 17_000_000_000),
}

# process -> keys of the section ``diffusion`` that it takes besides ``process``
PROCESSES: dict[str, tuple[str, ...]] = {
    "ddpm": (*"timesteps beta_schedule beta_start beta_end prediction_type clip_sample".split(),),
    "flow": ("timesteps", "shift", "weighting", "timestep_sampling"),
}


def family(model: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of ``FAMILIES`` for an experiment's section ``model``."""
    return FAMILIES[model["family"]]


def condition(model: Mapping[str, Any]) -> str | None:
    """The condition of a model's network: "prompts", "classes", or None."""
    entry = family(model)
    if entry["prompts"]:
        return "prompts"
    return "classes" if entry["classes"] and model.get(entry["classes"]) else None
