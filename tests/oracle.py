"""The slowest obvious float64 version of the mathematics, written from the formulas alone.

It imports nothing of ``dasbench``. Loops run over examples, timesteps and output coordinates;
Jacobians and P x P kernels are explicit, so each function can be read beside its formula.

N training examples, Q queries, M subset models, R seeds, T timesteps, P features, p parameters,
D = C*H*W numbers in one image. A model is a float64 module (x [1, C, H, W], t [1]) -> eps_theta.
A noise_fn is ``(split, i, t, draw) -> [C, H, W]``. Images and noise are numpy arrays or tensors.
phi [N, P] and phi_q [Q, P] are averaged features, g [T, N, P] and g_q [T, Q, P] features by
timestep, jacobians [N, T, D, P], vector residuals and targets [N, T, D]. ``damping`` is lambda.

Source: DAS (arXiv 2410.18639); TRAK and LDS (arXiv 2303.14186); DDPM (arXiv 2006.11239).
"""
# ruff: noqa: PLR0913, PLR0917 (every quantity that enters a formula is an argument of its function)

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

Array = np.ndarray
NoiseFn = Callable[[str, int, int, int], Array]


def linear_abar(first: float = 1e-4, last: float = 0.02, steps: int = 1000) -> Array:
    """[steps] cumulative products of ``1 - beta``, with betas equally spaced from first to last."""
    abar = np.ones(steps)
    for t in range(steps):
        beta = first + (last - first) * t / (steps - 1)
        abar[t:] *= 1.0 - beta
    return abar


def add_noise(x: Array, t: int, eps: Array, abar: Array) -> torch.Tensor:
    """``x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps`` in float64, in the shape of x."""
    x, eps = _double(x), _double(eps)
    return float(abar[t]) ** 0.5 * x + (1.0 - float(abar[t])) ** 0.5 * eps


def predict(model: nn.Module, x_t: torch.Tensor, t: int) -> torch.Tensor:
    """``eps_theta(x_t, t)`` of one image [C, H, W], flattened to [D]."""
    return model(_double(x_t)[None], torch.tensor([t])).flatten()


def readout(
    eps: torch.Tensor, eps_theta: torch.Tensor, kind: str, v: Array | None = None
) -> torch.Tensor:
    """The number that is differentiated; eps, eps_theta and (for ``probe``) v have D entries."""
    eps, eps_theta = _double(eps).flatten(), eps_theta.flatten()
    d = eps_theta.numel()
    return {
        "loss": lambda: ((eps - eps_theta) ** 2).sum() / d,
        "square": lambda: (eps_theta**2).sum() / d,
        "mean": lambda: eps_theta.sum() / d,
        "l1": lambda: eps_theta.abs().sum() / d,
        "l2": lambda: (eps_theta**2).sum().sqrt(),
        "linf": lambda: eps_theta.abs().max(),
        "probe": lambda: (_double(v).flatten() * eps_theta).sum() / d,
    }[kind]()


def output_jacobian(model: nn.Module, x_t: torch.Tensor, t: int) -> Array:
    """[D, p] derivative of ``eps_theta(x_t, t)``, parameters as in ``named_parameters``."""
    output = predict(model, x_t, t)
    return np.stack([_gradient(model, output[d]) for d in range(output.numel())])


def readout_gradient(
    model: nn.Module, x: Array, t: int, eps: Array, kind: str, abar: Array, v: Array | None = None
) -> Array:
    """[p] gradient of the readout at the noised image x [C, H, W]."""
    return _gradient(model, readout(eps, predict(model, add_noise(x, t, eps, abar), t), kind, v))


def features_by_timestep(
    model: nn.Module,
    images: Array,
    split: str,
    noise_fn: NoiseFn,
    timesteps: Sequence[int],
    draws: int,
    kind: str,
    normalise: bool,
    abar: Array,
    projection: Array | None = None,
    v: Array | None = None,
) -> Array:
    """[T, N, P] gradients averaged over draws; P = p without a projection [p, P].

    With ``normalise`` each gradient is divided by its own unprojected norm before any average.
    """
    rows = []
    for t, i in product(timesteps, range(len(images))):
        total = 0.0
        for draw in range(draws):
            g = readout_gradient(model, images[i], t, noise_fn(split, i, t, draw), kind, abar, v)
            g = _unit(g) if normalise else g
            total = total + (g if projection is None else g @ projection)
        rows.append(total / draws)
    return np.array(rows).reshape(len(timesteps), len(images), -1)


