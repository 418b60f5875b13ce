"""Attribution without the benchmark: find the training images that influenced an image.

Python programs call ``attribute``; ``./run attribute`` runs this module. No model is retrained, so
nothing is measured about the quality of a method: that is the task of the benchmark.
"""

from __future__ import annotations

import argparse
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench import registry
from dasbench.attribution import transforms
from dasbench.attribution.methods import interface
from dasbench.commands import answers
from dasbench.core import artifacts, script_main, tables
from dasbench.data import arrays, pictures
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
READING = {"resize": "crop", "background": (255, 255, 255), "range": None}
ROOT = Path(__file__).parents[3]


def attribute(
    model: str | Path | tuple[Any, Any],
    images: Any,
    queries: Any,
    method: str = DEFAULT_METHOD,
    damping: float = DEFAULT_DAMPING,
    seed: int = 0,
    **feature_options: Any,
) -> np.ndarray:
    """Score every training image for every query.

    Args:
        model: A diffusers pipeline folder (unconditional, ``UNet2DModel``), or (unet, scheduler).
        images: [N, H, W, C] uint8, the training images of the model; or in another form that can
            mean one thing only, see ``dasbench.data.arrays``.
        queries: [Q, H, W, C] uint8, the images to explain; or in another form, as ``images``.
        method: A gradient method of ``dasbench.registry``, such as "das_common" or "dtrak".
        damping: Relative to the largest eigenvalue of the training kernel.
        seed: Seed of the noise and the projection.
        **feature_options: timesteps, draws, dimensions, projection, norms, parameters, dtype.

    Returns:
        [N, Q] float64, higher = more influential, after the transform of the method.

    Warns:
        UserWarning: If a query is a training image and does not come out on top of its own scores.

    Raises:
        UserError: If the method or an option is unknown, it is not certain what the images mean,
            they do not fit the model, or the model takes latents, prompts or classes.

    Example:
        >>> scores = attribute("results/digits/models/base", train, generated)  # doctest: +SKIP
        >>> scores[:, 0].argsort()[::-1][:8]  # doctest: +SKIP
    """
    options = _options(method, feature_options)
    _check_damping(damping)
    pair = model if isinstance(model, tuple) else _load(Path(model))
    shape = _shape(pair[0])
    train, asked = (
        arrays.images(value, shape, what)
        for value, what in ((images, "training images"), (queries, "queries"))
    )
    complete = {**FEATURE_DEFAULTS, **feature_options, **options["features"]}
    matrix = scores(pair, train, asked, {**options, "features": complete}, damping, seed)
    same = answers.itself(train, asked)
    if below := answers.failed(matrix, same):
        sentence = answers.sentence(len(below), len(same), list(below.values()))
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return matrix


def _check_damping(damping: float) -> None:
    if not (damping > 0 and math.isfinite(damping)):
        raise UserError(f"damping is {damping:g}, expected a positive number such as 1e-4")


