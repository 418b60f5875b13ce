"""Outputs along sampling paths: LDS as of the ordinary function, and what each place adds."""

import numpy as np
import pytest

from dasbench.evaluation import lds, statistics, trajectory
from dasbench.evaluation.bootstrap import Bootstrap


def test_every_target_is_judged_on_the_same_draws():
    rng = np.random.default_rng(0)
    masks, scores = rng.random((14, 9)) < 0.5, {"a": rng.standard_normal((9, 5))}
    targets = {name: rng.standard_normal((2, 14, 5)) for name in ("trajectory", "loss")}
    targets["again"] = targets["loss"]
    draws = Bootstrap(100).shared(["toy", 0], "gen", 14, 5)
    table = trajectory.compare_targets(scores, masks, targets, draws, None).set_index("target")
    for name, outputs in targets.items():
        expected = lds.lds_per_query(masks, scores["a"], outputs).mean()
        assert table.loc[name, "lds"] == pytest.approx(expected)
    assert table.loc["again", "lo"] == table.loc["loss", "lo"]


def test_places_are_compared_with_the_mean_of_all():
    outputs = -np.random.default_rng(1).random((2, 10, 3, 4))
    table = trajectory.along_path(outputs)
    mean = outputs.mean(axis=0)
    for place in range(3):
        row = table.iloc[place]
        assert row.displacement == pytest.approx(-outputs[:, :, place].mean())
        each = statistics.spearman(mean[:, place], mean.mean(axis=1))
        assert row.correlation == pytest.approx(each.mean())
    alone = trajectory.along_path(outputs[:, :, :1])
    assert alone.correlation.item() == pytest.approx(1)