def features(*args, **options) -> Array:
    """[N, P] ``phi = mean_t g_t``, arguments of ``features_by_timestep``; one call per probe."""
    by_timestep = features_by_timestep(*args, **options)
    return sum(by_timestep) / len(by_timestep)


def root_errors(
    model: nn.Module,
    images: Array,
    split: str,
    noise_fn: NoiseFn,
    timesteps: Sequence[int],
    abar: Array,
    draws: int = 1,
) -> Array:
    """[N, T] ``s_{i,t} = ||eps - eps_theta||_2 / sqrt(D)``, averaged over draws."""
    s = np.zeros((len(images), len(timesteps)))
    for i, k, draw in np.ndindex(len(images), len(timesteps), draws):
        t = timesteps[k]
        eps = _double(noise_fn(split, i, t, draw))
        eps_theta = predict(model, add_noise(images[i], t, eps, abar), t).detach()
        s[i, k] += np.linalg.norm(eps.flatten() - eps_theta) / np.sqrt(eps.numel()) / draws
    return s


def residual_scalar(*args, **options) -> Array:
    """[N] ``mean_t s_{i,t}``; the arguments of ``root_errors``."""
    return np.array([np.mean(s) for s in root_errors(*args, **options)])


def residual_released(*args, **options) -> Array:
    """[N] ``mean_t s_{i,t} / sqrt(sum_t s_{i,t}^2)``; the arguments of ``root_errors``."""
    return np.array([np.mean(s) / np.sqrt(np.sum(s**2)) for s in root_errors(*args, **options)])


def kernel(phi: Array, damping: float) -> Array:
    """[P, P] ``K = sum_i phi_i phi_i^T + damping I``."""
    return damping * np.eye(phi.shape[1]) + sum(np.outer(a, a) for a in phi)


def absolute_damping(phi: Array, relative: float) -> float:
    """``relative`` times the largest eigenvalue of ``sum_i phi_i phi_i^T``."""
    return relative * float(np.linalg.norm(kernel(phi, 0.0), 2))


def leverages(phi: Array, damping: float) -> Array:
    """[N] ``h_i = phi_i^T K^-1 phi_i``."""
    k = kernel(phi, damping)
    return np.array([row @ np.linalg.solve(k, row) for row in phi])


def trak(phi: Array, phi_q: Array, damping: float) -> Array:
    """[N, Q] ``phi_q^T K^-1 phi_i``."""
    k = kernel(phi, damping)
    return _pairs(phi, phi_q, lambda a, q: q @ np.linalg.solve(k, a))


def relative_if(phi: Array, phi_q: Array, damping: float) -> Array:
    """[N, Q] ``phi_q^T K^-1 phi_i / ||K^-1 phi_i||``."""
    k = kernel(phi, damping)
    return _pairs(phi, phi_q, lambda a, q: q @ _unit(np.linalg.solve(k, a)))


def renormalized_if(phi: Array, phi_q: Array, damping: float) -> Array:
    """[N, Q] ``phi_q^T K^-1 phi_i / ||phi_i||``."""
    k = kernel(phi, damping)
    return _pairs(phi, phi_q, lambda a, q: q @ np.linalg.solve(k, a) / np.sqrt(a @ a))


def transformed(tau: float, transform: str) -> float:
    """tau, tau^2 or sign(tau) tau^2."""
    return {"identity": tau, "square": tau * tau, "signed_square": tau * abs(tau)}[transform]


def das(
    phi: Array,
    phi_q: Array,
    damping: float,
    residual: Array | float = 1.0,
    leverage: bool = True,
    transform: str = "square",
) -> Array:
    """[N, Q] transform of ``phi_q^T K^-1 phi_i r_i / (1 - h_i)``; residual [N], 1 for none."""
    tau, h = trak(phi, phi_q, damping), leverages(phi, damping)
    r = np.broadcast_to(residual, len(phi))
    for i, q in np.ndindex(tau.shape):
        tau[i, q] = transformed(tau[i, q] * r[i] / (1.0 - h[i] if leverage else 1.0), transform)
    return tau


def das_per_t(
    g: Array, g_q: Array, relative: float, residual: Array | float = 1.0, **form: bool | str
) -> Array:
    """[N, Q] mean of ``das`` over timesteps, lambda relative to each K_t; residual [T, N] or 1."""
    r = np.broadcast_to(residual, g.shape[:2])
    scores = [
        das(g[t], g_q[t], absolute_damping(g[t], relative), r[t], **form) for t in range(len(g))
    ]
    return sum(scores) / len(g)


