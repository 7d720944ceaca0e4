"""Matrix products and sums, in the forms that BLAS and NumPy compute fastest."""

import numpy as np

from npgan.backend import Array, array_module
from npgan.parallel import over_pieces

SMALL = 10**6  # products of two numbers that make a small matrix product, for OpenBLAS
FEW = 32  # rows: a block of fewer does not pay
BLOCKS = 4  # fewer do not pay either
LONG_ROW = 1024  # numbers: as long as it takes for the way to the next row not to count


def matmul(a: Array, b: Array) -> Array:
    """a @ b for matrices, (M, K) and (K, N) -> (M, N), in pieces along the longer side of the result."""
    (m, k), n = a.shape, b.shape[1]
    if k == 1:
        return a * b  # the same, and BLAS takes ten times as long for it
    y = array_module(a, b).empty((m, n), dtype=a.dtype)
    if m >= n:

        def work(part: slice) -> None:
            array_module(a).matmul(a[part], b, out=y[part])

    else:

        def work(part: slice) -> None:
            y[:, part] = a @ b[:, part]

    over_pieces(work, a, max(m, n), (k + min(m, n)) * a.itemsize, k * min(m, n))
    return y


def tall_matmul(a: Array, b: Array, out: Array) -> None:
    """Write a @ b to `out`, (M, K) and (K, N) -> (M, N), where M is far larger than K and N.

    BLAS copies both matrices to an order of its own first. OpenBLAS spares that where the product is SMALL, on
    processors with AVX-512: in blocks of so many rows it takes a fifth less time there, elsewhere a little more.
    """
    (k, n), m = b.shape, _rows_of_a_block(a, b.size)
    whole = len(a) // m * m if m < len(a) else 0
    if whole:
        array_module(a).matmul(a[:whole].reshape(-1, m, k), b, out=out[:whole].reshape(-1, m, n))
    if whole < len(a):
        array_module(a).matmul(a[whole:], b, out=out[whole:])


def tall_matmul_transposed(a: Array, b: Array) -> Array:
    """a.T @ b, (M, K) and (M, N) -> (K, N), where M is far larger than K and N: as tall_matmul, block by block."""
    m = _rows_of_a_block(a, a.shape[1] * b.shape[1])
    whole = len(a) // m * m if m < len(a) else 0
    product = a[whole:].T @ b[whole:]
    if whole:
        blocks = a[:whole].reshape(-1, m, a.shape[1]).swapaxes(1, 2) @ b[:whole].reshape(-1, m, b.shape[1])
        product += blocks.sum(axis=0)
    return product


def _rows_of_a_block(a: Array, products_each: int) -> int:
    """How many rows of `a` make a small product, where each takes so many; all of them where that does not pay."""
    m = SMALL // products_each
    pays = array_module(a) is np and m >= FEW and len(a) >= BLOCKS * m
    return m if pays else max(1, len(a))


def channel_sums(x: Array) -> Array:
    """Sum over all axes but the last: (..., C) -> (C), piece by piece."""
    rows, _ = as_rows(x)
    sums = over_pieces(
        lambda part: row_sums(rows[part], x.shape[-1]), x, len(rows), 2 * rows.shape[1] * x.itemsize
    )
    return sum(sums[1:], sums[0])


def row_sums(rows: Array, channels: int) -> Array:
    """Sum rows of pixels, as `as_rows` gives them, over rows and pixels: (M, R*C) -> (C).

    Over the rows by a product with a row of ones, which BLAS does fastest.
    """
    return (array_module(rows).ones(len(rows), dtype=rows.dtype) @ rows).reshape(-1, channels).sum(axis=0)


def as_rows(x: Array, *vectors: Array) -> tuple[Array, list[Array]]:
    """View x (..., C) as rows of R pixels, (M, R*C), and repeat vectors (C) to fit such a row, (R*C).

    NumPy works row by row, and rows of few numbers cost it more on the way to the next than in themselves.
    """
    c = x.shape[-1]
    count = x.size // c
    r = 1
    while count % (2 * r) == 0 and 2 * r * c <= LONG_ROW:
        r *= 2
    return x.reshape(count // r, r * c), [array_module(x).concatenate([vector] * r) for vector in vectors]
