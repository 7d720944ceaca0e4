"""How large a data set may be, and arrays of images that are made only where they are read."""

import math
from collections.abc import Callable

import numpy as np

from npgan.errors import DataError

LIMIT_BYTES = 4 * 2**30  # a decoded set above this is refused, unless it is only mapped from the disk
MEMORY_BUDGET = 2**30  # a decoded set above this is not held in memory but read where it is used
IMAGE_PIXELS = 64 * 10**6  # an image file with more pixels than this is not decoded


def check_limit(name: str, nbytes: int) -> None:
    """Raise DataError if `nbytes` is more than LIMIT_BYTES; called before anything is allocated."""
    if nbytes > LIMIT_BYTES:
        raise DataError(f"{name}: wants {nbytes:,} bytes decoded, the limit is {LIMIT_BYTES:,}")


class Lazy:
    """Looks like an array (shape, dtype, indexing over the first axis), but is read row by row on demand.

    `read` takes an array of row numbers and returns those rows: `(len(rows), *shape[1:])`.
    """

    def __init__(self, shape: tuple[int, ...], dtype, read: Callable[[np.ndarray], np.ndarray]):
        self.shape, self.dtype, self._read = shape, np.dtype(dtype), read

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self._read(np.arange(self.shape[0])[key])


def in_memory(array):
    """A mapped or lazy `array` as a NumPy array if that fits MEMORY_BUDGET, else as it is, read on demand."""
    nbytes = math.prod(int(n) for n in array.shape) * array.dtype.itemsize
    if type(array) is np.ndarray or nbytes > MEMORY_BUDGET:
        return array
    return np.array(array[:])
