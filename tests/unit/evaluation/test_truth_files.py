"""Truths as the benchmark's tables have them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dasbench.core import artifacts, tables
from dasbench.evaluation import truth_files
from dasbench.evaluation.bootstrap import Bootstrap

B = 100
AXES = ["tests", 0]


@pytest.fixture
def resampled():
    return truth_files.Resampled(Bootstrap(B), AXES, "gen")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_lds_are_the_held_out_rows_under_the_own_transform(tmp_path, rng):
    """Every other row, and the draws that belong to it, has the number -1."""
    folders = {}
    for number, method in enumerate("ab"):
        rows, draws = [], []
        for kind in ("val", "gen"):
            for transform in ("identity", "square"):
                for target in ("loss", "displacement"):
                    for selection in ("held_out", "oracle", "path"):
                        right = (kind, transform, selection) == ("gen", "square", "held_out")
                        value = number + (target == "loss") / 2 if right else -1.0
                        row = {"queries": kind, "transform": transform, "target": target}
                        row |= {"selection": selection, "lds": value, "own": transform == "square"}
                        rows.append(row)
                        draws += [np.full(B, value)] * (selection != "path")
        folders[method] = tmp_path / method
        tables.save_table(folders[method] / "summary.csv", pd.DataFrame(rows))
        artifacts.save_array(folders[method] / "draws.npy", np.stack(draws).astype(np.float32))
    loss, displacement = truth_files.of_lds(folders, "gen", "x")
    assert (loss.name, displacement.name, loss.source) == ("loss", "displacement", "x")
    assert loss.values.to_dict() == {"a": 0.5, "b": 1.5}
    assert displacement.values.to_dict() == {"a": 0, "b": 1}
    assert loss.drawn.shape == (B, 2)
    assert (loss.drawn == [0.5, 1.5]).all()


def test_groups_are_judged_by_their_rank_correlation(resampled):
    key = {"queries": "gen", "target": "loss", "scope": "others", "measure": "spearman"}
    rows = [{**key, "method": m, "query": q, "value": q + ord(m)} for m in "ab" for q in (4, 5)]
    noise = [{**rows[0], "measure": "ndcg"}, {**rows[0], "queries": "val"}]
    (truth,) = resampled.of_groups(pd.DataFrame(rows + noise), "x")
    assert truth.name == "groups-others-loss"
    assert truth.values.to_dict() == {"a": 4.5 + ord("a"), "b": 4.5 + ord("b")}


def test_every_number_of_removed_images_is_a_truth(resampled):
    rows = [
        {"method": m, "k": k, "query": q, "loss_change": k * q * (m == "a")}
        for m in ("a", "b", "random")
        for k in (10, 20)
        for q in (1, 2)
    ]
    few, more = resampled.of_removal(pd.DataFrame(rows), ["a", "b"], "x")
    assert (few.name, more.name) == ("removal-10", "removal-20")
    assert few.values.to_dict() == {"a": 15, "b": 0}
    assert more.values.to_dict() == {"a": 30, "b": 0}
    assert set(np.unique(few.drawn[:, 0])) == {10, 15, 20}


def test_exact_influence_is_compared_with_its_sign_and_by_size(resampled, rng, tmp_path):
    exact = rng.standard_normal((30, 3))
    artifacts.save_array(tmp_path / "gen-000.npy", exact[:, :2])
    artifacts.save_array(tmp_path / "gen-001.npy", exact[:, 2:])
    parts = {"val-000": ["val", [0]], "gen-000": ["gen", [6, 7]], "gen-001": ["gen", [8]]}
    joined, queries = truth_files.exact_influence(tmp_path, parts, "gen")
    np.testing.assert_array_equal(joined, exact)
    assert queries == [6, 7, 8]
    scores = {"square": exact**2, "noisy": exact + rng.standard_normal(exact.shape)}
    signed, size = resampled.of_exact(exact, scores, "x")
    assert (signed.name, size.name) == ("exact", "exact-size")
    expected = np.mean([stats.spearmanr(scores["noisy"][:, q], exact[:, q])[0] for q in range(3)])
    assert signed.values["noisy"] == pytest.approx(expected)
    assert size.values["square"] == pytest.approx(1)
