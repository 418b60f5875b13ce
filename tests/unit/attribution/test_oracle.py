"""The oracle against what is true without it: refits, differences, limits, other libraries."""

from itertools import product

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from scipy.stats import rankdata

import oracle

ABAR = oracle.linear_abar()
KINDS = ["loss", "square", "mean", "l1", "l2", "linf", "probe"]
SIDE = 4


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def noise(split, i, t, draw):
    return normal(1, SIDE, SIDE, seed=[len(split), i, t, draw])


def tiny_unet():
    torch.manual_seed(0)
    blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    sizes = {"block_out_channels": (4, 8), "layers_per_block": 1, "norm_num_groups": 2}
    unet = UNet2DModel(sample_size=SIDE, in_channels=1, out_channels=1, **blocks, **sizes)
    return oracle.Sample(unet.double().eval())


@pytest.fixture(scope="module", params=["tiny", "unet"])
def model(request):
    return oracle.tiny_model(0) if request.param == "tiny" else tiny_unet()


@pytest.fixture(scope="module")
def linear_problem():
    """Jacobians [N, T, D, P] and targets [N, T, D] with more rows than parameters."""
    return normal(7, 3, 2, 5), normal(7, 3, 2, seed=1)


def scalar_problem(n=9, p=4):
    """A D = 1, T = 1 ridge problem: features, targets, residuals of the fit, damping."""
    phi, y, damping = normal(n, p), normal(n, seed=1), 0.3
    theta, steps = oracle.leave_one_out_refit(phi[:, None, None], y[:, None, None], damping)
    return phi, y - phi @ theta, damping, steps