def scores(
    model: tuple[Any, Any],
    images: np.ndarray,
    queries: np.ndarray,
    options: Mapping[str, Any],
    damping: float,
    seed: int = 0,
    released_timesteps: int = RELEASED_TIMESTEPS,
    probes: answers.Probes | None = None,
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
        probes: Training images to ask about, too; gets their scores.

    Returns:
        [N, Q] float64, as from ``attribute``.

    Raises:
        UserError: If the images do not fit the model, or the kernel keeps timesteps apart.
    """
    from dasbench.diffusion import denoiser
    from dasbench.diffusion import process as processes
    from dasbench.gradients import features, residuals

    if options["kernel"] != "averaged":
        raise UserError(f"kernel {options['kernel']} cannot be used here; choose averaged")
    unet, process = model[0], processes.of(model[1])
    shape = _shape(unet)
    images = arrays.images(images, shape, "training images")
    queries = arrays.images(queries, shape, "queries")
    count = len(queries)
    if probes is not None:
        queries = np.concatenate([queries, images[probes.choose(len(images))]])
    train_inputs, query_inputs = denoiser.to_model(images), denoiser.to_model(queries)
    axes, ids, settings = ("attribute", seed), np.arange(len(train_inputs)), options["features"]
    residual = None
    if options["residual"] != "none":
        grid = {"kind": options["residual"]}
        if options["residual"] == "released":
            grid |= {"timestep_rule": "released", "timesteps": released_timesteps}
        residual = residuals.compute(unet, process, train_inputs, ids, {**settings, **grid}, axes)
    inputs = interface.Inputs(
        train_images=images,
        train_labels=np.zeros(len(train_inputs), np.int64),
        train_ids=ids,
        query_images=query_inputs,
        query_labels=np.zeros(len(query_inputs), np.int64),
        train_features=features.compute(unet, process, train_inputs, ids, "train", settings, axes),
        query_features=features.compute(
            unet, process, query_inputs, np.arange(len(query_inputs)), "query", settings, axes
        ),
        residuals=residual,
        scores=None,
        axes=axes,
    )
    _, raw = next(interface.path(options, inputs, [damping]))
    matrix = transforms.apply(raw, options["transform"])
    if probes is not None:
        probes.scores = matrix[:, count:]
    return matrix[:, :count]


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


def _load(folder: Path) -> tuple[Any, Any]:
    """(unet, process) of an unconditional pipeline of pixels.

    Raises:
        UserError: If it takes latents, prompts or classes, which an image file does not have.
    """
    from dasbench.diffusion import checkpoints, pipelines
    from dasbench.diffusion.families import pixel

    takes = pipelines.takes(folder)
    unet, process = (None, None) if takes else pixel.load(folder, checkpoints.pick_device())
    if unet is not None and unet.config.get("num_class_embeds"):
        takes = "classes"
    if takes:
        raise UserError(
            f"the model in {folder} takes {takes}, expected an unconditional one of pixels; make "
            "the images queries of an experiment, whose scores are files in results/"
        )
    return unet, process


def _shape(unet: Any) -> tuple[int, int, int]:
    """(C, H, W) of the images of a network."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return unet.config.in_channels, height, width


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], data: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Images [n, H, W, C] uint8 of files, at the size of the model; see ``_read``."""
    return _read({str(path): path for path in paths}, shape, data)[0]


def _read(
    named: Mapping[str, Path],
    shape: tuple[int, int, int],
    data: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Read image files as the data set ``folder`` does, at the size of the model.

    What was done to them is printed: cropped ones, animations, identical ones.

    Args:
        named: Name to show -> image file.
        shape: (C, H, W) of the model; 1 channel reads as grey, 3 as RGB.
        data: The experiment's ``data`` section, for its ``resize``, ``background`` and ``range``;
            None for the defaults of the reader (crop, white). CelebA's crop to 140 pixels is not
            repeated, because most queries are samples of the model, which look cropped already.
        skip_bad: Leave out files that cannot be read, and name them.

    Returns:
        Images [n, H, W, C] uint8, and their names.

    Raises:
        UserError: If files are missing or not images, or do not fit the shape; all are named.
    """
    channels, height, width = shape
    # the reader makes squares; for a model that is not square, the file must have its size
    fit = {**READING, **{key: data[key] for key in READING if data and key in data}}
    fit |= {"size": height if height == width else None, "channels": 1 if channels == 1 else 3}
    found = pictures.read_all(named, fit)
    bad = found.bad
    if bad and not skip_bad:
        raise UserError(
            f"{len(bad)} files cannot be read as images: "
            f"{'; '.join(f'{pictures.shown(name)} ({why})' for name, why in bad)}; mend them, or "
            "leave them out by --skip-bad"
        )
    pictures.refuse("", bad, skip=True)
    names = [list(named)[i] for i in found.good]
    if not names:
        raise UserError("no image is left that can be read; give PNG or JPEG files")
    for name, image in zip(names, found.images, strict=True):
        if image.shape != (height, width, channels):
            raise UserError(
                f"{name} reads as (height, width, channels) {image.shape}, the model works on "
                f"{(height, width, channels)}; give images of that form"
            )
    for note in found.notes:
        print(f"note: {note}")
    return np.stack(list(found.images)), names


def _files(paths: Sequence[Path], what: str) -> dict[str, Path]:
    """Name to show -> file, for files and for the pictures in folders.

    Raises:
        UserError: If paths are missing, all of which are named, or a folder holds no picture.
    """
    from dasbench.data import folder

    if missing := [str(path) for path in paths if not path.exists() and not path.is_symlink()]:
        raise UserError(f"{what} missing: {pictures.listed(missing, 10)}; check the paths")
    files: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            files[str(path)] = path
            continue
        listing = folder.listing(path)
        inside = [*listing.label_of, *(name for name, _ in listing.bad)]
        if not inside:
            raise UserError(f"{path} holds no image files; expected PNG, JPEG or the like")
        files |= {str(path / name): path / name for name in sorted(inside)}
        for note in listing.notes:
            print(f"note: {path}: {note}")
    return files


