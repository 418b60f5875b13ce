"""Rates of discoveries: exact where all scores are alike, high where training images differ."""

import numpy as np
import pytest

from dasbench.attribution import evidence
from dasbench.attribution.leave_one_out import Blind
from dasbench.evaluation import calibration
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.calibration import Design

AXES, HELD_OUT = ("tests", 0), 5
BOOTSTRAP = Bootstrap(200)


def halves(models=6, queries=45, n=62, shift=0.0):
    """Scores of half-models, exponential; those of training images are multiplied."""
    rng = np.random.default_rng(0)
    shape = (2, n, queries)
    made = [rng.standard_exponential(shape) * rng.uniform(0.1, 10, queries) for _ in range(models)]
    return [Blind(np.exp(shift) * training, unseen) for training, unseen in made]


@pytest.mark.parametrize("unseen", [20, 41, 61, 62, 500])
def test_sizes_reach_every_multiple_of_a_twentieth(unseen):
    candidates, decoys = calibration.sizes(unseen)
    assert 1 <= candidates
    assert candidates + decoys <= unseen
    assert (decoys + 1) / candidates == 20
    assert candidates + decoys + 21 > unseen  # one candidate more would not fit
    assert evidence.smallest_q(candidates, decoys) == 0.05


def test_too_few_unseen_images_are_refused():
    with pytest.raises(ValueError, match="19 unseen images are too few, at least 20"):
        calibration.sizes(19)


def test_the_lowest_q_value_is_that_of_the_drawn_images():
    (scores,) = halves(models=1)
    found = calibration.lowest_q(
        scores, HELD_OUT, Design("unseen", "own"), False, np.random.default_rng(1)
    )
    rng = np.random.default_rng(1)
    for j, value in enumerate(found, start=HELD_OUT):
        order = rng.permutation(62)
        known, rest = scores.decoys[order[:3], j], scores.decoys[order[3:62], j]
        assert value == evidence.q_values(known, rest).min()


@pytest.mark.parametrize("standardise", [False, True])
def test_pooled_decoys_are_those_of_the_held_out_queries(standardise):
    (scores,) = halves(models=1, queries=7)
    design = Design("training", "pooled")
    found = calibration.lowest_q(scores, HELD_OUT, design, standardise, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    for j, value in enumerate(found, start=HELD_OUT):
        rest = scores.decoys[rng.permutation(62)[31:]]
        known = scores.training[rng.choice(62, 31, replace=False), j]
        expected = evidence.judge(
            known[:, None], rest[:, [j]], rest[:, :HELD_OUT], standardise=standardise
        )
        assert value == expected.q.min()


@pytest.mark.parametrize("candidates", calibration.CANDIDATES)
def test_rates_of_scores_that_are_alike_are_nominal(candidates):
    scores = halves(models=25)
    table = calibration.study(scores, HELD_OUT, True, BOOTSTRAP, AXES)
    own = table[(table["candidates"] == candidates) & (table["decoys"] == "own")]
    assert own["nominal"].tolist() == list(calibration.RATES)
    spread = np.sqrt(own["nominal"] * (1 - own["nominal"]) / 1000)
    assert (abs(own["rate"] - own["nominal"]) < 4 * spread).all()
    assert (own["lo"] <= own["rate"]).all()
    assert (own["rate"] <= own["hi"]).all()
    pooled = table[(table["candidates"] == candidates) & (table["decoys"] == "pooled")]
    assert (pooled["rate"] < pooled["nominal"] + 4 * spread.to_numpy()).all()


def test_training_images_that_differ_are_seen():
    """Leave-one-out that does not undo the training gives discoveries and an AUC above 1/2."""
    scores = halves(shift=1.5)
    table = calibration.study(scores, HELD_OUT, True, BOOTSTRAP, AXES)
    high = table[table["nominal"] == 0.05].set_index(["candidates", "decoys"])["lo"]
    assert (high["training"] > 0.05).all()
    assert (high["unseen"] <= 0.05).all()
    found = calibration.auc(scores, BOOTSTRAP, AXES)
    by_query = [evidence.auc_by_query(*each) for each in scores]
    assert found["auc"] == pytest.approx(np.mean(by_query))
    assert 0.6 < found["lo"] < found["auc"] < found["hi"]
    assert found["least"] <= found["auc"] <= found["greatest"]
    p = calibration.p_shares(scores, HELD_OUT, AXES)
    assert p["training"][0] > 3 / calibration.BINS


def test_rates_by_hand():
    lowest = np.array([[0.05, 0.5, 1.0], [0.04, 0.11, 0.3]])
    table = calibration.rates(lowest, BOOTSTRAP, AXES).set_index("nominal")
    assert table["rate"].tolist() == pytest.approx([2 / 6, 2 / 6, 3 / 6, 4 / 6, 4 / 6, 5 / 6])
    assert table["highest"].tolist() == [1, 1, 1, 1, 1, 1]
    assert table.loc[0.5, ["expected_lo", "expected_hi"]].tolist() == pytest.approx([1 / 6, 5 / 6])


def test_p_values_fill_their_bins_evenly():
    """Of a query, the p-values of all ranks: each bin has as many multiples of 1 / (D + 1)."""
    shares = calibration.p_shares(halves(models=25), HELD_OUT, AXES)
    for each in shares.values():
        assert sum(each) == pytest.approx(1)
        np.testing.assert_allclose(each, 1 / calibration.BINS, atol=0.012)
