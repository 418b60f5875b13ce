"""Scores from elsewhere, judged with the outputs of models that were retrained before."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from dasbench.attribution.parameters import NO_PARAMETERS
from dasbench.attribution.transforms import TRANSFORMS
from dasbench.errors import UserError
from dasbench.evaluation import judging, lds
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.predictions import Predicted, sum_scores
from made_up_judge import EVALUATION, TUNING, judge_of, scores_of

SCORES = scores_of(5)


@pytest.fixture(scope="module")
def judge():
    return judge_of()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_scores_are_judged_as_the_workflow_judges_its_methods(judge, transform):
    masks, outputs = judge.arrays["masks/eval"], judge.arrays["outputs/eval/loss-val"]
    summary, drawn = judging.evaluate(judge, SCORES, "val", transform)
    row = summary[summary.own & (summary.target == "loss")].iloc[0]
    powers = {"identity": SCORES, "square": SCORES**2, "signed_square": SCORES * abs(SCORES)}
    truth = outputs.mean(0, dtype=np.float64)
    slow = [
        spearmanr([powers[transform][m, q].sum() for m in masks], truth[:, q]).statistic
        for q in EVALUATION
    ]
    assert row.lds == pytest.approx(np.mean(slow), abs=1e-12)
    assert row.lo < row.lds < row.hi
    assert (row.M, row.R, row.Q) == (12, 2, len(EVALUATION))
    assert len(drawn) == len(summary)


def test_ranks_are_enough(judge):
    """A method of the experiment, known by its ranks alone, has the numbers of its scores."""
    known, drawn = judging.of_method(judge, "mine", "val")
    wanted, other = judging.evaluate(judge, scores_of(1), "val", "square")
    pd.testing.assert_frame_equal(
        known[known.own].drop(columns=["edge"]), wanted[wanted.own].drop(columns=["edge"])
    )
    np.testing.assert_array_equal(drawn[known.own], other[wanted.own])
    difference = lds.compare((known, drawn), (wanted, other))
    assert (difference[["difference", "lo", "hi"]] == 0).all(axis=None)


def test_partial_lds_holds_the_floor_fixed(judge):
    summary, _ = judging.of_method(judge, judging.FLOOR, "val")
    own = summary[summary.own]
    assert (own.partial_undefined == len(EVALUATION)).all()
    assert (own.partial == 0).all()
    summary, _ = judging.evaluate(judge, SCORES, "val", "identity")
    assert summary.partial.notna().all()
    assert summary.partial_class.notna().all()


def test_tuning_reads_no_evaluation_output(judge):
    hidden = {
        name: np.full_like(array, np.nan) if name.startswith("outputs/eval") else array
        for name, array in judge.arrays.items()
    }
    tuned = judging.tuning(judging.Judge(judge.about, hidden), SCORES, "val")
    sums = sum_scores(judge.arrays["masks/tune"], SCORES[:, TUNING] ** 2)
    truth = judge.arrays["outputs/tune/loss-val"].mean(0)[:, TUNING]
    slow = [spearmanr(sums[:, k], truth[:, k]).statistic for k in range(len(TUNING))]
    assert tuned["square"] == pytest.approx(np.mean(slow), abs=1e-12)
    assert list(tuned.index) == list(TRANSFORMS)


def test_ranks_of_ties_are_exact():
    values = np.array([[1.0, 3], [1, 2], [1, 2], [5, 1]])
    doubled = judging.ranked(values)
    assert doubled.dtype == np.uint16
    np.testing.assert_array_equal(doubled / 2, rankdata(values, axis=0))


def test_a_file_comes_back(judge, tmp_path):
    judge.save(tmp_path / "made_up.npz")
    again = judging.load(tmp_path / "made_up.npz")
    assert again.about == judge.about
    assert set(again.arrays) == set(judge.arrays)
    for name, array in judge.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    with pytest.raises(UserError, match=r"other\.npz does not exist, expected one of: made_up$"):
        judging.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (SCORES.T, r"shape \[8, 30\], expected \[30, 8\]: .*; transpose it"),
        (SCORES[:, EVALUATION], r"shape \[30, 5\], expected \[30, 8\]: a row for each"),
        (np.where(SCORES > 2, np.nan, SCORES), "of the scores are not finite; give images without"),
    ],
)
def test_impossible_scores_are_refused(judge, scores, told):
    with pytest.raises(UserError, match=told):
        judging.predictions(judge, scores, "val", "eval")


def test_the_draws_are_those_of_the_experiment(judge):
    """An interval follows from the experiment's seed axes, so differences are paired."""
    outputs = judge.outputs("val", "eval")
    draws = Bootstrap(200, 0.95).shared(["made_up", 0], "val", 12, len(EVALUATION))
    sums = sum_scores(judge.arrays["masks/eval"], SCORES[:, EVALUATION])[None]
    predicted = Predicted((NO_PARAMETERS,), dict.fromkeys(TRANSFORMS, sums))
    selection = pd.DataFrame([{"transform": t, "parameters": "{}"} for t in TRANSFORMS])
    expected, _, drawn = lds.evaluate(predicted, selection, outputs, draws)
    summary, found = judging.evaluate(judge, SCORES, "val", "identity")
    np.testing.assert_array_equal(found[summary.own], drawn[expected["transform"] == "identity"])
