"""Ranks in one process, as threads: parts, means, BatchNormalization over all of them, gradients, the same start."""

import copy
import errno
import inspect
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import reference
import strict_cupy
import thread_ranks
from hypothesis import given
from hypothesis import strategies as st
from layer_table import make
from strategies import geometries, seeds

from npgan import backend, checkpoint, distributed, training
from npgan.data import Images
from npgan.distributed import Ranks, synchronise
from npgan.errors import DataError, RankError
from npgan.fast import parallel
from npgan.layers import BatchNormalization, Dense, LeakyReLU, Parameter, Sequential
from npgan.lesson import Lesson
from npgan.optim import SGD, Adam, MovingAverage

SIZES = st.integers(2, 4)


# Alone ---------------------------------------------------------------------------------------------------------


def test_a_process_that_nobody_has_started_is_the_only_rank(monkeypatch):
    for name in distributed.SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # importing it would fail
    ranks = distributed.start()
    assert (ranks.rank, ranks.size) == (0, 1)
    x = np.arange(6.0)
    assert ranks.part(x) is not None and ranks.part(x).tolist() == x.tolist()
    assert ranks.mean(x) is x and x.tolist() == [0, 1, 2, 3, 4, 5]
    assert ranks.largest([1, 2]) == [1, 2]
    ranks.broadcast({"rng": np.random.default_rng(0)}, {})
    ranks.leave()


def test_one_rank_does_to_the_bit_what_no_rank_does(rng):
    layers = [BatchNormalization(3), BatchNormalization(3, ranks=Ranks())]
    x, dy = rng.standard_normal((2, 8, 3)).astype(np.float32)
    for a, b in zip(*([layer.forward(x), layer.backward(dy), layer.gamma.grad] for layer in layers)):
        np.testing.assert_array_equal(a, b)


# Parts and means -----------------------------------------------------------------------------------------------


def test_parts_are_equal_and_make_the_batch_together():
    parts = thread_ranks.run(3, lambda ranks: ranks.part(np.arange(12)))
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_batch_that_does_not_divide_is_refused_in_one_line():
    with pytest.raises(RankError, match="^a batch of 7 cannot be shared equally by 2 ranks; start as many"):
        thread_ranks.run(2, lambda ranks: ranks.part(np.arange(7)))


def test_mean_is_worked_out_by_hand():
    arrays = thread_ranks.run(2, lambda ranks: ranks.mean(np.array([1.0, 10.0]) * (1 + 2 * ranks.rank)))
    assert [array.tolist() for array in arrays] == [[2, 20], [2, 20]]  # of 1, 10 and 3, 30


def test_largest_is_that_of_any_rank():
    found = thread_ranks.run(3, lambda ranks: ranks.largest([ranks.rank == 1, -ranks.rank]))
    assert found == [[1, 0]] * 3


def test_every_rank_serves_its_part_of_one_order():
    images = Images(np.arange(20, dtype=np.uint8).repeat(4).reshape(20, 2, 2, 1))

    def rows(ranks):
        batches = images.batches(6, np.random.default_rng(5), ranks.part)
        return [next(batches)[:, 0, 0, 0] for _ in range(7)]

    (whole,), halves = thread_ranks.run(1, rows), thread_ranks.run(2, rows)
    for together, first, second in zip(whole, *halves):
        assert len(first) == len(second) == 3
        np.testing.assert_array_equal(np.concatenate([first, second]), together)


# BatchNormalization --------------------------------------------------------------------------------------------


def pass_through(layer, x, dy, ranks):
    """Forward and backward of this rank's part through a copy of the layer that knows the ranks."""
    mine = copy.deepcopy(layer)
    synchronise(mine, ranks)
    y = mine.forward(ranks.part(x).copy())
    dx = mine.backward(ranks.part(dy).copy())
    return y, dx, mine


