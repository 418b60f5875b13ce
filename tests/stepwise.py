"""Inputs of a method whose kernel keeps timesteps apart, and all parts of a method's scores."""

import numpy as np

from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.methods import interface
from dasbench.evaluation import predictions


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


def every_part(options, given, points, queries=None, memory=2**20):
    """Point -> scores [K, N, Q] of all K parts, without a transform."""
    found = {}
    request = interface.Request(given, points, queries)
    for block in interface.blocks(options, {"val": request}, memory):
        for point, scores in block.path:
            found.setdefault(point, {}).setdefault(block.part, []).append(scores)
    return {
        point: np.stack([np.concatenate(columns, axis=1) for columns in parts.values()])
        for point, parts in found.items()
    }


def predicted(options, given, points, masks, queries=None):
    """Predictions of a method for one kind of query, of all parts."""
    request = interface.Request(given, points, queries)
    return predictions.predict(interface.blocks(options, {"val": request}), masks)["val"]


def every_leverage(options, given, point):
    """h of all K parts at one point, [K, N]."""
    request = interface.Request(given, [point], None, point)
    blocks = list(interface.blocks(options, {"val": request}))
    return np.stack([block.leverages for block in blocks if block.leverages is not None])


def blocks_of(paths, kind="val", size=1):
    """Blocks of queries of scores that have one part; each path is for ``size`` queries."""
    for k, path in enumerate(paths):
        yield interface.Block(kind, slice(k * size, (k + 1) * size), 0, 1, iter(path))
