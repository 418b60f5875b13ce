"""The eigendecomposition of a training kernel, computed once for all methods with these features.

Vocabulary: *kernel* Phi^T Phi with Phi the training features, without damping; *dual* the N x N
form Phi Phi^T (N <= P); *primal* the P x P form. Both have the same nonzero eigenvalues; the
smaller form is decomposed. The result does not depend on methods, transforms, dampings or queries.
Shapes: Phi [N, P], r = min(N, P). All sums are float64, for any type of Phi. Squares in float32
would halve the digits of the small eigenvalues, and scores at small damping depend on these.
Cost: r^2 max(N, P) for the kernel, about 10 r^3 for the eigenvectors, r^2 max(N, P) for the
eigenvalues. Memory: a few r x r matrices and one block of Phi; Phi itself may stay in its file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dasbench.core import artifacts
from dasbench.core.blocks import BLOCK, memory_blocks
from dasbench.errors import UserError


class Decomposition(NamedTuple):
    """Eigenvalues and eigenvectors of the smaller form of a kernel.

    Attributes:
        eigenvalues: [r] float64, not negative, ascending up to rounding.
        eigenvectors: [r, r] float64, columns; of Phi Phi^T if N <= P, else of Phi^T Phi.
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


def is_dual(shape: tuple[int, int]) -> bool:
    """Whether features of this shape [N, P] are decomposed in their N x N form."""
    return shape[0] <= shape[1]


def decompose(train: np.ndarray, memory: int = BLOCK, device: str = "cpu") -> Decomposition:
    """Decompose the smaller of Phi Phi^T and Phi^T Phi.

    Args:
        train: [N, P] training features of any float type; may be a mapped file.
        memory: Bytes of one block in float64. It sets the order of sums: results with different
            values agree up to rounding, results with the same value exactly.
        device: A device of torch that has float64. Its results agree with those of "cpu" up to
            rounding.

    Returns:
        The decomposition.

    Raises:
        ValueError: If all features are zero.
    """
    by_device = _on_cpu if device == "cpu" else functools.partial(_on_device, device=device)
    eigenvalues, vectors = by_device(train, memory)
    if not eigenvalues.max() > 0:
        raise ValueError(
            "all training features are zero; a kernel method needs gradients that vary"
        )
    return Decomposition(eigenvalues, np.ascontiguousarray(vectors))


def _on_cpu(train: np.ndarray, memory: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import eigh  # imported late: rules load this module but never decompose

    small = min(train.shape)
    kernel = np.zeros((small, small))
    for block in long_blocks(train, memory):
        kernel += block.T @ block  # both factors are one array, so BLAS does half the work
    _, vectors = eigh(kernel, overwrite_a=True, check_finite=False)
    del kernel
    # eigenvalues as squared lengths of the rotated features: eigh returns rounding errors of the
    # largest for the smallest, and a training image that occurs twice gives an exact zero
    eigenvalues = np.zeros(small)
    for block in long_blocks(train, memory):
        rotated = block @ vectors
        eigenvalues += np.einsum("ij,ij->j", rotated, rotated)
    return eigenvalues, vectors


def _on_device(train: np.ndarray, memory: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """The same sums by torch."""
    import torch

    small = min(train.shape)
    kernel = torch.zeros((small, small), dtype=torch.float64, device=device)
    for block in long_blocks(train, memory):
        on_device = torch.from_numpy(np.ascontiguousarray(block)).to(device)
        kernel += on_device.T @ on_device
    vectors = torch.linalg.eigh(kernel).eigenvectors
    del kernel
    eigenvalues = torch.zeros(small, dtype=torch.float64, device=device)
    for block in long_blocks(train, memory):
        on_device = torch.from_numpy(np.ascontiguousarray(block)).to(device)
        eigenvalues += (on_device @ vectors).square().sum(dim=0)
    return eigenvalues.cpu().numpy(), vectors.cpu().numpy()


def long_blocks(train: np.ndarray, memory: int = BLOCK) -> Iterator[np.ndarray]:
    """Blocks [b, r] of Phi, or of Phi^T if it has more rows, float64, in order."""
    tall = train.T if is_dual(train.shape) else train
    for rows in memory_blocks(len(tall), 8 * tall.shape[1], memory):
        yield np.asarray(tall[rows], np.float64)


def save(folder: str | Path, made: Decomposition) -> None:
    """Write ``eigenvalues.npy`` and ``eigenvectors.npy``."""
    for name, array in made._asdict().items():
        artifacts.save_array(Path(folder) / f"{name}.npy", array)


def load(folder: str | Path, shape: tuple[int, int]) -> Decomposition:
    """Read and check the decomposition of features with this shape [N, P].

    Raises:
        UserError: If a file is missing, damaged, or belongs to features of another size.
    """
    small, folder = min(shape), Path(folder)
    vectors = artifacts.load_array(folder / "eigenvectors.npy", (small, small), np.float64)
    values = artifacts.load_array(folder / "eigenvalues.npy", (small,), np.float64)
    if not (values.min() >= 0 and values.max() > 0):
        path = folder / "eigenvalues.npy"
        raise UserError(
            f"{path} lies between {values.min()} and {values.max()}, expected eigenvalues of a "
            f"kernel, none negative and some positive: {artifacts.remake(path)}"
        )
    return Decomposition(values, vectors)
