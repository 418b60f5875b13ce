"""q-values from decoys, judged where the truth is known: models of random halves of the images.

Each tuning half-model of digits has its own half as training images and the other half as decoys;
the queries are held-out images, and images that the half-model generates. Pooled decoys are those
of held-out images, as many as an index takes. ``dasbench.evaluation.calibration`` says what is
counted. For a generated query, only candidates that the model has not seen are false for certain.
Then some held-out images are planted: a model is trained on near-copies of them, and their q-values
are compared with those of the same copies under a model that never saw them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.machine import ROOT
from benchmarks.problems import feature_settings
from dasbench import model_families
from dasbench.attribution import evidence
from dasbench.attribution.leave_one_out import Blind, blind_scores, matches
from dasbench.commands.index import HELD_OUT
from dasbench.core import artifacts
from dasbench.diffusion import denoiser, model_inputs, sampling, training
from dasbench.diffusion.process import Process
from dasbench.errors import UserError
from dasbench.evaluation import calibration
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.experiments import config, subsets
from dasbench.gradients import features
from dasbench.seeds import generator

EXPERIMENT = "digits"
AXES = ("benchmarks", 0, "calibration")
DAMPING = 0.05  # the choice of tuning data for das_stepwise on digits, for both kinds of query
SCORES: dict[str, Callable[..., Blind]] = {"influence": blind_scores, "match": matches}
STANDARDISED = ("influence",)  # whose pooled scores need one unit for all queries
PLANTED, COPIES, NOISE = 8, 5, 12  # queries, near-copies of each, largest change in grey levels


class Problem(NamedTuple):
    """Half-models, their images, and how they were trained.

    Attributes:
        model: Builds networks.
        experiment: Sections training, and features (timesteps, dimensions) for this study.
        images: [N, H, W, C] uint8.
        queries: [Q, H, W, C] uint8, held out from all models; the first are pooled.
        held_out: H.
        generated: Queries that each half-model generates.
        steps: Steps of sampling.
        halves: Function of a number of a model to its network and process, and [N] bool: its half.
        count: M.
    """

    model: model_inputs.Model
    experiment: Mapping[str, Any]
    images: np.ndarray
    queries: np.ndarray
    held_out: int
    generated: int
    steps: int
    halves: Callable[[int], tuple[torch.nn.Module, Process, np.ndarray]]
    count: int


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Rates of discoveries, AUC, p-values, and q-values of planted images.

    Args:
        threads: Of torch.
        repeats: Not used: nothing here is timed.
        quick: Two small half-models that are trained here.

    Raises:
        UserError: If the half-models of digits are missing.
    """
    torch.set_num_threads(threads)
    problem = _small(threads) if quick else _digits()
    scores: dict[str, list[Blind]] = {name: [] for name in SCORES}
    for m in range(problem.count):
        network, process, half = problem.halves(m)
        made = _generated(problem, network, process)
        x = np.concatenate([problem.images[half], problem.images[~half], problem.queries, made])
        g = _features(problem, network, process, x)
        given = np.split(g, [half.sum(), len(half)], axis=1)
        for name, function in SCORES.items():
            scores[name].append(function(*given, DAMPING))
        print(f"  half-model {m + 1} of {problem.count} scored", flush=True)
    known, h = len(problem.queries), problem.held_out
    found = {name: summary(name, each, h, known) for name, each in scores.items()}
    return {
        "models": problem.count,
        "training": int(half.sum()),
        "unseen": int((~half).sum()),
        "held_out": problem.held_out,
        "asked": len(problem.queries) - problem.held_out,
        "generated": problem.generated,
        "scores": found,
        "planted": _planted(problem, threads),
    }


