"""Near-duplicates of the queries among the training examples of a trained model are found."""

import numpy as np
import pytest

from dasbench.attribution import transforms
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.diffusion import denoiser, training
from dasbench.diffusion.families import pixel
from dasbench.gradients import features, residuals
from dasbench.registry import METHODS

PLANTED, OTHERS = 8, 32


@pytest.fixture(scope="module")
def ranks(recipe):
    """Function of a method's name to the rank of each query's near-duplicate, 0 is the top.

    Eight held-out digits are asked about; the same digits with a few grey levels of noise are the
    last eight of forty training examples of a model trained for some seconds.
    """
    from dasbench.data import digits

    pool, rng = digits.pool(), np.random.default_rng(0)
    asked = pool.images[1000 : 1000 + PLANTED]
    near = np.clip(asked + rng.integers(-12, 13, asked.shape), 0, 255).astype(np.uint8)
    images = np.concatenate([pool.images[:OTHERS], near])
    x, x_q = denoiser.to_model(images), denoiser.to_model(asked)
    axes, n = ("planted", 0), len(images)
    unet, process = pixel.build(recipe["model"], recipe["diffusion"], x.shape[1:], axes)
    settings = {**recipe["training"], "epochs": 60, "batch_size": 8, "learning_rate": 0.005}
    everything = np.ones(n, dtype=bool)
    training.train(training.make_accelerator(1), unet, process, x, everything, settings, axes)
    form = {"timesteps": 10, "timestep_rule": "midpoint", "draws": 1}
    r = residuals.compute(unet, process, x, np.arange(n), {**form, "kind": "scalar"}, axes)
    kept = {}

    def phi(options):
        key = tuple(options.values())
        if key not in kept:
            made = {**form, **options, "dimensions": 512, "projection": "rademacher"}
            pairs = ((x, "train"), (x_q, "val"))
            kept[key] = [
                features.compute(unet, process, a, np.arange(len(a)), split, made, axes)
                for a, split in pairs
            ]
        return kept[key]

    def of(name):
        options = METHODS[name]
        needs = isinstance(options.get("features"), dict)
        pair = phi(options["features"]) if needs else (None, None)
        nothing = (None, None)
        inputs = interface.Inputs(images, *nothing, x_q, None, *pair, r, None, axes)
        _, scores = next(interface.path(options, inputs, dampings([1e-6])))
        scores = transforms.apply(scores, options["transform"])
        planted = scores[np.arange(OTHERS, n), np.arange(PLANTED)]
        return (scores > planted).sum(0)

    return of


@pytest.mark.parametrize("name", ["pixel_cosine", "trak_common", "dtrak_common", "das_common"])
def test_a_planted_duplicate_comes_out_on_top(name, ranks):
    """For every query: with common noise near-equal images have near-equal gradients."""
    assert ranks(name).tolist() == [0] * PLANTED


@pytest.mark.parametrize("name", ["trak", "relative_if", "dtrak", "das", "gradient_cosine"])
def test_a_planted_duplicate_comes_out_high_with_noise_of_its_own(name, ranks):
    """Keyed noise makes the gradients of near-equal images differ: only the average must be high.

    Knowing nothing gives a mean rank of 19.5 with a standard deviation of 4.1 over eight queries.
    """
    assert ranks(name).mean() < 9


def test_knowing_nothing_does_not_find_the_duplicate(ranks):
    assert 9 < ranks("random").mean() < 30
