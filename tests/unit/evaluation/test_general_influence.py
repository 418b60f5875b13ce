"""How many different images the lists of all queries name."""

import numpy as np

from dasbench.evaluation import general_influence

N, Q = 50, 8


def test_lists_are_counted_one_by_one():
    rng = np.random.default_rng(0)
    scores = {
        "own": np.kron(np.eye(Q), np.ones((4, 1)))[:N],  # four images for each query alone
        "noise": rng.standard_normal((N, Q)),
        "general": np.repeat(rng.standard_normal((N, 1)), Q, axis=1),
    }
    scores["own"] = np.pad(scores["own"], ((0, N - 4 * Q), (0, 0)))
    table = general_influence.table(scores, np.arange(N), top=4).set_index("method")
    assert table.loc["own"].tolist() == [4, Q, 4 * Q, 1 / Q]
    assert table.loc["general"].tolist() == [4, Q, 4, 1]
    named = [set(np.argsort(-scores["noise"][:, q])[:4]) for q in range(Q)]
    assert table.loc["noise", "distinct"] == len(set.union(*named))
    most = max(sum(n in one for one in named) for n in range(N))
    assert table.loc["noise", "share"] == most / Q


def test_a_small_training_set_is_named_whole():
    table = general_influence.table({"a": np.ones((3, 2))}, np.array([5, 1, 2]))
    assert table.loc[0, ["top", "distinct", "share"]].tolist() == [3, 3, 1]
