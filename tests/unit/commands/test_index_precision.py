"""An index in half precision ranks images as float32 does, for gradients of a real network."""

import functools

import numpy as np
from scipy.stats import spearmanr

import dasbench
from dasbench.commands import index_features
from dasbench.commands.index_manifest import Manifest
from dasbench.data import digits
from dasbench.diffusion.families import pixel
from dasbench.experiments import config
from experiment_files import ROOT
from tiny import DIFFUSION


def test_half_precision_keeps_the_ranks_of_real_gradients(tmp_path, monkeypatch):
    """The network of digits with random weights, 200 digits, P = 1024."""
    settings = config.load("digits", ROOT)["model"]
    unet, process = pixel.build(settings, DIFFUSION, (1, 8, 8), ("precision", 0))
    images, sizes = digits.pool().images, {"timesteps": 4, "dimensions": 1024}
    scores = []
    for dtype in ("float32", "float16"):
        monkeypatch.setattr(index_features, "Manifest", functools.partial(Manifest, dtype=dtype))
        index = dasbench.Index.build(
            (unet.eval(), process), images[:200], tmp_path / dtype, **sizes
        )
        assert (index.manifest.dtype, index.manifest.width) == (dtype, 1024)
        scores.append(index.ask(images[200:210]).scores)
    ranks = [spearmanr(a, b).statistic for a, b in zip(scores[0].T, scores[1].T, strict=True)]
    assert min(ranks) >= 0.999
    assert not np.array_equal(*scores)
