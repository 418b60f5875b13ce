"""The vector residual: steps of the whole prediction, against explicit Jacobians and refits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

import oracle
from dasbench.attribution import decomposition
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.parameters import dampings
from dasbench.experiments import ablation_design, feature_sets, residual_sets
from dasbench.gradients import features, probes
from dasbench.registry import METHODS
from stepwise import every_part, inputs

N, T, D, P, Q = 7, 3, 4, 5, 2
DAMPINGS = [1e-3, 0.1, 10.0]
GRID = [250, 750]
SIGNS = hadamard(D).astype(float)  # mean over its rows of v v^T is exactly the identity


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def probed(jacobians, signs=SIGNS):
    """[T, n, m P] features of probes side by side: v^T J / D, as in ``gradients.probes``."""
    rows = [[np.concatenate([v @ j / D for v in signs]) for j in own] for own in jacobians]
    return np.array(rows).transpose(1, 0, 2)


def loss_gradients(jacobians, errors):
    """[n, P] gradients of mean_t ||error||^2 / D, with error = target - J theta."""
    return np.array(
        [
            np.mean([-2 / D * j_t.T @ e_t for j_t, e_t in zip(j, e, strict=True)], axis=0)
            for j, e in zip(jacobians, errors, strict=True)
        ]
    )


class Linear:
    """A linear model whose every step can be refitted: y = J theta for all timesteps."""

    def __init__(self, timesteps=T):
        self.j, self.y = normal(N, timesteps, D, P), normal(N, timesteps, D, seed=1)
        self.j_q, self.y_q = normal(Q, timesteps, D, P, seed=2), normal(Q, timesteps, D, seed=3)

    def given(self, damping, kernel):
        """What a method would see of the model that was fitted with this absolute damping."""
        theta = oracle.ridge(self.j, self.y, damping)
        sides = [(self.j, self.y - self.j @ theta), (self.j_q, self.y_q - self.j_q @ theta)]
        probed_ = [probed(j) for j, _ in sides]
        losses = tuple(loss_gradients(j, e) for j, e in sides)
        blank = inputs(*probed_, None)
        blank = replace(blank, query_images=np.zeros((Q, 1, 2, D // 2), np.float32))
        if kernel == "averaged":
            phi = [g.mean(0) for g in probed_]
            blank = replace(
                blank, train_features=phi[0], query_features=phi[1], spectrum=None, others=(losses,)
            )
            return replace(blank, query_timesteps=None)
        return replace(blank, train_features=losses[0], query_features=losses[1])

    def errors(self, damping):
        return self.y - self.j @ oracle.ridge(self.j, self.y, damping)


def scores(name, given, relative, kernel="pooled"):
    """[N, Q] of the loss; [K, N, Q] of the displacement."""
    options = {**METHODS[name], "kernel": kernel}
    ((value, found),) = every_part(options, given, dampings([relative])).items()
    assert value == {"damping": relative}
    return found if name == "das_vector" else found[0]


def largest(jacobians):
    return np.linalg.eigvalsh(oracle.gauss_newton(jacobians, 0.0)).max()


@pytest.mark.parametrize("relative", DAMPINGS)
def test_scores_are_those_of_explicit_steps(relative):
    world = Linear()
    damping = relative * largest(world.j)
    given, errors = world.given(damping, "pooled"), world.errors(damping)
    steps = oracle.first_order_steps(world.j, errors, damping)
    signed = scores("vector_if", given, relative)
    expected = oracle.signed_score(steps, given.query_features)
    np.testing.assert_allclose(signed, expected, rtol=1e-9, atol=1e-12 * abs(expected).max())
    moved = scores("das_vector", given, relative)
    assert moved.shape == (T * D, N, Q)
    expected = oracle.displacement_score(steps, world.j_q)
    np.testing.assert_allclose((moved**2).mean(0), expected, rtol=1e-9)


@pytest.mark.parametrize("relative", DAMPINGS)
def test_the_averaged_kernel_is_that_of_one_mean_timestep(relative):
    """Jacobians averaged over t are all that it knows; the residual is still J_t^T r_t."""
    world = Linear()
    mean, mean_q = (j.mean(1, keepdims=True) for j in (world.j, world.j_q))
    damping = relative * largest(mean)
    given = world.given(damping, "averaged")
    k = oracle.gauss_newton(mean, damping)
    b = -D / 2 * given.others[0][0]
    steps = np.array([np.linalg.solve(k, own) for own in b])
    expected = oracle.signed_score(steps, given.others[0][1])
    signed = scores("vector_if", given, relative, "averaged")
    np.testing.assert_allclose(signed, expected, rtol=1e-9, atol=1e-12 * abs(expected).max())
    moved = scores("das_vector", given, relative, "averaged")
    assert moved.shape == (D, N, Q)
    expected = oracle.displacement_score(steps, mean_q)
    np.testing.assert_allclose((moved**2).mean(0), expected, rtol=1e-9)


def test_steps_tend_to_the_exact_ones_as_examples_determine_less_of_their_own_fit():
    """Block identity: Delta theta_i = K^-1 J^T (1 - H)^-1 r, H -> 0 as the damping grows."""
    world, gaps = Linear(), []
    for relative in (0.1, 1.0, 10.0, 100.0):
        damping = relative * largest(world.j)
        theta, refits = oracle.leave_one_out_refit(world.j, world.y, damping)
        exact = oracle.block_steps(world.j, world.y - world.j @ theta, damping)
        np.testing.assert_allclose(exact, refits, rtol=1e-7, atol=1e-12)
        given = world.given(damping, "pooled")
        truth = oracle.signed_score(refits, given.query_features)
        signed = scores("vector_if", given, relative)
        truth_moved = oracle.displacement_score(refits, world.j_q)
        moved = (scores("das_vector", given, relative) ** 2).mean(0)
        pairs = ((signed, truth), (moved, truth_moved))
        gaps.append([np.abs(a - b).max() / np.abs(b).max() for a, b in pairs])
    gaps = np.array(gaps)
    assert (np.diff(gaps, axis=0) < 0).all()
    assert (gaps[-1] < 0.02).all()
    assert gaps[0].max() > 0.05  # there is something to tend from


def test_helpful_is_positive():
    """The signed score is the change of the query's loss when i is left out, the rest refitted."""
    world = Linear()
    relative = 30.0
    damping = relative * largest(world.j)
    theta, refits = oracle.leave_one_out_refit(world.j, world.y, damping)

    def losses(weights):
        return np.mean((world.y_q - world.j_q @ weights) ** 2, axis=(1, 2))

    change = np.array([losses(theta - step) - losses(theta) for step in refits])
    signed = scores("vector_if", world.given(damping, "pooled"), relative)
    assert np.corrcoef(signed.ravel(), change.ravel())[0, 1] > 0.999
    assert np.polyfit(change.ravel(), signed.ravel(), 1)[0] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kernel", ["averaged", "pooled"])
