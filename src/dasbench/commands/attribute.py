"""Attribution without the benchmark: find the training images that influenced an image.

Python programs call ``attribute``; ``./run attribute`` runs this module. No model is retrained, so
nothing is measured about the quality of a method: that is the task of the benchmark.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench import registry
from dasbench.attribution import transforms
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.commands import attributed_model
from dasbench.core import artifacts, script_main, tables
from dasbench.errors import UserError

DEFAULT_METHOD = "das_common"
DEFAULT_DAMPING = 1e-4  # of the largest eigenvalue; the held-out choice for das_common on digits
FEATURE_DEFAULTS = {
    "timesteps": 10,
    "draws": 1,
    "dimensions": 4096,
    "projection": "kronecker",
    "norms": "projected",
    "oversampling": 4,
    "parameters": "weights",
}
RELEASED_TIMESTEPS = 100
ROOT = Path(__file__).parents[3]


def attribute(  # noqa: PLR0913 - the last three have defaults that few change
    model: str | Path | tuple[Any, Any] | Any,
    images: np.ndarray,
    queries: np.ndarray,
    method: str = DEFAULT_METHOD,
    damping: float = DEFAULT_DAMPING,
    seed: int = 0,
    scheduler: str | Path | None = None,
    **feature_options: Any,
) -> np.ndarray:
    """Score every training image for every query.

    Args:
        model: An unconditional model of pixels: the folder of a diffusers pipeline or of a
            ``UNet2DModel`` with a scheduler; a pipeline; or (network, scheduler). It is used in
            evaluation mode and left as it was.
        images: [N, H, W, C] uint8, the training images of the model.
        queries: [Q, H, W, C] uint8, the images to explain.
        method: A gradient method of ``dasbench.registry``, such as "das_common" or "dtrak".
        damping: Relative to the largest eigenvalue of the training kernel.
        seed: Seed of the noise and the projection.
        scheduler: For a folder without one, the ``scheduler_config.json`` of the model's training.
        **feature_options: timesteps, draws, dimensions, projection, norms, parameters, dtype.

    Returns:
        [N, Q] float64, higher = more influential, after the transform of the method.

    Raises:
        UserError: If the method or an option is unknown, the images do not fit the model, the model
            takes latents, prompts or classes, its noise process is not supported or not stated, or
            a layer's gradient cannot be computed.

    Example:
        >>> scores = attribute("results/digits/models/base", train, generated)  # doctest: +SKIP
        >>> scores[:, 0].argsort()[::-1][:8]  # doctest: +SKIP
    """
    options = _options(method, feature_options)
    pair = attributed_model.pair(model, scheduler)
    complete = {**FEATURE_DEFAULTS, **feature_options, **options["features"]}
    try:
        return scores(pair, images, queries, {**options, "features": complete}, damping, seed)
    except UserError as error:
        raise attributed_model.advised(
            error, "give projection='rademacher', or parameters='…'"
        ) from error


def scores(
    model: tuple[Any, Any],
    images: np.ndarray,
    queries: np.ndarray,
    options: Mapping[str, Any],
    damping: float,
    seed: int = 0,
    released_timesteps: int = RELEASED_TIMESTEPS,
) -> np.ndarray:
    """Score every training image for every query, with complete options of a method.

    Args:
        model: (unet, scheduler), or (unet, process).
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8.
        options: All options of a method of the kernel family, as in an experiment;
            ``features`` must be complete, too.
        damping: Relative to the largest eigenvalue of the training kernel.
        seed: Seed of the noise and the projection.
        released_timesteps: Number of timesteps of the residual "released".

    Returns:
        [N, Q] float64, as from ``attribute``.

    Raises:
        UserError: If the images do not fit the model, or the kernel keeps timesteps apart.
    """
    from dasbench.diffusion import denoiser
    from dasbench.diffusion.evaluation_mode import evaluating
    from dasbench.gradients import residuals

    if options["kernel"] != "averaged":
        raise UserError(f"kernel {options['kernel']} cannot be used here; choose averaged")
    unet, process = attributed_model.checked(model)
    train_inputs, query_inputs = denoiser.to_model(images), denoiser.to_model(queries)
    attributed_model.fit(unet, train_inputs, "training images")
    attributed_model.fit(unet, query_inputs, "queries")
    axes, ids, settings = ("attribute", seed), np.arange(len(train_inputs)), options["features"]
    with evaluating(unet):
        extract = attributed_model.extractor(unet, process, settings, axes, train_inputs.shape[1:])
        residual = None
        if options["residual"] != "none":
            grid = {"kind": options["residual"]}
            if options["residual"] == "released":
                grid |= {"timestep_rule": "released", "timesteps": released_timesteps}
            form = {**settings, **grid}
            residual = residuals.compute(unet, process, train_inputs, ids, form, axes)
        train_features = np.hstack(extract(train_inputs, ids, "train"))
        query_features = np.hstack(extract(query_inputs, np.arange(len(query_inputs)), "query"))
    inputs = interface.Inputs(
        train_images=images,
        train_labels=np.zeros(len(train_inputs), np.int64),
        train_ids=ids,
        query_images=query_inputs,
        query_labels=np.zeros(len(query_inputs), np.int64),
        train_features=train_features,
        query_features=query_features,
        residuals=residual,
        scores=None,
        axes=axes,
    )
    _, raw = next(interface.path(options, inputs, dampings([damping])))
    return transforms.apply(raw, options["transform"])


def _options(method: str, feature_options: dict[str, Any]) -> dict[str, Any]:
    usable = _usable(registry.METHODS)
    if method not in usable:
        raise UserError(f"method {method!r} cannot be used here; choose one of {', '.join(usable)}")
    if unknown := set(feature_options) - set(FEATURE_DEFAULTS):
        raise UserError(
            f"{sorted(unknown)} are no feature options; allowed: {', '.join(FEATURE_DEFAULTS)}"
        )
    return registry.METHODS[method]


def _usable(methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Methods of the kernel family, without those that need the sampling trajectory of a query."""
    return [
        name
        for name, options in methods.items()
        if options["module"] == "kernel_methods" and not options.get("journey")
    ]


