"""What fine-tuning changed: ratios of mean losses, and their intervals over images."""

import numpy as np
import pytest

from dasbench.evaluation import adaptation
from dasbench.evaluation.bootstrap import Bootstrap

AXES = ("toy", 0)


def test_a_loss_that_falls_by_a_fifth_for_every_image_has_no_spread():
    frozen = np.random.default_rng(0).random(40) + 0.1
    table = adaptation.table({"new": (frozen, 0.8 * frozen)}, Bootstrap(200), AXES)
    row = table.iloc[0]
    assert (row["images"], row["count"]) == ("new", 40)
    assert row["frozen"] == pytest.approx(frozen.mean())
    assert [row["change"], row["lo"], row["hi"]] == pytest.approx([-0.2] * 3)


def test_a_set_that_did_not_change_has_an_interval_around_0():
    rng = np.random.default_rng(1)
    frozen, adapted = rng.random((2, 60)) + 1
    table = adaptation.table({"own": (frozen, adapted)}, Bootstrap(500), AXES)
    assert table.loc[0, "lo"] < 0 < table.loc[0, "hi"]
    ratios = [adapted[i].sum() / frozen[i].sum() - 1 for i in rng.integers(0, 60, (4000, 60))]
    expected = np.quantile(ratios, [0.025, 0.975])
    assert table.loc[0, ["lo", "hi"]].tolist() == pytest.approx(expected.tolist(), abs=0.02)
