"""Matrix products and sums, in the forms that BLAS and NumPy compute fastest."""

import numpy as np

from npgan.fast.parallel import over_pieces

SMALL = 10**6  # multiplications: below, OpenBLAS treats a matrix product as small
FEW = 32  # rows: smaller blocks do not pay
BLOCKS = 4  # nor do fewer blocks
LONG_ROW = 1024  # numbers: in rows of this length, the step to the next row costs next to nothing


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b for matrices, (M, K) and (K, N) -> (M, N), in pieces along the longer side of the result."""
    (m, k), n = a.shape, b.shape[1]
    if k == 1:
        return a * b  # the same, and BLAS takes ten times as long for it
    y = np.empty((m, n), dtype=a.dtype)
    if m >= n:

        def work(part: slice) -> None:
            np.matmul(a[part], b, out=y[part])

    else:

        def work(part: slice) -> None:
            y[:, part] = a @ b[:, part]

    over_pieces(work, max(m, n), (k + min(m, n)) * a.itemsize, k * min(m, n))
    return y


def tall_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a @ b to `out`, (M, K) and (K, N) -> (M, N), where M is far larger than K and N.

    BLAS copies both matrices to an order of its own first. On processors with AVX-512 OpenBLAS skips the copy below
    SMALL multiplications: in blocks of so many rows the product takes a fifth less time there, elsewhere a little
    more.
    """
    (k, n), m = b.shape, _rows_of_a_block(a, b.size)
    whole = len(a) // m * m if m < len(a) else 0
    if whole:
        np.matmul(a[:whole].reshape(-1, m, k), b, out=out[:whole].reshape(-1, m, n))
    if whole < len(a):
        np.matmul(a[whole:], b, out=out[whole:])


def tall_matmul_transposed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a.T @ b, (M, K) and (M, N) -> (K, N), where M is far larger than K and N: as tall_matmul, block by block."""
    m = _rows_of_a_block(a, a.shape[1] * b.shape[1])
    whole = len(a) // m * m if m < len(a) else 0
    product = a[whole:].T @ b[whole:]
    if whole:
        blocks = a[:whole].reshape(-1, m, a.shape[1]).swapaxes(1, 2) @ b[:whole].reshape(-1, m, b.shape[1])
        product += blocks.sum(axis=0)
    return product


def _rows_of_a_block(a: np.ndarray, products_each: int) -> int:
    """How many rows of `a` make a small product, where each takes so many; all of them where that does not pay."""
    m = SMALL // products_each
    pays = m >= FEW and len(a) >= BLOCKS * m
    return m if pays else max(1, len(a))


def channel_sums(x: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last: (..., C) -> (C), piece by piece."""
    rows, _ = as_rows(x)
    sums = over_pieces(
        lambda part: row_sums(rows[part], x.shape[-1]), len(rows), 2 * rows.shape[1] * x.itemsize
    )
    return sum(sums[1:], sums[0])


def row_sums(rows: np.ndarray, channels: int) -> np.ndarray:
    """Sum rows of pixels, as `as_rows` gives them, over rows and pixels: (M, R*C) -> (C).

    Over the rows by a product with a row of ones, which BLAS does fastest.
    """
    return (np.ones(len(rows), dtype=rows.dtype) @ rows).reshape(-1, channels).sum(axis=0)


def as_rows(x: np.ndarray, *vectors: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """View x (..., C) as rows of R pixels, (M, R*C), and repeat vectors (C) to fit such a row, (R*C).

    NumPy works row by row, and rows of few numbers cost it more on the way to the next than in themselves.
    """
    c = x.shape[-1]
    count = x.size // c
    r = 1
    while count % (2 * r) == 0 and 2 * r * c <= LONG_ROW:
        r *= 2
    return x.reshape(count // r, r * c), [np.concatenate([vector] * r) for vector in vectors]
