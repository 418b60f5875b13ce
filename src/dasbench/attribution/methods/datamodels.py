"""Attribution from retraining alone: what subset models did with and without each example.

empirical_influence  mean output of the tuning subsets that have the example minus that of those
                     that lack it; 0 for an example that all of them have, or none.
datamodel            ridge regression of the output on the subsets' membership. Membership is
                     centred, the intercept is free; the penalty is chosen for each query by
                     leave-one-subset-out error, in closed form, on a grid relative to the largest
                     eigenvalue.

Outputs are those of the tuning subsets for the target ``loss``, averaged over retraining seeds; no
file of the evaluation subsets is among a method's inputs. How many subsets were seen (M_tune)
stands in the row of the table: with more of them these methods approach the ceiling, at the price
of that many trainings.

References: empirical influence, Feldman and Zhang (2020), arXiv 2008.03703; datamodels, Ilyas et
al. (2022), arXiv 2202.00622 (with the lasso; ridge here, because M_tune is far below N).
Cost: M_tune trainings of R seeds, then one eigendecomposition of size M_tune.
Direction: signed, helpful is positive.
Does not apply: where no model can be retrained; with fewer than four tuning subsets a datamodel has
nothing to choose its penalty by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dasbench.attribution.method_inputs import Inputs

needs = ("tuning",)

# of the largest eigenvalue: from next to nothing to so much that only the direction is left
PENALTIES = 10.0 ** np.arange(-4, 5)


def path(
    inputs: Inputs, options: Mapping[str, Any], damping: Sequence[float]
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield the estimate of ``options["estimate"]`` once; there is no damping to select."""
    yield None, ESTIMATES[options["estimate"]](inputs.tuning_masks, inputs.tuning_outputs)


def empirical_influence(masks: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Mean output with each example minus mean output without it.

    Args:
        masks: [M, N] bool, which subset has which example.
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

    The hat matrix of one penalty is H = 1/M + K (K + penalty)^-1 with K = X X^T of the centred
    masks; the error of a subset that is left out is e_m / (1 - H_mm), intercept included.

    Args:
        masks: [M, N] bool.
        outputs: [M, Q] float64.
        penalties: Relative to the largest eigenvalue of K.

    Returns:
        [N, Q] float64, each query at the penalty of its least leave-one-out error (ties: larger).

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
