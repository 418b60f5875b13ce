"""Named random numbers: the same name gives the same numbers, another name others."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench import seeds
from dasbench.attribution.methods import controls, interface
from dasbench.diffusion import outputs, training
from dasbench.diffusion.families import pixel
from dasbench.gradients import features, residuals
from tiny import AXES, DIFFUSION, MODEL, SHAPE

axis = st.one_of(st.text(max_size=5), st.integers(-5, 2000))


def test_the_key_is_the_start_of_a_hash_of_types_lengths_and_values():
    text = "str:6:digits;int:1:0;str:4:eval;int:2:17;"
    digest = hashlib.sha256(text.encode()).digest()[:16]
    assert seeds.key("digits", 0, "eval", 17) == int.from_bytes(digest, "little")


def test_stored_seeds_do_not_change():
    """Frozen on purpose: another number here means that every stored model is another one."""
    rng = seeds.generator("digits", 0, "eval", 7, 1, "training", "noise")
    assert rng.integers(0, 10**9, 3).tolist() == [912646884, 436408555, 424421951]
    np.testing.assert_array_equal(
        seeds.generator("a").standard_normal(2, np.float32),
        np.array([0.16825290024280548, -0.23417653143405914], np.float32),
    )


def test_each_call_starts_afresh():
    first, second = (seeds.generator("a", 1).random(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@settings(max_examples=200, deadline=None)
@given(st.lists(axis, min_size=1, max_size=4), st.lists(axis, min_size=1, max_size=4))
def test_different_names_have_different_keys(a, b):
    assert (seeds.key(*a) == seeds.key(*b)) == (a == b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("a", "b"), ("ab",)),
        (("1",), (1,)),
        ((1, 11), (11, 1)),
        (("a;int:1:1",), ("a", 1)),
        (("a", 1), ("a", 1, 0)),
    ],
)
def test_names_that_look_alike_differ(a, b):
    assert seeds.key(*a) != seeds.key(*b)


def test_a_draw_needs_a_name():
    with pytest.raises(ValueError, match="at least one"):
        seeds.generator()


def test_draws_of_neighbouring_names_are_uncorrelated():
    rows = np.stack([seeds.generator("a", i).standard_normal(2000) for i in range(20)])
    correlation = np.corrcoef(rows) - np.eye(20)
    assert np.abs(correlation).max() < 5 / 2000**0.5
    assert np.abs(rows.mean()) < 5 / rows.size**0.5


def test_streams_are_disjoint(monkeypatch, recipe):
    """Run everything that draws and compare the names that were asked for."""
    asked, true_key = [], seeds.key
    monkeypatch.setattr(seeds, "key", lambda *axes: asked.append(axes) or true_key(*axes))
    images = np.random.default_rng(0).uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    unet, process = pixel.build(MODEL, DIFFUSION, SHAPE, (*AXES, "base", 0, 0))
    form = {"readout": "mean", "normalise": False, "timesteps": 2, "timestep_rule": "midpoint"}
    form |= {"draws": 2, "dimensions": 3, "projection": "rademacher"}

    def drawn(run):
        asked.clear()
        run()
        assert asked
        return {true_key(*axes) for axes in asked}

    def feature_stream():
        for policy in ("keyed", "common", "batch"):
            for split in ("train", "val", "gen"):
                args = (unet, process, images, np.arange(3), split, {**form, "noise": policy})
                features.compute(*args, AXES)

    def residual_stream():
        args = (unet, process, images, np.arange(3), {**form, "kind": "scalar"}, AXES)
        residuals.compute(*args)

    def output_stream():
        for kind in ("val", "gen"):
            outputs.measure([unet], unet, process, images, kind, outputs.grid(2, 1000), AXES)

    def training_stream():
        for axes in ((*AXES, "base", 0, 0), (*AXES, "eval", 0, 0), (*AXES, "eval", 0, 1)):
            mask = np.ones(3, dtype=bool)
            train = {**recipe["training"], "epochs": 2}
            fresh, _ = pixel.build(MODEL, DIFFUSION, SHAPE, axes)
            training.train(training.make_accelerator(1), fresh, process, images, mask, train, axes)

    def random_scores():
        nothing = dict.fromkeys(interface.Inputs.__dataclass_fields__)
        for kind in ("val", "gen"):
            axes = (*AXES, "methods", kind)
            given = {"train_images": images, "query_images": images, "axes": axes}
            controls.random(interface.Inputs(**{**nothing, **given}))

    streams = {
        run.__name__: drawn(run)
        for run in (feature_stream, residual_stream, output_stream, training_stream, random_scores)
    }
    # names that scripts use directly
    streams["scripts"] = {
        seeds.key(*AXES, *axes)
        for axes in (
            ("examples",),
            ("bootstrap", "val"),
            ("bootstrap", "gen"),
            ("bootstrap", "removal"),
            ("sampling", "gen", 0),
            ("eval", 0, "mask"),
            ("tune", 0, "mask"),
            ("removal", "random", 10),
        )
    }
    total = sum(map(len, streams.values()))
    assert total == len(set.union(*streams.values()))
    # three trainings of two epochs: four streams an epoch, initial weights, dropout
    assert len(streams["training_stream"]) == 3 * (2 * 4 + 2)
    # keyed: 3 splits x 3 examples x 2 timesteps x 2 draws; common: 2 x 2; batch: 2 x 2;
    # the projection: three blocks of rows of one matrix for all of them
    parameters = sum(p.numel() for p in unet.parameters())
    assert len(streams["feature_stream"]) == 36 + 4 + 4 + -(-parameters // 4096)
    assert len(streams["output_stream"]) == 2 * 3 * 2
    assert len(streams["residual_stream"]) == 3 * 2 * 2


def test_building_a_model_leaves_torch_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pixel.build(MODEL, DIFFUSION, SHAPE, AXES)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
