"""A tiny model, its training images, and its index: what the tests of indexes share."""

import numpy as np

import dasbench
from dasbench.diffusion.families import pixel
from tiny import DIFFUSION, MODEL

N, SIZES = 20, {"timesteps": 2, "dimensions": 64}
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 1)).astype(np.uint8)
MORE = np.random.default_rng(1).integers(0, 256, (7, 8, 8, 1)).astype(np.uint8)


def network_and_process():
    """A random network in evaluation mode, and its process."""
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 0))
    return unet.eval(), process


def build(model, out, images=PIXELS, **options):
    """An index with the sizes of these tests."""
    return dasbench.Index.build(model, images, out, **{**SIZES, **options})
