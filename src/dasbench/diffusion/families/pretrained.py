"""Models that somebody else trained and that stay as they are: found here, never downloaded.

A job may run where there is no network, and what it depends on must be there to be hashed: the
user fetches, this says what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.errors import UserError

# what is known of those that config/experiments names
_KNOWN = {
    "lambdalabs/miniSD-diffusers": "about 4.3 GB in float32 without its safety checker, licence "
    "CreativeML OpenRAIL-M; safetensors at the revision in config/experiments/artbench2.yaml",
}
_PLACE = "data/pretrained"
# one of these is in the folder of each part of a pipeline
_CONFIGS = ("config.json", "scheduler_config.json", "tokenizer_config.json")


def folder(model: Mapping[str, Any]) -> Path:
    """The folder of ``model.pretrained``: itself, its place under data/, or the hub's cache.

    Args:
        model: The experiment's section: pretrained, revision.

    Raises:
        UserError: If it is in none of them: what to fetch, how large it is, where to put it.
    """
    name, revision = model["pretrained"], model.get("revision")
    for path in (Path(name), Path(_PLACE, name)):
        if path.is_dir():
            return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        at = f" --revision {revision}" if revision else ""
        about = _KNOWN.get(name, "size and licence are on its page")
        raise UserError(
            f"model.pretrained is {name}, which is not here; fetch it ({about}) with `hf download "
            f"{name}{at} --local-dir {_PLACE}/{name}`, or name a folder with a diffusers model"
        ) from error


def part(model: Mapping[str, Any], *names: str) -> Path:
    """The subfolder of the pretrained pipeline with one of these names, or the folder itself.

    Raises:
        UserError: If there is no model in any of them.
    """
    whole = folder(model)
    for found in (*(whole / name for name in names), whole):
        if any((found / file).is_file() for file in _CONFIGS):
            return found
    raise UserError(
        f"model.pretrained is {model['pretrained']}, a folder without {' or '.join(names)}; name "
        "one that a diffusers pipeline or model was saved to"
    )


def digests(model: Mapping[str, Any], *names: str) -> dict[str, str]:
    """SHA-256 of every file in these subfolders of the pretrained pipeline, by relative path."""
    whole, found = folder(model), {}
    for place in {part(model, name) for name in names}:
        for file in sorted(place.iterdir()):
            if file.is_file() and file.suffix in {".json", ".safetensors", ".txt"}:
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                found[file.relative_to(whole).as_posix()] = digest
    return dict(sorted(found.items()))
