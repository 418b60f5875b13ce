"""A trained model that a user brings: where its files lie, what its network takes, and reading it.

Layouts of a folder:

pipeline     ``unet/`` and ``scheduler/``, as ``pipeline.save_pretrained`` writes them.
bare UNet    ``config.json`` and weights; ``scheduler_config.json`` lies in the same folder or in
             ``scheduler/`` beside it, or the user names it.

Weights are safetensors: one file, shards with an index, or a variant such as fp16. Names of
parameters may start with ``_orig_mod.`` (torch.compile) or ``module.`` (data parallel). Every other
layout is refused with the line that converts it. ``find`` loads no torch; ``load`` does.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dasbench.diffusion import checkpoint_fit, pipelines, process_table, unet_config
from dasbench.errors import UserError, first_line, say

STEM = "diffusion_pytorch_model"
EXPECTED = (
    "expected a folder that `pipeline.save_pretrained` wrote, with unet/ and scheduler/, or the "
    "folder of a UNet with scheduler_config.json in it"
)
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


class Found(NamedTuple):
    """The files of a model.

    Attributes:
        folder: The folder that the user named.
        unet: Folder of the UNet's configuration and weights.
        variant: Variant of the weights, such as "fp16", or None.
        weights: The files with the weights.
        scheduler: ``scheduler_config.json``.
        config: Checked configuration of the UNet.
        schedule: Configuration of the scheduler, not checked.
    """

    folder: Path
    unet: Path
    variant: str | None
    weights: tuple[Path, ...]
    scheduler: Path
    config: dict[str, Any]
    schedule: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        return (self.config["in_channels"], *self.config["sample_size"])

    def check_weights(self) -> None:
        """Compare the configuration with the weights; see ``checkpoint_fit.check``."""
        checkpoint_fit.check(self.config, self.unet / "config.json", self.weights)


def find(folder: str | Path, scheduler: str | Path | None = None) -> Found:
    """Find the files of an unconditional model of pixels, or of one with classes.

    Args:
        folder: Folder of a pipeline or of a UNet.
        scheduler: The scheduler's file, or a folder with it; None to look for it.

    Returns:
        The files. ``config["sample_size"]`` is (height, width).

    Raises:
        UserError: If a file is missing or of another kind; it says how to convert it.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise _single_file(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder here; {EXPECTED}")
    index = _json(folder / "model_index.json") if _has(folder, "model_index.json") else {}
    if takes := pipelines.inputs(folder, index):
        raise UserError(
            f"the model in {folder} takes {takes}, expected an unconditional one of pixels; train "
            "one of its family in an experiment, whose scores are files in results/; see "
            "config/README.md"
        )
    unet = next((place for place in (folder / "unet", folder) if _has(place, "config.json")), None)
    if unet is None:
        raise _nothing(folder)
    config = unet_config.check(_json(unet / "config.json"), str(unet / "config.json"))
    file = _scheduler(folder, unet, scheduler)
    schedule = _json(file)
    _check_index(index, schedule, folder, file)
    variant, weights = _weights(unet)
    return Found(folder, unet, variant, weights, file, config, schedule)


def load(
    folder: str | Path, device: Any = "cpu", scheduler: str | Path | None = None
) -> tuple[Any, Any]:
    """Read a user's model: (UNet2DModel in evaluation mode, process).

    Args:
        folder: See ``find``.
        device: Device of the UNet.
        scheduler: See ``find``.

    Raises:
        UserError: If ``find`` does, the noise process is not supported, or a file is damaged.
    """
    from dasbench.diffusion import process as processes

    found = find(folder, scheduler)
    process = processes.from_config(found.schedule, str(found.scheduler))
    found.check_weights()
    unet = _read(found)
    if found.variant:
        say(
            f"the weights of {found.unet} are the variant {found.variant}; they are read as float32"
        )
    return unet.eval().to(device), process


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read ({first_line(error)}); copy or save the model again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{file} is no configuration, but a {type(content).__name__}; {EXPECTED}")
    return content


def _scheduler(folder: Path, unet: Path, given: str | Path | None) -> Path:
    """The scheduler's file: the given one, that of the pipeline, or the one beside the UNet."""
    name = "scheduler_config.json"
    if given is not None:
        given = Path(given).expanduser()
        is_file = given.is_file() or given.suffix == ".json"
        places = [given] if is_file else [given / name, given / "scheduler" / name]
    elif unet == folder:
        places = [folder / name, folder / "scheduler" / name, folder.parent / "scheduler" / name]
    else:
        places = [folder / "scheduler" / name]
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        f"{places[0]} is missing, so that the noise process of the model is not known; save the "
        f"scheduler that it was trained with by `scheduler.save_pretrained('{places[0].parent}')`"
    )