def pooled_kernel(g: Array, damping: float) -> Array:
    """[P, P] ``K = (1/T) sum_i sum_t g_{i,t} g_{i,t}^T + damping I``."""
    return kernel(np.concatenate(g) / np.sqrt(len(g)), damping)


def pooled_leverages(g: Array, damping: float) -> Array:
    """[N] ``h_i = (1/T) sum_t g_{i,t}^T K^-1 g_{i,t}``."""
    k, h = pooled_kernel(g, damping), np.zeros(g.shape[1])
    for t, i in np.ndindex(g.shape[:2]):
        h[i] += g[t, i] @ np.linalg.solve(k, g[t, i]) / len(g)
    return h


def das_pooled(
    g: Array,
    g_q: Array,
    damping: float,
    residual: Array | float = 1.0,
    leverage: bool = True,
    transform: str = "square",
) -> Array:
    """[N, Q] mean_t of transformed ``g_{q,t}^T K^-1 phi_i r_i / (1 - h_i)``, residual [N]."""
    k, h = pooled_kernel(g, damping), pooled_leverages(g, damping)
    r, scores = np.broadcast_to(residual, len(h)), np.zeros((len(h), g_q.shape[1]))
    for i in range(len(h)):
        step = np.linalg.solve(k, sum(g[:, i]) / len(g))
        step = step * r[i] / (1.0 - h[i] if leverage else 1.0)
        for t, q in np.ndindex(g_q.shape[:2]):
            scores[i, q] += transformed(g_q[t, q] @ step, transform) / len(g)
    return scores


def dot(phi: Array, phi_q: Array) -> Array:
    """[N, Q] inner products; images [N, C, H, W] in [-1, 1] are flattened (``pixel_dot``)."""
    return _pairs(_flat(phi), _flat(phi_q), lambda a, b: a @ b)


def cosine(phi: Array, phi_q: Array) -> Array:
    """[N, Q] inner products of unit vectors; images are flattened (``pixel_cosine``)."""
    return _pairs(_flat(phi), _flat(phi_q), lambda a, b: _unit(a) @ _unit(b))


def train_norm(phi: Array, queries: int) -> Array:
    """[N, Q] ``||phi_i||`` for each query."""
    return np.array([[np.sqrt(a @ a)] * queries for a in phi])


def class_match(labels: Array, query_labels: Array) -> Array:
    """[N, Q] 1 where the labels agree."""
    return np.array([[float(a == b) for b in query_labels] for a in labels])


def generated_labels(images: Array, labels: Array, queries: Array, neighbours: int = 5) -> Array:
    """[Q] majority label of the pixel-nearest training images; ties to the smallest label."""
    flat, chosen = _flat(images), []
    for query in _flat(queries):
        order = np.argsort([np.sum((a - query) ** 2) for a in flat], kind="stable")
        votes = Counter(int(labels[i]) for i in order[:neighbours])
        chosen.append(min(label for label, n in votes.items() if n == max(votes.values())))
    return np.array(chosen)


def gauss_newton(jacobians: Array, damping: float) -> Array:
    """[P, P] ``(1/T) sum_i sum_t J^T J + damping I``: all rows, scaled by 1/sqrt(T)."""
    return kernel(np.concatenate([_rows(j) for j in jacobians]), damping)


def first_order_steps(jacobians: Array, residuals: Array, damping: float) -> Array:
    """[N, P] ``K^-1 b_i`` with ``b_i = mean_t J_{i,t}^T r_{i,t}``: roughly what i added."""
    k, steps = gauss_newton(jacobians, damping), []
    for j, r in zip(jacobians, residuals, strict=True):
        b = sum(j_t.T @ r_t for j_t, r_t in zip(j, r, strict=True)) / len(j)
        steps.append(np.linalg.solve(k, b))
    return np.array(steps)


def block_steps(jacobians: Array, residuals: Array, damping: float) -> Array:
    """[N, P] ``theta - theta_{-i} = K^-1 J_i^T (I - J_i K^-1 J_i^T)^-1 r_i``, exact for ridge."""
    k, steps = gauss_newton(jacobians, damping), []
    for j, r in zip(jacobians, residuals, strict=True):
        rows, right = _rows(j), r.ravel() / np.sqrt(len(r))
        hat = rows @ np.linalg.solve(k, rows.T)
        steps.append(np.linalg.solve(k, rows.T @ np.linalg.solve(np.eye(len(hat)) - hat, right)))
    return np.array(steps)


