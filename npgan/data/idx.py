"""IDX, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/), plain or gzipped.

Bytes 0, 0, type (8: unsigned byte), number of dimensions; each of them as a big-endian uint32; the values.
"""

import gzip
import math
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np

from npgan.data.images import Images
from npgan.data.lazy import check_limit, in_memory
from npgan.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**20  # gzipped bytes are decoded in pieces: a header alone never allocates anything


def read_idx_images(path: Path) -> Images:
    """The images of one IDX file, with labels["class"] from the labels file beside it, if there is one."""
    pixels = read_idx(path)
    return Images(pixels, _labels_beside(path, len(pixels)), name=str(path))


def find_idx(folder: Path) -> Path | None:
    """The IDX file of images in `folder`, the training set first; None if there is none."""
    found = (p for p in folder.iterdir() if "images" in p.name and "idx3" in p.name and p.is_file())
    return min(found, key=lambda p: ("train" not in p.name, p.name), default=None)


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes as an array of the shape its header gives, mapped if it is large."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if zipped else path.open("rb") as file:
            shape = _read_shape(file, path)
            if zipped:
                return _read_values(file, path, shape)
            start, size = file.tell(), path.stat().st_size
        if size - start != math.prod(shape):
            raise _wrong_length(path, shape, size - start)
        return in_memory(np.memmap(path, np.uint8, mode="r", offset=start, shape=shape))
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(f"{path}: cannot be read ({error})") from None


def _read_shape(file, path: Path) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: is not an IDX file, it starts with {magic!r}")
    if magic[2] != 8:
        raise DataError(f"{path}: wanted an IDX file of unsigned bytes (type 8), got type {magic[2]}")
    header = file.read(4 * magic[3])
    if not 1 <= magic[3] <= 4 or len(header) < 4 * magic[3]:
        raise DataError(
            f"{path}: wanted an IDX header of 1 to 4 dimensions, got {magic[3]} in {4 + len(header)} bytes"
        )
    shape = struct.unpack(f">{magic[3]}I", header)
    if 0 in shape:
        raise DataError(f"{path}: is empty, its header says {shape}")
    return shape


def _read_values(file, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    wanted = math.prod(shape)
    check_limit(str(path), wanted)
    values = bytearray()
    while len(values) <= wanted and (piece := file.read(min(CHUNK, wanted + 1 - len(values)))):
        values += piece
    if len(values) != wanted:
        raise _wrong_length(path, shape, len(values))
    return np.frombuffer(values, np.uint8).reshape(shape)


def _wrong_length(path: Path, shape: tuple[int, ...], got: int) -> DataError:
    wanted = math.prod(shape)
    what = "is cut off" if got < wanted else "has bytes left over"
    return DataError(
        f"{path}: {what}; its header says {shape}, {wanted:,} bytes, "
        f"{'at least ' if got > wanted else ''}{got:,} follow"
    )


def _labels_beside(path: Path, count: int) -> dict[str, np.ndarray]:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    stem = name.removesuffix(".gz")
    for beside in (path.with_name(name), path.with_name(stem), path.with_name(stem + ".gz")):
        if beside != path and beside.is_file():
            labels = read_idx(beside)
            if labels.shape == (count,):
                return {"class": labels.astype(int)}
            warnings.warn(
                f"{beside}: ignored, shape {labels.shape} does not fit {count} images", stacklevel=5
            )
    return {}
