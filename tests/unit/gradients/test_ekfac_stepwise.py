"""EK-FAC by timestep against loops over images, timesteps, draws, probes and parameters."""

import itertools

import numpy as np
import pytest
import torch

import curvature_problem
import oracle_curvature
from curvature_problem import AXES, GRID, IDS, SETTINGS, SHAPE, curvature_samples, samples
from dasbench import seeds
from dasbench.gradients import ekfac, ekfac_stepwise
from dasbench.gradients.influence import Problem

DAMPINGS = [1e-3, 0.1]
PROBES = 2
KINDS = {"val": [0, 1, 2], "gen": [0, 1]}


@pytest.fixture(scope="module")
def problem():
    return curvature_problem.make()


def asked(problem, **options):
    """The problem that a rule would hand over; generated queries are the first training images."""
    unet, process, images = problem
    settings = {**SETTINGS, "noise": "common", **options}
    queries = {"val": images["val"], "gen": images["train"][:2]}
    ids = np.array(IDS["train"])
    return Problem(unet, process, settings, AXES, images["train"], ids, queries, np.array(DAMPINGS))


def whole(given, **options):
    """Scores [G, N, Q] of each kind, and the number of blocks."""
    found = {kind: np.full((2, 4, len(q)), np.nan) for kind, q in given.queries.items()}
    count = 0
    for block in ekfac_stepwise.blocks(given, **options):
        assert block.scores.dtype == np.float32
        found[block.kind][:, block.rows, block.columns] = block.scores
        count += 1
    return found, count


def signs(number):
    rng = seeds.generator(*AXES, "probes", "rademacher", number)
    return torch.from_numpy((2 * rng.integers(0, 2, SHAPE) - 1).astype(np.float64))


def at(problem, split, i, t):
    return samples(problem, split, i, grid=[t], policy="common")


def expected(problem, effect, stepwise, relative):
    """[N, 5] by loops: first the three held-out queries, then the two that are training images."""
    unet = problem[0]
    sampled = curvature_samples(problem, "common")
    queries = [("val", q) for q in range(3)] + [("train", q) for q in range(2)]
    total, parts = 0.0, 0
    for k, t in enumerate(GRID):
        own = [at(problem, "train", i, t) for i in range(4)]
        every = [samples(problem, "train", i, policy="common") for i in range(4)]
        train = [oracle_curvature.loss_gradient(unet, s) for s in (own if stepwise else every)]
        noised = [at(problem, *query, t) for query in queries]
        if effect == "loss":
            sides = [[oracle_curvature.loss_gradient(unet, s) for s in noised]]
        else:
            vectors = [signs(PROBES * k + probe) for probe in range(PROBES)]
            sides = [
                [oracle_curvature.product_gradient(unet, s, v) for s in noised] for v in vectors
            ]
        for query in sides:
            total = total + oracle_curvature.influence(unet, sampled, train, query, relative) ** 2
            parts += 1
    return np.sqrt(total / parts)


@pytest.mark.parametrize(
    ("effect", "stepwise"), [("loss", True), ("displacement", False), ("displacement", True)]
)
def test_scores_are_those_of_the_loops(effect, stepwise, problem):
    given = asked(problem, effect=effect, stepwise=stepwise, probes=PROBES)
    np.testing.assert_array_equal(ekfac_stepwise.values(given), DAMPINGS)
    found, count = whole(given)
    assert count == 2
    for g, relative in enumerate(DAMPINGS):
        right = expected(problem, effect, stepwise, relative)
        for kind, columns in (("val", slice(0, 3)), ("gen", slice(3, 5))):
            scale = 1e-6 * right.max()
            np.testing.assert_allclose(found[kind][g], right[:, columns], rtol=1e-5, atol=scale)


def test_blocks_change_nothing(problem):
    given = asked(problem, effect="displacement", stepwise=True, probes=1)
    one, _ = whole(given)
    several, count = whole(given, memory=1)
    assert count == 8  # an example at a time, for both kinds
    for kind, scores in one.items():
        np.testing.assert_allclose(several[kind], scores, rtol=1e-6)


def test_a_single_timestep_is_influence_up_to_its_sign(problem):
    """With one part there is no mean: the score is |g_q^T (F + lambda)^-1 g_i| of ``ekfac_if``."""
    unet, process, images = problem
    given = asked(problem, effect="loss", stepwise=True, timesteps=1, noise="keyed")
    found, _ = whole(given)
    plain = ekfac.Ekfac(unet, process, given.settings, AXES).fit(images["train"], IDS["train"])
    queries = plain.features(images["val"], IDS["val"], "val")
    blocks = plain.scores(images["train"], IDS["train"], queries, DAMPINGS)
    signed = np.concatenate([block for _, block in blocks], 1)
    np.testing.assert_allclose(found["val"], np.abs(signed), rtol=1e-5)


def test_the_mean_over_probes_tends_to_the_length_of_the_displacement(problem):
    """Mean over v of (v^T J step)^2 is ||J step||^2, with J by autograd, row by row."""
    unet, _, images = problem
    one = {"timesteps": 1, "draws": 1}
    given = asked(problem, effect="displacement", stepwise=False, probes=300, **one)
    given = given._replace(queries={"val": images["val"][:1]})
    found, _ = whole(given)
    noised = [samples(problem, "train", i, [500], 1, "common") for i in range(4)]
    train = [oracle_curvature.loss_gradient(unet, s) for s in noised]
    sampled = curvature_samples(problem, "common", [500], 1)
    query = samples(problem, "val", 0, [500], 1, "common")
    pixels = np.eye(np.prod(SHAPE)).reshape(-1, *SHAPE)
    rows = [oracle_curvature.product_gradient(unet, query, torch.from_numpy(v)) for v in pixels]
    pairs = oracle_curvature.influence(unet, sampled, train, rows, DAMPINGS[1])
    lengths = np.sqrt(np.square(pairs).sum(1))
    np.testing.assert_allclose(found["val"][1, :, 0], lengths, rtol=0.15)


def test_each_timestep_has_probes_of_its_own():
    vectors = [
        ekfac_stepwise._signs(k, AXES)(torch.zeros(1, *SHAPE))[0][0].double() for k in range(4)
    ]
    for k, v in enumerate(vectors):
        torch.testing.assert_close(v, signs(k), rtol=0, atol=0)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(vectors, 2))


def test_an_unknown_effect_is_refused(problem):
    with pytest.raises(ValueError, match="effect must be loss or displacement, got 'pixels'"):
        next(ekfac_stepwise.blocks(asked(problem, effect="pixels", stepwise=True)))