class Threefold(torch.nn.Module):
    """A model whose output is multiplied by 3."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, t):
        return 3 * self.model(x, t)


class Constant(torch.nn.Module):
    """A model that answers eps plus an error."""

    def __init__(self, eps, error):
        super().__init__()
        self.answer = torch.as_tensor(eps + error)[None]

    def forward(self, x, t):
        return self.answer


def test_noise_schedule_is_that_of_ddpm():
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    close(ABAR, scheduler.alphas_cumprod.numpy(), 2e-5)
    close(ABAR[[0, 1]], [1 - 1e-4, (1 - 1e-4) * (1 - 1e-4 - 0.0199 / 999)], 1e-15)
    x, eps = normal(1, 1, SIDE, SIDE), normal(1, 1, SIDE, SIDE, seed=1)
    for t in (0, 400, 999):
        other = scheduler.add_noise(torch.tensor(x), torch.tensor(eps), torch.tensor([t]))
        close(oracle.add_noise(x, t, eps, ABAR), other, 2e-5)


def test_readouts_of_a_known_vector():
    eps, out = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([3.0, -4.0, 0.0], dtype=torch.float64)
    expected = [(4 + 16 + 4) / 3, 25 / 3, -1 / 3, 7 / 3, 5.0, 4.0, (3 - 8) / 3]
    values = [float(oracle.readout(eps, out, kind, np.array([1.0, 2, 3]))) for kind in KINDS]
    close(values, expected)


def derivative_by_output(kind, eps, out, v):
    """[D] hand-written derivative of each readout by eps_theta."""
    d = len(out)
    return {
        "loss": -2 * (eps - out) / d,
        "square": 2 * out / d,
        "mean": np.ones(d) / d,
        "l1": np.sign(out) / d,
        "l2": out / np.sqrt(np.sum(out**2)),
        "linf": np.sign(out) * (np.arange(d) == np.argmax(np.abs(out))),
        "probe": v / d,
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_every_readout_is_the_chain_rule(model, kind):
    x, eps, v = normal(1, SIDE, SIDE), normal(1, SIDE, SIDE, seed=1), normal(SIDE**2, seed=2)
    gradient = oracle.readout_gradient(model, x, 300, eps, kind, ABAR, v)
    assert gradient.shape == (sum(p.numel() for p in model.parameters()),)
    assert gradient.dtype == np.float64
    assert np.abs(gradient).max() > 1e-3
    x_t = oracle.add_noise(x, 300, eps, ABAR)
    out = oracle.predict(model, x_t, 300).detach().numpy()
    outer = derivative_by_output(kind, eps.ravel(), out, v)
    close(gradient, outer @ oracle.output_jacobian(model, x_t, 300))


def test_frozen_parameters_leave_the_gradient():
    model, x = oracle.tiny_model(0), torch.tensor(normal(1, SIDE, SIDE))
    full, first = oracle.output_jacobian(model, x, 300), model.first.weight.numel()
    model.first.weight.requires_grad_(False)
    close(oracle.output_jacobian(model, x, 300), full[:, first:])


def test_jacobian_is_the_difference_quotient_of_the_output(model):
    x_t, t, step = torch.tensor(normal(1, SIDE, SIDE)), 300, 1e-5
    jacobian = oracle.output_jacobian(model, x_t, t)
    before = 0
    for _, parameter in model.named_parameters():
        flat, k = parameter.data.view(-1), parameter.numel() // 2
        start = float(flat[k])
        flat[k] = start + step
        above = oracle.predict(model, x_t, t).detach()
        flat[k] = start - step
        below = oracle.predict(model, x_t, t).detach()
        flat[k] = start
        close(jacobian[:, before + k], (above - below) / (2 * step), 1e-6)
        before += parameter.numel()
    assert before == jacobian.shape[1]


def test_models_read_the_time(model):
    x = torch.tensor(normal(1, SIDE, SIDE))
    outputs = [oracle.predict(model, x, t).detach().numpy() for t in (10, 300, 900)]
    assert min(np.abs(a - b).max() for a, b in zip(outputs, outputs[1:], strict=False)) > 1e-4


def test_wrapped_unet_is_the_unet():
    wrapped = tiny_unet()
    x = torch.tensor(normal(1, SIDE, SIDE))
    close(oracle.predict(wrapped, x, 7).detach(), wrapped.unet(x[None], 7).sample.detach().ravel())
    pairs = zip(wrapped.parameters(), wrapped.unet.parameters(), strict=True)
    assert all(a is b for a, b in pairs)


def features(model, normalise, kind="mean", **changed):
    settings = {"timesteps": (100, 700), "draws": 2, "abar": ABAR} | changed
    images = normal(3, 1, SIDE, SIDE)
    return oracle.features(
        model, images, "train", noise, kind=kind, normalise=normalise, **settings
    )


def test_normalised_features_do_not_see_the_scale_of_the_output():
    model, threefold = oracle.tiny_model(1), Threefold(oracle.tiny_model(1))
    close(features(threefold, True), features(model, True))
    close(features(threefold, False), 3 * features(model, False))
    close(features(threefold, False, "square"), 9 * features(model, False, "square"))


def test_normalisation_is_by_the_unprojected_norm_of_each_gradient():
    model = oracle.tiny_model(1)
    one = features(model, True, timesteps=(100,), draws=1)
    close(np.linalg.norm(one, axis=1), np.ones(3))
    averaged = np.linalg.norm(features(model, True), axis=1)
    assert np.all(averaged < 1 - 1e-3)  # an average of different unit vectors is shorter
    projection = normal(one.shape[1], 6, seed=4)
    for normalise in (True, False):
        close(
            features(model, normalise, projection=projection),
            features(model, normalise) @ projection,
        )


def test_features_average_over_every_draw_and_timestep_of_every_example():
    calls = []

    def recorded(*key):
        calls.append(key)
        return noise(*key)

    model, images = oracle.tiny_model(1), normal(2, 1, SIDE, SIDE)
    options = {"kind": "l1", "normalise": True, "abar": ABAR}
    both = oracle.features(model, images, "val", recorded, (30, 60, 90), 2, **options)
    assert sorted(calls) == sorted(product(["val"], range(2), (30, 60, 90), range(2)))
    single = []
    for t, draw in product((30, 60, 90), range(2)):

        def only(split, i, t, _, draw=draw):
            return noise(split, i, t, draw)

        single.append(oracle.features(model, images, "val", only, [t], 1, **options))
    close(both, np.mean(single, axis=0))


def test_scalar_residual_of_known_errors():
    images, eps = normal(2, 1, SIDE, SIDE), noise("train", 0, 5, 0)
    perfect = (Constant(eps, 0.0), images, "train", lambda *_: eps, (5, 6), ABAR)
    close(oracle.residual_scalar(*perfect), [0, 0])
    shifted = (Constant(eps, 0.25), images, "train", lambda *_: eps, (5, 6, 7, 8), ABAR)
    close(oracle.residual_scalar(*shifted), [0.25, 0.25])
    close(oracle.residual_released(*shifted), [0.5, 0.5])  # equal errors: 1 / sqrt(T)


def test_residuals_average_the_root_of_each_timestep():
    images, size = np.zeros((1, 1, SIDE, SIDE)), {5: 3.0, 6: 4.0}
    silent = Constant(np.zeros((1, SIDE, SIDE)), 0)
    args = (silent, images, "train", lambda s, i, t, e: np.full((1, SIDE, SIDE), size[t]), (5, 6))
    close(oracle.residual_scalar(*args, ABAR), [3.5])
    close(oracle.residual_released(*args, ABAR), [3.5 / 5])
    args = (silent, images, "train", lambda s, i, t, e: np.full((1, SIDE, SIDE), 1.0 + e), (5,))
    close(oracle.residual_scalar(*args, ABAR, draws=2), [1.5])


def test_trak_and_leverages_have_a_dual_form():
    phi, phi_q, damping = normal(6, 9), normal(4, 9, seed=1), 0.2
    inverse = np.linalg.inv(phi @ phi.T + damping * np.eye(6))
    close(oracle.trak(phi, phi_q, damping), inverse @ phi @ phi_q.T)
    close(oracle.leverages(phi, damping), 1 - damping * np.diag(inverse))


def test_pooled_leverages_sum_to_the_degrees_of_freedom():
    g, damping = normal(3, 6, 5), 0.2
    inverse = np.linalg.inv(oracle.pooled_kernel(g, damping))
    close(oracle.pooled_leverages(g, damping).sum(), 5 - damping * np.trace(inverse))


def test_denominators_of_relative_and_renormalized_influence():
    phi, phi_q, damping = normal(6, 4), normal(3, 4, seed=1), 0.2
    relative = oracle.relative_if(phi, phi_q, damping)
    renormalized = oracle.renormalized_if(phi, phi_q, damping)
    influence = oracle.trak(phi, phi_q, damping)
    own = oracle.trak(phi, np.eye(4), damping)  # rows K^-1 phi_i
    close(influence / relative, np.linalg.norm(own, axis=1)[:, None] * np.ones(3))
    norms = np.linalg.norm(phi, axis=1)[:, None]
    close(influence / renormalized, norms * np.ones(3))
    large = 1e9  # here K is a multiple of the identity and every direction weighs the same
    close(oracle.relative_if(phi, phi_q, large), oracle.dot(phi, phi_q) / norms, 1e-6)
    close(large * oracle.trak(phi, phi_q, large), oracle.dot(phi, phi_q), 1e-6)


def test_largest_eigenvalue_scales_the_damping():
    phi = np.diag([1.0, 3.0, 2.0])
    close(oracle.absolute_damping(phi, 0.1), 0.9)


def test_das_is_the_displacement_of_predictions_by_refits():
    phi, residual, damping, steps = scalar_problem()
    phi_q = normal(5, 4, seed=2)
    moved = steps @ phi_q.T  # f_theta(q) - f_{theta without i}(q)
    close(oracle.das(phi, phi_q, damping, residual, True, "identity"), moved)
    close(oracle.das(phi, phi_q, damping, residual), moved**2)
    close(oracle.das(phi, phi_q, damping, residual, True, "signed_square"), moved * np.abs(moved))
    close(oracle.displacement_score(steps, phi_q[:, None, None]), moved**2)


def test_das_without_residual_and_leverage_is_trak():
    phi, phi_q = normal(6, 4), normal(3, 4, seed=1)
    plain = oracle.das(phi, phi_q, 0.3, leverage=False, transform="identity")
    close(plain, oracle.trak(phi, phi_q, 0.3))
    only_leverage = oracle.das(phi, phi_q, 0.3, transform="identity")
    close(plain / only_leverage, (1 - oracle.leverages(phi, 0.3))[:, None] * np.ones(3))


@pytest.mark.parametrize("transform", ["identity", "square", "signed_square"])
@pytest.mark.parametrize("leverage", [True, False])
def test_all_kernels_agree_on_copies_of_one_timestep(transform, leverage):
    phi, phi_q, residual = normal(6, 4), normal(3, 4, seed=1), np.abs(normal(6, seed=2))
    damping, form = (
        oracle.absolute_damping(phi, 0.1),
        {"leverage": leverage, "transform": transform},
    )
    averaged = oracle.das(phi, phi_q, damping, residual, **form)
    g, g_q = np.stack([phi] * 3), np.stack([phi_q] * 3)
    close(oracle.das_pooled(g, g_q, damping, residual, **form), averaged)
    close(oracle.das_per_t(g, g_q, 0.1, np.stack([residual] * 3), **form), averaged)


def test_per_t_scales_each_timestep_by_its_own_eigenvalue():
    g, g_q = normal(2, 6, 4), normal(2, 3, 4, seed=1)
    rescaled = g.copy(), g_q.copy()
    for part in rescaled:
        part[1] *= 10  # g^T K^-1 g does not change where lambda follows K
    close(oracle.das_per_t(*rescaled, 0.1), oracle.das_per_t(g, g_q, 0.1))
    r = np.abs(normal(2, 6, seed=2))
    dampings = [oracle.absolute_damping(g[t], 0.1) for t in range(2)]
    alone = [oracle.das(g[t], g_q[t], dampings[t], r[t]) for t in range(2)]
    close(oracle.das_per_t(g, g_q, 0.1, r), np.mean(alone, axis=0))


def test_pooled_transform_acts_before_the_mean_over_timesteps():
    g, g_q = normal(2, 6, 4), normal(2, 3, 4, seed=1)
    form = {"residual": np.arange(1.0, 7), "leverage": True}
    linear = oracle.das_pooled(g, g_q, 0.3, transform="identity", **form)
    mean_query = np.stack([g_q.mean(axis=0)] * 2)
    close(oracle.das_pooled(g, mean_query, 0.3, transform="identity", **form), linear)
    parts = [np.stack([g_q[t]] * 2) for t in range(2)]
    squares = [oracle.das_pooled(g, q, 0.3, transform="identity", **form) ** 2 for q in parts]
    close(oracle.das_pooled(g, g_q, 0.3, transform="square", **form), np.mean(squares, axis=0))


def test_block_identity_is_the_refit(linear_problem):
    jacobians, targets = linear_problem
    for damping in (1e-3, 0.5, 20.0):
        theta, steps = oracle.leave_one_out_refit(jacobians, targets, damping)
        residuals = targets - jacobians @ theta
        close(oracle.block_steps(jacobians, residuals, damping), steps)
        assert np.abs(oracle.first_order_steps(jacobians, residuals, damping) - steps).max() > 1e-4


def test_ridge_is_stationary(linear_problem):
    jacobians, targets = linear_problem
    theta = torch.tensor(oracle.ridge(jacobians, targets, 0.5), requires_grad=True)
    errors = torch.tensor(targets) - torch.tensor(jacobians) @ theta
    objective = (errors**2).sum(dim=2).mean(dim=1).sum() + 0.5 * (theta**2).sum()
    close(torch.autograd.grad(objective, theta)[0], np.zeros(5))


def test_scalar_leverage_is_the_block_identity_with_one_row():
    phi, residual, damping, steps = scalar_problem()
    factor = residual / (1 - oracle.leverages(phi, damping))
    close(oracle.trak(phi, np.eye(4), damping) * factor[:, None], steps)
    close(oracle.block_steps(phi[:, None, None], residual[:, None, None], damping), steps)


def test_first_order_steps_are_gradients_of_the_loss(linear_problem):
    jacobians, targets = linear_problem
    theta = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    steps = oracle.first_order_steps(jacobians, targets, 0.5)  # residuals at theta = 0
    inverse = np.linalg.inv(oracle.gauss_newton(jacobians, 0.5))
    for j, y, step in zip(jacobians, targets, steps, strict=True):
        loss = ((torch.tensor(y) - torch.tensor(j) @ theta) ** 2).mean()
        gradient = torch.autograd.grad(loss, theta)[0].numpy()
        close(step, inverse @ (-(2 / 2) * gradient))  # b = -(D / 2) grad L with D = 2


def test_signed_score_and_displacement_add_up_to_the_change_of_a_quadratic_loss(linear_problem):
    jacobians, targets = linear_problem
    theta, steps = oracle.leave_one_out_refit(jacobians, targets, 0.5)
    j, y = normal(4, 3, 2, 5, seed=5), normal(4, 3, 2, seed=6)
    gradients = -2 * np.einsum("qtdp,qtd->qp", j, y - j @ theta) / 6
    before = np.mean((y - j @ theta) ** 2, axis=(1, 2))
    after = np.array([np.mean((y - j @ (theta - step)) ** 2, axis=(1, 2)) for step in steps])
    sum_of_scores = oracle.signed_score(steps, gradients) + oracle.displacement_score(steps, j) / 2
    close(sum_of_scores, after - before)


def test_displacement_is_the_mean_over_all_sign_vectors():
    steps, j = normal(3, 5), normal(2, 1, 4, 5, seed=1)
    signs = np.array(list(product([-1, 1], repeat=4)))
    expected = [[np.mean((signs @ j[q, 0] @ step) ** 2) for q in range(2)] for step in steps]
    close(oracle.displacement_score(steps, j), expected)


def test_similarities_of_pixels():
    train, queries = normal(3, 1, 2, 2), normal(2, 1, 2, 2, seed=1)
    close(oracle.dot(train, queries), np.einsum("ncij,qcij->nq", train, queries))
    angle = oracle.cosine(train, np.concatenate([2 * train[:1], -train[:1]]))
    close(angle[0], [1, -1])
    assert np.abs(angle).max() <= 1 + 1e-12
    close(oracle.train_norm(np.array([[3.0, 4.0], [0.0, 2.0]]), 2), [[5, 5], [2, 2]])


def test_class_match_and_labels_of_generated_queries():
    close(oracle.class_match([0, 1, 1], [1, 0]), [[0, 1], [1, 0], [1, 0]])
    images = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 5.0, 5.1])[:, None, None, None]
    labels = np.array([3, 1, 1, 3, 2, 7, 7])
    # five nearest to 0: labels 3 1 1 3 2, a tie of 3 and 1; five nearest to 5: 7 7 2 3 1
    assert oracle.generated_labels(images, labels, np.array([0.0, 5.0])[:, None]).tolist() == [1, 7]


def test_lds_is_the_correlation_of_ranks():
    masks, scores = normal(12, 8) > 0, normal(8, 3, seed=1)
    outputs = normal(2, 12, 3, seed=2)
    ranks = rankdata(np.hstack([masks @ scores, outputs.mean(axis=0)]), axis=0)
    close(oracle.lds(masks, scores, outputs), np.diag(np.corrcoef(ranks.T)[:3, 3:]))


def test_lds_of_perfect_reversed_and_constant_scores():
    masks = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=bool)
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    scores = np.stack([truth, -truth, np.full(4, 0.1)], axis=1)
    outputs = np.exp(masks @ truth)[None, :, None] * np.ones((1, 1, 3))
    values = oracle.lds(masks, scores, outputs)
    close(values[:2], [1, -1])
    assert np.isnan(values[2])
