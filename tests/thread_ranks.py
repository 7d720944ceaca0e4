"""Ranks without MPI: threads with the few methods of mpi4py's communicator that npgan uses for small things.

    results = run(3, lambda ranks: ...)         # the function's result on each rank

What only processes have, shared windows and how they end, needs mpiexec: see test_distributed_mpi.py.
"""

from threading import Barrier, Thread

import numpy as np

from npgan.distributed import Ranks


class Communicator:
    """One of `size` that a `table` connects."""

    def __init__(self, table, rank):
        self.table, self.rank = table, rank

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.table.slots)

    def allgather(self, value):
        self.table.slots[self.rank] = value
        self.Barrier()
        found = list(self.table.slots)
        self.Barrier()
        return found

    def bcast(self, value, root=0):
        return self.allgather(value)[root]

    def Allgather(self, array, out):
        assert out.shape == (self.Get_size(), *array.shape)
        out[...] = self.allgather(array.copy())

    def Allreduce(self, send, array):
        assert send is None and type(array) is np.ndarray and array.flags.c_contiguous
        self.table.messages += self.rank == 0
        array[...] = sum(self.allgather(array.copy()))

    def Barrier(self):
        self.table.barrier.wait(timeout=20)


class Table:
    def __init__(self, size):
        self.slots, self.barrier, self.messages = [None] * size, Barrier(size), 0


def run(size, act, **settings):
    """Call act(ranks) in a thread for each rank; return their results, or raise the first error."""
    table, results, errors = Table(size), [None] * size, []

    def body(rank):
        try:
            results[rank] = act(Ranks(Communicator(table, rank), **settings))
        except BaseException as error:
            errors.append(error)
            table.barrier.abort()

    threads = [Thread(target=body, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