def _training_set(
    home: Path,
    data: Path | None,
    shape: tuple[int, int, int],
    reading: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Images [N, H, W, C] and their names, from the folder ``data`` or else from results."""
    if data is None:
        train = artifacts.load_examples(home / "examples" / "train.npz")
        return train.images, [
            f"id {i} (label {c})" for i, c in zip(train.ids, train.labels, strict=True)
        ]
    return _read(_files([data], "the training images are"), shape, reading, skip_bad)


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


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./run attribute", description=main.__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="the queries: image files or folders"
    )
    parser.add_argument(
        "--experiment", default="digits", help="whose model and training set (digits)"
    )
    parser.add_argument("--model", type=Path, help="a diffusers pipeline folder instead")
    parser.add_argument("--data", type=Path, help="folder of the images that it was trained on")
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"({DEFAULT_METHOD})")
    parser.add_argument("--damping", type=float, help="relative; default: the experiment's choice")
    parser.add_argument("--top", type=int, default=8, help="how many training images to name (8)")
    parser.add_argument("--scores", type=Path, help="also write the [N, Q] scores here, .npy")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out files that are no images"
    )
    parser.add_argument(
        "--resize",
        choices=("crop", "pad", "stretch"),
        help="how images become squares; default: the experiment's, or crop",
    )
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="numbers of black and white in images of more than 8 bits",
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse options that cannot work, before any work.

    Raises:
        UserError: If a value is impossible, or the scores cannot be written.
    """
    if (args.model is None) != (args.data is None):
        raise UserError("--model and --data go together: the model and what it was trained on")
    for given, what in ((args.model, "--model"), (args.data, "--data")):
        if given is not None and not given.exists():
            raise UserError(f"{what} {given} is missing; check the path")
    if args.damping is not None:
        _check_damping(args.damping)
    if args.top < 1:
        raise UserError(f"--top is {args.top}, expected 1 or more")
    if args.range and not args.range[0] < args.range[1]:
        raise UserError(f"--range is {args.range}, expected BLACK and WHITE, the smaller first")
    if args.scores is not None:
        if args.scores.suffix != ".npy" or args.scores.is_dir():
            raise UserError(f"--scores is {args.scores}, expected a file with the ending .npy")
        place = next(p for p in args.scores.absolute().parents if p.exists())
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise UserError(f"--scores {args.scores} cannot be written: {place} refuses files")


def main() -> None:
    """Print the training images with the highest scores for each image."""
    from dasbench.diffusion import checkpoints

    args = _parser().parse_args()
    _check(args)
    files = _files(args.images, "the queries are")
    own_model = args.model is not None
    options, released_timesteps, data = _method(args.method, None if own_model else args.experiment)
    given = {"resize": args.resize, "range": args.range}
    reading = {**(data or {}), **{key: value for key, value in given.items() if value is not None}}
    checkpoints.use_threads(max(1, (os.cpu_count() or 1)))
    home = ROOT / "results" / args.experiment
    folder = args.model or home / "models" / "base"
    unet, process = _load(folder)
    shape = _shape(unet)
    queries, asked = _read(files, shape, reading, args.skip_bad)
    train, names = _training_set(home, args.data, shape, reading, args.skip_bad)
    damping = args.damping
    if damping is None and not own_model:
        damping = _damping(home / "lds" / "selection.csv", args.method, options["transform"])
    damping = DEFAULT_DAMPING if damping is None else damping
    probes = answers.Probes()
    matrix = scores(
        (unet, process), train, queries, options, damping, 0, released_timesteps, probes
    )
    print(f"{args.method}, damping {damping:g} of the largest eigenvalue")
    _show(matrix, asked, names, args.top)
    print("\n".join(answers.checked(train, queries, matrix, probes, asked)))
    if not own_model:
        print(answers.measured(home, args.method, options["transform"]))
    if args.scores:
        artifacts.save_array(args.scores, matrix)


def _show(matrix: np.ndarray, asked: Sequence[str], names: Sequence[str], top: int) -> None:
    for name, column in zip(asked, matrix.T, strict=True):
        print(pictures.shown(name))
        for place, i in enumerate(np.argsort(-column, kind="stable")[:top], start=1):
            print(f"  {place:2d}  {column[i]:.4g}  {pictures.shown(names[i])}")


if __name__ == "__main__":
    script_main.main(main)
