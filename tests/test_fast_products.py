"""Matrix products in blocks against NumPy's own."""

import numpy as np
import pytest

from npgan.fast import products
from npgan.fast.products import BLOCKS, FEW, SMALL, tall_matmul, tall_matmul_transposed

K, N = 40, 25
BLOCK = SMALL // (K * N)  # rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "rows", [0, 1, BLOCK, BLOCKS * BLOCK - 1, BLOCKS * BLOCK, BLOCKS * BLOCK + 1, 7 * BLOCK + 9]
)
def test_tall_products_in_blocks_are_those_of_numpy(rng, rows, dtype):
    a, b, c = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, K), (K, N), (rows, N)))
    out = np.full((rows, N), np.nan, dtype)
    tall_matmul(a, b, out)
    small = np.finfo(dtype).eps * 100
    np.testing.assert_allclose(out, a @ b, rtol=0, atol=small * np.sqrt(K))
    found = tall_matmul_transposed(a, c)
    assert found.shape == (K, N) and found.dtype == a.dtype
    np.testing.assert_allclose(found, a.T @ c, rtol=0, atol=small * np.sqrt(rows + 1))


def test_blocks_have_as_many_rows_as_stay_small_and_there_are_none_where_they_would_be_few():
    a = np.zeros((10**5, 8), np.float32)
    assert products._rows_of_a_block(a, 1000) == 1000
    assert products._rows_of_a_block(a, SMALL // FEW) == FEW
    assert products._rows_of_a_block(a, SMALL // FEW + 10**4) == len(a)  # too few rows a block
    assert products._rows_of_a_block(a[:3999], 1000) == 3999
