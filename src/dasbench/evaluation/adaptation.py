"""What fine-tuning changed: the frozen and the adapted network on two sets of held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.seeds import generator

COLUMNS = ("images", "count", "frozen", "adapted", "change", "lo", "hi")


def table(
    losses: Mapping[str, tuple[np.ndarray, np.ndarray]],
    bootstrap: Bootstrap,
    axes: Sequence[str | int],
) -> pd.DataFrame:
    """Losses before and after fine-tuning.

    Args:
        losses: Name of a set of images -> losses [Q] of the frozen and of the adapted network.
        bootstrap: For the interval, over images.
        axes: Seed axes of the bootstrap.

    Returns:
        A row for each set: images (its name), count Q, the mean loss of both networks, change: the
        adapted loss divided by the frozen one, minus 1, with its interval (lo, hi). The image is
        what is drawn, so the two losses of an image stay together.
    """
    rows = []
    for name, (frozen, adapted) in losses.items():
        frozen, adapted = (np.asarray(each, np.float64) for each in (frozen, adapted))
        counts = bootstrap.counts(generator(*axes, "adaptation", name), len(frozen))
        change = adapted.sum() / frozen.sum() - 1
        lo, hi = bootstrap.interval(change, (counts @ adapted) / (counts @ frozen) - 1)
        rows.append([name, len(frozen), frozen.mean(), adapted.mean(), change, lo, hi])
    return pd.DataFrame(rows, columns=COLUMNS)