def _load(folder: Path, scheduler: Path | None = None) -> tuple[Any, Any]:
    """See ``attributed_model.load``."""
    return attributed_model.load(folder, scheduler)


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], data: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Read image files as the data set ``folder`` does, at the size of the model.

    Args:
        paths: Image files.
        shape: (C, H, W) of the model; 1 channel reads as grey, 3 as RGB.
        data: The experiment's ``data`` section, for its ``resize`` and ``background``; None for
            the defaults of the reader (crop, white). CelebA's crop to 140 pixels is not repeated,
            because most queries are samples of the model, which look cropped already.

    Returns:
        [n, H, W, C] uint8.

    Raises:
        UserError: If a file is missing or not an image, or does not fit the shape.
    """
    from dasbench.data import decode

    channels, height, width = shape
    # the reader makes squares; for a model that is not square, the file must have its size
    fit = {"size": height if height == width else None, "channels": 1 if channels == 1 else 3}
    fit |= {key: data[key] for key in ("resize", "background")} if data else {}
    arrays = []
    for path in paths:
        try:
            read = decode.read(path, **fit)
        except decode.UnreadableError as error:
            raise UserError(
                f"{path} cannot be read as an image ({error}); give PNG or JPEG files"
            ) from error
        if read.shape != (height, width, channels):
            raise UserError(
                f"{path} reads as (height, width, channels) {read.shape}, the model works on "
                f"{(height, width, channels)}; give images of that form"
            )
        arrays.append(read)
    return np.stack(arrays)


def _training_set(
    home: Path, data: Path | None, shape: tuple[int, int, int]
) -> tuple[np.ndarray, list[str]]:
    """Images [N, H, W, C] and their names, from the folder ``data`` or else from results."""
    if data is None:
        train = artifacts.load_examples(home / "examples" / "train.npz")
        return train.images, [
            f"id {i} (label {c})" for i, c in zip(train.ids, train.labels, strict=True)
        ]
    from dasbench.data import folder

    paths = [data / name for name in folder.files(data)]
    if not paths:
        raise UserError(f"{data} holds no image files; give the folder of the training images")
    return read_images(paths, shape), [str(p) for p in paths]


def _method(method: str, name: str | None) -> tuple[dict[str, Any], int, dict[str, Any] | None]:
    """A method's complete options, timesteps of the released residual, and a ``data`` section.

    Args:
        method: Name of the method.
        name: Experiment with the options; None for those of the registry, with the defaults.
    """
    if name is None:
        options = _options(method, {})
        complete = {**options, "features": {**FEATURE_DEFAULTS, **options["features"]}}
        return complete, RELEASED_TIMESTEPS, None
    from dasbench.experiments import config

    experiment = config.load(name, ROOT)
    methods = config.methods(experiment)
    usable = _usable(methods)
    if method not in usable:
        raise UserError(
            f"{name} has no gradient method {method!r}; choose one of {', '.join(usable)}"
        )
    released = experiment["residuals"]["released_timesteps"]
    return methods[method], released, experiment["data"]


def _damping(selection: Path, method: str, transform: str) -> float:
    """The held-out damping of an experiment, or the default if it has none."""
    if not selection.is_file():
        return DEFAULT_DAMPING
    table = tables.load_table(selection)
    rows = table[
        (table["method"] == method)
        & (table["transform"] == transform)
        & (table["queries"] == "gen")
    ]
    return float(rows["damping"].iloc[0]) if len(rows) else DEFAULT_DAMPING


def main() -> None:
    """Print the training images with the highest scores for each image."""
    from dasbench.diffusion import checkpoints

    parser = argparse.ArgumentParser(prog="./run attribute", description=main.__doc__)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="what is asked about")
    parser.add_argument(
        "--experiment", default="digits", help="whose model and training set (digits)"
    )
    parser.add_argument("--model", type=Path, help="a diffusers pipeline folder instead")
    parser.add_argument("--data", type=Path, help="folder of the images that it was trained on")
    parser.add_argument(
        "--scheduler", type=Path, help="its scheduler_config.json, for a model folder without one"
    )
    parser.add_argument("--projection", help="of gradients, for networks that kronecker refuses")
    parser.add_argument("--parameters", help="the subset whose gradients are taken")
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"({DEFAULT_METHOD})")
    parser.add_argument("--damping", type=float, help="relative; default: the experiment's choice")
    parser.add_argument("--top", type=int, default=8, help="how many training images to name (8)")
    parser.add_argument("--scores", type=Path, help="also write the [N, Q] scores here, .npy")
    args = parser.parse_args()
    if (args.model is None) != (args.data is None):
        raise UserError("--model and --data go together: the model and what it was trained on")
    own_model = args.model is not None
    options, released_timesteps, data = _method(args.method, None if own_model else args.experiment)
    asked = {"projection": args.projection, "parameters": args.parameters}
    features = {**options["features"], **{k: v for k, v in asked.items() if v is not None}}
    options = {**options, "features": features}
    checkpoints.use_threads(max(1, (os.cpu_count() or 1)))
    home = ROOT / "results" / args.experiment
    folder = args.model or home / "models" / "base"
    unet, process = _load(folder, args.scheduler)
    size = unet.config.sample_size
    shape = (unet.config.in_channels, *((size, size) if isinstance(size, int) else size))
    train, names = _training_set(home, args.data, shape)
    queries = read_images(args.images, shape, data)
    damping = args.damping
    if damping is None and not own_model:
        damping = _damping(home / "lds" / "selection.csv", args.method, options["transform"])
    damping = DEFAULT_DAMPING if damping is None else damping
    try:
        matrix = scores((unet, process), train, queries, options, damping, 0, released_timesteps)
    except UserError as error:
        raise attributed_model.advised(
            error, "give --projection rademacher, or --parameters"
        ) from error
    print(f"{args.method}, damping {damping:g} of the largest eigenvalue")
    for path, column in zip(args.images, matrix.T, strict=True):
        print(path)
        for rank, i in enumerate(np.argsort(-column, kind="stable")[: args.top], start=1):
            print(f"  {rank:2d}  {column[i]:.4g}  {names[i]}")
    if args.scores:
        artifacts.save_array(args.scores, matrix)


if __name__ == "__main__":
    script_main.main(main)
