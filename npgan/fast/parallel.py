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
from threading import Lock, Thread, local
from time import perf_counter, sleep
from typing import Any


def interpreter_lock() -> bool:
    """Whether only one thread at a time runs Python, as everywhere but in a free-threaded build."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


CACHE = 2**21  # bytes of a piece's intermediate results
WORTH_A_THREAD = 2**22 if interpreter_lock() else 2**20  # bytes: a thread starts in half their time
MOST_THREADS = 1024
AWAKE = 1e-3  # seconds: longer than a thread waits for work in the midst of a training step
give_way = getattr(os, "sched_yield", lambda: sleep(0))  # Windows has no such call
# How many processes of one training run on this machine, as MPICH and Open MPI say it to those that they start.
LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
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
    if not share and count * bytes_each <= CACHE and _mine.blocks:
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
    """How many threads work: the environment's NPGAN_THREADS, or as many as this process has cores.

    Processes that mpiexec has started side by side share the cores.
    """
    wanted = os.environ.get("NPGAN_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted[:9]) <= MOST_THREADS:
            raise ValueError(
                f"NPGAN_THREADS must be a whole number from 1 to {MOST_THREADS}, got {wanted!r:.40}"
            )
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = max(int(os.environ.get(name) or 1) for name in LOCAL_RANKS)
    return max(1, cores // beside)


@lru_cache(maxsize=1)
def _helpers() -> SimpleQueue:
    """Start the other threads, once; return the queue that they take work from."""
    jobs: SimpleQueue = SimpleQueue()  # half as long a way as through concurrent.futures
    for number in range(1, max(2, threads())):
        Thread(target=_help, args=(jobs,), name=f"npgan-{number}", daemon=True).start()
    return jobs


def _help(jobs: SimpleQueue) -> None:
    for library, for_all in _blas_libraries():
        if not for_all:
            _set_threads(library, 1)
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


class blas_on_one_thread:
    """Hold BLAS to one thread until this thread's outermost such block ends; says whether that could be done.

    OpenBLAS has one number of threads for the whole process: it is held as long as any thread is in such a block.
    Where each thread has a number of its own (MKL), each holds its own.
    """

    def __enter__(self) -> bool:
        if _mine.blocks == 0:
            _hold()
        _mine.blocks += 1
        return _mine.held

    def __exit__(self, *error: object) -> None:
        _mine.blocks -= 1
        if _mine.blocks == 0:
            _let_go()


class _Mine(local):
    """What this thread holds of BLAS."""

    blocks = 0  # that it is in
    held = False  # whether BLAS is on one thread in them
    before: tuple[int, ...] = ()  # how many threads each library had before, as this thread saw it


_mine = _Mine()
_lock = Lock()  # whoever changes BLAS's threads, or the two numbers below, has it
_holders = 0  # threads that hold BLAS now
_before: tuple[int, ...] = ()  # what the first of them found


def _hold() -> None:
    global _holders, _before
    with _lock:
        libraries = _blas_libraries()
        _mine.before = tuple(library.get_num_threads() for library, _ in libraries)
        if _holders == 0:
            _before = _mine.before
        _holders += 1
        for library, _ in libraries:
            _set_threads(library, 1)
        _mine.held = bool(libraries)


def _let_go() -> None:
    global _holders
    with _lock:
        _holders -= 1
        for (library, for_all), mine, first in zip(_blas_libraries(), _mine.before, _before):
            if not for_all:
                _set_threads(library, mine)
            elif _holders == 0:
                _set_threads(library, first)


def _set_threads(library: Any, number: int) -> None:
    """Set a library's number of threads, for the process or for this thread, as the library has it.

    From 3.7 on threadpoolctl listens to the thread alone that set OpenBLAS's first, until it is told to forget it.
    """
    forget = getattr(library, "clear_controlling_thread", None)
    if forget is None:
        library.set_num_threads(number)
    else:
        forget(force=True)
        library.set_num_threads(number)
        forget(force=True)


@lru_cache(maxsize=1)
def _blas_libraries() -> list[tuple[Any, bool]]:
    """The BLAS libraries in this process, and with each whether it has one number of threads for all of ours.

    Tried out, once. None where threadpoolctl is not installed, or where one of them does not do as it is told.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    found = []
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        before = library.get_num_threads()
        other = 2 if before == 1 else 1
        seen = []

        def set_another(library: Any = library, other: int = other, seen: list[int] = seen) -> None:
            _set_threads(library, other)
            seen.append(library.get_num_threads())

        thread = Thread(target=set_another)
        thread.start()
        thread.join()
        found.append((library, library.get_num_threads() == other))
        _set_threads(library, before)
        if seen != [other]:
            return []
    return found


def _after_fork_in_child() -> None:
    """Only the thread that forked lives on in the child: no helpers, and no other thread that holds BLAS."""
    global _holders
    _helpers.cache_clear()
    others = _holders - (_mine.blocks > 0)
    _holders -= others
    _lock.release()
    if others and _holders == 0:
        for (library, for_all), number in zip(_blas_libraries(), _before):
            if for_all:
                _set_threads(library, number)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_lock.acquire,  # so that no thread is in the midst of a change
        after_in_parent=_lock.release,
        after_in_child=_after_fork_in_child,
    )
