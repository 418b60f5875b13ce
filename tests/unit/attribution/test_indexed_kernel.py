"""A kernel whose features stay in their files."""

import numpy as np
import pytest

from dasbench.attribution.decomposition import decompose
from dasbench.attribution.indexed_kernel import Kernel
from dasbench.attribution.spectrum import Spectrum
from dasbench.core.blocks import blocks
from dasbench.core.hashed_chunks import Chunks


@pytest.mark.parametrize("n", [8, 30])
def test_it_is_the_kernel_that_is_held_in_memory(tmp_path, n):
    rng = np.random.default_rng(n)
    train, queries = rng.standard_normal((n, 15)), rng.standard_normal((3, 15))
    chunks = Chunks(tmp_path, blocks(n, 4), 15, "float64")
    for rows in chunks.rows:
        chunks.save(rows, train[rows])
    held = Spectrum(train, queries)
    kernel = Kernel(chunks, decompose(chunks if n > 15 else train), 1e-4)
    solved = kernel.solve(queries)
    inverse = np.linalg.inv(train.T @ train + 1e-4 * held.scale * np.eye(15))
    np.testing.assert_allclose(solved, inverse @ queries.T, rtol=1e-9)
    products = np.concatenate([part for _, part in kernel.products(chunks, solved)])
    np.testing.assert_allclose(products, held.inner(1e-4), rtol=1e-4, atol=1e-6)
    remaining, lengths = kernel.factors()
    np.testing.assert_allclose(remaining, held.one_minus_leverage(1e-4), rtol=1e-9)
    np.testing.assert_allclose(lengths, held.preconditioned_norm(1e-4), rtol=1e-9)
