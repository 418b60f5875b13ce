"""Curves of LDS along the damping grid, against the LDS of single scores."""

import numpy as np
import pandas as pd
import pytest

from dasbench.attribution.parameters import dampings
from dasbench.attribution.transforms import TRANSFORMS
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import damping_curves, lds
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.predictions import Predicted, sum_scores

N, TUNING, Q, GRID = 14, 3, 8, [1e-4, 1e-2, 1.0]
MODELS = {"tune": 6, "eval": 9, "finetuned": 5}


class Study:
    """Random scores at each damping, and outputs that follow those of the second one."""

    def __init__(self, noise):
        rng = np.random.default_rng(0)
        self.masks = {u: rng.integers(0, 2, (m, N)).astype(bool) for u, m in MODELS.items()}
        self.scores = {name: rng.standard_normal((len(GRID), N, Q)) for name in TRANSFORMS}
        joined = np.concatenate(list(self.masks.values()))
        sums = {
            name: np.stack([sum_scores(joined, one) for one in path])
            for name, path in self.scores.items()
        }
        self.predicted = Predicted(tuple(dampings(GRID)), sums)

        def outputs(use, seeds):
            truth = self.masks[use] @ self.scores["square"][1]
            return truth + noise * rng.standard_normal((seeds, *truth.shape))

        judged = {target: outputs("eval", 2) for target in TARGETS}
        self.outputs = damping_curves.Outputs(outputs("tune", 1), judged, outputs("finetuned", 1))
        self.draws = Bootstrap(100).shared(("tests", 0), "val", MODELS["eval"], Q - TUNING)

    def curve(self, **criteria):
        return damping_curves.of_kind(self.predicted, TUNING, self.outputs, self.draws, criteria)


def test_a_curve_has_the_lds_of_each_damping():
    study = Study(noise=1.0)
    given = {"gcv": np.array([3.0, 1.0, 2.0]), "agreement": {n: np.arange(3.0) for n in TRANSFORMS}}
    table, losses = study.curve(**given)
    assert len(table) == len(losses) == len(TRANSFORMS) * len(TARGETS) * len(GRID)
    first, rest = slice(0, TUNING), slice(TUNING, None)
    uses = {"each_kind": ("tune", first, study.outputs.tuned)}
    uses["finetuned"] = ("finetuned", first, study.outputs.finetuned)
    uses["finetuned_asked"] = ("finetuned", rest, study.outputs.finetuned)

    def mean(row, use, queries, outputs):
        scores = study.scores[row.transform][GRID.index(row.damping)][:, queries]
        return lds.lds_per_query(study.masks[use], scores, outputs[:, :, queries]).mean()

    for row in table.itertuples():
        expected = mean(row, "eval", rest, study.outputs.judged[row.target])
        assert row.lds == pytest.approx(expected)
        assert row.lo <= row.lds <= row.hi
        for rule, (use, queries, outputs) in uses.items():
            assert getattr(row, rule) == pytest.approx(mean(row, use, queries, outputs)), rule
        g = GRID.index(row.damping)
        assert (row.gcv, row.agreement) == (given["gcv"][g], float(g))
        assert row.edge == (g != 1)


def test_a_loss_is_paired_with_the_best_damping():
    table, losses = Study(noise=3.0).curve()
    assert losses.dtype == np.float32
    for _, path in table.groupby(["transform", "target"]):
        best = path["lds"].idxmax()
        np.testing.assert_allclose(path["lost"], path.loc[best, "lds"] - path["lds"])
        assert not losses[best].any()
        assert path.loc[best, ["lost", "lost_lo", "lost_hi"]].tolist() == [0, 0, 0]
        others = path.drop(best)
        assert (others["lost_lo"] < others["lost_hi"]).all()


def test_the_damping_that_outputs_follow_loses_nothing():
    table, _ = Study(noise=0.0).curve()
    path = table[table["transform"] == "square"].set_index("damping")
    assert path.loc[1e-2, ["lds", "each_kind", "finetuned", "finetuned_asked"]].to_numpy() == (
        pytest.approx(1)
    )
    assert (path.loc[1e-2, "lost"] == 0).all()
    assert (path.loc[[1e-4, 1.0], "lost"] > 0).all()


def test_values_stay_with_their_dampings():
    rows = [(name, target, g) for name in TRANSFORMS for target in TARGETS for g in GRID]
    table = pd.DataFrame(rows, columns=["transform", "target", "damping"])
    values = {name: 10.0 * i + np.arange(3) for i, name in enumerate(TRANSFORMS)}
    made = damping_curves.with_criterion(table, "rule", values)
    for row in made.itertuples():
        assert row.rule == values[row.transform][GRID.index(row.damping)]
