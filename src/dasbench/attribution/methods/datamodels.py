"""Attribution from retraining alone: outputs of subset models with and without each example.

empirical_influence  mean output of the tuning subsets with the example minus the mean output of
                     those without it; 0 if all tuning subsets contain the example, or none.
datamodel            ridge regression of the output on the membership of examples in the subsets.
                     Membership is centred; the intercept has no penalty. Each query uses the
                     penalty with the least leave-one-subset-out error, in closed form, from a grid
                     relative to the largest eigenvalue.

Outputs come from the tuning subsets, for the target ``loss``, averaged over retraining seeds; these
methods never read a file of the evaluation subsets. The table of results shows the number of tuning
subsets (M_tune): with more subsets these methods approach the ceiling, at the cost of more
trainings.

References: empirical influence, Feldman and Zhang (2020), arXiv 2008.03703; datamodels, Ilyas et
al. (2022), arXiv 2202.00622 (with the lasso; ridge here, because M_tune is far below N).
Cost: M_tune trainings of R seeds, then one eigendecomposition of size M_tune.
Direction: signed, helpful is positive.
Does not apply: where no model can be retrained; datamodel with fewer than four tuning subsets, too
few to select a penalty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs
from dasbench.attribution.parameters import NO_PARAMETERS, Point

needs = ("tuning",)

# relative to the largest eigenvalue; at the large end only the direction of the weights matters
PENALTIES = 10.0 ** np.arange(-4, 5)


def path(
    inputs: Inputs, options: Mapping[str, Any], points: Sequence[Point]
) -> Iterator[tuple[Point, np.ndarray]]:
    """Yield the estimate of ``options["estimate"]`` once; there are no parameters to select."""
    yield NO_PARAMETERS, ESTIMATES[options["estimate"]](inputs.tuning_masks, inputs.tuning_outputs)


def empirical_influence(masks: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Mean output with each example minus mean output without it.

    Args:
        masks: [M, N] bool, True where the subset contains the example.
        outputs: [M, Q] float64, higher = better for the query.

    Returns:
        [N, Q] float64; 0 where an example is in all subsets or in none.
    """
    inside = masks.astype(np.float64)
    have = inside.sum(0)[:, None]
    lack = len(masks) - have
    known = (have > 0) & (lack > 0)
    mean_in = inside.T @ outputs / np.maximum(have, 1)
    mean_out = (1 - inside).T @ outputs / np.maximum(lack, 1)
    return np.where(known, mean_in - mean_out, 0.0)


def datamodel(
    masks: np.ndarray, outputs: np.ndarray, penalties: np.ndarray = PENALTIES
) -> np.ndarray:
    """Coefficients of a ridge regression of outputs on centred membership, with an intercept.

    The hat matrix of one penalty is H = 1/M + K (K + penalty)^-1 with K = X X^T and X the centred
    masks. The leave-one-out error of subset m is e_m / (1 - H_mm), intercept included.

    Args:
        masks: [M, N] bool.
        outputs: [M, Q] float64.
        penalties: Relative to the largest eigenvalue of K.

    Returns:
        [N, Q] float64. Each query has the penalty with its least leave-one-out error; of equal
        errors, the larger penalty.

    Raises:
        ValueError: If all subsets are equal.
    """
    x = masks - masks.mean(0)
    y = outputs - outputs.mean(0)
    eigenvalues, vectors = np.linalg.eigh(x @ x.T)
    eigenvalues = np.maximum(eigenvalues, 0)
    if eigenvalues[-1] <= 0:
        raise ValueError("all subsets are equal, so that they say nothing; draw others")
    rotated = vectors.T @ y
    errors = []
    for penalty in eigenvalues[-1] * penalties:
        shrink = eigenvalues / (eigenvalues + penalty)
        hat = 1 / len(masks) + np.square(vectors) @ shrink
        left_out = (y - vectors @ (shrink[:, None] * rotated)) / (1 - hat)[:, None]
        errors.append(np.square(left_out).sum(0))
    order = np.argsort(penalties)[::-1]
    best = penalties[order][np.argmin(np.stack(errors)[order], axis=0)]
    weights = rotated / (eigenvalues[:, None] + eigenvalues[-1] * best)
    return x.T @ (vectors @ weights)


ESTIMATES = {"empirical_influence": empirical_influence, "datamodel": datamodel}
