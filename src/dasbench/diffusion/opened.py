"""A trained model of any family as attribution uses it, from a folder or a pipeline in memory.

The families say what they can do, see ``dasbench.diffusion.families``; no other code here knows
them by their names.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dasbench.core import artifacts, hashed_chunks
from dasbench.diffusion import evaluation_mode, model_inputs, own_checkpoint, pipelines
from dasbench.diffusion.conditions import Condition
from dasbench.diffusion.families import autoencoder, pretrained
from dasbench.diffusion.process import Process
from dasbench.errors import UserError
from dasbench.model_families import FAMILIES

Encoder = autoencoder.Encoder
Embedder = Callable[[Sequence[str]], np.ndarray]  # prompts -> embeddings [K, S, d]
# parts of a pipeline that stay frozen, by the beginning of their names
_FROZEN = ("vae", "vqvae", "text_encoder", "tokenizer")
_SUFFIXES = (".json", ".safetensors", ".txt", ".model")


class Opened(NamedTuple):
    """A trained model, and what its network takes.

    Attributes:
        kind: The class of its pipeline, or of its network.
        network: The denoiser.
        process: Its process, or a scheduler of diffusers.
        condition: Function of (classes [n] int64, None), or of (row numbers [n] int64, embeddings
            [K, S, d] with the empty prompt last), to the ``Condition`` of n images.
        classes: Number of classes; None if it takes none.
        adapter: Whether an adapter of a frozen network was trained.
        shape: (C, H, W) of the pictures of a model of latents; None if it does not state it.
        encoder: For models of latents, makes the function of pictures; it reads files if need be.
        embedder: For models with prompts, makes the function of prompts.
        frozen: Makes the hashes of the parts besides the network, by their names.
        names: Names of the classes in the order of their numbers, if the pipeline states them.
    """

    kind: str
    network: Any
    process: Process | Any
    condition: Callable[[np.ndarray, np.ndarray | None], Condition | None]
    classes: int | None = None
    adapter: bool = False
    shape: tuple[int, int, int] | None = None
    encoder: Callable[[], Encoder] | None = None
    embedder: Callable[[], Embedder] | None = None
    frozen: Callable[[], Mapping[str, str]] = dict
    names: Sequence[str] = ()

    @property
    def takes(self) -> str | None:
        """The condition of the network: "prompts", "classes", or None."""
        return "prompts" if self.embedder else "classes" if self.classes else None


class Options(NamedTuple):
    """Options that some models need.

    Attributes:
        scheduler: For the folder of a UNet without one, the ``scheduler_config.json``.
        lora: For a pipeline whose adapter was trained, its file or folder.
        size: For a model of latents, pixels of a side of its pictures.
    """

    scheduler: str | Path | None = None
    lora: str | Path | None = None
    size: int | None = None


DEFAULTS = Options()


def from_folder(
    folder: Path, device: torch.device | str = "cpu", options: Options = DEFAULTS
) -> Opened:
    """The model of a folder: of a pipeline, of a UNet or transformer, or of an experiment.

    Raises:
        UserError: If it is none of these, a file is missing or damaged, or an option does not fit.
    """
    folder = Path(folder).expanduser()
    kind = pipelines.kind(folder)
    name, section = pipelines.family(kind), {"pretrained": str(folder)}
    if kind is None and (folder / pipelines.ADAPTER).is_file():
        name, section, options = _of_experiment(folder, options)
        network, process = _module(name).load(folder, device, section)
    else:
        name = name or _importing(folder, kind)
        network, process = _read(name, folder, device, options)
    entry, module = FAMILIES[name], _module(name)
    shape = None
    if entry["latents"]:
        places = network.config.get("sample_size")
        shape = autoencoder.picture_shape(autoencoder.config_of(section), places, options.size)
    return Opened(
        kind or entry["pipeline"],
        network,
        process,
        *_conditioned(name, network, section),
        entry["adapter"],
        shape,
        functools.partial(module.encoder, section, device) if entry["latents"] else None,
        functools.partial(module.embedder, section, device) if entry["prompts"] else None,
        functools.partial(_frozen_files, section) if entry["latents"] else dict,
        _class_names(_index(folder).get("id2label")),
    )


def from_pipeline(pipeline: Any, size: int | None = None) -> Opened | None:
    """The model of a pipeline in memory; None if its class belongs to no family that can do this.

    Raises:
        UserError: If the pipeline lacks an adapter, or the size does not fit.
    """
    kind = type(pipeline).__name__
    name = pipelines.family(kind)
    if name is None or not hasattr(_module(name), "in_memory"):
        return None
    network, process, encoder, embed = _module(name).in_memory(pipeline)
    parts = {part: each for part, each in pipeline.components.items() if _is_frozen(part, each)}
    encode = functools.partial(autoencoder.encode_by, encoder)
    places = network.config.get("sample_size")
    return Opened(
        kind,
        network,
        process,
        *_conditioned(name, network, {}),
        FAMILIES[name]["adapter"],
        autoencoder.picture_shape(encoder.config, places, size),
        lambda: _evaluated(encode, parts),
        embed and (lambda: _evaluated(embed, parts)),
        lambda: {part: digest(module) for part, module in parts.items()},
        _class_names(pipeline.config.get("id2label")),
    )


def from_network(network: Any, process: Any) -> Opened:
    """A denoiser of pixels and its scheduler or process."""
    name = _importing()
    return Opened(type(network).__name__, network, process, *_conditioned(name, network, {}))


def digest(network: torch.nn.Module) -> str:
    """SHA-256 of a network: its weights and buffers, its settings, and the scales of adapters.

    Weights alone do not say what a network computes: the activation is a setting, and an adapter
    counts alpha / rank times.
    """
    config = getattr(network, "config", None)
    settings = dict(config) if isinstance(config, Mapping) else {}
    settings = {key: value for key, value in settings.items() if not key.startswith("_")}
    scales = {
        name: [sorted(layer.scaling.items()), layer.active_adapters, layer.disable_adapters]
        for name, layer in network.named_modules()
        if isinstance(getattr(layer, "scaling", None), dict)
    }
    text = json.dumps([settings, scales], sort_keys=True, default=str)
    total = hashlib.sha256(text.encode())
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        total.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        total.update(values.view(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _module(name: str) -> Any:
    return model_inputs.family(FAMILIES[name]["module"])


def _importing(folder: Path | None = None, kind: str | None = None) -> str:
    """The family of models of images that come without a pipeline, or with an unknown one.

    Raises:
        UserError: If the pipeline in the folder is unknown, and its network takes more than images.
    """
    if folder is not None and (takes := pipelines.takes(folder)):
        known = [entry["pipeline"] for entry in FAMILIES.values()]
        raise UserError(
            f"the model in {folder} is a {kind} and takes {takes}, expected one of "
            f"{', '.join(dict.fromkeys(known))}; save its parts as one of these"
        )
    return next(name for name, entry in FAMILIES.items() if entry["imports"])


def _read(
    name: str, folder: Path, device: torch.device | str, options: Options
) -> tuple[Any, Process]:
    """(network, process) of a folder.

    Raises:
        UserError: If an option is missing, or is of another family.
    """
    entry = FAMILIES[name]
    pipeline = f"the model in {folder} is read as a {entry['pipeline']}"
    for given, takes, what in (
        (options.lora, entry["adapter"], "adapter (lora)"),
        (options.scheduler, entry["imports"], "scheduler besides that of its folder"),
        (options.size, entry["latents"], "other size of its pictures"),
    ):
        if given is not None and not takes:
            raise UserError(
                f"{given} was given, but {pipeline}, which takes no {what}; leave it out"
            )
    if entry["adapter"]:
        if options.lora is None:
            raise UserError(
                f"{pipeline}, of which the weights of an adapter are attributed, expected its file "
                "too; give it by lora (--lora FILE)"
            )
        section = {"pretrained": str(folder)}
        return _module(name).adapted(section, Path(options.lora).expanduser(), device)
    # a file that the workflow made has another remedy than the user's
    ours = options.scheduler is None and artifacts.experiment_of(folder / "model_index.json")
    if entry["imports"] and not ours:
        return own_checkpoint.load(folder, device, options.scheduler)
    return _module(name).load(folder, device, {})


def _of_experiment(folder: Path, options: Options) -> tuple[str, dict[str, Any], Options]:
    """Family, section ``model`` and options of the experiment whose adapter lies in a folder.

    Raises:
        UserError: If no experiment made the folder, or options are given.
    """
    from dasbench.experiments import config, image_shapes

    home = artifacts.experiment_of(folder.absolute() / pipelines.ADAPTER)
    if home is None:
        raise UserError(
            f"{folder} holds an adapter alone; give the folder of its pipeline as the model, and "
            f"this one by lora (--lora {folder})"
        )
    if options != DEFAULTS:
        raise UserError(
            f"{folder} is the model of the experiment {home.name}, which states its scheduler, "
            "adapter and size; leave these options out"
        )
    root = home.parent.parent
    experiment = config.load(home.name, root)
    section = dict(experiment["model"])
    if frozen := section.get("frozen"):
        section["frozen"] = str(root / "results" / frozen)
    if name := section.get("pretrained"):
        places = [root / name, root / pretrained.PLACE / name]
        section["pretrained"] = str(next((p for p in places if p.is_dir()), name))
    size = image_shapes.shape_for(experiment, root)[1]
    return section["family"], section, Options(size=size)


def _conditioned(name: str, network: Any, section: Mapping[str, Any]) -> tuple[Any, int | None]:
    """The function of conditions of a family, and the number of classes of its network.

    Raises:
        UserError: If classes are not embedded by their numbers.
    """
    key, classes = FAMILIES[name]["classes"], None
    config = getattr(network, "config", None)
    if key and isinstance(config, Mapping):
        if embedded := config.get("class_embed_type"):
            raise UserError(
                f"the network embeds its classes by {embedded}, expected numbers of classes "
                "(num_class_embeds)"
            )
        classes = config.get("num_class_embeds")
        # a transformer without classes has one, which every image has
        if classes is None and (config.get("num_embeds_ada_norm") or 1) > 1:
            classes = config["num_embeds_ada_norm"]
        section = {**section, key: classes}
    return functools.partial(_module(name).condition, section), classes


def _index(folder: Path) -> Mapping[str, Any]:
    """The content of ``model_index.json``; empty without one."""
    file = folder / "model_index.json"
    return artifacts.load_json(file) if file.is_file() else {}


def _class_names(id2label: Any) -> tuple[str, ...]:
    """Names of classes in the order of their numbers, if a pipeline states all of them."""
    known = {int(key): str(name) for key, name in dict(id2label or {}).items()}
    complete = set(known) == set(range(len(known)))
    return tuple(known[i] for i in range(len(known))) if complete else ()


def _is_frozen(name: str, part: Any) -> bool:
    return name.startswith(_FROZEN) and isinstance(part, torch.nn.Module)


def _frozen_files(section: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the files of a pipeline's frozen parts, by their paths in its folder."""
    whole = pretrained.folder(section)
    return {
        file.relative_to(whole).as_posix(): hashed_chunks.digest(file)
        for part in sorted(whole.iterdir())
        if part.name.startswith(_FROZEN)
        for file in sorted(part.glob("*"))
        if file.suffix in _SUFFIXES
    }


def _evaluated(function: Callable[[Any], np.ndarray], parts: Mapping[str, Any]) -> Any:
    """The function with the parts of a user's pipeline in evaluation mode, which come back."""

    def called(argument: Any) -> np.ndarray:
        with ExitStack() as stack:
            for part in parts.values():
                stack.enter_context(evaluation_mode.evaluating(part))
            return function(argument)

    return called
