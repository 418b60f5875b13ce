"""The slowest obvious forms of EK-FAC, unlearning and datamodels, in float64, all on their own.

Gradients are autograd's, one image, timestep and parameter tensor at a time; patches are cut out by
hand.
"""

import copy
import itertools

import numpy as np
import torch
from torch import nn


def layers_of(model):
    """Name -> module of the linear and convolution layers."""
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}


def predict(model, x_t, t):
    """[C, H, W] of one image."""
    out = model(x_t[None], torch.tensor([t]))
    return getattr(out, "sample", out)[0]


def gradient_matrices(model, scalar):
    """Layer -> [d_out, d_in] of a scalar: the weight as a matrix, the bias as its last column."""
    modules = layers_of(model)
    found = {}
    for name, module in modules.items():
        parts = []
        for p in (module.weight, module.bias):
            if p is not None:
                (g,) = torch.autograd.grad(scalar, p, retain_graph=True)
                parts.append(g.reshape(len(module.weight), -1))
        found[name] = torch.cat(parts, 1).numpy()
    return found


def loss_gradient(model, samples):
    """Mean over samples (x_t, t, target) of the gradient of the mean squared error."""
    total = {}
    for x_t, t, wanted in samples:
        loss = ((predict(model, x_t, t) - wanted) ** 2).sum() / wanted.numel()
        for name, g in gradient_matrices(model, loss).items():
            total[name] = total.get(name, 0) + g / len(samples)
    return total


def columns(module, x):
    """[S, d_in] what a layer sees of an input [1, ...] at each place; for a bias also a one."""
    if isinstance(module, nn.Linear):
        rows = [row.flatten() for row in x.reshape(-1, x.shape[-1])]
    else:
        (kh, kw), (sh, sw), (ph, pw) = module.kernel_size, module.stride, module.padding
        c, h, w = x.shape[1:]
        wide = torch.zeros(c, h + 2 * ph, w + 2 * pw, dtype=x.dtype)
        wide[:, ph : ph + h, pw : pw + w] = x[0]
        tops = range(0, h + 2 * ph - kh + 1, sh)
        lefts = range(0, w + 2 * pw - kw + 1, sw)
        rows = [
            wide[:, i : i + kh, j : j + kw].flatten() for i, j in itertools.product(tops, lefts)
        ]
    one = [] if module.bias is None else [torch.ones(1, dtype=x.dtype)]
    return torch.stack([torch.cat([row, *one]) for row in rows]).numpy()


def ekfac_factors(model, sampled):
    """Layer -> (U_A, U_S), and layer -> corrected eigenvalues [d_out, d_in].

    Args:
        model: float64.
        sampled: List of (x_t, t, xi), xi the gradient at the output for a sampled target.
    """
    modules, a, s, gradients = layers_of(model), {}, {}, []
    for x_t, t, xi in sampled:
        seen = {}
        hooks = [
            m.register_forward_hook(lambda m, i, o, n=n, to=seen: to.update({n: (i[0], o)}))
            for n, m in modules.items()
        ]
        scalar = (predict(model, x_t, t) * xi).sum()
        for hook in hooks:
            hook.remove()
        for name, (x, out) in seen.items():
            (delta,) = torch.autograd.grad(scalar, out, retain_graph=True)
            swapped = isinstance(modules[name], nn.Conv2d)
            rows = delta[0].flatten(1).T if swapped else delta.reshape(-1, delta.shape[-1])
            for total, vectors in ((a, columns(modules[name], x.detach())), (s, rows.numpy())):
                total[name] = total.get(name, 0) + sum(np.outer(v, v) for v in vectors)
        gradients.append(gradient_matrices(model, scalar))
    bases = {name: (np.linalg.eigh(a[name])[1], np.linalg.eigh(s[name])[1]) for name in modules}

    every = [turned(bases, g) for g in gradients]
    return bases, {n: sum(g[n] ** 2 for g in every) / len(every) for n in modules}


def turned(bases, matrices):
    """U_S^T G U_A of each layer."""
    return {n: u_s.T @ matrices[n] @ u_a for n, (u_a, u_s) in bases.items()}


def influence(model, sampled, train, query, relative):
    """[N, Q] query^T (F + lambda)^-1 train with EK-FAC's F.

    Args:
        model: float64.
        sampled: As for ``ekfac_factors``.
        train: N gradients, layer -> [d_out, d_in].
        query: Q gradients.
        relative: lambda over the largest corrected eigenvalue.
    """
    bases, eigenvalues = ekfac_factors(model, sampled)
    damping = relative * max(e.max() for e in eigenvalues.values())
    left, right = ([turned(bases, g) for g in side] for side in (train, query))
    scores = np.zeros((len(left), len(right)))
    for (i, g), (q, h) in itertools.product(enumerate(left), enumerate(right)):
        scores[i, q] = sum((g[n] * h[n] / (eigenvalues[n] + damping)).sum() for n in bases)
    return scores


def ekfac(model, sampled, train, query, relative):
    """[N, Q] g_q^T (F + lambda)^-1 g_i; ``train`` and ``query`` have lists of (x_t, t, target)."""
    sides = ([loss_gradient(model, samples) for samples in side] for side in (train, query))
    return influence(model, sampled, *sides, relative)


