"""Work cut along the batch: pieces small enough for the cache, spread over the processor's cores.

NumPy computes elementwise on one core, writes each intermediate result to memory and reads it back. Cut in pieces,
the intermediate results of one piece stay in the cache; and since NumPy lets other Python threads run while it
copies, adds or multiplies, plain threads can work on several pieces at once. Every piece is computed in the same
way whoever computes it, so results do not depend on the number of threads. On a GPU there is one piece: all of it.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from npgan.backend import Array, array_module

CACHE = 2**20  # bytes of a piece's intermediate results
WORTH_A_THREAD = 2**20  # bytes of intermediate results: waking a thread takes as long as computing these
GEMM_PIECE = 512  # rows or columns of a piece of a matrix product


# The C library gives memory back to the system as soon as it is freed, and pays for it, page by page, when it asks
# again: up to a third of a small training step. It stops doing so for sizes that it has seen freed. This one is
# never touched.
np.empty(2**25 - 2**16, np.uint8)


def over_pieces(work: Callable[[slice], Any], like: Array, count: int, bytes_each: int) -> list[Any]:
    """Call work(slice) for consecutive slices that cover range(count), on all cores; return the results in order.

    `bytes_each` is what one row's intermediate results take; a piece has as many rows as the cache holds.
    `like` tells the library: with CuPy there is one piece, and this is [work(slice(0, count))].
    """
    if array_module(like) is not np:
        return [work(slice(0, count))]
    size = max(1, CACHE // max(1, bytes_each))
    pieces = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    results: list[Any] = [None] * len(pieces)
    todo = iter(range(len(pieces)))

    def worker() -> None:
        for index in todo:  # two threads never get the same index: next() is one step of the interpreter
            results[index] = work(pieces[index])

    with _blas_on_one_thread() as held:
        # Where BLAS cannot be held to one thread it uses all cores by itself, and ours would fight for them.
        others = min(threads() if held else 1, count * bytes_each // WORTH_A_THREAD, len(pieces)) - 1
        futures = [_pool().submit(worker) for _ in range(max(0, others))]
        try:
            worker()
        finally:
            for future in futures:
                future.result()
    return results


def matmul(a: Array, b: Array) -> Array:
    """a @ b for matrices, (M, K) and (K, N) -> (M, N), in pieces along the longer side of the result."""
    m, n = a.shape[0], b.shape[1]
    y = array_module(a, b).empty((m, n), dtype=a.dtype)
    if m >= n:

        def work(part: slice) -> None:
            array_module(a).matmul(a[part], b, out=y[part])

    else:

        def work(part: slice) -> None:
            y[:, part] = a @ b[:, part]

    over_pieces(work, a, max(m, n), CACHE // GEMM_PIECE)
    return y


def column_sums(x: Array) -> Array:
    """Sum a matrix over its rows, (M, C) -> (C,): a product with a row of ones, which BLAS does fastest."""
    return array_module(x).ones(x.shape[0], dtype=x.dtype) @ x


def threads() -> int:
    """How many threads work: the environment's NPGAN_THREADS, or as many as this process has cores."""
    wanted = os.environ.get("NPGAN_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"NPGAN_THREADS must be a whole number of at least 1, got {wanted!r}")
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="npgan")


@lru_cache(maxsize=1)
def _blas_libraries() -> list[Any]:
    """The BLAS libraries in this process, as threadpoolctl finds them; none where that is not installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def _blas_on_one_thread() -> Iterator[bool]:
    """Hold BLAS to one thread, and give it back its own on the way out; yield whether that could be done."""
    libraries = _blas_libraries()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield bool(libraries)
    finally:
        for library, number in zip(libraries, before):
            library.set_num_threads(number)
