"""A tiny model of every kind that the project trains, with six pictures and their captions."""

import importlib

import diffusers
import numpy as np
import torch

import tiny_pipelines
from dasbench.diffusion import model_inputs
from dasbench.model_families import FAMILIES
from tiny import AXES, DIFFUSION, MODEL

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
SIZES = {"timesteps": 2, "dimensions": 64}
NAMES = ["zero", "one", "two"]
TEXTS = [f"a {name} painting" for name in NAMES]
LORA = {"rank": 2, "alpha": 4.0, "targets": ["to_q", "to_k", "to_v", "to_out.0"]}
DIT = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "patch_size": 2}
FLOW = {"process": "flow", "timesteps": 1000, "shift": 3.0, "weighting": "none"}
FLOW |= {"timestep_sampling": "uniform"}
SD = {"timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085}
SD |= {"beta_end": 0.012, "prediction_type": "epsilon"}
CLASSES = {"num_class_embeds": 3}
# name -> (family, sections model and diffusion, kind of autoencoder or name of the pipeline)
KINDS = {
    "pixels": ("pixel", MODEL, DIFFUSION, None),
    "pixels with classes": ("pixel", MODEL | CLASSES, DIFFUSION, None),
    "transformer": ("transformer", DIT, FLOW, None),
    "transformer with classes": ("transformer", DIT | CLASSES, DIFFUSION, None),
    "latents": ("latent", MODEL, DIFFUSION, diffusers.AutoencoderKL),
    "quantised latents with classes": ("latent", MODEL | CLASSES, DIFFUSION, diffusers.VQModel),
    "latent transformer": ("latent_transformer", DIT, FLOW, diffusers.AutoencoderKL),
    "latent transformer with classes": (
        "latent_transformer",
        DIT | CLASSES,
        DIFFUSION,
        diffusers.AutoencoderKL,
    ),
    "stable diffusion": ("text_to_image", {"lora": LORA}, SD, "stable_diffusion"),
    "stable diffusion xl": ("lora_xl", {"lora": LORA}, SD, "stable_diffusion_xl"),
    "stable diffusion 3": ("lora_sd3", {"lora": LORA}, FLOW, "stable_diffusion_3"),
    "flux": ("lora_flux", {"lora": LORA}, FLOW, "flux"),
}


def drawn(network, scale=0.2):
    """Give every trained weight a random value, also those that start at zero."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=scale, generator=generator)


class Kind:
    """A model in a folder, as the workflow writes it.

    Attributes:
        folder: The folder of the model, or of its pipeline.
        options: Arguments of an index besides: lora, size.
        captions: Keyword argument with the captions of the six pictures.
    """

    def __init__(self, name, place):
        self.name, self.place = name, place
        family, section, self.diffusion, frozen = KINDS[name]
        self.entry = FAMILIES[family]
        self.family = importlib.import_module(f"dasbench.diffusion.families.{self.entry['module']}")
        self.section, self.options, self.captions = dict(section), {}, {}
        self.folder, pixels = place / "model", PIXELS.transpose(0, 3, 1, 2) / 127.5 - 1
        self.inputs = pixels.astype(np.float32)
        if isinstance(frozen, str):
            self.section["pretrained"] = str(getattr(tiny_pipelines, frozen)(self.folder))
            self.options = {"lora": place / "lora"}
        elif frozen:
            tiny_pipelines.autoencoder(frozen).save_pretrained(place / "vae")
            self.section["pretrained"] = str(place / "vae")
        if self.entry["latents"]:
            self.inputs = self.family.encode(self.section, self.inputs)
        self.shape = self.inputs.shape[1:]
        if name == "flux":  # the pipeline does not state it
            self.options["size"] = 8
        if self.entry["prompts"]:
            self.captions = {"prompts": [TEXTS[i % 3] for i in range(6)]}
        elif "num_class_embeds" in section:
            self.captions = {"labels": [i % 3 for i in range(6)]}
        self.write()

    def write(self):
        network, process = self.family.build(self.section, self.diffusion, self.shape, AXES)
        drawn(network)
        self.family.save(self.options.get("lora", self.folder), network, process, self.section)

    def workflow(self):
        """(network, process, condition of the six pictures) as the workflow opens them."""
        settings = {"family": self.entry["module"], "model": self.section}
        labels, table = np.arange(6) % 3, None
        if self.entry["prompts"]:
            table = self.place / "prompts.npy"
            np.save(table, self.family.embed(self.section, [*TEXTS, ""]))
        model = model_inputs.Model(settings, "cpu", prompts=table)
        network, process = model.load(self.options.get("lora", self.folder))
        return network, process, model.condition(labels)
