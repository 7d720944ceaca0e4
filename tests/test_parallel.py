"""Pieces and threads: the same numbers, bit for bit, however the work is spread; and nothing leaks out."""

import os
import subprocess
import sys
import threading
import time
import weakref
from queue import SimpleQueue
from threading import Timer

import numpy as np
import pytest

from npgan.fast import parallel, products
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
    parts = parallel.pieces(103, 6)  # 618 bytes: ten caches
    assert [part.start for part in parts] == list(range(0, 103, 11))
    assert [part.stop for part in parts] == [*range(11, 103, 11), 103]
    shared = parallel.pieces(103, 6, share=True)  # twelve pieces
    assert [part.start for part in shared] == list(range(0, 103, 9))
    assert parallel.pieces(10, 6) == [slice(0, 10)]
    assert len(parallel.pieces(10, 6, share=True)) == 4
    assert parallel.pieces(0, 6) == [slice(0, 0)]


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
        assert parallel.over_pieces(work, len(x), 1) == list(range(200))
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
            parallel.over_pieces(work, 8, 1)


def test_no_thread_holds_arrays_when_the_work_is_done(monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("NPGAN_THREADS", "2")
    x = np.ones((64, 64))
    gone = weakref.ref(x)
    parallel.over_pieces(lambda part, x=x: x[part].sum(), len(x), 512)
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


# After a fork, and in other threads than the main one ----------------------------------------------------


def run_script(text, **environment):
    """Run Python code in a process of its own, where BLAS starts with two threads; return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2", "NPGAN_THREADS": "2"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


LARGE = """
import os, sys, threading, time
import numpy as np
from npgan.fast import parallel
from npgan.fast.parallel import blas_on_one_thread, over_pieces

x = np.zeros((64, 2**17))

def large():
    def work(part):
        x[part] += 1
        return part.start
    return over_pieces(work, len(x), x[0].nbytes)

def exit_of(child):
    for _ in range(2000):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"
"""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@forks
def test_a_forked_child_shares_its_work_too():
    script = LARGE + (
        "wanted = large()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if large() == wanted and x.min() == x.max() == 2 else 1)\n"
        "print(exit_of(child), large() == wanted)"
    )
    assert run_script(script) == ["0 True"]


@forks
def test_a_pool_of_forked_processes_works_after_a_large_layer():
    script = (
        "import multiprocessing, numpy as np\n"
        "from npgan.layers import Dense\n"
        "x = np.ones((512, 512), np.float32)\n"
        "dense = Dense(512, 2048, rng=np.random.default_rng(0))\n"
        "wanted = dense.forward(x, train=False)\n"
        "def work(_):\n"
        "    return dense.forward(x, train=False)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    for y in pool.map_async(work, range(4)).get(timeout=30):\n"
        "        assert np.array_equal(y, wanted)\n"
        "print('same')"
    )
    assert run_script(script) == ["same"]


@forks
def test_a_child_forked_while_another_thread_holds_blas_gets_its_threads():
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    script = LARGE + (
        "number = lambda: [info['num_threads'] for info in __import__('threadpoolctl').threadpool_info()]\n"
        "before, stop, held = number(), threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with blas_on_one_thread():\n"
        "        held.set(); stop.wait()\n"
        "other = threading.Thread(target=hold); other.start(); held.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    free = number() == before\n"
        "    with blas_on_one_thread() as done:\n"
        "        os._exit(0 if free and done and set(number()) == {1} else 1)\n"
        "print(exit_of(child)); stop.set(); other.join(); print(number() == before)\n"
        "with blas_on_one_thread():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        inside = set(number())\n"
        "print(exit_of(child)) if child else os._exit(0 if inside == {1} and number() == before else 1)"
    )
    assert run_script(script) == ["0", "True", "0"]


HOLD = """
import threading
import numpy as np
from threadpoolctl import threadpool_info
from npgan.fast.parallel import blas_on_one_thread

def number():
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start(); thread.join()
    return found[0]

def hold():
    with blas_on_one_thread() as held:
        return held, number(), number_within()

def number_within():
    with blas_on_one_thread():
        return number()
"""


@pytest.mark.parametrize(
    "first", ["hold()", "in_a_thread(hold)", "threadpool_limits(2, user_api='blas')", "None"]
)
def test_any_thread_can_hold_blas(first):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    script = HOLD + (
        "from threadpoolctl import threadpool_limits\n"
        f"before = number(); kept = {first}\n"
        "print(in_a_thread(hold) == (True, [1], [1]), number() == before)\n"
        "print(hold() == (True, [1], [1]), number() == before)"
    )
    assert run_script(script) == ["True True", "True True"]


@pytest.mark.parametrize("last", ["main", "worker"])
def test_blas_gets_its_threads_back_whichever_thread_lets_go_last(last):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    script = HOLD + (
        "before, inside, leave = number(), threading.Event(), threading.Event()\n"
        "def work():\n"
        "    with blas_on_one_thread():\n"
        "        inside.set(); leave.wait()\n"
        "worker = threading.Thread(target=work)\n"
        "with blas_on_one_thread():\n"
        "    worker.start(); inside.wait()\n"
        f"    if {last == 'main'}: leave.set(); worker.join(); print(number())\n"
        "if not leave.is_set(): print(number())\n"
        "leave.set(); worker.join(); print(number() == before)"
    )
    assert run_script(script) == ["[1]", "True"]


def test_a_training_in_another_thread_gives_the_same_bits():
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    script = HOLD + (
        "from npgan.layers import Dense, Conv2D, Flatten, LeakyReLU, Sequential\n"
        "from npgan.optim import Adam\n"
        "def train():\n"
        "    rng = np.random.default_rng(3)\n"
        "    network = Sequential([Conv2D(3, 16, 4, stride=2, rng=rng), LeakyReLU(), Flatten(),\n"
        "                          Dense(13 * 13 * 16, 300, rng=rng)])\n"
        "    adam = Adam(network.parameters())\n"
        "    for _ in range(3):\n"
        "        network.zero_grad()\n"
        "        y = network.forward(rng.standard_normal((70, 28, 28, 3)).astype(np.float32))\n"
        "        network.backward(y / y.size)\n"
        "        adam.step()\n"
        "    lone = Dense(500, 300, rng=rng)\n"
        "    lone.forward(rng.standard_normal((300, 500)).astype(np.float32))\n"
        "    lone.backward(rng.standard_normal((300, 300)).astype(np.float32))\n"
        "    return b''.join([*(p.value.tobytes() for p in network.parameters()), lone.weight.grad.tobytes()])\n"
        "one = train()\n"
        "print(in_a_thread(train) == one, train() == one)"
    )
    assert run_script(script) == ["True True"]


class OneForEachThread(threading.local):
    """A BLAS library as threadpoolctl shows it, with a number of threads for each thread, as MKL has."""

    number = 2

    def get_num_threads(self):
        return self.number

    def set_num_threads(self, number):
        self.number = number


class OneForAll:
    """The same with one number for the process, as OpenBLAS has."""

    def __init__(self):
        self.number = 2

    get_num_threads, set_num_threads = OneForEachThread.get_num_threads, OneForEachThread.set_num_threads


class Deaf(OneForAll):
    """One that cannot be told."""

    def set_num_threads(self, number):
        pass


@pytest.fixture
def pretend(monkeypatch):
    """Put libraries in the place of those that this process has, before anything was asked of them."""

    def put(*libraries):
        class Controller:
            def select(self, user_api):
                self.lib_controllers = list(libraries)
                return self

        monkeypatch.setattr("threadpoolctl.ThreadpoolController", Controller)
        parallel._blas_libraries.cache_clear()

    yield put
    monkeypatch.undo()
    parallel._blas_libraries.cache_clear()


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("kind", [OneForEachThread, OneForAll])
def test_threads_hold_and_let_go_of_either_kind_of_library_in_any_order(kind, pretend):
    library = kind()
    pretend(library)
    one, two = parallel.blas_on_one_thread(), parallel.blas_on_one_thread()
    leave, inside = threading.Event(), threading.Event()

    def worker():
        before = library.number
        with one as held:
            found = [held, library.number]
            inside.set()
            leave.wait()
        return [before, *found, library.number]

    found = []
    thread = threading.Thread(target=lambda: found.extend(worker()))
    try:
        with two as held:
            assert held and library.number == 1
            thread.start()
            inside.wait()
            assert library.number == 1
        assert library.number == (1 if kind is OneForAll else 2)  # the other thread's work goes on
    finally:
        leave.set()
        thread.join()
    assert found == ([1, True, 1, 2] if kind is OneForAll else [2, True, 1, 2])
    assert library.number == 2


def test_helping_threads_are_held_where_each_thread_has_a_number(pretend, monkeypatch):
    library = OneForEachThread()
    pretend(library)
    monkeypatch.setattr(parallel, "CACHE", 1)
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("NPGAN_THREADS", "2")
    monkeypatch.setattr(parallel, "_helpers", parallel.lru_cache(parallel._helpers.__wrapped__))
    x = np.zeros(200)

    def work(part):
        time.sleep(1e-4)
        return threading.current_thread().name, library.number

    found = set(parallel.over_pieces(work, len(x), 1))
    assert len({name for name, _ in found}) == 2
    assert {number for _, number in found} == {1}
    assert library.number == 2


def test_a_small_piece_of_work_is_held_in_its_own_thread_too(pretend):
    library = OneForEachThread()
    pretend(library)
    x = np.zeros(4)

    def small():
        return parallel.over_pieces(lambda part: library.number, len(x), 8)

    with parallel.blas_on_one_thread():
        assert small() == [1]
        assert in_a_thread(small) == [1]


def test_it_is_said_where_blas_cannot_be_held(pretend):
    pretend(Deaf())
    with parallel.blas_on_one_thread() as held, parallel.blas_on_one_thread() as again:
        assert not held and not again
    pretend()
    with parallel.blas_on_one_thread() as held:
        assert not held