def summary(name: str, scores: list[Blind], held_out: int, known: int) -> dict[str, Any]:
    """What is counted of one score: rates, auc, p.

    Args:
        name: The score.
        scores: Of each half-model, for all queries.
        held_out: H.
        known: Number of queries that are held-out images; the others are generated.
    """
    bootstrap, apart = Bootstrap(2000), name in STANDARDISED
    columns = np.arange(scores[0].decoys.shape[1])
    kept = (columns < held_out) | (columns >= known)
    generated = [Blind(*(part[:, kept] for part in each)) for each in scores]
    scores = [Blind(*(part[:, :known] for part in each)) for each in scores]
    table = calibration.study(scores, held_out, apart, bootstrap, AXES)
    others = calibration.study(generated, held_out, apart, bootstrap, (*AXES, "generated"))
    others = others[others["candidates"] == "unseen"]
    return {
        "rates": [
            {**row, "queries": queries}
            for queries, rates in (("held-out", table), ("generated", others))
            for row in rates.to_dict("records")
        ],
        "auc": calibration.auc(scores, bootstrap, AXES),
        "p": calibration.p_shares(scores, held_out, AXES),
    }


def flat(by_threads: Mapping[str, Any]) -> dict[str, float]:
    """No flat numbers: nothing here is a matter of speed."""
    return {}


def _features(
    problem: Problem, network: torch.nn.Module, process: Process, images: np.ndarray
) -> np.ndarray:
    """[T, n, P] of images [n, H, W, C], as ``das_stepwise`` has them."""
    sizes = problem.experiment["features"]
    settings = feature_settings(**sizes, readout="loss", normalise=False, oversampling=4)
    engine = features.Extractor(network, process, settings, AXES)
    (g,) = engine.by_timestep(denoiser.to_model(images), np.arange(len(images)), "train")
    return g


def _generated(problem: Problem, network: torch.nn.Module, process: Process) -> np.ndarray:
    """Images [n, H, W, C] uint8 of a half-model, from noise that all half-models share."""
    shape = (problem.generated, *denoiser.to_model(problem.images[:1]).shape[1:])
    noise = generator(*AXES, "generated").standard_normal(shape, np.float32)
    made = sampling.sample(network, process, torch.from_numpy(noise), problem.steps)
    pixels = (made.clamp(-1, 1).numpy() + 1) * 127.5
    return np.rint(np.moveaxis(pixels, 1, 3)).astype(np.uint8)


