"""Find pretrained models on this machine. They stay unchanged, and are never downloaded here.

A job may run without a network, and the files that it depends on must exist to be hashed. So the
user fetches a model before the run, and an error names the model to fetch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.diffusion import checkpoints
from dasbench.errors import UserError, first_line

# size and licence of the models that config/experiments names
_KNOWN = {
    "lambdalabs/miniSD-diffusers": "about 4.3 GB in float32 without its safety checker, licence "
    "CreativeML OpenRAIL-M; safetensors at the revision in config/experiments/artbench2.yaml",
}
PLACE = "data/pretrained"
# the folder of each part of a pipeline has one of these files
_CONFIGS = ("config.json", "scheduler_config.json", "tokenizer_config.json")


def folder(model: Mapping[str, Any]) -> Path:
    """The folder of ``model.pretrained``.

    The name may be a path, a folder under data/pretrained, or a model in the cache of the hub.

    Args:
        model: The section ``model`` of the experiment: pretrained, revision.

    Raises:
        UserError: If the model is in none of these places; it names the model, its size and the
            command that fetches it.
    """
    name, revision = model["pretrained"], model.get("revision")
    for path in (Path(name), Path(PLACE, name)):
        if path.is_dir():
            return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        option = f" --revision {revision}" if revision else ""
        about = _KNOWN.get(name, "size and licence are on its page")
        raise UserError(
            f"model.pretrained is {name}, which is not here; fetch it ({about}) with `hf download "
            f"{name}{option} --local-dir {PLACE}/{name}`, or name a folder with a diffusers model"
        ) from error


def part(model: Mapping[str, Any], *names: str) -> Path:
    """The subfolder of the pretrained pipeline with one of these names, or the folder itself.

    Raises:
        UserError: If none of these folders holds a model.
    """
    whole = folder(model)
    for place in (*(whole / name for name in names), whole):
        if any((place / file).is_file() for file in _CONFIGS):
            return place
    raise UserError(
        f"model.pretrained is {model['pretrained']}, a folder without {' or '.join(names)}; name "
        "one that a diffusers pipeline or model was saved to"
    )


def digests(model: Mapping[str, Any], *names: str) -> dict[str, str]:
    """SHA-256 of every file in these subfolders of the pretrained pipeline, by relative path."""
    whole, sums = folder(model), {}
    for place in {part(model, name) for name in names}:
        for file in sorted(place.iterdir()):
            if file.is_file() and file.suffix in {".json", ".safetensors", ".txt"}:
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                sums[file.relative_to(whole).as_posix()] = digest
    return dict(sorted(sums.items()))


def load(
    kind: type[checkpoints.Network], model: Mapping[str, Any], *names: str
) -> checkpoints.Network:
    """The frozen network of the pretrained pipeline, float32, on the CPU.

    Args:
        kind: Its class in diffusers.
        model: See ``folder``.
        names: See ``part``.

    Raises:
        UserError: If the folder does not hold it in safetensors.
    """
    place = part(model, *names)
    try:
        found = checkpoints.read_network(kind, place)
    # a damaged file makes diffusers raise anything from OSError to TypeError
    except Exception as error:
        raise UserError(
            f"{place} holds no {kind.__name__} in safetensors ({first_line(error)}); fetch "
            f"{model['pretrained']} again"
        ) from error
    return found.float().requires_grad_(False)
