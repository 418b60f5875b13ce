"""Scores of an index: streamed from files, and equal to the slowest obvious formula."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dasbench.attribution import by_timestep, indexed, transforms
from dasbench.attribution.indexed import Form, Slab
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.core.blocks import blocks
from dasbench.errors import UserError
from dasbench.registry import METHODS
from stepwise import every_part

DAMPING, P, T = 1e-3, 12, 3
SIZES = {"dual": 9, "primal": 40}  # N <= P, and N > P
OPTIONS = METHODS["das_stepwise"]


def drawn(name, *shape):
    """Features with falling eigenvalues."""
    rng = np.random.default_rng(sum(map(ord, name)))
    return rng.standard_normal(shape) * np.arange(1, shape[-1] + 1) ** -0.7


def problem(folder, n, dtype="float64", options=OPTIONS, decoys=0, slabs=T):
    """Fitted slabs, with features [T, N, P], of queries [T, Q, P] and of decoys [T, D, P]."""
    form = Form(options, DAMPING, P, dtype)
    train, queries = drawn("train", slabs, n, P), drawn("query", slabs, 4, P)
    unseen, made = drawn("decoys", slabs, decoys, P), []
    for t in range(slabs):
        slab = Slab(folder / f"{t}", form, blocks(n, 7), blocks(decoys, 7), 2.0 ** (t + 1))
        for chunks, values in ((slab.train, train[t]), (slab.decoys, unseen[t])):
            for rows in chunks.rows:
                chunks.save(rows, values[rows] * slab.scale)
        assert slab.fit()
        made.append(slab)
    return made, train, queries, unseen


def kernels(train):
    """(K_t + lambda_t I)^-1, by a dense inverse."""
    for phi in train:
        gram = phi.T @ phi
        yield np.linalg.inv(gram + DAMPING * np.linalg.eigvalsh(gram)[-1] * np.eye(P))


def slow(train, queries, options, residuals=None):
    """mean_t f(g_q^T K_t^-1 g_i r_i / (1 - h_i) / d_i), one number at a time."""
    scores = np.zeros((train.shape[1], queries.shape[1]))
    for t, inverse in enumerate(kernels(train)):
        for i, phi in enumerate(train[t]):
            factor = 1.0 if residuals is None else residuals[i]
            if options["leverage"]:
                factor /= 1 - phi @ inverse @ phi
            if options["denominator"] == "preconditioned_norm":
                factor /= np.linalg.norm(inverse @ phi)
            if options["denominator"] == "feature_norm":
                factor /= np.linalg.norm(phi)
            for q, query in enumerate(queries[t]):
                tau = query @ inverse @ phi * factor
                scores[i, q] += transforms.apply(tau, options["transform"]) / len(train)
    return scores


@pytest.mark.parametrize("n", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("method", ["das_stepwise", "das", "relative_if", "renormalized_if"])
def test_scores_are_the_slow_formula(tmp_path, n, method):
    options = METHODS[method]
    slabs, train, queries, _ = problem(tmp_path, n, options=options)
    residuals = np.linspace(0.5, 1.5, n) if options["residual"] != "none" else None
    found = indexed.score(slabs, queries, residuals, by_slab=True)
    expected = slow(train, queries, options, residuals)
    # what is stored of each image has float32's digits, and so have products with N > P
    np.testing.assert_allclose(found.values, expected, rtol=2e-4, atol=2e-5 * expected.max())
    np.testing.assert_allclose(found.by_slab.mean(0), found.values, rtol=1e-4, atol=1e-6)
    some = indexed.score_some(slabs, queries, [5, 2], residuals)
    np.testing.assert_allclose(some, found.by_slab[:, [5, 2]], rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("n", SIZES.values(), ids=SIZES)
def test_scores_are_those_of_the_workflow(tmp_path, n):
    slabs, train, queries, _ = problem(tmp_path, n)
    inputs = interface.Inputs(
        train_images=np.zeros((n, 1, 1, 1), np.uint8),
        train_labels=np.zeros(n, np.int64),
        train_ids=np.arange(n),
        query_images=np.zeros((4, 1, 1, 1)),
        query_labels=np.zeros(4, np.int64),
        train_features=None,
        query_features=None,
        residuals=None,
        scores=None,
        axes=(),
        spectrum=by_timestep.Spectra(train),
        query_timesteps=queries,
    )
    (raw,) = every_part(OPTIONS, inputs, dampings([DAMPING])).values()
    expected = transforms.apply(raw, "square").mean(0)
    found = indexed.score(slabs, queries).values
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("n", SIZES.values(), ids=SIZES)
def test_decoys_match_by_the_kernel_and_training_images_by_one_without_themselves(tmp_path, n):
    slabs, train, queries, unseen = problem(tmp_path, n, decoys=10)
    found = indexed.score(slabs, queries)
    decoys, matches = np.zeros((10, 4)), np.zeros((n, 4))

    def match(image, inverse, query):
        lengths = (image @ inverse @ image) * (query @ inverse @ query)
        return (image @ inverse @ query) ** 2 / lengths / T

    for t, inverse in enumerate(kernels(train)):
        damping = DAMPING * np.linalg.eigvalsh(train[t].T @ train[t])[-1] * np.eye(P)
        for j, query in enumerate(queries[t]):
            decoys[:, j] += [match(image, inverse, query) for image in unseen[t]]
            for i, image in enumerate(train[t]):
                rest = np.delete(train[t], i, axis=0)
                matches[i, j] += match(image, np.linalg.inv(rest.T @ rest + damping), query)
    np.testing.assert_allclose(found.decoys, decoys, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.matches, matches, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n", SIZES.values(), ids=SIZES)
def test_leverages_are_diagonals_of_the_hat_matrix(tmp_path, n):
    slabs, train, *_ = problem(tmp_path, n)
    for slab, phi, inverse in zip(slabs, train, kernels(train), strict=True):
        expected = 1 - np.einsum("ij,jk,ik->i", phi, inverse, phi)
        np.testing.assert_allclose(slab.remaining, expected, rtol=1e-5)


def test_half_precision_keeps_the_ranks(tmp_path):
    """N = 300 images, a kernel of 12 dimensions at small damping."""
    fine, _, queries, _ = problem(tmp_path / "fine", 300, "float32")
    half, *_ = problem(tmp_path / "half", 300, "float16")
    expected, found = (indexed.score(slabs, queries).values for slabs in (fine, half))
    ranks = [spearmanr(a, b).statistic for a, b in zip(expected.T, found.T, strict=True)]
    assert min(ranks) > 0.999
    assert not (expected == found).all()


def test_a_kernel_is_made_once_and_again_for_other_features(tmp_path):
    (slab,), *_ = problem(tmp_path, 40, slabs=1)
    assert slab.is_fitted()
    assert not slab.fit()
    before = {file.name for file in slab.folder.glob("*.npy")}
    slab.train.save(slice(0, 7), np.ones((7, P)))
    again = Slab(slab.folder, slab.form, slab.train.rows, [], slab.scale)
    assert not again.is_fitted()
    with pytest.raises(UserError, match="is not of the features beside it; build the index again"):
        again.kernel  # noqa: B018
    assert again.fit()
    assert len({file.name for file in slab.folder.glob("*.npy")} - before) == 3
    assert len(list(slab.folder.glob("*.npy"))) == 4


def test_a_damaged_kernel_is_made_again(tmp_path):
    (slab,), *_ = problem(tmp_path, 40, slabs=1)
    names = sorted(file.name for file in slab.folder.glob("*.npy"))
    file = slab.folder / names[1]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not slab.is_fitted()
    assert slab.fit()
    assert sorted(file.name for file in slab.folder.glob("*.npy")) == names


def test_features_of_zeros_are_refused(tmp_path):
    slab = Slab(tmp_path, Form(OPTIONS, DAMPING, P, "float16"), blocks(9, 5), [], 1.0)
    for rows in slab.train.rows:
        slab.train.save(rows, np.zeros((rows.stop - rows.start, P)))
    with pytest.raises(UserError, match="gradient of every training image is zero"):
        slab.fit()
