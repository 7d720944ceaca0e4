"""Training by several processes, the *ranks*: each computes with its part of every batch, all keep the same weights.

    mpiexec -n 2 python lessons/09_conv_gan.py            # needs the extra: pip install 'npgan[mpi]'

Two ranks with 32 samples each do what one does with 64, up to rounding, if three things are theirs together:

    the start                  Ranks.broadcast: weights, optimisers, random numbers, the place in the data
    the gradients              their mean over the ranks, before each `optimizer.step()`: Adam(..., ranks=ranks)
    BatchNormalization's sums  two means over the ranks forward, two backward: synchronise(network, ranks)

All ranks draw the same random numbers, and each takes its own rows of what was drawn (`Ranks.part`): so no two see
the same noise or the same image, and the one state of the generator serves any number of ranks.

NumPy arrays travel by MPI (mpi4py), CuPy's by NCCL (cupyx.distributed) where each rank has a GPU of its own, else by
MPI through the host. A process that no mpiexec has started is the only rank, and nothing travels: `Ranks()`.
"""

import atexit
import importlib.util
import mmap
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from npgan import backend
from npgan.backend import Array, array_module
from npgan.errors import DataError, RankError

# What tells a process how many it was started with: MPICH, Intel's and Microsoft's MPI; Open MPI.
SIZES, RANKS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "OMPI_COMM_WORLD_RANK")
PATIENCE = 5.0  # seconds: rank 0 waits so long at its end for the others, which should be there already
AFTER_YOU = 2.0  # seconds: what is wrong on all ranks, rank 0 has said by then
PASSED_ON = 0.5  # seconds: what a rank has said last, mpiexec has printed by then
PIECE = 2**16  # numbers of shared gradients that are worked on at a time


class Ranks:
    """The processes that train together: how many there are (`size`), which this is (`rank`), what they exchange.

    comm: a communicator with the methods of mpi4py's; None: this process alone.
    one_machine: the ranks may be on one machine; where they are, gradients are shared in its memory, not sent.
    """

    def __init__(self, comm: Any = None, one_machine: bool = False):
        self.comm, self._one_machine = comm, one_machine
        self.rank, self.size = (comm.Get_rank(), comm.Get_size()) if comm is not None else (0, 1)
        self._nccl: Any = None

    def __deepcopy__(self, memo: dict) -> "Ranks":
        return self  # the copy of a network has the same ranks

    def part(self, batch: np.ndarray) -> np.ndarray:
        """This rank's rows of a batch that all ranks have drawn alike: as many for each, in the ranks' order.

        Raises RankError where the batch does not divide: a mean over unequal parts would not be that of the batch.
        """
        if len(batch) % self.size:
            raise RankError(
                f"a batch of {len(batch)} cannot be shared equally by {self.size} ranks; start as many as divide it"
            )
        rows = len(batch) // self.size
        return batch[self.rank * rows : (self.rank + 1) * rows]

    def mean(self, array: Array) -> Array:
        """Replace a contiguous array by its mean over the ranks, number by number; return it."""
        if self.size == 1:
            return array
        if array_module(array) is np:
            self.comm.Allreduce(None, array)  # the sum, in place
        elif self._nccl is not None:
            self._nccl.all_reduce(array, array, op="sum")  # in the order of the stream: nobody waits
        else:
            backend.synchronize("cupy")  # MPI knows no streams: it would send what is not computed yet
            host = backend.to_numpy(array)
            self.comm.Allreduce(None, host)
            array[...] = backend.to_device(host, "cupy")
        array *= 1 / self.size
        return array

    def largest(self, numbers: Sequence[float]) -> list[float]:
        """Each number's largest value over the ranks: how they agree on what all will do."""
        if self.size == 1:
            return list(numbers)
        mine = np.array(numbers, dtype=np.float64)
        everyones = np.empty((self.size, len(mine)))
        self.comm.Allgather(mine, everyones)
        return everyones.max(axis=0).tolist()

    def broadcast(self, parts: dict[str, Any], settings: dict[str, Any] | None = None) -> None:
        """Give all ranks the state that the parts have on rank 0 (see npgan.checkpoint.Parts).

        Raises DataError on a rank whose settings are others, since it has read other data, say.
        """
        if self.size == 1:
            return
        first = self.comm.bcast(settings, root=0)
        if first != settings:
            different = sorted(
                name for name in first.keys() | settings.keys() if first.get(name) != settings.get(name)
            )
            raise DataError(
                f"rank {self.rank} is about to train on something else than rank 0: {', '.join(different)}"
            )
        for part in parts.values():
            if isinstance(part, np.random.Generator):
                part.bit_generator.state = self.comm.bcast(part.bit_generator.state, root=0)
            else:
                state = self.comm.bcast(part.state() if self.rank == 0 else None, root=0)
                if self.rank > 0:
                    part.load_state(state)

    def gradients(self, parameters: Sequence[Any]) -> "Gradients":
        """The gradients of parameters in one flat array, for their mean: in memory that all share, or to be sent."""
        host = all(array_module(p.value) is np for p in parameters)
        nbytes = sum(p.value.nbytes for p in parameters)
        memory = self._shared_memory(nbytes) if host and self._one_machine else None
        return Gradients(self, parameters, memory)

    def use_gpus(self) -> None:
        """Give each rank a GPU of its machine, and NCCL to all if there is one for each."""
        if self.size > 1:
            beside = self.comm.Split_type(_mpi().COMM_TYPE_SHARED)  # the ranks of this machine
            lacking = not backend.take_gpu(beside.Get_rank(), beside.Get_size())
            if not self.largest([lacking])[0]:
                self._nccl = backend.nccl(self.size, self.rank)

    def leave(self) -> None:
        """End every rank but the first: what follows, drawing and judging, is rank 0's alone.

        They wait, asleep, until rank 0 has ended too.
        """
        if self.rank > 0:
            raise SystemExit(0)

    def _shared_memory(self, nbytes: int) -> mmap.mmap | None:
        """Memory that all ranks see, `nbytes` for each; None where not all see it, or there is not so much."""
        self.comm.Barrier()  # all are here, so the file has its name for a moment only, whoever is killed
        path = self.comm.bcast(_create_memory(nbytes * self.size) if self.rank == 0 else None, root=0)
        memory = None
        with suppress(OSError):
            if path is not None:
                with open(path, "r+b") as file:
                    memory = mmap.mmap(file.fileno(), nbytes * self.size)
        (failed,) = self.largest([memory is None])  # and by now all have opened it
        if self.rank == 0 and path is not None:
            os.unlink(path)  # the memory lives on as long as a rank that has it, however that ends
        return None if failed else memory


