"""The floors by the slowest obvious float64 code, written from their formulas alone.

It imports nothing of ``dasbench``. x [N, P] are the training vectors, q [Q, P] the queries, both
lists of float64 vectors; ``spread`` is d^2. Loops run over examples, queries and timesteps.
"""

import math

import numpy as np


def spread(x, tuning):
    """Median squared distance between training vectors and tuning queries."""
    return float(np.median([sum((a - b) ** 2) for a in x for b in tuning]))


def cosine_power(x, q, centre, power):
    mean = [sum(column) / len(x) for column in x.T]
    c = {"zero": 0 * x[0], "black": 0 * x[0] - 1, "mean": np.array(mean)}[centre]

    def cosine(a, b):
        lengths = math.sqrt(sum(a * a) * sum(b * b))
        return sum(a * b) / lengths if lengths else 0.0

    return np.array([[max(cosine(a - c, b - c), 0.0) ** power for b in q] for a in x])


def rbf(x, q, width, d2):
    return np.array([[math.exp(-sum((a - b) ** 2) / (2 * width * d2)) for b in q] for a in x])


def ridge(x, q, width, penalty, power, d2):
    kernel = rbf(x, x, width, d2)
    shift = penalty * max(np.linalg.eigvalsh(kernel))
    inverse = np.linalg.inv(kernel + shift * np.eye(len(x)))
    return np.abs((rbf(x, q, width, d2).T @ inverse).T) ** power


def nearest(x, q, count):
    scores = np.zeros((len(x), len(q)))
    for j, b in enumerate(q):
        order = sorted(range(len(x)), key=lambda i: (sum((x[i] - b) ** 2), i))
        for i in order[:count]:
            scores[i, j] = 1.0
    return scores


def ideal_denoiser(x, q, power, noise, timesteps):
    """``noise[t]`` [P] is shared by all queries; abar is that of linear betas."""
    abar, product = [], 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        abar.append(product)
    scores = np.zeros((len(x), len(q)))
    for t in timesteps:
        for j, b in enumerate(q):
            noised = math.sqrt(abar[t]) * b + math.sqrt(1 - abar[t]) * noise[t]
            far = [sum((noised - math.sqrt(abar[t]) * a) ** 2) / (2 * (1 - abar[t])) for a in x]
            weights = [math.exp(min(far) - f) for f in far]
            for i, weight in enumerate(weights):
                scores[i, j] += (weight / sum(weights)) ** power / len(timesteps)
    return scores


def nda(x, q, abar, eps, side, outside=10.0):
    """Shares [N, Q] of the denoiser of patches: loops over queries, places, images and places.

    x [N, C, H, W] and q [Q, C, H, W]; ``eps`` [C, H, W] is the noise of every query.
    """
    height, width = x.shape[2:]
    places = [(h, w) for h in range(height) for w in range(width)]

    def patch(image, h, w):
        numbers = []
        for c in range(len(image)):
            for i in range(h - side // 2, h - side // 2 + side):
                for j in range(w - side // 2, w - side // 2 + side):
                    inside = 0 <= i < height and 0 <= j < width
                    numbers.append(image[c, i, j] if inside else outside)
        return np.array(numbers)

    scores = np.zeros((len(x), len(q)))
    for j, b in enumerate(q):
        noised = math.sqrt(abar) * b + math.sqrt(1 - abar) * eps
        for u in places:
            own = patch(noised, *u)
            far = [
                [
                    sum((own - patch(math.sqrt(abar) * a, *v)) ** 2) / (2 * (1 - abar))
                    for v in places
                ]
                for a in x
            ]
            least = min(map(min, far))
            weights = [sum(math.exp(least - f) for f in of_image) for of_image in far]
            scores[:, j] += np.array(weights) / sum(weights) / len(places)
    return scores
