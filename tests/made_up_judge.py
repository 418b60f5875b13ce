"""A small made-up judge file: 30 training images, 8 queries, 12 evaluation subsets, two seeds."""

import numpy as np

from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import judging
from dasbench.evaluation.predictions import sum_scores

N, Q, M, R = 30, 8, 12, 2
TUNING, EVALUATION = [0, 1, 2], [3, 4, 5, 6, 7]


def scores_of(seed):
    """[N, Q] scores that know something of ``truth``."""
    rng = np.random.default_rng(seed)
    return np.random.default_rng(0).standard_normal((N, Q)) + rng.standard_normal((N, Q))


def judge_of(kinds=KINDS):
    """The judge file; the method ``mine`` has the scores of seed 1, squared."""
    rng = np.random.default_rng(7)
    arrays = {
        "train/images": rng.integers(0, 256, (N, 4, 4, 1)).astype(np.uint8),
        "train/labels": rng.integers(0, 3, N),
        "train/ids": np.arange(N),
    }
    for use, models in (("tune", 10), ("eval", M)):
        masks = np.array([rng.permutation(N) < N // 2 for _ in range(models)])
        arrays[f"masks/{use}"] = masks
        for kind in kinds:
            clean = sum_scores(masks, scores_of(0))
            for target in ("loss", "displacement")[: 1 if use == "tune" else 2]:
                noisy = clean + rng.standard_normal((R, models, Q))
                arrays[f"outputs/{use}/{target}-{kind}"] = noisy.astype(np.float32)
    masks = arrays["masks/eval"]
    scores = {"mine": scores_of(1) ** 2, "floor": scores_of(2), "class_match": scores_of(3) > 0}
    for kind in kinds:
        arrays[f"queries/{kind}"] = rng.standard_normal((Q, 1, 4, 4)).astype(np.float32)
        arrays[f"queries/{kind}_labels"] = rng.integers(0, 3, Q)
        for name, values in scores.items():
            predicted = sum_scores(masks, np.asarray(values[:, EVALUATION], np.float64))
            arrays[f"ranks/{name}/{kind}"] = judging.ranked(predicted)
    about = {
        "experiment": "made_up",
        "title": "made up",
        "axes": ["made_up", 0],
        "methods": {"mine": "square", "floor": "identity", "class_match": "identity"},
        "uses": {kind: {"tuning": TUNING, "evaluation": EVALUATION} for kind in kinds},
        "draws": 200,
        "level": 0.95,
    }
    return judging.Judge(about, arrays)
