"""Outputs of retrained models against loops over models, queries and timesteps."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

import oracle
from dasbench.diffusion import outputs, timestep_grids
from dasbench.diffusion.families import pixel
from dasbench.diffusion.process import Ddpm
from tiny import AXES, DIFFUSION, MODEL, SHAPE

GRID = [166, 500, 833]
THREE = outputs.grid(3, 1000)


@pytest.fixture(scope="module")
def retrained():
    made = [pixel.build(MODEL, DIFFUSION, SHAPE, (*AXES, "eval", m, 0))[0] for m in range(2)]
    return [unet.double().eval() for unet in made]


def measure(tiny, unets, kind="val", images=None, axes=AXES, process=None):
    images = tiny.images[kind] if images is None else images
    return outputs.measure(unets, tiny.unet, process or tiny.process, images, kind, THREE, axes)


def by_loops(tiny, unets, kind, velocity=False):
    loss, displacement = np.zeros((2, len(unets), len(tiny.images[kind])))
    for m, unet in enumerate(unets):
        for q, x in enumerate(tiny.images[kind]):
            for t in GRID:
                eps = tiny.noise("outputs")(kind, q, t, 0)
                x_t = oracle.add_noise(x, t, eps, tiny.abar)
                after = oracle.predict(oracle.Sample(unet), x_t, t).detach().numpy()
                before = oracle.predict(tiny.model, x_t, t).detach().numpy()
                a = tiny.abar[t]
                wanted = a**0.5 * eps - (1 - a) ** 0.5 * x if velocity else eps
                loss[m, q] -= np.mean((wanted.ravel() - after) ** 2) / len(GRID)
                displacement[m, q] -= np.mean((before - after) ** 2) / len(GRID)
    return loss, displacement


@pytest.mark.parametrize("kind", ["val", "gen"])
def test_both_targets_are_those_of_the_loops(kind, tiny, retrained):
    loss, displacement = measure(tiny, [*retrained, tiny.unet], kind)
    truth = by_loops(tiny, [*retrained, tiny.unet], kind)
    assert loss.dtype == displacement.dtype == np.float32
    assert loss.shape == (3, 3)
    np.testing.assert_allclose(loss, truth[0], rtol=1e-6)
    np.testing.assert_allclose(displacement, truth[1], rtol=1e-6)
    assert (loss < 0).all()
    assert (displacement[:2] < 0).all()


def test_v_prediction(tiny, retrained):
    process = Ddpm(DDPMScheduler(1000, beta_schedule="linear", prediction_type="v_prediction"))
    loss, _ = measure(tiny, retrained, process=process)
    np.testing.assert_allclose(loss, by_loops(tiny, retrained, "val", True)[0], rtol=1e-6)


def test_the_base_is_not_displaced_from_itself(tiny):
    loss, displacement = measure(tiny, [tiny.unet])
    assert not displacement.any()
    assert loss.all()


def test_noise_is_the_same_for_every_model(tiny, retrained):
    """A model's outputs do not depend on its place or its company."""
    loss, displacement = measure(tiny, [retrained[0], retrained[1], retrained[0]])
    np.testing.assert_array_equal(loss[0], loss[2])
    np.testing.assert_array_equal(displacement[0], displacement[2])
    assert np.abs(loss[0] - loss[1]).min() > 1e-6
    alone = measure(tiny, [retrained[1]])
    np.testing.assert_array_equal(alone[0][0], loss[1])
    np.testing.assert_array_equal(alone[1][0], displacement[1])


def test_noise_is_keyed_by_query_kind_and_seed(tiny, retrained):
    same = np.repeat(tiny.images["val"][:1], 3, axis=0)
    val, gen = (measure(tiny, retrained, kind, same)[0] for kind in ("val", "gen"))
    other = measure(tiny, retrained, "val", same, (*AXES, 1))[0]
    values = np.concatenate([val[0], gen[0], other[0]])
    assert len(np.unique(values)) == 9
    np.testing.assert_array_equal(val, measure(tiny, retrained, "val", same)[0])
    first = measure(tiny, retrained, "val", same[:1])[0]
    np.testing.assert_allclose(first[:, 0], val[:, 0], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4, 7, 100])
