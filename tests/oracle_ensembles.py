"""Averages of scores over models by loops over models, timesteps, examples and queries."""

import numpy as np

import oracle

FUNCTIONS = {
    "identity": lambda s: s,
    "abs_1": abs,
    "abs_1.5": lambda s: abs(s) ** 1.5,
    "square": lambda s: s**2,
    "abs_2.5": lambda s: abs(s) ** 2.5,
    "abs_3": lambda s: abs(s) ** 3,
    "signed_square": lambda s: s**2 if s > 0 else -(s**2),
    "positive_square": lambda s: s**2 if s > 0 else 0.0,
}


def taus(g, g_q, relative):
    """g_q^T K^-1 g_i by timestep: [T][N][Q] of features [T, N, P] and [T, Q, P]."""
    every = []
    for phi, phi_q in zip(g, g_q, strict=True):
        phi, phi_q = phi.astype(np.float64), phi_q.astype(np.float64)
        inverse = np.linalg.inv(oracle.kernel(phi, oracle.absolute_damping(phi, relative)))
        every.append([[float(q @ inverse @ i) for q in phi_q] for i in phi])
    return every


def average(members, relative, function, order):
    """[N, Q] of members [(g, g_q)], each [T, N, P] and [T, Q, P]."""
    f = FUNCTIONS[function]
    tau = np.array([taus(g, g_q, relative) for g, g_q in members])  # [S, T, N, Q]
    _, _, n, q = tau.shape
    scores = np.zeros((n, q))
    for i in range(n):
        for j in range(q):
            if order == "each":
                scores[i, j] = np.mean([f(x) for of_member in tau for x in of_member[:, i, j]])
            elif order == "member":
                scores[i, j] = np.mean([f(np.mean(of_member[:, i, j])) for of_member in tau])
            else:
                scores[i, j] = f(np.mean(tau[:, :, i, j]))
    return scores