def _check_index(
    index: Mapping[str, Any], schedule: Mapping[str, Any], folder: Path, file: Path
) -> None:
    """Refuse a pipeline that names another noise process than its scheduler's file."""
    entry = index.get("scheduler")
    named = entry[-1] if isinstance(entry, list) and entry else None
    kinds = [process_table.kind_of(name) for name in (named, schedule.get("_class_name"))]
    if named and schedule.get("_class_name") and kinds[0] != kinds[1]:
        raise UserError(
            f"{folder / 'model_index.json'} names a {named}, {file} is of a "
            f"{schedule['_class_name']}: they differ in the noise process; keep the scheduler that "
            "the model was trained with"
        )


def _weights(unet: Path) -> tuple[str | None, tuple[Path, ...]]:
    """(variant, files): one file or shards; without a variant if there is a choice."""
    variants: dict[str | None, list[Path]] = {}
    for file in sorted(unet.glob("*.safetensors")):
        stem = _SHARD.sub("", file.stem)
        if stem == STEM or stem.startswith(f"{STEM}."):
            variants.setdefault(stem[len(STEM) + 1 :] or None, []).append(file)
    if not variants:
        raise _no_weights(unet)
    variant = min(variants, key=lambda name: (name is not None, name != "fp16", str(name)))
    files = variants[variant]
    whole = [file for file in files if not _SHARD.search(file.stem)]
    if whole:
        return variant, (whole[0],)
    return variant, _shards(unet, variant, files)


def _shards(unet: Path, variant: str | None, files: Sequence[Path]) -> tuple[Path, ...]:
    """The shards that the index names; all must be there."""
    index = unet / f"{STEM}.safetensors.index{f'.{variant}' if variant else ''}.json"
    if not index.is_file():
        raise UserError(
            f"{index} is missing, which says what {files[0].name} and the other parts hold; copy "
            "the whole folder"
        )
    mapped = _json(index).get("weight_map")
    names = sorted(set(mapped.values())) if isinstance(mapped, dict) else []
    for name in names:
        if Path(name).name != name or not (unet / name).is_file():
            raise UserError(
                f"{unet / name} is missing, a part of the weights that {index.name} names; copy "
                "the whole folder"
            )
    if not names:
        raise UserError(f"{index} names no parts of the weights; copy the whole folder")
    return tuple(unet / name for name in names)


def _read(found: Found) -> Any:
    """The UNet on the CPU in float32."""
    import torch
    from diffusers import UNet2DModel

    try:
        with tempfile.TemporaryDirectory(prefix="dasbench-model-") as temporary:
            unet, info = UNet2DModel.from_pretrained(
                _plain(found, Path(temporary)),
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        for kind in ("missing_keys", "unexpected_keys"):
            if info[kind]:
                raise ValueError(
                    f"its weights are not those of its config.json: {kind.replace('_', ' ')} "
                    f"{', '.join(info[kind][:3])}"
                )
    except UserError:
        raise
    # a damaged file makes the libraries raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"the model in {found.unet} cannot be read ({first_line(error)}); save it again by "
            "`unet.save_pretrained`"
        ) from error
    for name, parameter in unet.named_parameters():
        if not torch.isfinite(parameter).all():
            raise UserError(
                f"{found.weights[0]} has values in {name} that are not finite, so that the model "
                "gives no numbers; use weights from before the training diverged"
            )
    return unet.float()