def test_batches_hold_every_pair_once_and_change_nothing(size, tiny, retrained, monkeypatch):
    """Batches that end within a timestep, span several, or hold everything."""
    whole = measure(tiny, retrained)
    monkeypatch.setattr(outputs, "batch_size", lambda shape, device: size)
    x = torch.from_numpy(tiny.images["val"]).double()
    made = list(outputs.batches(tiny.process, x, np.arange(3), "val", np.array(GRID), AXES, size))
    assert [row for b in made for row in range(b.rows.start, b.rows.stop)] == list(range(9))
    assert all(len(b.x_t) == len(b.time) == len(b.target) <= size for b in made)
    np.testing.assert_array_equal(torch.cat([b.time for b in made]), np.repeat(GRID, 3))
    for got, wanted in zip(measure(tiny, retrained), whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_the_mean_over_timesteps_comes_last(tiny, retrained):
    args = retrained, tiny.unet, tiny.process, tiny.images["val"], "val"
    steps, weights = np.array([3, 400]), np.array([0.125, 0.875])
    for whole, parts in zip(
        outputs.measure(*args, (steps, weights), AXES),
        outputs.measure_by_timestep(*args, steps, AXES),
        strict=True,
    ):
        assert parts.shape == (2, 2, 3)
        np.testing.assert_allclose(whole, parts[:, 0] / 8 + parts[:, 1] * 7 / 8, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 48, 400, 1000])
@pytest.mark.parametrize("total", [1000, 1001])
def test_strata_hold_every_timestep_once(count, total):
    """Each stratum's middle stands for its length; the k-th ends at total ((k + 1) / T)^2."""
    steps, weights = outputs.grid(count, total, "quadratic")
    lengths = np.rint(weights * total).astype(int)
    np.testing.assert_allclose(weights * total, lengths, rtol=1e-12)
    ends = np.cumsum(lengths)
    assert ends[-1] == total
    np.testing.assert_array_equal(steps, (ends - lengths + ends - 1) // 2)
    wanted = {total * Fraction(k + 1, count) ** 2 + Fraction(1, 2) for k in range(count)}
    assert set(ends.tolist()) == {int(end) for end in wanted} - {0}


def test_equal_strata_are_the_rule_of_the_features():
    steps, weights = outputs.grid(32, 1000)
    np.testing.assert_array_equal(steps, timestep_grids.timestep_grid(32, 1000))
    assert weights.tolist() == [1 / 32] * 32


def test_grids_that_are_none():
    with pytest.raises(ValueError, match="midpoint or quadratic, got 'cubic'"):
        outputs.grid(3, 10, "cubic")
    for spacing in ("midpoint", "quadratic"):
        with pytest.raises(ValueError, match="1 to 10, got 11"):
            outputs.grid(11, 10, spacing)


def test_a_grid_within_another_has_its_numbers(tiny, retrained):
    """Midpoints of 4 timesteps are among those of 20: noise is keyed by the timestep itself."""
    few, many = timestep_grids.timestep_grid(4, 1000), timestep_grids.timestep_grid(20, 1000)
    assert set(few) <= set(many)
    coarse, fine = (
        outputs.measure_by_timestep(
            retrained, None, tiny.process, tiny.images["gen"], "gen", steps, AXES
        )
        for steps in (few, many)
    )
    assert coarse[1] is None
    np.testing.assert_allclose(coarse[0], fine[0][:, np.isin(many, few)], rtol=1e-12)


def test_chosen_queries_have_the_numbers_they_have_among_all(tiny, retrained):
    args = retrained, tiny.unet, tiny.process, tiny.images["val"], "val", THREE[0], AXES
    for some, every in zip(
        outputs.measure_by_timestep(*args, chosen=[2, 0]),
        outputs.measure_by_timestep(*args),
        strict=True,
    ):
        np.testing.assert_allclose(some, every[:, :, [2, 0]], rtol=1e-12)


def test_batch_size_suits_the_device():
    """Small images come by hundreds; a GPU is given more than a core's cache would hold."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert outputs.batch_size((1, 8, 8), cpu) == 256
    assert outputs.batch_size((3, 256, 256), cpu) == outputs.CPU_FEWEST
    assert outputs.batch_size((3, 256, 256), cuda) > outputs.batch_size((3, 32, 32), cpu)


def test_no_graph_is_kept(tiny, retrained):
    assert torch.is_grad_enabled()
    loss, _ = measure(tiny, retrained)
    assert isinstance(loss, np.ndarray)
    assert all(p.grad is None for unet in retrained for p in unet.parameters())
