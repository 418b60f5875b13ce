"""The study of T_eval, on a toy experiment of two shards."""

import json

import numpy as np
import pytest
from benchmarks import timesteps_of_outputs as study

from dasbench.core import artifacts
from dasbench.diffusion import outputs
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL, SHAPE

TOTAL = 250  # every grid of the study fits in


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Four untrained models in two shards, six queries of which four are judged."""
    home, rng = tmp_path_factory.mktemp("toy"), np.random.default_rng(0)
    experiment = {
        "name": "toy",
        "seed_name": "toy",
        "seed": 0,
        "data": {},
        "model": MODEL,
        "diffusion": {**DIFFUSION, "timesteps": TOTAL},
        "training": {},
        "subsets": {"models_per_job": 2, "eval": {"models": 4, "seeds": 1}},
        "queries": {},
        "methods": {"trak": {}, "random": {}},
        "features": {},
        "lds": {"draws": 50, "level": 0.95},
    }
    for m in range(4):
        unet, process = pixel.build(MODEL, experiment["diffusion"], SHAPE, ("toy", m))
        pixel.save(home / f"models/eval/seed-0/shard-{m // 2:03d}/{m % 2:02d}", unet, process)
    images = rng.uniform(-1, 1, (6, *SHAPE)).astype(np.float32)
    artifacts.save_array(home / "queries/val.npy", images)
    uses = {"val": {"tuning": [0, 1], "evaluation": [2, 3, 4, 5]}}
    (home / "queries/uses.json").write_text(json.dumps(uses))
    masks = np.array([[1, 1, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 0]], bool)
    artifacts.save_array(home / "masks/eval.npy", masks)
    for method in experiment["methods"]:
        scores = rng.standard_normal((5, 6)).astype(np.float32)
        artifacts.save_array(home / f"scores/{method}/val.npy", scores)
    return experiment, home, images


@pytest.fixture(scope="module")
def losses(toy, tmp_path_factory):
    """Measured in this process, as the study's own processes do."""
    experiment, home, _ = toy
    cache = tmp_path_factory.mktemp("cache")
    for place in study._shards(experiment):
        study._measure(experiment, home, cache, place, 1)
    return cache, study._gathered(experiment, cache)


@pytest.mark.parametrize("spacing", ["midpoint", "quadratic"])
def test_thinned_losses_are_the_outputs_of_the_rule(spacing, toy, losses):
    """What the workflow measures with T_eval = 8 is part of what the study measured."""
    experiment, home, images = toy
    made = [pixel.load(home / f"models/eval/seed-0/shard-001/{k:02d}") for k in range(2)]
    unets = [unet for unet, _ in made]
    grid = outputs.grid(8, TOTAL, spacing)
    loss, _ = outputs.measure(unets, unets[0], made[0][1], images, "val", grid, ("toy", 0))
    found = study._thinned(losses[1], 8, spacing)
    assert losses[1].shape == (1, 4, TOTAL, 4)
    np.testing.assert_allclose(found[0, 2:], loss[:, 2:], rtol=1e-5)


def test_what_is_compared(toy, losses):
    experiment, home, _ = toy
    found = study.compare(experiment, home, losses[1])
    assert [row["grid"] for row in found["outputs"]] == list(study.GRIDS)
    assert all(-1 <= row["rank_correlation"] <= 1 for row in found["outputs"])
    assert len(found["lds"]) == 2 * len(study.GRIDS)
    for row in found["lds"]:
        assert row["inside"] == (row["lo"] <= row["lds"] <= row["hi"])
        assert row["lo"] <= row["lds_all"] <= row["hi"]
    table = study.tables(found)
    assert table.count("\n| `") == 2
    assert "T = 125" in table


def test_the_same_losses_at_every_timestep_agree_with_fewer(toy):
    """If the loss does not depend on t, weights that sum to 1 change nothing."""
    experiment, home, _ = toy
    constant = np.random.default_rng(1).standard_normal((1, 4, 1, 4)).repeat(TOTAL, axis=2)
    found = study.compare(experiment, home, constant)
    assert all(row["rank_correlation"] == pytest.approx(1) for row in found["outputs"])
    assert all(row["lds"] == pytest.approx(row["lds_all"]) for row in found["lds"])


def test_nothing_is_measured_twice(toy, losses, capsys):
    experiment, home, _ = toy
    study.fill(experiment, home, losses[0])
    assert capsys.readouterr().out == ""
    assert (losses[0] / "settings.json").is_file()


def test_a_cache_of_other_settings_is_refused(toy, losses):
    experiment, home, _ = toy
    study._claim(losses[0], study._settings(experiment))
    with pytest.raises(UserError, match="other settings"):
        study.fill({**experiment, "seed": 1}, home, losses[0])
