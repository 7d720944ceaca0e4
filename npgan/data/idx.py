"""IDX, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/), plain or gzipped.

Bytes 0, 0, type (8: unsigned byte), number of dimensions; each of them as a big-endian uint32; the values.
"""

import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from npgan.data.images import Images
from npgan.data.labels import class_labels
from npgan.data.lazy import check_images, check_limit, in_memory, on_disk
from npgan.data.picture import SUFFIXES
from npgan.data.regular import open_regular
from npgan.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**20  # gzipped bytes are decoded in pieces: a header alone never allocates anything
MEMBERS = 10_000  # of a gzip file: each may be empty, and a file of nothing else would take minutes


def read_idx_images(path: Path, count: int | None = None) -> Images:
    """The images of one IDX file, with labels["class"] from the labels file beside it, if there is one.

    `count`: if there are more, the first so many; MNIST's and its like are shuffled.
    """
    pixels = read_idx(path)
    labels, notes = _labels_beside(path, pixels.shape[0])
    images = Images(pixels, labels, name=str(path), notes=notes)
    if count is None or count >= len(images):
        return images
    part = images.take(np.arange(count))
    part.notes += (f"{path}: the first {count:,} of {len(images):,} images",)
    return part


def find_idx(folder: Path) -> Path | None:
    """The IDX file of images in `folder`, the training set first; None if there is none."""
    found = (
        p
        for p in folder.iterdir()
        if "images" in p.name and "idx3" in p.name and p.suffix.lower() not in SUFFIXES and os.path.isfile(p)
    )
    return min(found, key=lambda p: ("train" not in p.name, p.name), default=None)


def read_idx(path: Path):
    """An IDX file of unsigned bytes as an array of the shape its header gives, read piece by piece if it is large."""
    try:
        with open_regular(path) as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            source = Unzipped(file) if zipped else file
            shape = _read_shape(source, path)
            check_images(str(path), shape, 1)
            if zipped:
                return _read_values(source, path, shape)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
        if size - start != math.prod(shape):
            raise _wrong_length(path, shape, size - start)
        return in_memory(on_disk(path, shape, np.uint8, start))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


class Unzipped:
    """What is in a gzip file, read from its beginning to its end.

    Not gzip.open, which reads a header byte by byte and goes through empty members for minutes.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._packed, self._members = file, b"", 0
        self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, count: int) -> bytes:
        """So many bytes, fewer only at the end; EOFError if the file is cut off."""
        found = b""
        while len(found) < count:
            if self._unzip.eof:
                self._packed = (self._unzip.unused_data or self._file.read(CHUNK)).lstrip(b"\0")  # padding
                if not self._packed:
                    break
                self._members += 1
                if self._members > MEMBERS:
                    raise EOFError(f"it has more than {MEMBERS:,} members")
                self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
            packed = self._packed or self._file.read(CHUNK)
            if not packed:
                raise EOFError("it ends before its end-of-stream marker")
            found += self._unzip.decompress(packed, count - len(found))
            self._packed = self._unzip.unconsumed_tail
        return found


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


def _read_values(file: Unzipped, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    wanted = math.prod(shape)
    check_limit(str(path), wanted)
    values, got = np.empty(wanted, np.uint8), 0
    while piece := file.read(min(CHUNK, wanted + 1 - got)):
        fits = min(len(piece), wanted - got)
        values[got : got + fits] = np.frombuffer(piece, np.uint8, fits)
        got += len(piece)
    if got != wanted:
        raise _wrong_length(path, shape, got)
    return values.reshape(shape)


def _wrong_length(path: Path, shape: tuple[int, ...], got: int) -> DataError:
    wanted = math.prod(shape)
    what = "is cut off" if got < wanted else "has bytes left over"
    return DataError(
        f"{path}: {what}; its header says {shape}, {wanted:,} bytes, "
        f"{'at least ' if got > wanted else ''}{got:,} follow"
    )


def _labels_beside(path: Path, count: int) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """(labels, notes) from the file that is called as `path`, but for labels."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    stem = name.removesuffix(".gz")
    for beside in (path.with_name(name), path.with_name(stem), path.with_name(stem + ".gz")):
        if beside != path and os.path.isfile(beside):
            try:
                values = read_idx(beside)
                if values.shape == (count,):  # else it may be large
                    values = values[:]
            except DataError as error:
                return {}, (f"{error}; these labels are left out",)
            return class_labels(values, count, str(beside))
    return {}, ()