def test_few_rows_and_many_dimensions_are_the_same_kernel(kernel):
    """N m T < P: the kernel does not span the residuals, whose rest is damped by lambda alone."""
    world = Linear()
    world.j, world.j_q = normal(2, T, D, 40), normal(Q, T, D, 40, seed=2)
    world.y = world.y[:2]
    mean = world.j.mean(1, keepdims=True) if kernel == "averaged" else world.j
    for relative in (1e-6, 0.1):
        damping = relative * largest(mean)
        given = world.given(damping, kernel)
        losses = given.others[0] if kernel == "averaged" else (given.train_features, None)
        k = oracle.gauss_newton(mean, damping)
        steps = np.array([np.linalg.solve(k, -D / 2 * own) for own in losses[0]])
        asked = given.others[0][1] if kernel == "averaged" else given.query_features
        expected = oracle.signed_score(steps, asked)
        found = scores("vector_if", given, relative, kernel)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * abs(expected).max())


def settings_of(**more):
    options = METHODS["das_vector"]["features"]
    usual = {"timesteps": 2, "draws": 1, "dimensions": 24, "projection": "rademacher"}
    usual |= {"norms": "projected", "oversampling": 2, "parameters": "all", "timestep_range": None}
    return {**options, "probes": {"rademacher": 2}, **usual, **more}


