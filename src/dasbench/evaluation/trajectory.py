"""Judge scores by the displacement along sampling paths, beside the other targets.

``dasbench.diffusion.path_displacement`` measures the outputs. Letters: R retraining seeds, M subset
models, L places of a path, Q queries, N training examples.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dasbench.evaluation import statistics, this_run
from dasbench.evaluation.bootstrap import Draws

TARGET = "trajectory"


def compare_targets(
    scores: Mapping[str, np.ndarray],
    masks: np.ndarray,
    targets: Mapping[str, np.ndarray],
    draws: Draws,
    floor: str | None,
) -> pd.DataFrame:
    """LDS of every method under several targets, on the same draws.

    Args:
        scores: Method -> [N, Q], under its own transform and selected parameters.
        masks: [M, N] bool.
        targets: Name -> [R, M, Q], higher = better for the query.
        draws: For (M, Q).
        floor: The method whose predictions the partial LDS holds fixed, or None.

    Returns:
        target and the columns of ``this_run.judge``.
    """
    tables = [
        this_run.judge(scores, masks, outputs.mean(axis=0, dtype=np.float64), draws, floor).assign(
            target=name
        )
        for name, outputs in targets.items()
    ]
    return pd.concat(tables)


def along_path(outputs: np.ndarray) -> pd.DataFrame:
    """What each place of a path adds: whether fewer places would do.

    Args:
        outputs: [R, M, L, Q], minus the displacement, the places from noise to image.

    Returns:
        place (0 is the noisiest), displacement (mean over models and queries), correlation: the
        mean over queries of the rank correlation over subsets between this place and the mean of
        all places (averaged over seeds; an undefined one enters as 0).
    """
    by_place = outputs.mean(axis=0, dtype=np.float64)  # [M, L, Q]
    whole, rows = by_place.mean(axis=1), []
    for place in range(by_place.shape[1]):
        here = by_place[:, place]
        correlation = np.nan_to_num(statistics.spearman(here, whole)).mean()
        rows.append({"place": place, "displacement": -here.mean(), "correlation": correlation})
    return pd.DataFrame(rows)
