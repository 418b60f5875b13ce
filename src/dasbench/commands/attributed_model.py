"""The model that ``attribute`` is asked about: where it comes from, and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.errors import UserError, first_line

_SAME = 1e-2  # relative difference of predictions that rounding explains, also in TF32


def load(
    model: Any,
    scheduler: str | Path | None = None,
    lora: str | Path | None = None,
    size: int | None = None,
) -> Any:
    """The model of a folder, a pipeline or a pair, see ``dasbench.diffusion.opened.Opened``.

    Args:
        model: The folder, pipeline, or (network, scheduler).
        scheduler: For the folder of a UNet without one, the file of the scheduler.
        lora: For the folder of a pipeline whose adapter was trained, the adapter.
        size: For a model of latents that does not state it, pixels of a side of its pictures.

    Raises:
        UserError: If it is something else, or an option does not fit.
    """
    from dasbench.diffusion import checkpoints, opened

    if isinstance(model, str | Path):
        options = opened.Options(scheduler, lora, size)
        return opened.from_folder(Path(model), checkpoints.pick_device(), options)
    if scheduler is not None:
        raise UserError("scheduler is for a folder; give (network, scheduler) as the model instead")
    if lora is not None:
        raise UserError("lora is for a folder; load it by pipeline.load_lora_weights instead")
    if isinstance(model, tuple | list):
        if len(model) != 2:  # noqa: PLR2004 - a pair
            raise UserError(f"model has {len(model)} parts, expected (network, scheduler)")
        return _of_pixels(opened.from_network(*model), size)
    if found := opened.from_pipeline(model, size):
        return found
    parts = getattr(model, "components", None)
    if isinstance(parts, dict) and {"unet", "scheduler"} <= set(parts):
        if taken := next((k for k in ("text_encoder", "vae", "vqvae") if parts.get(k)), None):
            takes = "prompts" if taken == "text_encoder" else "latents"
            raise _takes_more(f"the {type(model).__name__}", takes)
        return _of_pixels(opened.from_network(parts["unet"], parts["scheduler"]), size)
    raise UserError(
        f"the model is a {type(model).__name__}; expected the folder of a diffusers pipeline, a "
        "pipeline with a unet and a scheduler, or (network, scheduler)"
    )


def _of_pixels(model: Any, size: int | None) -> Any:
    """A model of pixels, whose size is that of its pictures."""
    if type(model.network).__name__ == "UNet2DConditionModel":
        raise _takes_more("the model", "prompts")
    if size is not None:
        raise UserError(f"size is {size}, but the model takes pixels; leave it out")
    return model


def unconditional(model: Any, scheduler: str | Path | None = None) -> tuple[Any, Any]:
    """(network, scheduler or process) of an unconditional model of pixels, see ``load``.

    Raises:
        UserError: If it takes latents, prompts or classes; and as ``load``.
    """
    from dasbench.diffusion import pipelines

    what = "the model"
    if isinstance(model, str | Path):
        what = f"the model in {model}"
        if takes := pipelines.takes(Path(model).expanduser()):
            raise _takes_more(what, takes)
    opened = load(model, scheduler)
    check_unconditional(opened, what)
    return opened.network, opened.process


def check_unconditional(opened: Any, what: str) -> None:
    """Refuse a model that takes latents, prompts or classes.

    Args:
        opened: From ``load``.
        what: The model in words.

    Raises:
        UserError: It names what the model takes.
    """
    if takes := opened.takes or (opened.encoder and "latents"):
        raise _takes_more(what, takes)


def _takes_more(what: str, takes: str) -> UserError:
    return UserError(
        f"{what} takes {takes}, expected an unconditional one of pixels; ask a dasbench.Index of "
        "the folder of its pipeline (`dasbench index`)"
    )


def checked(model: tuple[Any, Any]) -> tuple[Any, Any]:
    """(network, process), checked; see ``evaluation_mode.usable`` and ``process.of``."""
    from dasbench.diffusion import evaluation_mode, unet_config
    from dasbench.diffusion import process as processes

    network, process = evaluation_mode.usable(model[0]), processes.of(model[1])
    config = getattr(network, "config", None)
    if isinstance(config, Mapping) and type(network).__name__ == "UNet2DModel":
        unet_config.check(config, "the network's config")
        unet_config.say_learned_variance(config)
    return network, process


def extractor(
    unet: Any,
    process: Any,
    settings: Mapping[str, Any],
    axes: Sequence[Any],
    shape: Sequence[int],
    condition: Any = None,
) -> Any:
    """The extractor of features, after the network and its layers have been tried.

    They are tried in evaluation mode, and left as they were.

    Args:
        unet: The network.
        process: Its process.
        settings: Of the features.
        axes: Leading seed axes.
        shape: (C, H, W) of the network's inputs.
        condition: Conditions of three images or more, or None.
    """
    from dasbench.diffusion.evaluation_mode import evaluating, plain_arithmetic
    from dasbench.gradients import features, guard

    if settings["timesteps"] > process.total:
        raise UserError(
            f"timesteps is {settings['timesteps']}, but the model was trained with "
            f"{process.total} timesteps; take at most as many"
        )
    with plain_arithmetic(), evaluating(unet):
        _try(unet, process, shape, condition)
    try:
        made = features.Extractor(unet, process, settings, axes)
    except ValueError as error:  # an option of the user
        raise UserError(str(error)) from error
    if settings["projection"] == "kronecker":
        try:
            made.check(shape, condition)
        except UserError as error:
            if condition is None:
                raise
            # the other projections, which the error names, do not know conditions
            raise advised(error, "give --parameters that leave it out") from error
    elif condition is not None:
        raise UserError(
            f"projection is {settings['projection']}, which is not checked for networks with a "
            "condition; leave it out, for kronecker"
        )
    else:
        parameters = settings["parameters"]
        single = features.per_example_gradients(unet, "loss", parameters)
        guard.check_single(unet, single, parameters, process, shape)
    return made


def _try(unet: Any, process: Any, shape: Sequence[int], condition: Any = None) -> None:
    """Predict three images at the first, a middle and the last timestep, alone and in one batch."""
    import torch

    from dasbench import seeds
    from dasbench.diffusion import denoiser

    places = (process.total // 2, 0, process.total - 1)
    noise = seeds.generator("trial", *shape).standard_normal((len(places), *shape), np.float32)
    x = torch.from_numpy(noise).to(next(unet.parameters()))
    time = process.time(torch.tensor(places, device=x.device))

    def predict(rows: slice) -> torch.Tensor:
        try:
            with torch.no_grad():
                given = condition and condition[rows].to(x)
                return denoiser.predict(unet, x[rows].clone(), time[rows], given)
        except UserError:
            raise
        except Exception as error:  # a network of the user raises anything
            n, t = rows.stop - rows.start, ", ".join(f"{t:g}" for t in time[rows].tolist())
            raise UserError(
                f"the network cannot be called with images [{n}, {', '.join(map(str, shape))}] and "
                f"timesteps [{t}] ({type(error).__name__}: {first_line(error)}); expected a "
                "denoiser of such inputs, network(x_t, t)"
            ) from error

    def differ(one: torch.Tensor, other: torch.Tensor) -> bool:
        return bool(
            ((one - other).flatten(1).norm(dim=1) > _SAME * one.flatten(1).norm(dim=1)).any()
        )

    alone, again = (
        torch.cat([predict(slice(i, i + 1)) for i in range(len(places))]) for _ in range(2)
    )
    if differ(alone, again):
        raise UserError(
            "the network's prediction differs from call to call, so that its gradients are not "
            "those of one loss; it must draw no random numbers in evaluation mode"
        )
    if differ(alone, predict(slice(0, len(places)))):
        raise UserError(
            "the network's prediction of an image depends on the other images and timesteps of its "
            "batch, so that there is no gradient of one image; it must treat every row by itself, "
            "with its own timestep"
        )


def advised(error: UserError, advice: str) -> UserError:
    """The error of a layer with an advice that this door has; every other error unchanged."""
    fault = getattr(error, "fault", None)
    return error if fault is None else UserError(f"{fault}; {advice}")


def shape(network: Any, images: Any) -> tuple[int, int, int]:
    """(C, H, W) of the images of a network.

    Args:
        network: The network; if it does not state its size, the images do.
        images: [N, H, W, C], or another form if the network states its size.

    Raises:
        UserError: If neither states it.
    """
    config = getattr(network, "config", None)
    if isinstance(config, Mapping):
        size, channels = config.get("sample_size"), config.get("in_channels")
        sides = [size, size] if isinstance(size, int) else size
        # a configuration that is not of diffusers may mean something else by these names
        if isinstance(sides, list | tuple) and [type(n) for n in (channels, *sides)] == 3 * [int]:
            return channels, *sides
    if np.ndim(images) != 4:  # noqa: PLR2004 - [N, H, W, C]
        raise UserError(
            f"the network does not state the size of its images, and these have {np.ndim(images)} "
            "axes; expected an array [N, H, W, C]"
        )
    _, height, width, channels = np.shape(images)
    return channels, height, width
