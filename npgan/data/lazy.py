"""How large a data set may be, and arrays of images that are made only where they are read.

Reading one's own data takes less than 1 GiB of memory, Python and its packages included, whatever a file claims:
MEMORY_BUDGET for pixels, the rest for Python and for the piece at hand. (Glyphs and photo are drawn in the number
and size that one asks for, and take that: up to DRAWN_BYTES.)
"""

import math
import os
from collections.abc import Callable, Iterator

import numpy as np

from npgan.errors import DataError

MEMORY_BUDGET = (
    768 * 2**20
)  # bytes: unpacked pixels, their converted copy and a picture being decoded, together
LIMIT_BYTES = 768 * 2**20  # a set that has to be unpacked as a whole is refused above this
DRAWN_BYTES = 4 * 2**30  # glyphs and crops of the photograph are refused above this
IMAGE_BYTES = 64 * 2**20  # one image of an array is refused above this
IMAGES = 10**7  # a set of more images is refused: their order alone would take 8 bytes each, several times
PIECE_BYTES = 16 * 2**20  # so much is worked on at a time


def check_limit(name: str, nbytes: int, limit: int | None = None) -> None:
    """Raise DataError if `nbytes` is more than LIMIT_BYTES, or `limit`; called before anything is allocated."""
    limit = LIMIT_BYTES if limit is None else limit
    if nbytes > limit:
        raise DataError(
            f"{name}: wants {nbytes:,} bytes decoded, the limit is {limit:,}; "
            "take fewer or smaller images, or save them as a .npy file, which is read piece by piece"
        )


def check_images(name: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Raise DataError if an array of this shape has too many images, or one of them is too large."""
    if shape and shape[0] > IMAGES:
        raise DataError(f"{name}: has {shape[0]:,} images, the limit is {IMAGES:,}")
    if math.prod(shape[1:]) * itemsize > IMAGE_BYTES:
        raise DataError(
            f"{name}: one image of shape {shape[1:]} takes {math.prod(shape[1:]) * itemsize:,} bytes, "
            f"the limit is {IMAGE_BYTES:,}"
        )


class Lazy:
    """Looks like an array (shape, dtype, indexing over the first axis), but is read row by row on demand.

    `read` takes an array of row numbers and returns those rows: `(len(rows), *shape[1:])`.
    `holds`: how many bytes of memory it needs for that, beside the rows themselves.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype, read: Callable[[np.ndarray], np.ndarray], holds: int = 0
    ):
        self.shape, self.dtype, self.holds, self._read = shape, np.dtype(dtype), holds, read

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        n = self.shape[0]
        return self._read(np.arange(*key.indices(n)) if isinstance(key, slice) else np.arange(n)[key])


def on_disk(path: str | os.PathLike, shape: tuple[int, ...], dtype, offset: int) -> Lazy:
    """The array of this shape that begins at byte `offset` of a file.

    It is mapped anew for each reading: what a lasting map has shown would stay in memory.
    """
    return Lazy(shape, dtype, lambda rows: np.asarray(np.memmap(path, dtype, "r", offset, shape)[rows]))


def pieces(count: int, row_bytes: int) -> Iterator[slice]:
    """Slices that cover `count` rows of so many bytes, each of at most PIECE_BYTES or of one row."""
    step = max(1, PIECE_BYTES // row_bytes)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def holds(array) -> int:
    """How many bytes of memory an array takes, or what a lazy one is read from."""
    return array.holds if isinstance(array, Lazy) else array.nbytes


def in_memory(array):
    """A lazy `array` as a NumPy array if that fits MEMORY_BUDGET beside what it holds, else as it is."""
    nbytes = math.prod(int(n) for n in array.shape) * array.dtype.itemsize
    if not isinstance(array, Lazy) or nbytes + array.holds > MEMORY_BUDGET:
        return array
    values = np.empty(array.shape, array.dtype)
    for rows in pieces(array.shape[0], max(1, nbytes // max(1, array.shape[0]))):
        values[rows] = array[rows]
    return values