@given(geometry=geometries(), seed=seeds, size=SIZES, offset=st.sampled_from([0, 1000]))
def test_parts_are_normalised_by_the_whole_batch_as_loops_do_it(geometry, seed, size, offset):
    rng, layer, _ = make("BatchNormalization-of-images", seed, geometry, "float64")
    shape = (size * geometry.batch, *geometry.size, geometry.out_channels)
    x, dy = offset + rng.standard_normal(shape), rng.standard_normal(shape)
    means, variances = reference.batch_statistics(x)
    wanted = reference.normalise(x, means, variances, layer.gamma.value, layer.beta.value, layer.epsilon)
    found = thread_ranks.run(size, lambda ranks: pass_through(layer, x, dy, ranks))
    whole = copy.deepcopy(layer)
    whole.forward(x)
    dx = whole.backward(dy)
    leeway = 1 + offset  # the mean itself is known to so many digits fewer
    np.testing.assert_allclose(np.concatenate([y for y, _, _ in found]), wanted, atol=3e-10 * leeway)
    np.testing.assert_allclose(np.concatenate([dx for _, dx, _ in found]), dx, atol=3e-10 * leeway)
    np.testing.assert_allclose(
        sum(mine.gamma.grad for *_, mine in found), whole.gamma.grad, atol=3e-10 * leeway
    )
    for *_, mine in found:
        np.testing.assert_allclose(mine.running_mean, whole.running_mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(mine.running_variance, whole.running_variance, rtol=1e-9 * leeway)


def test_the_gradient_over_ranks_agrees_with_finite_differences(rng):
    layer, x, target = (
        BatchNormalization(2).astype("float64"),
        rng.standard_normal((6, 2)),
        rng.standard_normal((6, 2)),
    )
    layer.gamma.value[...] = [1.5, -0.5]
    direction = rng.standard_normal(x.shape)

    def value(moved):
        """sum(y * target + y**3), over all ranks."""
        ys = [y for y, _, _ in thread_ranks.run(2, lambda ranks: pass_through(layer, moved, target, ranks))]
        y = np.concatenate(ys)
        return (y * target + y**3).sum(), y

    _, y = value(x)
    dy = target + 3 * y**2
    dx = np.concatenate(
        [d for _, d, _ in thread_ranks.run(2, lambda ranks: pass_through(layer, x, dy, ranks))]
    )
    numeric = (value(x + 1e-6 * direction)[0] - value(x - 1e-6 * direction)[0]) / 2e-6
    assert (dx * direction).sum() == pytest.approx(numeric, rel=1e-8)
    alone = [copy.deepcopy(layer) for _ in range(2)]  # the usual mistake: each rank normalises by its part
    for part, other in zip((slice(3), slice(3, 6)), alone):
        other.forward(x[part])
    mistaken = np.concatenate(
        [other.backward(dy[part]) for part, other in zip((slice(3), slice(3, 6)), alone)]
    )
    assert (mistaken * direction).sum() != pytest.approx(numeric, rel=1e-2)


def test_one_value_a_rank_is_enough_for_two_ranks():
    x = np.array([[1.0], [3.0]])
    layer = BatchNormalization(1, epsilon=1e-12).astype("float64")
    ys = thread_ranks.run(2, lambda ranks: pass_through(layer, x, x, ranks)[0])
    np.testing.assert_allclose([float(y[0, 0]) for y in ys], [-1, 1])


@pytest.mark.parametrize("value", [0, 7, 1e6])
def test_a_constant_channel_has_no_negative_variance(value):
    layer, x = BatchNormalization(1, epsilon=1e-12).astype("float64"), np.full((8, 1), value + 0.1)
    for y in thread_ranks.run(2, lambda ranks: pass_through(layer, x, x, ranks)[0]):
        assert np.isfinite(y).all()


def test_float32_parts_far_from_zero_are_as_exact_as_a_whole_batch(rng):
    x = (1000 + rng.standard_normal((512, 4))).astype(np.float32)
    layer = BatchNormalization(4)
    exact = copy.deepcopy(layer).astype("float64").forward(x.astype("float64"))
    ys = thread_ranks.run(4, lambda ranks: pass_through(layer, x, x, ranks)[0])
    assert np.abs(np.concatenate(ys) - exact).max() < 0.55 * np.spacing(np.float32(1000)) + 2e-6


def test_two_messages_a_layer_and_none_where_running_statistics_serve(rng):
    x = rng.standard_normal((4, 3))
    layer = BatchNormalization(3).astype("float64")
    assert (
        thread_ranks.run(2, lambda ranks: (pass_through(layer, x, x, ranks), ranks.comm.table.messages)[1])[0]
        == 2
    )
    layer.freeze(inference=True)
    assert (
        thread_ranks.run(2, lambda ranks: (pass_through(layer, x, x, ranks), ranks.comm.table.messages)[1])[0]
        == 0
    )


# Gradients -----------------------------------------------------------------------------------------------------


def test_gradients_become_views_of_one_array_and_their_mean():
    def act(ranks):
        parameters = [Parameter(np.ones((2, 2))), Parameter(np.ones(3))]
        parameters[0].grad += 1 + ranks.rank
        gradients = ranks.gradients(parameters)
        parameters[1].grad += 5 * ranks.rank
        gradients.mean()
        assert all(np.shares_memory(p.grad, gradients.flat) for p in parameters)
        return gradients.flat.tolist(), ranks.comm.table.messages

    assert thread_ranks.run(2, act)[1] == ([1.5] * 4 + [2.5] * 3, 1)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no folder of files in memory")
@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("size, count", [(2, 1), (3, 2), (3, 7), (2, 2**17 + 3)])
def test_in_shared_memory_the_mean_is_the_same_and_nothing_is_left_behind(size, count, room, monkeypatch):
    before = sorted(Path("/dev/shm").glob("npgan-*"))
    if not room:
        monkeypatch.setattr(distributed.os, "posix_fallocate", raise_no_space)

    def act(ranks):
        parameter = Parameter(np.zeros(count, np.float32))
        gradients = ranks.gradients([parameter])
        for step in range(3):
            parameter.zero_grad()
            parameter.grad += np.arange(count) * (1 + step + ranks.rank)
            gradients.mean()
        return gradients.in_shared_memory, ranks.comm.table.messages, parameter.grad

    for shared, messages, grad in thread_ranks.run(size, act, one_machine=True):
        assert (shared, messages) == ((True, 0) if room else (False, 3))
        np.testing.assert_allclose(grad, np.arange(count) * (3 + (size - 1) / 2), rtol=1e-6)
    assert sorted(Path("/dev/shm").glob("npgan-*")) == before


def raise_no_space(*arguments):
    raise OSError(errno.ENOSPC, "no space left")


def test_a_gradient_that_somebody_has_put_in_the_place_of_the_view_counts():
    def act(ranks):
        parameter = Parameter(np.zeros(2))
        gradients = ranks.gradients([parameter])
        parameter.grad = np.array([1.0, 2.0]) * (1 + ranks.rank)
        gradients.mean()
        return parameter.grad.tolist()

    assert thread_ranks.run(2, act) == [[1.5, 3.0]] * 2


def test_gradients_of_two_dtypes_are_refused():
    with pytest.raises(ValueError, match="^gradients: the parameters have more than one dtype"):
        Ranks().gradients([Parameter(np.zeros(2)), Parameter(np.zeros(2, np.float32))])


def test_a_step_takes_the_mean_of_gradients_not_their_sum():
    def act(ranks, factor):
        parameter = Parameter(np.zeros(1))
        optimizer = SGD([parameter], 1.0, ranks=ranks)
        parameter.grad += factor * (1 + 2 * ranks.rank)  # 1 and 3
        optimizer.step()
        return parameter.value.tolist()

    assert thread_ranks.run(2, lambda ranks: act(ranks, 1)) == [[-2]] * 2


def test_without_ranks_an_optimiser_leaves_gradients_where_they_are():
    parameter = Parameter(np.zeros(1))
    grad = parameter.grad
    Adam([parameter], ranks=Ranks()).step()
    assert parameter.grad is grad


def test_two_ranks_train_as_one():
    x, target = np.random.default_rng(0).standard_normal((2, 8, 3))

    def act(ranks):
        rng = np.random.default_rng(1)
        layers = [Dense(3, 5, bias=False, rng=rng), BatchNormalization(5), LeakyReLU()]
        network = Sequential([*layers, Dense(5, 3, rng=rng)]).astype("float64")
        synchronise(network, ranks)
        optimizer, average = Adam(network.parameters(), 0.01, ranks=ranks), MovingAverage(network)
        for _ in range(10):
            network.zero_grad()
            y = network.forward(ranks.part(x))
            network.backward_parameters(2 * (y - ranks.part(target)) / len(y))
            optimizer.step()
            average.update()
        return {**network.state(), **average.state()}

    (one,) = thread_ranks.run(1, act)
    for size in (2, 4):
        for state in thread_ranks.run(size, act):
            for name, array in one.items():
                np.testing.assert_allclose(state[name], array, rtol=1e-10, atol=1e-12, err_msg=name)


# The same start, and runs --------------------------------------------------------------------------------------


def test_all_ranks_start_from_the_state_of_rank_0():
    def act(ranks):
        rng = np.random.default_rng(ranks.rank)
        network = Dense(2, 3, rng=rng)
        optimizer = Adam(network.parameters())
        ranks.broadcast({"network": network, "optimizer": optimizer, "rng": rng}, {"seed": 0})
        return network.state()["weight"], rng.random()

    (weight, number), (other, same) = thread_ranks.run(2, act)
    assert np.array_equal(weight, other) and number == same
    assert np.array_equal(weight, Dense(2, 3, rng=np.random.default_rng(0)).state()["weight"])


def test_a_rank_that_has_read_other_data_is_refused():
    def act(ranks):
        count = 10 if ranks.rank == 0 else 7  # the usual mistake: only rank 0 has the data
        images = Images(np.zeros((count, 2, 2, 1), np.uint8))
        ranks.broadcast({}, {"seed": 0, **checkpoint.fingerprint(images)})

    with pytest.raises(DataError, match="^rank 1 is about to train on something else than rank 0: images"):
        thread_ranks.run(2, act)


def play(ranks, folder):
    """A run of 6 steps that logs numbers which differ by rank."""
    run = training.Run(6, parts={"rng": np.random.default_rng(0)}, folder=folder, ranks=ranks)
    for step in run:
        run.log(figure=10.0 * step + ranks.rank)
    return run


def test_a_run_gives_all_ranks_the_start_of_rank_0(tmp_path):
    def act(ranks):
        rng = np.random.default_rng(ranks.rank)
        training.Run(1, parts={"rng": rng}, folder=tmp_path, ranks=ranks)
        return rng.random()

    assert len(set(thread_ranks.run(3, act))) == 1


def test_figures_are_means_and_rank_0_alone_writes(tmp_path, monkeypatch):
    written = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *a, **k: (written.append(a[0]), save(*a, **k)))
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    runs = thread_ranks.run(2, lambda ranks: play(ranks, tmp_path))
    for run in runs:
        assert run.history["figure"].tolist() == [0.5, 10.5, 20.5, 30.5, 40.5, 50.5]
    assert len(written) == len(set(written)) == 6
    assert thread_ranks.run(
        3,
        lambda ranks: (
            training.Run(
                6, parts={"rng": np.random.default_rng(1)}, folder=tmp_path, resume=tmp_path, ranks=ranks
            ).done
        ),
    ) == [6, 6, 6]