def product_gradient(model, samples, v):
    """Mean over samples of v^T J: the gradient of the product of the prediction with v."""
    total = {}
    for x_t, t, _ in samples:
        for name, g in gradient_matrices(model, (predict(model, x_t, t) * v).sum()).items():
            total[name] = total.get(name, 0) + g / len(samples)
    return total


def unlearning(model, train, query, measured, step):
    """[N, Q] change of each example's loss after one diagonal Newton step up a query's loss.

    Args:
        model: float64.
        train: N lists of samples (x_t, t, target) for the curvature.
        query: Q lists of samples for the gradient.
        measured: N lists of samples for the losses.
        step: alpha.
    """
    each = [loss_gradient(model, [sample]) for samples in train for sample in samples]
    fisher = {n: sum(g[n] ** 2 for g in each) / len(each) for n in each[0]}

    before, scores = losses(model, measured), []
    for samples in query:
        g, moves = loss_gradient(model, samples), {}
        for name in g:
            with np.errstate(divide="ignore", invalid="ignore"):
                move = np.where(fisher[name] > 0, g[name] / fisher[name], 0)
            moves[name] = step / len(train) * move
        scores.append(losses(moved(model, moves), measured) - before)
    return np.stack(scores, 1)


def losses(model, measured):
    """Mean loss of each list of samples (x_t, t, target)."""
    with torch.no_grad():
        return np.array(
            [
                np.mean([float(((predict(model, x, t) - w) ** 2).mean()) for x, t, w in some])
                for some in measured
            ]
        )


def moved(model, moves):
    """A copy of the model after a step; ``moves`` has [d_out, d_in] of each layer, bias last."""
    other = copy.deepcopy(model)
    for name, module in layers_of(other).items():
        move, width = torch.from_numpy(moves[name]), module.weight[0].numel()
        with torch.no_grad():
            module.weight += move[:, :width].reshape(module.weight.shape)
            if module.bias is not None:
                module.bias += move[:, width]
    return other


def unlearning_plus(model, sampled, query, measured, alpha, bounded):
    """[N, Q] L_i(theta') / L_i(theta) - 1 after one step along (F + lambda)^-1 grad L_q.

    Args:
        model: float64.
        sampled: As for ``ekfac_factors``.
        query: Q lists of samples for the gradient and the bound.
        measured: N lists of samples for the losses.
        alpha: The step is alpha / N, or the share of the way to the loss of a zero prediction.
        bounded: Which of both.
    """
    bases, eigenvalues = ekfac_factors(model, sampled)
    before, scores = losses(model, measured), []
    for samples in query:
        g, direction = loss_gradient(model, samples), {}
        for n, (u_a, u_s) in bases.items():
            shifted = eigenvalues[n] + 0.1 * eigenvalues[n].mean()
            direction[n] = u_s @ (turned(bases, g)[n] / shifted) @ u_a.T
        length = alpha / len(measured)
        if bounded:
            (loss,) = losses(model, [samples])
            null = np.mean([float((w**2).mean()) for _, _, w in samples])
            rise = max(alpha * (null - loss), 0)
            length = longest(
                lambda s, d=direction, q=samples, most=loss + rise: (
                    losses(step(model, d, s), [q])[0] <= most
                ),
                rise / sum((g[n] * direction[n]).sum() for n in g),
            )
        scores.append(losses(step(model, direction, length), measured) / before - 1)
    return np.stack(scores, 1)


def longest(allowed, most):
    """The largest allowed length up to ``most``, to a thousandth of it."""
    low, high = 0, most
    while high - low > 1.5 * most / 2**10 and not allowed(high):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return high if allowed(high) else low


def step(model, direction, length):
    """``moved`` by ``length`` along a direction."""
    return moved(model, {name: length * d for name, d in direction.items()})


def empirical_influence(masks, outputs):
    """[N, Q] mean output with each example minus mean output without it, 0 where one is missing."""
    scores = np.zeros((masks.shape[1], outputs.shape[1]))
    for n, q in np.ndindex(scores.shape):
        have = [outputs[m, q] for m in range(len(masks)) if masks[m, n]]
        lack = [outputs[m, q] for m in range(len(masks)) if not masks[m, n]]
        if have and lack:
            scores[n, q] = sum(have) / len(have) - sum(lack) / len(lack)
    return scores


def ridge(masks, y, penalty):
    """Coefficients [N] and intercept: least squares with a penalty on the coefficients alone."""
    n = masks.shape[1]
    rows = np.column_stack([masks.astype(float), np.ones(len(masks))])
    extra = np.column_stack([penalty**0.5 * np.eye(n), np.zeros(n)])
    solved = np.linalg.lstsq(np.vstack([rows, extra]), np.append(y, np.zeros(n)), rcond=None)[0]
    return solved[:-1], solved[-1]


def datamodel(masks, outputs, relative):
    """[N, Q] ridge coefficients at the penalty of the least squared error by M actual refits."""
    centred = masks - masks.mean(0)
    scale, scores = np.linalg.norm(centred, 2) ** 2, []
    for y in outputs.T:
        errors = []
        for r in relative:
            total = 0.0
            for m in range(len(masks)):
                rest = np.arange(len(masks)) != m
                # the penalty's unit is that of all subsets
                w, b = ridge(masks[rest], y[rest], r * scale)
                total += (y[m] - masks[m] @ w - b) ** 2
            errors.append(total)
        scores.append(ridge(masks, y, relative[int(np.argmin(errors))] * scale)[0])
    return np.stack(scores, 1)
