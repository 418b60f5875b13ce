"""Inputs of a method whose kernel keeps timesteps apart."""

import numpy as np

from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.methods import interface


def inputs(g, g_q, residual):
    """Of features [T, N, P] and [T, Q, P], and residuals [N], [T, N] or None."""
    n, q = g.shape[1], g_q.shape[1]
    return interface.Inputs(
        train_images=np.zeros((n, 2, 2, 1), np.uint8),
        train_labels=np.zeros(n, np.int64),
        train_ids=np.arange(n),
        query_images=np.zeros((q, 1, 2, 2), np.float32),
        query_labels=np.zeros(q, np.int64),
        train_features=None,
        query_features=None,
        residuals=residual,
        scores=None,
        axes=("tests", 0),
        spectrum=Spectra(g),
        query_timesteps=g_q,
    )