# Processes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", distributed.SIZES)
def test_mpiexec_without_mpi4py_is_one_line_of_rank_0(name, monkeypatch):
    monkeypatch.setenv(name, "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    for place in distributed.RANKS:
        monkeypatch.delenv(place, raising=False)
    with pytest.raises(RankError, match=r"^mpiexec needs mpi4py here \(.*\): pip install 'npgan\[mpi\]'$"):
        distributed.start()
    monkeypatch.setenv(distributed.RANKS[distributed.SIZES.index(name)], "1")
    with pytest.raises(SystemExit):
        distributed.start()


def test_an_mpiexec_of_another_mpi_is_named(monkeypatch):
    world = types.SimpleNamespace(Get_size=lambda: 1, Get_rank=lambda: 0)
    monkeypatch.setattr(distributed, "_mpi", lambda: types.SimpleNamespace(COMM_WORLD=world))
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.delenv("PMI_RANK", raising=False)
    with pytest.raises(
        RankError, match="^mpiexec has started 2 processes, and mpi4py sees 1: they are of two"
    ):
        distributed.start()


def test_ranks_side_by_side_share_the_cores(monkeypatch):
    monkeypatch.delenv("NPGAN_THREADS", raising=False)
    for name in parallel.LOCAL_RANKS:
        monkeypatch.delenv(name, raising=False)
    cores = parallel.threads()
    monkeypatch.setenv("MPI_LOCALNRANKS", "2")
    assert parallel.threads() == max(1, cores // 2)
    monkeypatch.setenv("MPI_LOCALNRANKS", "1000")
    assert parallel.threads() == 1


def test_a_lesson_that_is_not_made_for_ranks_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(distributed, "start", lambda: types.SimpleNamespace(rank=0, size=2))
    with pytest.raises(SystemExit) as raised:
        Lesson("03_convolution", "", argv=["--out", str(tmp_path)])
    assert raised.value.code == 2
    assert "runs in one process; 09_conv_gan.py is the one for mpiexec" in capsys.readouterr().err


# CuPy ----------------------------------------------------------------------------------------------------------


class Doubling:
    """Two ranks that always have the same: a sum is twice this rank's. Notes when it is called, and with what."""

    def __init__(self, events):
        self.events = events

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 2

    def Allreduce(self, send, array):
        assert type(array) is np.ndarray, "MPI takes what is on the host"
        self.events.append("MPI")
        array *= 2

    def all_reduce(self, array, out, op="sum", stream=None):
        assert isinstance(array, strict_cupy.ndarray) and array is out and op == "sum" and stream is None
        self.events.append("NCCL")
        array *= 2


@pytest.fixture
def events(monkeypatch):
    strict_cupy.install(monkeypatch)
    found = []
    wait = backend.synchronize
    monkeypatch.setattr(backend, "synchronize", lambda device: (found.append("waited"), wait(device))[1])
    return found


def test_arrays_of_cupy_wait_for_the_stream_before_mpi_has_them(events):
    array = backend.to_device(np.array([1.0, 2.0]), "cupy")
    assert Ranks(Doubling(events)).mean(array) is array
    assert backend.to_numpy(array).tolist() == [1, 2] and events == ["waited", "MPI"]


def test_nccl_takes_arrays_of_cupy_where_they_are_and_nobody_waits(events):
    ranks = Ranks(Doubling(events))
    ranks._nccl = ranks.comm
    strict_cupy.counters.reset()
    array = backend.to_device(np.array([1.0, 2.0]), "cupy")
    strict_cupy.counters.reset()
    ranks.mean(array)
    assert events == ["NCCL"] and strict_cupy.counters.synchronisations == strict_cupy.counters.uploads == 0


@pytest.mark.parametrize("gpus, beside", [(2, 2), (1, 2), (4, 2)])
def test_nccl_serves_where_each_rank_has_a_gpu_of_its_own(events, gpus, beside, monkeypatch):
    monkeypatch.setattr(strict_cupy._state, "devices", gpus)
    started = []
    group = types.ModuleType("cupyx.distributed")
    group.init_process_group = lambda size, rank, **how: started.append((size, rank, how)) or "NCCL"
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.distributed", group)
    monkeypatch.setattr(distributed, "_mpi", lambda: types.SimpleNamespace(COMM_TYPE_SHARED=0))

    def act(ranks):
        ranks.comm.Split_type = lambda kind: ranks.comm  # all are on this machine
        ranks.use_gpus()
        return ranks._nccl

    found = thread_ranks.run(beside, act)
    each = {"backend": "nccl", "use_mpi": True}
    assert found == [("NCCL" if gpus >= beside else None)] * beside
    assert sorted(started, key=lambda call: call[1]) == (
        [(2, 0, each), (2, 1, each)] if gpus >= beside else []
    )


@pytest.mark.parametrize("by", ["NCCL", "MPI"])
def test_a_network_on_the_device_trains_with_ranks_as_on_the_host(events, by, rng):
    x, target = rng.standard_normal((2, 6, 3))

    def train(device, ranks):
        draw = np.random.default_rng(1)
        layers = [Dense(3, 4, bias=False, rng=draw), BatchNormalization(4), LeakyReLU()]
        network = Sequential([*layers, Dense(4, 3, rng=draw)]).astype("float64").to(device)
        synchronise(network, ranks)
        optimizer = Adam(network.parameters(), 0.01, ranks=ranks)
        for _ in range(3):
            network.zero_grad()
            y = network.forward(backend.to_device(x, device))
            network.backward_parameters(y - backend.to_device(target, device))
            optimizer.step()
        return network.state()

    ranks = Ranks(Doubling(events))
    ranks._nccl = ranks.comm if by == "NCCL" else None
    wanted = train("numpy", Ranks())  # two halves that are alike: the mean is each half's
    for name, array in train("cupy", ranks).items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert set(events) == ({"NCCL"} if by == "NCCL" else {"waited", "MPI"})


def test_the_names_of_nccl_exist_in_the_real_package():
    distributed_of_cupy = pytest.importorskip(
        "cupyx.distributed", reason="CuPy is not installed: nothing to compare"
    )
    group = inspect.signature(distributed_of_cupy.init_process_group)
    group.bind(2, 0, backend="nccl", use_mpi=True)
    inspect.signature(distributed_of_cupy.NCCLBackend.all_reduce).bind(None, np.ones(1), np.ones(1), op="sum")
    from cupy.cuda import Device, nccl

    assert hasattr(nccl, "available") and hasattr(Device, "use")
