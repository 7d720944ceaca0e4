"""Work cut along the batch: pieces small enough for the cache, spread over the processor's cores.

NumPy computes elementwise on one core, writes each intermediate result to memory and reads it back. Cut in pieces,
the intermediate results of one piece stay in the cache; and since NumPy lets other Python threads run while it
copies, adds or multiplies, plain threads can work on several pieces at once. Between NumPy's calls they take turns;
in a free-threaded build of Python (PEP 703) they need not, and smaller pieces are worth sharing there. Every
piece is computed in the same way whoever computes it, so results do not depend on the number of threads.
"""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter, sleep
from typing import Any


def interpreter_lock() -> bool:
    """Whether only one thread at a time runs Python, as everywhere but in a free-threaded build."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


CACHE = 2**21  # bytes of a piece's intermediate results
WORTH_A_THREAD = 2**22 if interpreter_lock() else 2**20  # bytes: a thread starts in half their time
AWAKE = 1e-3  # seconds: longer than a thread waits for work in the midst of a training step
give_way = getattr(os, "sched_yield", lambda: sleep(0))  # Windows has no such call
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Ask the C library, once, not to give freed memory back to the system, where it can be asked.

    It would pay for it page by page when it asks again: up to a third of a training step. Arrays above 32 MB are
    given back nevertheless.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def over_pieces(
    work: Callable[[slice], Any], count: int, bytes_each: int, products_each: int = 0
) -> list[Any]:
    """Call work(slice) for consecutive slices that cover range(count), on all cores; return the results in order.

    `bytes_each` is what one row's intermediate results take; a piece has as many rows as the cache holds.
    `products_each`, how many products of two numbers a row needs besides, tells what is worth a thread.
    """
    keep_memory()
    effort = count * (bytes_each + products_each // 2)  # as many bytes could be added up in the same time
    share = effort >= 2 * WORTH_A_THREAD
    if not share and count * bytes_each <= CACHE and _holders:
        # Most of what a small network does. What follows comes to the same, and would cost it 3% of a step.
        return [work(slice(0, count))]
    parts = pieces(count, bytes_each, share)
    with blas_on_one_thread() as held:
        # Where BLAS cannot be held it uses all cores by itself, and our threads would be in its way.
        if not share or not held:
            return [work(part) for part in parts]
        results: list[Any] = [None] * len(parts)
        todo = deque(range(len(parts)))

        def worker() -> None:
            while True:
                try:
                    index = todo.popleft()  # no two threads ever get the same one
                except IndexError:
                    return
                results[index] = work(parts[index])

        others = min(threads(), effort // WORTH_A_THREAD, len(parts)) - 1
        done: SimpleQueue[BaseException | None] = SimpleQueue()
        for _ in range(others):
            _helpers().put((worker, done))
        try:
            worker()
        finally:
            errors = [_wait(done) for _ in range(others)]
        for error in errors:
            if error is not None:
                raise error
    return results


def pieces(count: int, bytes_each: int, share: bool = False) -> list[slice]:
    """Cut range(count) into slices whose intermediate results, `bytes_each` a row, fit the cache.

    To `share` them, they are equal in size and four or a multiple of it, whatever the number of threads.
    """
    number = max(1, -(-count * bytes_each // CACHE))
    if share:
        number = -(-number // 4) * 4
    size = max(1, -(-count // number))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)] or [slice(0, 0)]


def threads() -> int:
    """How many threads work: the environment's NPGAN_THREADS, or as many as this process has cores."""
    wanted = os.environ.get("NPGAN_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"NPGAN_THREADS must be a whole number of at least 1, got {wanted!r}")
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _helpers() -> SimpleQueue:
    """Start the other threads, once; return the queue that they take work from."""
    jobs: SimpleQueue = SimpleQueue()  # half as long a way as through concurrent.futures
    for number in range(1, max(2, threads())):
        Thread(target=_help, args=(jobs,), name=f"npgan-{number}", daemon=True).start()
    return jobs


def _help(jobs: SimpleQueue) -> None:
    while True:
        work, done = _wait(jobs)
        try:
            work()
            done.put(None)
        except BaseException as error:  # it belongs to the thread that asked
            done.put(error)
        del work, done  # and the arrays that they hold


def _wait(queue: SimpleQueue) -> Any:
    """Take what comes next: spin briefly, then block, since waking a thread costs as much as a small piece.

    Under the interpreter lock it blocks at once: a spinning thread would take the turns of those that work.
    """
    if not interpreter_lock():
        end = perf_counter() + AWAKE
        while queue.empty() and perf_counter() < end:
            give_way()  # to whatever else wants this core: more threads than cores, another program
    return queue.get()


@lru_cache(maxsize=1)
def _blas_libraries() -> list[Any]:
    """The BLAS libraries in this process, as threadpoolctl finds them; none where that is not installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return ThreadpoolController().select(user_api="blas").lib_controllers


class blas_on_one_thread:
    """Hold BLAS to one thread until the outermost such block ends; says whether that could be done."""

    def __enter__(self) -> bool:
        global _holders, _before
        libraries = _blas_libraries()
        with _lock:
            if _holders == 0:
                _before = [library.get_num_threads() for library in libraries]
                for library in libraries:
                    library.set_num_threads(1)
            _holders += 1
        return bool(libraries)

    def __exit__(self, *error: object) -> None:
        global _holders
        with _lock:
            _holders -= 1
            if _holders == 0:
                for library, number in zip(_blas_libraries(), _before):
                    library.set_num_threads(number)


_lock = Lock()
_holders = 0  # blocks that hold BLAS now
_before: list[int] = []  # the threads that each library had before the first of them
