"""Attribution without the benchmark: find the training images that influenced an image.

Python programs call ``attribute``; ``./run attribute`` runs this module. No model is retrained, so
nothing is measured about the quality of a method: that is the task of the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.attribution import self_check, transforms
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.commands import (
    answers,
    attribute_options,
    attributed_model,
    image_files,
    index_manifest,
    index_settings,
    questions,
    subject,
    tool,
    training_files,
)
from dasbench.commands.image_files import read_images as read_images
from dasbench.commands.index import Index
from dasbench.commands.index_images import Images
from dasbench.commands.index_settings import (
    DEFAULT_METHOD,
    FEATURE_DEFAULTS,
    FEATURE_OPTIONS,
    RELEASED_TIMESTEPS,
    damping_of,
    options_of,
)
from dasbench.commands.subject import Subject
from dasbench.core import resumable, script_main, tables
from dasbench.data import arrays
from dasbench.errors import UserError
from dasbench.version import __version__

ROOT = Path(__file__).parents[3]


def attribute(  # noqa: PLR0913 - the last three have defaults that few change
    model: str | Path | tuple[Any, Any] | Any,
    images: Any,
    queries: Any,
    method: str = DEFAULT_METHOD,
    damping: float | None = None,
    seed: int = 0,
    scheduler: str | Path | None = None,
    **feature_options: Any,
) -> np.ndarray:
    """Score every training image for every query.

    Args:
        model: An unconditional model of pixels: the folder of a diffusers pipeline or of a
            ``UNet2DModel`` with a scheduler; a pipeline; or (network, scheduler). It is used in
            evaluation mode and left as it was.
        images: [N, H, W, C] uint8, the training images of the model; or in another form that can
            mean one thing only, see ``dasbench.data.arrays``.
        queries: [Q, H, W, C] uint8, the images to explain; or in another form, as ``images``.
        method: A gradient method of ``dasbench.registry``, such as "das_common" or "dtrak".
        damping: Relative to the largest eigenvalue of the training kernel; None: the median of
            those that tuning data chose for this method (``index_settings.DAMPINGS``).
        seed: Seed of the noise and the projection.
        scheduler: For a folder without one, the ``scheduler_config.json`` of the model's training.
        **feature_options: timesteps, draws, dimensions, projection, norms, oversampling,
            parameters, dtype; ``config/README.md`` says what they mean.

    Returns:
        [N, Q] float64, higher = more influential, after the transform of the method.

    Warns:
        UserWarning: If a training image does not come out on top of its own scores: a query that is
            one, or one of the few that every call asks about.

    Raises:
        UserError: If the method or an option is unknown, it is not certain what the images mean,
            they do not fit the model, the model takes latents, prompts or classes, its noise
            process is not supported or not stated, or a layer's gradient cannot be computed.

    Example:
        >>> scores = attribute("results/digits/models/base", train, generated)  # doctest: +SKIP
        >>> scores[:, 0].argsort()[::-1][:8]  # doctest: +SKIP
    """
    options = options_of(method)
    if options["kernel"] == "per_t":  # whose features are kept in files, one timestep after another
        with tempfile.TemporaryDirectory(prefix="dasbench-index-") as folder:
            pair = attributed_model.unconditional(model, scheduler)
            given = {"method": method, "damping": damping, "seed": seed, **feature_options}
            index = Index.build(pair, images, folder, **given)
            answer = index.ask(queries)
        for warning in answer.warnings:
            warnings.warn(warning, UserWarning, stacklevel=2)
        return answer.scores
    feature_options = attribute_options.check_features(feature_options, FEATURE_OPTIONS)
    damping = damping_of(method, damping)
    pair = attributed_model.checked(attributed_model.unconditional(model, scheduler))
    shape = attributed_model.shape(pair[0], images)
    train, asked = (
        arrays.images(value, shape, what)
        for value, what in ((images, "training images"), (queries, "queries"))
    )
    complete = {**FEATURE_DEFAULTS, **feature_options, **options["features"]}
    options, rows = {**options, "features": complete}, self_check.choose(len(train))
    both = np.concatenate([asked, train[rows]])
    try:
        matrix = scores(pair, train, both, options, damping, seed)
    except UserError as error:
        raise attributed_model.advised(
            error, "give projection='rademacher', or parameters='…'"
        ) from error
    matrix, own = matrix[:, : len(asked)], matrix[:, len(asked) :]
    same = self_check.itself(train, train[rows])
    ranks = [self_check.rank(own[:, j], same[j]) for j in range(len(rows))]
    if failure := answers.failure(train, asked, matrix, ranks):
        warnings.warn(failure, UserWarning, stacklevel=2)
    return matrix


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
    from dasbench.diffusion.evaluation_mode import evaluating, plain_arithmetic
    from dasbench.gradients import residuals

    if options["kernel"] != "averaged":
        raise UserError(
            f"kernel {options['kernel']} cannot be used here; choose averaged, or build a "
            "dasbench.Index"
        )
    unet, process = attributed_model.checked(model)
    shape = attributed_model.shape(unet, images)
    images = arrays.images(images, shape, "training images")
    queries = arrays.images(queries, shape, "queries")
    train_inputs, query_inputs = denoiser.to_model(images), denoiser.to_model(queries)
    axes, ids, settings = ("attribute", seed), np.arange(len(train_inputs)), options["features"]
    with plain_arithmetic(), evaluating(unet):
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
    _check_features(train_features, query_features)
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
    return answers.check_scores(transforms.apply(raw, options["transform"]), damping)


def _check_features(train: np.ndarray, queries: np.ndarray) -> None:
    """Refuse features that say nothing."""
    for what, features in (("training image", train), ("query", queries)):
        bad = np.flatnonzero(~np.isfinite(features).all(1))
        if len(bad):
            raise UserError(
                f"the gradient of {what} {bad[0]} is not finite, as for {len(bad)} of "
                f"{len(features)}: the network gives no numbers at one of the timesteps; its "
                "weights and its noise process do not fit together"
            )
    if not train.any():
        raise UserError(
            "the gradient of every training image is zero, so that there are no features; the last "
            "layer, or an adapter, has not been trained"
        )


def _method(
    method: str | None, name: str | None, given: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """A method, its complete options, and a ``data`` section.

    Args:
        method: Name of the method; None for the default.
        name: Experiment with the options; None for those of the registry, with the defaults.
        given: Options of its features that the user gave.
    """
    if name is None:
        method = method or DEFAULT_METHOD
        return method, index_settings.complete(method, given), None
    from dasbench.experiments import config

    experiment = config.load(name, ROOT)
    methods = config.methods(experiment)
    usable = index_settings.usable(methods)
    if method is None:
        method = next((known for known in index_settings.DEFAULTS if known in usable), None)
        method = method or next(iter(usable), DEFAULT_METHOD)
    if method not in usable:
        raise UserError(
            f"{name} has no gradient method {method!r}; choose one of {', '.join(usable)}"
        )
    options = {**methods[method], "features": {**methods[method]["features"], **given}}
    options["released_timesteps"] = experiment["residuals"]["released_timesteps"]
    return method, options, experiment["data"]


def _damping(selection: Path, method: str, transform: str) -> float:
    """The held-out damping of an experiment, or the default if it has none."""
    if not selection.is_file():
        return damping_of(method)
    table = tables.load_table(selection)
    rows = table[
        (table["method"] == method)
        & (table["transform"] == transform)
        & (table["queries"] == "gen")
    ]
    return float(rows["damping"].iloc[0]) if len(rows) else damping_of(method)


def main() -> None:
    """Print the training images with the highest scores for each image."""
    cli = attribute_options.parser(main.__doc__)
    index_settings.add_features(cli)
    args = cli.parse_args()
    attribute_options.check(args)
    image_files.below(args.images, "the queries are", tell=False)  # before the model is read
    own_model = args.model is not None
    given = attribute_options.check_features(index_settings.given_features(args), FEATURE_OPTIONS)
    experiment = None if own_model else args.experiment
    method, options, data = _method(args.method, experiment, given)
    reading = {**(data or {}), **attribute_options.reading(args)}
    subject.use_cores()
    home = ROOT / "results" / args.experiment
    place = args.model or home / "models" / "base"
    model = subject.of(place, args.scheduler, lora=args.lora, size=args.size)
    queries = model.read(args.images, "queries", args.label, args.prompt, reading, args.skip_bad)
    if own_model:
        options = index_settings.complete(method, given, model.parameters)
        how = (reading, args.skip_bad)
        train = model.read(args.data, "training images", None, args.prompts, *how)
    else:
        train = training_files.images(home, data or {}, model.takes)
    decoys = _decoys(args, model, train, home, reading)
    if args.damping is None and not own_model:
        damping = _damping(home / "lds" / "selection.csv", method, options["transform"])
    else:
        damping = damping_of(method, args.damping)
    settings = {"method": method, "options": options, "damping": damping, "seed": 0}
    try:
        answer, folder = _ask(model, settings, train, decoys, queries, args)
    except UserError as error:
        raise attributed_model.advised(
            error, "give --projection rademacher, or --parameters"
        ) from error
    asked = [one.name for one in queries.pictures]
    print(f"{method}, damping {damping:g} of the largest eigenvalue")
    tool.show(answer, args.top)
    checks = [] if answer.checks is None else answer.checks.ranks
    lines = answers.checked(train.pixels, queries.pixels, answer.scores, checks, asked)
    print("\n".join(lines))
    if not own_model:
        print(answers.measured(home, method, options["transform"]))
    if args.page is None:  # beside the index, one for each set of images that was asked about
        args.page = folder.with_name(f"{folder.name}-{queries.digest[:8]}.html")
    questions.write(answer, args)


def _decoys(
    args: argparse.Namespace,
    model: Subject,
    training: Images,
    home: Path,
    reading: Mapping[str, Any],
) -> Images | None:
    """The decoys that the user gave, or else the held-out images of an experiment."""
    if args.decoys is not None:
        prompts = args.decoy_prompts
        return model.read(args.decoys, "decoys", None, prompts, reading, args.skip_bad)
    return None if args.model else training_files.held_out(home, training, model.takes)


def _ask(
    model: Subject,
    settings: Mapping[str, Any],
    training: Images,
    decoys: Images | None,
    queries: Images,
    args: argparse.Namespace,
) -> tuple[questions.Answered, Path]:
    """The answer of an index of this model, these images and settings; the index is kept."""
    text = json.dumps(settings, sort_keys=True)
    data = [training.digest, *([decoys.digest] if decoys else [])]
    key = resumable.fingerprint(__version__, model.digest, *data, text)
    folder = (args.cache or _cache()) / key
    try:
        index = Index.open(folder, model)
        index.verify()
    except UserError:  # none is there, or it is damaged
        if (folder / index_manifest.FILE).is_file() and not index_manifest.is_sound(folder):
            shutil.rmtree(folder)
        index = Index.make(model, settings, training, folder, decoys)
    index.training = training  # the same images; their files may have other names by now
    return questions.answer(index, queries, args.clip), folder


def _cache() -> Path:
    """Folder of the indexes that are kept: ``dasbench`` in the user's folder of caches."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dasbench" / "indexes"


if __name__ == "__main__":
    script_main.main(main)
