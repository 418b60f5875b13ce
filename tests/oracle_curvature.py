"""The slowest obvious forms of EK-FAC, unlearning and datamodels, in float64, all on their own.

Gradients are autograd's, one image, timestep and parameter tensor at a time; patches are cut out by
hand.
"""

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


def ekfac(model, sampled, train, query, relative):
    """[N, Q] g_q^T (F + lambda)^-1 g_i with EK-FAC's F.

    Args:
        model: float64.
        sampled: List of (x_t, t, xi), xi the gradient at the output for a sampled target.
        train: N lists of samples (x_t, t, target).
        query: Q lists.
        relative: lambda over the largest corrected eigenvalue.
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

    def turned(matrices):
        return {n: bases[n][1].T @ matrices[n] @ bases[n][0] for n in modules}

    turned_sampled = [turned(g) for g in gradients]
    eigenvalues = {n: sum(g[n] ** 2 for g in turned_sampled) / len(turned_sampled) for n in modules}
    damping = relative * max(e.max() for e in eigenvalues.values())
    left = [turned(loss_gradient(model, samples)) for samples in train]
    right = [turned(loss_gradient(model, samples)) for samples in query]
    scores = np.zeros((len(left), len(right)))
    for (i, g), (q, h) in itertools.product(enumerate(left), enumerate(right)):
        scores[i, q] = sum((g[n] * h[n] / (eigenvalues[n] + damping)).sum() for n in modules)
    return scores


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

    def losses(network):
        with torch.no_grad():
            return np.array(
                [
                    np.mean([float(((predict(network, x, t) - w) ** 2).mean()) for x, t, w in some])
                    for some in measured
                ]
            )

    before, scores = losses(model), []
    kept = {name: p.detach().clone() for name, p in model.named_parameters()}
    for samples in query:
        g = loss_gradient(model, samples)
        for name, module in layers_of(model).items():
            with np.errstate(divide="ignore", invalid="ignore"):
                move = np.where(fisher[name] > 0, g[name] / fisher[name], 0)
            move = torch.from_numpy(step / len(train) * move)
            with torch.no_grad():
                width = module.weight[0].numel()
                module.weight += move[:, :width].reshape(module.weight.shape)
                if module.bias is not None:
                    module.bias += move[:, width]
        scores.append(losses(model) - before)
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(kept[name])
    return np.stack(scores, 1)


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
