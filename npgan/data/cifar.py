"""CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html).

Records of 3073 bytes: the class, 0 to 9, then 32x32 red, green and blue values, one plane after the other.
"""

import os
from pathlib import Path

import numpy as np

from npgan.data.images import Images
from npgan.data.lazy import check_limit
from npgan.data.regular import open_regular
from npgan.errors import DataError

RECORD = 1 + 3 * 32 * 32


def find_cifar(folder: Path) -> list[Path]:
    """The training batches in `folder`, or else its test batch; an empty list if there is neither."""
    batches = sorted(p for p in folder.glob("data_batch_*.bin") if os.path.isfile(p))
    return batches or [p for p in [folder / "test_batch.bin"] if os.path.isfile(p)]


def read_cifar(paths: list[Path]) -> Images:
    """All records of the files: uint8 (n, 32, 32, 3), with labels["class"].

    Of several files those that cannot be read are left out, with a note; DataError if none is left.
    """
    name = str(paths[0] if len(paths) == 1 else paths[0].parent)
    nbytes = sum(os.path.getsize(path) for path in paths)
    check_limit(name, nbytes)
    records, n, notes = np.empty((nbytes // RECORD, RECORD), np.uint8), 0, []
    for path in paths:
        try:
            n += _read_records(path, records[n:])
        except DataError as error:
            if len(paths) == 1:
                raise
            notes.append(f"{error}; left out")
    if n == 0:
        raise DataError(notes[0])
    planes = records[:n, 1:].reshape(-1, 3, 32, 32)
    labels = {"class": records[:n, 0].astype(int)}
    return Images(planes.transpose(0, 2, 3, 1), labels, name=name, notes=notes)


def _read_records(path: Path, room: np.ndarray) -> int:
    """Read the records of one file into the first rows of `room` (n, 3073); how many there are."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size % RECORD:
            raise DataError(
                f"{path}: wanted CIFAR-10 records of {RECORD} bytes, got {size:,} bytes, not a multiple"
            )
        records = room[: size // RECORD]
        if file.readinto(records.data) != size:
            raise DataError(f"{path}: cannot be read to its end")
    if records[:, 0].max() > 9:
        raise DataError(
            f"{path}: wanted CIFAR-10 records, whose classes are 0 to 9, got class {records[:, 0].max()}"
        )
    return len(records)
