"""Pieces and threads: the same numbers, bit for bit, however the work is spread; and nothing leaks out."""

import time
import weakref
from queue import SimpleQueue
from threading import Timer

import numpy as np
import pytest

from npgan import parallel, products
from npgan.layers import BatchNormalization, Conv2D, Conv2DTranspose, Dense, LeakyReLU, Tanh
from npgan.optim import Adam


def make(name, rng):
    return {
        "Conv2D": lambda: (Conv2D(3, 5, 4, stride=2, padding=1, rng=rng), (9, 12, 10, 3)),
        "Conv2DTranspose": lambda: (Conv2DTranspose(4, 3, 4, stride=2, padding=1, rng=rng), (9, 5, 6, 4)),
        "Conv2D, stride 3": lambda: (Conv2D(3, 5, (5, 4), stride=3, padding=2, rng=rng), (9, 12, 10, 3)),
        "Dense, wide": lambda: (Dense(30, 1100, rng=rng), (9, 30)),
        "Dense, many rows": lambda: (Dense(6, 7, rng=rng), (1100, 6)),
        "BatchNormalization": lambda: (BatchNormalization(4), (33, 5, 4)),
        "LeakyReLU": lambda: (LeakyReLU(0.2), (33, 5, 4)),
        "Tanh": lambda: (Tanh(), (33, 5, 4)),
    }[name]()


NAMES = [
    *("Conv2D", "Conv2DTranspose", "Conv2D, stride 3", "Dense, wide", "Dense, many rows"),
    *("BatchNormalization", "LeakyReLU", "Tanh"),
]


def run(name, dtype, monkeypatch, threads, cache):
    """One forward, backward and Adam step, cut in pieces of `cache` bytes on so many threads: all the numbers."""
    monkeypatch.setenv("NPGAN_THREADS", str(threads))
    monkeypatch.setattr(parallel, "CACHE", cache)
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    rng = np.random.default_rng(5)
    layer, shape = make(name, rng)
    layer.astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    y = layer.forward(x)
    dx = layer.backward(rng.standard_normal(y.shape).astype(dtype))
    gradients = [parameter.grad.copy() for parameter in layer.parameters()]
    if gradients:
        Adam(layer.parameters()).step()
    return [y, dx, *gradients, *layer.state().values()]


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_no_bit(name, monkeypatch):
    one = run(name, np.float32, monkeypatch, 1, 600)
    for threads in (2, 3):
        for a, b in zip(one, run(name, np.float32, monkeypatch, threads, 600), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_pieces_give_what_the_whole_gives(name, dtype, monkeypatch):
    whole = run(name, dtype, monkeypatch, 1, 2**30)
    for a, b in zip(whole, run(name, dtype, monkeypatch, 2, 600), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps * max(1.0, np.abs(a).max()))


def test_pieces_are_equal_and_cover_the_range_once_and_in_order(monkeypatch):
    monkeypatch.setattr(parallel, "CACHE", 64)
    parts = parallel.pieces(np.zeros(1), 103, 6)  # 618 bytes: ten caches
    assert [part.start for part in parts] == list(range(0, 103, 11))
    assert [part.stop for part in parts] == [*range(11, 103, 11), 103]
    shared = parallel.pieces(np.zeros(1), 103, 6, share=True)  # twelve pieces
    assert [part.start for part in shared] == list(range(0, 103, 9))
    assert parallel.pieces(np.zeros(1), 10, 6) == [slice(0, 10)]
    assert len(parallel.pieces(np.zeros(1), 10, 6, share=True)) == 4
    assert parallel.pieces(np.zeros(1), 0, 6) == [slice(0, 0)]


@pytest.mark.parametrize("turns", [True, False])
def test_every_piece_is_computed_once(turns, monkeypatch):
    monkeypatch.setattr(parallel, "interpreter_lock", lambda: turns)
    monkeypatch.setattr(parallel, "CACHE", 1)
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("NPGAN_THREADS", "2")
    x = np.zeros((200, 1000))

    def work(part):
        x[part] += 1
        return part.start

    for times in range(1, 21):
        assert parallel.over_pieces(work, x, len(x), 1) == list(range(200))
        assert (x == times).all()


@pytest.mark.parametrize("turns", [True, False])
def test_a_thread_waits_as_long_as_it_takes(turns, monkeypatch):
    monkeypatch.setattr(parallel, "interpreter_lock", lambda: turns)
    queue = SimpleQueue()
    queue.put("at once")
    assert parallel._wait(queue) == "at once"
    late = Timer(20 * parallel.AWAKE, queue.put, ["late"])
    late.start()
    assert parallel._wait(queue) == "late"
    late.join()


def test_an_error_in_a_piece_comes_out_wherever_it_happened(monkeypatch):
    monkeypatch.setattr(parallel, "CACHE", 1)
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("NPGAN_THREADS", "2")

    def work(part):
        if part.start == 7:
            raise ArithmeticError("piece 7")

    for _ in range(20):
        with pytest.raises(ArithmeticError, match="piece 7"):
            parallel.over_pieces(work, np.zeros(1), 8, 1)


def test_no_thread_holds_arrays_when_the_work_is_done(monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("NPGAN_THREADS", "2")
    x = np.ones((64, 64))
    gone = weakref.ref(x)
    parallel.over_pieces(lambda part, x=x: x[part].sum(), x, len(x), 512)
    del x
    for _ in range(100):  # the other thread may still be about to let go
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


@pytest.mark.parametrize("wrong", ["0", "two", "-1"])
def test_a_wrong_number_of_threads_is_named(wrong, monkeypatch):
    monkeypatch.setenv("NPGAN_THREADS", wrong)
    with pytest.raises(ValueError, match="NPGAN_THREADS"):
        parallel.threads()


def test_blas_gets_its_threads_back():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    before = [info["num_threads"] for info in threadpoolctl.threadpool_info()]
    products.matmul(np.ones((5, 4), np.float32), np.ones((4, 3), np.float32))
    assert [info["num_threads"] for info in threadpoolctl.threadpool_info()] == before