def test_the_residual_is_that_of_the_jacobian_in_the_projection_of_the_probes(tiny, features64):
    """b_i = mean_t J^T r = -(D / 2) of the loss set, seen through the matrix of one probe."""
    own = settings_of()
    side = feature_sets.loss_side(own)
    size = int(np.prod(tiny.shape))
    noise, split = tiny.noise("features"), "val"
    given = (tiny.unet, tiny.process, tiny.images[split][:1], tiny.ids[split][:1], split)
    matrix = features.Projection("rademacher", tiny.parameters, 12, tiny.axes).matrix()
    b, seen = 0.0, np.zeros((2, 12))
    signs = [probes.probe("rademacher", k, tiny.shape, tiny.axes).ravel() for k in range(2)]
    for t in GRID:
        eps = noise(split, 0, t, 0)
        x_t = oracle.add_noise(tiny.images[split][0], t, eps, tiny.abar)
        j = oracle.output_jacobian(tiny.model, x_t, t)
        r = eps.ravel() - oracle.predict(tiny.model, x_t, t).detach().numpy()
        b = b + j.T @ r @ matrix / len(GRID)
        seen += np.array([v @ j @ matrix for v in signs]) / len(GRID)
    loss = features64(*given, side, tiny.axes)
    np.testing.assert_allclose(-size / 2 * loss[0], b, rtol=1e-5, atol=1e-6 * abs(b).max())
    found = features64(*given, own, tiny.axes)
    np.testing.assert_allclose(size * found.reshape(2, 12), seen, rtol=1e-4, atol=1e-5)


def test_kronecker_blocks_and_folds_are_shared(tiny):
    own = settings_of(projection="kronecker", dimensions=256)
    made = [
        features.Extractor(tiny.unet, tiny.process, chosen, tiny.axes)
        for chosen in (own, feature_sets.loss_side(own))
    ]
    assert made[0].dimensions == made[1].dimensions == 128
    one, other = (m.project for m in made)
    assert torch.equal(one._order, other._order)
    assert torch.equal(one._signs, other._signs)
    assert list(one.blocks) == list(other.blocks)
    for a, b in zip(one.blocks.values(), other.blocks.values(), strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert (a.outputs is None and b.outputs is None) or torch.equal(a.outputs, b.outputs)


def test_a_kernel_for_each_timestep_is_refused():
    given = Linear().given(1.0, "pooled")
    with pytest.raises(ValueError, match="averaged or pooled"):
        scores("das_vector", given, 0.1, "per_t")
    assert isinstance(given.spectrum, Spectra)


def test_the_residual_has_no_file_and_no_clock():
    options = {**METHODS["das_vector"], "features": settings_of()}
    assert residual_sets.name_of(options, {"features": settings_of()}) is None
    assert not ablation_design.timed(options)


@pytest.mark.parametrize("kernel", ["averaged", "pooled"])
@pytest.mark.parametrize("name", ["vector_if", "das_vector"])
def test_the_kernel_is_decomposed_once_for_all_queries(name, kernel, monkeypatch):
    world = Linear()
    given, made = world.given(0.1, kernel), []
    whole = scores(name, given, 0.1, kernel)
    decompose = decomposition.decompose
    monkeypatch.setattr(decomposition, "decompose", lambda rows: made.append(1) or decompose(rows))
    options = {**METHODS[name], "kernel": kernel}
    (found,) = every_part(options, given, dampings([0.1]), memory=8 * N).values()
    assert len(made) == 1
    np.testing.assert_allclose(found if name == "das_vector" else found[0], whole, rtol=1e-9)