def _planted(problem: Problem, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    """Near-copies of held-out images among the training images: with and without training on them.

    Returns:
        model ("trained" on the copies, "untrained") -> score -> ``_found``.
    """
    network, process, half = problem.halves(0)
    asked = problem.queries[problem.held_out : problem.held_out + PLANTED]
    copies = np.repeat(asked, COPIES, axis=0).astype(np.int64)
    copies += generator(*AXES, "copies").integers(-NOISE, NOISE + 1, copies.shape)
    copies = np.clip(copies, 0, 255).astype(np.uint8)
    base, unseen = problem.images[half], problem.images[~half]
    images = np.concatenate([copies, base, unseen, problem.queries])
    c, n, d = len(copies), len(base), len(unseen)
    untrained = _features(problem, network, process, images)
    mixed = np.concatenate([copies, base[c:]])  # as many images as before
    network, process = _trained(
        problem.model, problem.experiment, mixed, np.ones(n, bool), threads, "planted"
    )
    trained = _features(problem, network, process, images)
    result: dict[str, dict[str, dict[str, float]]] = {"trained": {}, "untrained": {}}
    for name, function in SCORES.items():
        g = np.split(trained, [c, 2 * c, c + n, c + n + d], axis=1)
        scores = function(np.concatenate([g[0], g[2]], axis=1), g[3], g[4], DAMPING)
        result["trained"][name] = _found(problem, name, scores)
        g = np.split(untrained, [c, c + n, c + n + d], axis=1)
        scores = function(g[1], np.concatenate([g[0], g[2]], axis=1), g[3], DAMPING)
        candidates = np.concatenate([scores.decoys[:c], scores.training[c:]])
        result["untrained"][name] = _found(problem, name, Blind(candidates, scores.decoys[c:]))
    return result


def _found(problem: Problem, name: str, scores: Blind) -> dict[str, float]:
    """q-values of the copies, the first of the training images, for their own queries.

    Returns:
        found: share of the queries whose copies all have q <= 0.05; largest_q: the largest q of a
        copy; others: other images with q <= 0.05 for each of these queries.
    """
    h = problem.held_out
    known, decoys = (each[:, h : h + PLANTED] for each in scores)
    pooled = scores.decoys[:, :h]
    q = evidence.judge(known, decoys, pooled, standardise=name in STANDARDISED).q
    own = np.stack([q[COPIES * j : COPIES * (j + 1), j] for j in range(q.shape[1])])
    listed = (q <= evidence.RATE).sum() - (own <= evidence.RATE).sum()
    return {
        "found": float((own.max(axis=1) <= evidence.RATE).mean()),
        "largest_q": float(own.max()),
        "others": float(listed / len(own)),
    }


def _trained(  # noqa: PLR0913, PLR0917 - a training run has as many inputs
    model: model_inputs.Model,
    experiment: Mapping[str, Any],
    images: np.ndarray,
    mask: np.ndarray,
    threads: int,
    axis: str | int,
) -> tuple[torch.nn.Module, Process]:
    """A model of the images in the mask, by the recipe of the experiment."""
    x, axes = denoiser.to_model(images), (*AXES, axis)
    network, process = model.build(x.shape[1:], axes)
    accelerator = training.make_accelerator(threads)
    training.train(accelerator, network, process, x, mask, experiment["training"], axes)
    return network, process


def _model(experiment: Mapping[str, Any]) -> model_inputs.Model:
    family = model_families.family(experiment["model"])["module"]
    return model_inputs.Model({**experiment, "family": family}, "cpu")


def _digits() -> Problem:
    experiment = config.load(EXPERIMENT, ROOT)
    home = ROOT / "results" / EXPERIMENT
    folder, count = home / "models/tune/seed-0", experiment["subsets"]["tune"]["models"]
    each = experiment["subsets"]["models_per_job"]
    model = _model(experiment)

    def half(m: int) -> tuple[torch.nn.Module, Process, np.ndarray]:
        shard = folder / f"shard-{m // each:03d}"
        masks = artifacts.load_array(shard / "masks.npy", (each, None), np.bool_)
        return *model.load(shard / f"{m % each:02d}"), masks[m % each]

    if not (folder / f"shard-{count // each - 1:03d}/masks.npy").is_file():
        raise UserError(f"{folder} lacks half-models; make them with `./run -- tune_{EXPERIMENT}`")
    images = artifacts.load_examples(home / "examples/train.npz").images
    queries = artifacts.load_examples(home / "examples/val.npz").images
    sizes = {"features": {"timesteps": 20, "dimensions": 1024}}
    asked = experiment["queries"]
    first, last, steps = asked["tuning"], asked["val"], asked["sampling_steps"]
    held_out, made = min(HELD_OUT, first), asked["gen"] - first
    queries = np.concatenate([queries[:held_out], queries[first:last]])
    return Problem(model, experiment | sizes, images, queries, held_out, made, steps, half, count)


def _small(threads: int) -> Problem:
    """Two half-models of 120 digits, trained for a few steps."""
    from dasbench.data import digits

    experiment = config.load(EXPERIMENT, ROOT)
    few = {"epochs": 2, "warmup_steps": 1}
    sizes = {"features": {"timesteps": 2, "dimensions": 256}}
    experiment |= {"training": {**experiment["training"], **few}} | sizes
    pool = digits.pool()
    images, model = pool.images[:120], _model(experiment)

    def half(m: int) -> tuple[torch.nn.Module, Process, np.ndarray]:
        mask = subsets.draw_mask(pool.labels[:120], 0.5, False, generator(*AXES, m))
        return *_trained(model, experiment, images, mask, threads, m), mask

    return Problem(model, experiment, images, pool.images[1000:1020], 8, 4, 5, half, 2)