def _plain(found: Found, temporary: Path) -> Path:
    """A folder in the layout of diffusers with these weights; they are copied only if renamed."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    shutil.copyfile(found.unet / "config.json", temporary / "config.json")
    names: list[str] = []
    for file in found.weights:
        with safe_open(file, "pt") as opened:
            names += opened.keys()
    if any(name.startswith(checkpoint_fit.PREFIXES) for name in names):
        weights = {
            checkpoint_fit.stripped(k): v for f in found.weights for k, v in load_file(f).items()
        }
        if len(weights) != len(names):
            raise ValueError("a parameter is there with and without a prefix")
        save_file(weights, temporary / f"{STEM}.safetensors")
    elif len(found.weights) == 1:
        (temporary / f"{STEM}.safetensors").symlink_to(found.weights[0].resolve())
    else:
        mapped = {}
        for file in found.weights:
            (temporary / file.name).symlink_to(file.resolve())
            with safe_open(file, "pt") as opened:
                mapped |= dict.fromkeys(opened.keys(), file.name)
        index = {"metadata": {}, "weight_map": mapped}
        (temporary / f"{STEM}.safetensors.index.json").write_text(json.dumps(index))
    return temporary


def _convert(files: Sequence[Path], target: Path) -> str:
    """The line that writes pickled weights as safetensors; parts become one file."""
    names = [str(file) for file in files]
    code = (
        "import torch; from safetensors.torch import save_file; w = {}; "
        f"[w.update((d := torch.load(f, map_location='cpu', weights_only=True)).get('state_dict', "
        f"d)) for f in {names}]; "
        f"save_file({{k: v.clone().contiguous() for k, v in w.items()}}, {str(target)!r})"
    )
    return f"python -c {shlex.quote(code)}"


def _no_weights(unet: Path) -> UserError:
    """No safetensors of diffusers: tell which other weights there are, and how to convert them."""
    target = unet / f"{STEM}.safetensors"
    others = sorted(f for f in unet.iterdir() if f.suffix in (*_PICKLED, ".safetensors"))
    if not others:
        return UserError(f"{target} is missing; copy the weights of the model there")
    first, pickled = others[0], [f for f in others if f.suffix in _PICKLED]
    if not pickled:
        return UserError(
            f"{unet} has {first.name} and no {target.name}; rename it, if it holds the weights"
        )
    return UserError(
        f"{unet} has pickled weights alone ({first.name}), which could run code when they are "
        "read; if you trust their source and it is a pickled network, save it by "
        "`network.save_pretrained` where its class is defined; if it is the weights, convert them: "
        f"{_convert(pickled, target)}"
    )


def _single_file(file: Path) -> UserError:
    """A single file has weights and no configuration."""
    if file.suffix == ".json":
        return UserError(f"{file} is a file, expected the folder that holds the model; {EXPECTED}")
    if file.suffix in _PICKLED:
        line = _convert([file], file.with_suffix(".safetensors"))
        return UserError(
            f"{file} is a single file of pickled weights, which could run code when it is read; "
            f"and it does not say the network or its noise process; {EXPECTED}; this converts the "
            f"weights: {line}"
        )
    line = (
        'python -c "from diffusers import UNet2DModel; from safetensors.torch import load_file; '
        "m = UNet2DModel.from_config('FOLDER-WITH-CONFIG'); "
        f"m.load_state_dict(load_file('{file}')); m.save_pretrained('FOLDER/unet')\""
    )
    return UserError(
        f"{file} is a single file, which does not say the network or its noise process; "
        f"{EXPECTED}; with the network's config.json this makes it: {line}"
    )


def _nothing(folder: Path) -> UserError:
    if other := next((d for d in sorted(folder.glob("unet*")) if _has(d, "config.json")), None):
        return UserError(
            f"{folder} has {other.name} and no unet; rename it to unet, if it is the network"
        )
    files = sorted(f.name for f in folder.iterdir() if f.suffix in (*_PICKLED, ".safetensors"))
    if files:
        return UserError(
            f"{folder} has {files[0]} and no config.json, so that the network is not known; "
            f"{EXPECTED}"
        )
    return UserError(f"{folder} is no folder of a model; {EXPECTED}")