class Gradients:
    """The gradients of parameters side by side in one array; each `Parameter.grad` is a view of it.

    `mean` replaces them by their mean over the ranks, which takes one message for all. Ranks on one machine need not
    even send one: each has its array in memory that all see, and adds up its share of all arrays.
    """

    def __init__(self, ranks: Ranks, parameters: Sequence[Any], memory: mmap.mmap | None = None):
        self.ranks, self.parameters, self.in_shared_memory = ranks, list(parameters), memory is not None
        value = self.parameters[0].value
        if any(p.value.dtype != value.dtype for p in self.parameters):
            raise ValueError("gradients: the parameters have more than one dtype")
        size = sum(p.value.size for p in self.parameters)
        if memory is None:
            self._all = [array_module(value).zeros(size, dtype=value.dtype)]
        else:
            starts = (rank * size * value.itemsize for rank in range(ranks.size))
            self._all = [np.frombuffer(memory, value.dtype, size, start) for start in starts]  # of each rank
        self.flat = self._all[ranks.rank if memory is not None else 0]
        self._views, start = [], 0
        for parameter in self.parameters:
            stop = start + parameter.value.size
            self._views.append(self.flat[start:stop].reshape(parameter.value.shape))
            start = stop
        self._gather()

    def mean(self) -> None:
        """Replace every gradient by its mean over the ranks. All ranks call it, as often as each other."""
        self._gather()
        if not self.in_shared_memory:
            self.ranks.mean(self.flat)
        else:
            self.ranks.comm.Barrier()  # all gradients are there
            self._add_share()
            self.ranks.comm.Barrier()  # all means are there

    def _gather(self) -> None:
        """Bring in gradients that are not views of the array (yet)."""
        for parameter, view in zip(self.parameters, self._views):
            if parameter.grad is not view:
                view[...] = parameter.grad
                parameter.grad = view

    def _add_share(self) -> None:
        """Write the mean of this rank's share of the numbers to the arrays of all ranks."""
        ranks = self.ranks
        mine, *others = self._all[ranks.rank :] + self._all[: ranks.rank]
        share = -(-len(mine) // ranks.size)
        end = min(len(mine), (ranks.rank + 1) * share)
        for start in range(ranks.rank * share, end, PIECE):  # pieces that stay in the cache
            part = slice(start, min(start + PIECE, end))
            total = mine[part]
            for other in others:
                total += other[part]
            total *= 1 / ranks.size
            for other in others:
                other[part] = total


def synchronise(network: Any, ranks: Ranks) -> None:
    """Let each BatchNormalization of a network normalise by the batch of all ranks, not by its own part."""
    for layer in network.walk():
        if hasattr(layer, "ranks"):
            layer.ranks = ranks


# Processes -----------------------------------------------------------------------------------------------------


def start() -> Ranks:
    """The ranks that mpiexec has started; one where there was no mpiexec. MPI is imported only where there was.

    Of several, only rank 0 speaks from then on, and an error on any of them ends all. Raises RankError, on rank 0,
    where mpi4py is missing or belongs to another MPI than mpiexec.
    """
    size = _number(SIZES, 1)
    if size == 1:
        return Ranks()
    try:
        comm = _mpi().COMM_WORLD
        if comm.Get_size() != size:
            raise RankError(
                f"mpiexec has started {size} processes, and mpi4py sees {comm.Get_size()}: they are of two "
                "different MPIs; use the mpiexec beside this python"
            )
    except (ImportError, RuntimeError) as error:
        if _number(RANKS, 0) > 0:
            raise SystemExit(1) from None
        if isinstance(error, RankError):
            raise
        raise RankError(f"mpiexec needs mpi4py here ({error}): pip install 'npgan[mpi]'") from None
    ranks = Ranks(comm, one_machine=True)
    _end_together(ranks)
    return ranks


def mpiexec() -> str | None:
    """The path of mpiexec: beside this Python, where the package mpich puts it, or the system's.

    None where there is none, or no mpi4py.
    """
    beside = Path(sys.executable).parent / "mpiexec"
    if importlib.util.find_spec("mpi4py") is None:
        return None
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _mpi() -> Any:
    from mpi4py import MPI

    return MPI


def _number(names: Sequence[str], otherwise: int) -> int:
    found = [os.environ[name] for name in names if os.environ.get(name, "").isdecimal()]
    return int(found[0]) if found else otherwise


def _create_memory(nbytes: int) -> str | None:
    """The path of a file in memory (Linux has a folder of such); None where there is no room for it."""
    with suppress(OSError):
        handle, path = tempfile.mkstemp(prefix="npgan-", dir="/dev/shm")
        try:
            os.posix_fallocate(
                handle, 0, nbytes
            )  # now, for to write where none is left would kill the process
            return path
        except OSError:
            os.unlink(path)
        finally:
            os.close(handle)
    return None


def _end_together(ranks: Ranks) -> None:
    """Let only rank 0 speak and listen, end all ranks where one fails, and let none leave before the last."""
    if ranks.rank > 0:
        sys.stdout, sys.stderr = open(os.devnull, "w"), open(os.devnull, "w")  # noqa: SIM115
        sys.stdin = open(os.devnull)  # noqa: SIM115  # what is typed goes to rank 0; another would wait for ever
    report = sys.excepthook

    def fail(kind, error, trace) -> None:
        interrupted = issubclass(kind, KeyboardInterrupt)
        if ranks.rank > 0:
            time.sleep(AFTER_YOU)
            sys.stderr = sys.__stderr__
            if not interrupted:
                print(f"rank {ranks.rank}: ", end="", file=sys.stderr)
        report(kind, error, trace)
        _abort(ranks, 130 if interrupted else 1)

    def meet() -> None:
        meeting = ranks.comm.Ibarrier()
        end = time.monotonic() + PATIENCE
        while not meeting.Test():
            if ranks.rank == 0 and time.monotonic() > end:
                _abort(ranks, 1)  # the others wait for something that will not come
            time.sleep(0.01)  # MPI itself would wait at full speed

    sys.excepthook = fail
    atexit.register(meet)


def _abort(ranks: Ranks, code: int) -> None:
    """End all ranks, now; what has been said stays the last line."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    time.sleep(PASSED_ON)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add a line of its own
    ranks.comm.Abort(code)