def ridge(jacobians: Array, targets: Array, damping: float) -> Array:
    """[P] minimiser of ``sum_i mean_t ||y - J theta||^2 + damping ||theta||^2``."""
    return sum(first_order_steps(jacobians, targets, damping))  # K^-1 sum_i mean_t J^T y


def leave_one_out_refit(jacobians: Array, targets: Array, damping: float) -> tuple[Array, Array]:
    """Ridge fit theta [P] of all examples, and ``theta - theta_{-i}`` [N, P] by N actual refits."""
    theta, steps = ridge(jacobians, targets, damping), []
    for i in range(len(jacobians)):
        rest = np.delete(jacobians, i, axis=0), np.delete(targets, i, axis=0)
        steps.append(theta - ridge(*rest, damping))
    return theta, np.array(steps)


def signed_score(steps: Array, loss_gradients: Array) -> Array:
    """[N, Q] ``L_q(theta_{-i}) - L_q(theta)`` to first order: ``-grad L_q^T step_i``."""
    return _pairs(steps, loss_gradients, lambda step, g: -(g @ step))


def displacement_score(steps: Array, query_jacobians: Array) -> Array:
    """[N, Q] ``E_v (v^T J_q step_i)^2 = ||J_q step_i||^2``, mean over t, J_q [Q, T, D, P]."""
    return _pairs(steps, query_jacobians, lambda step, j: np.sum((j @ step) ** 2) / len(j))


def lds(masks: Array, scores: Array, outputs: Array) -> Array:
    """[Q] scores, NaN where undefined; masks [M, N], scores [N, Q], outputs [R, M, Q]."""
    values = []
    for q in range(scores.shape[1]):
        predicted = [sum(scores[n, q] for n in np.flatnonzero(mask)) for mask in masks]
        observed = [np.mean(outputs[:, m, q]) for m in range(len(masks))]
        constant = len(set(predicted)) == 1 or len(set(observed)) == 1
        values.append(np.nan if constant else spearmanr(predicted, observed).statistic)
    return np.array(values)


class TinyModel(nn.Module):
    """Convolutions, time embedding, group norm and SiLU: a few hundred parameters."""

    def __init__(self, channels: int, width: int = 4) -> None:
        """Build for images of any size with the given number of channels."""
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Linear(4, width)
        self.norm = nn.GroupNorm(2, width)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] from x [B, C, H, W] and t [B]."""
        angles = t.to(x.dtype)[:, None] * torch.tensor([0.05, 0.005], dtype=x.dtype)
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        hidden = nn.functional.silu(self.norm(self.first(x) + time[:, :, None, None]))
        return self.last(nn.functional.silu(self.middle(hidden)))


def tiny_model(seed: int, channels: int = 1) -> TinyModel:
    """A ``TinyModel`` with random parameters, also where the default is 0 or 1."""
    model = TinyModel(channels).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


class Sample(nn.Module):
    """A diffusers UNet2DModel as ``(x, t) -> eps_theta``, parameters in the UNet's order."""

    def __init__(self, unet: nn.Module) -> None:
        """Hold the UNet, which stays shared with the caller; it must be float64 already."""
        super().__init__()
        self.unet = unet

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """eps_theta [B, C, H, W]."""
        return self.unet(x, t).sample


def _double(x):
    return torch.as_tensor(x).to(torch.float64)


def _gradient(model, scalar):
    """[p] gradient by the parameters that require one, zeros where there is no dependence."""
    parameters = [p for _, p in model.named_parameters() if p.requires_grad]
    pieces = torch.autograd.grad(scalar, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([piece.flatten() for piece in pieces]).numpy()


def _pairs(left, right, score):
    return np.array([[score(a, b) for b in right] for a in left])


def _unit(a):
    return a / np.sqrt(np.sum(a**2))


def _flat(images):
    return np.asarray(images, dtype=np.float64).reshape(len(images), -1)


def _rows(jacobian):
    """[T D, P] rows of one example's Jacobian [T, D, P], scaled by 1/sqrt(T)."""
    timesteps, d, p = jacobian.shape
    return jacobian.reshape(timesteps * d, p) / np.sqrt(timesteps)
