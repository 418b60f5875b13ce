"""Grids of timesteps: averages, and what is said of LDS on fewer timesteps than all."""

import numpy as np
import pytest

from dasbench.diffusion import outputs
from dasbench.diffusion.families import pixel
from dasbench.evaluation import lds, output_grids
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.output_grids import GRIDS
from tiny import DIFFUSION, MODEL, SHAPE

TOTAL, N, M, Q = 250, 5, 8, 4  # every grid fits in TOTAL


@pytest.fixture(scope="module")
def toy():
    """Two untrained models, their scheduler, six queries of which four are judged."""
    settings, models = {**DIFFUSION, "timesteps": TOTAL}, []
    for seed in range(2):
        model, scheduler = pixel.build(MODEL, settings, SHAPE, ("toy", seed))
        models.append(model.eval())
    images = np.random.default_rng(0).uniform(-1, 1, (6, *SHAPE)).astype(np.float32)
    return models, scheduler, images


@pytest.mark.parametrize("place", [0, len(GRIDS) - 1, -1])
def test_an_average_is_what_the_workflow_measures_on_the_grid(toy, place):
    models, scheduler, images = toy
    args = models, None, scheduler, images, "val"
    losses, _ = outputs.measure_by_timestep(
        *args, np.arange(TOTAL), ("toy", 0), chosen=[2, 3, 4, 5]
    )
    named = [*GRIDS, (TOTAL, "midpoint")]
    grids = [outputs.grid(count, TOTAL, spacing) for count, spacing in named]
    averaged = output_grids.average(losses, grids)
    assert averaged.shape == (len(GRIDS) + 1, 2, 4)
    loss, _ = outputs.measure(models, models[0], scheduler, images, "val", grids[place], ("toy", 0))
    np.testing.assert_allclose(averaged[place], loss[:, 2:], rtol=1e-5)


def problem(noise):
    """Outputs [G, 2, M, Q] whose grids differ from all timesteps by noise; scores, masks, draws."""
    rng = np.random.default_rng(1)
    whole = rng.standard_normal((1, 2, M, Q))
    others = whole + noise * rng.standard_normal((len(GRIDS), 2, M, Q))
    masks = np.array([rng.permutation(N) < 3 for _ in range(M)])
    scores = {name: rng.standard_normal((N, Q)) for name in ("trak", "random")}
    draws = Bootstrap(50, 0.9).draw(rng, M, Q)
    return np.concatenate([others, whole]), scores, masks, draws


def test_equal_outputs_on_every_grid_agree():
    made = problem(0.0)
    table = output_grids.compare(*made)
    assert (output_grids.agreement(made[0]).rank_correlation == 1).all()
    assert (table.lds == table.lds_all).all()
    assert table.inside.all()


def test_lds_on_a_grid_is_that_of_its_outputs():
    values, scores, masks, draws = problem(1.0)
    table = output_grids.compare(values, scores, masks, draws)
    assert list(zip(table.timesteps, table.spacing, strict=True)) == [*GRIDS, *GRIDS]
    row = table[(table.method == "random") & (table.timesteps == 48)].iloc[0]
    place = GRIDS.index((48, "quadratic"))
    of = [lds.lds_per_query(masks, scores["random"], values[g]).mean() for g in (place, -1)]
    assert [row.lds, row.lds_all] == pytest.approx(of)
    assert row.lo <= row.lds_all <= row.hi
    assert (table.inside == ((table.lo <= table.lds) & (table.lds <= table.hi))).all()
    assert not table.inside.all()
    assert output_grids.agreement(values).rank_correlation.max() < 1
