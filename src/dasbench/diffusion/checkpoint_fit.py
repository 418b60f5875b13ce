"""Whether diffusers can build the network of a user's model, and whether the weights are its own.

Only the headers of the files of weights are read, so that a command that plans can refuse a model
in seconds, whatever its size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dasbench.errors import UserError, first_line

PREFIXES = ("_orig_mod.", "module.")
_OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_POINTER = b"version https://git-lfs"
_NAMED = 3  # parameters in a sentence
Shapes = dict[str, tuple[int, ...]]


def check(config: Mapping[str, Any], file: Path, weights: Sequence[Path]) -> None:
    """Compare the configuration of a UNet2DModel with its weights.

    Args:
        config: The configuration.
        file: Its file, for messages.
        weights: Files of safetensors.

    Raises:
        UserError: If diffusers refuses the configuration, a file is damaged, or parameters are
            missing, unexpected or of another shape.
    """
    expected = _expected(config, file)
    stored = _stored(weights)
    missing, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected)
    for names, what in ((missing, "missing keys"), (unknown, "unexpected keys")):
        if names:
            raise UserError(
                f"the weights in {weights[0].parent} are not those of {file}: {what} "
                f"{', '.join(names[:_NAMED])}{', …' * (len(names) > _NAMED)}; give the "
                "configuration that the model was trained with"
            )
    for name, shape in expected.items():
        if stored[name] != shape:
            raise UserError(
                f"the weights in {weights[0].parent} are not those of {file}: {name} is "
                f"{list(stored[name])}, the configuration means {list(shape)}; give the one that "
                "the model was trained with"
            )


def stripped(name: str) -> str:
    """The name of a parameter without the prefixes of torch.compile and of data parallelism."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _current(name: str) -> str:
    """The name of a parameter today; diffusers before 0.17 named parts of attentions otherwise."""
    name = stripped(name)
    for old, new in _OLD.items():
        name = name.replace(old, new)
    return name


def _expected(config: Mapping[str, Any], file: Path) -> Shapes:
    """Shapes of the parameters and buffers of the network that a configuration describes."""
    built = _built(config)
    if not isinstance(built, Exception):
        return built
    blamed = next(
        (
            key
            for key in config
            if not key.startswith("_") and not isinstance(_built(_without(config, key)), Exception)
        ),
        None,
    )
    what = "describes a network" if blamed is None else f"has {blamed} {json.dumps(config[blamed])}"
    raise UserError(
        f"{file} {what} that diffusers refuses ({first_line(built).rstrip('.')}); write what the "
        "model was trained with"
    ) from built


def _without(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The configuration with a value that always fits in the place of ``key``, or without it."""
    rest = {name: value for name, value in config.items() if name != key}
    return rest | ({key: 1} if key == "norm_num_groups" else {})


def _built(config: Mapping[str, Any]) -> Shapes | Exception:
    import torch
    from diffusers import UNet2DModel

    try:
        with torch.device("meta"):
            network = UNet2DModel.from_config(dict(config))
    except Exception as error:  # diffusers and torch raise many classes
        return error
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _stored(weights: Sequence[Path]) -> Shapes:
    """Shapes of the stored tensors, by names without prefixes."""
    from safetensors import safe_open

    shapes: Shapes = {}
    for file in weights:
        with file.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                raise UserError(
                    f"{file} is a pointer of Git LFS, not the weights; fetch them by `git lfs pull`"
                )
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():
                    shapes[_current(name)] = tuple(opened.get_slice(name).get_shape())
        except Exception as error:  # a damaged file makes the library raise several classes
            raise UserError(
                f"{file} cannot be read ({first_line(error)}); copy the file again, or save the "
                "model again by `unet.save_pretrained`"
            ) from error
    return shapes
