"""CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html).

Records of 3073 bytes: the class, 0 to 9, then 32x32 red, green and blue values, one plane after the other.
"""

from pathlib import Path

import numpy as np

from npgan.data.images import Images
from npgan.data.lazy import check_limit
from npgan.errors import DataError

RECORD = 1 + 3 * 32 * 32


def find_cifar(folder: Path) -> list[Path]:
    """The training batches in `folder`, or else its test batch; an empty list if there is neither."""
    batches = sorted(p for p in folder.glob("data_batch_*.bin") if p.is_file())
    return batches or [p for p in [folder / "test_batch.bin"] if p.is_file()]


def read_cifar(paths: list[Path]) -> Images:
    """All records of the files: uint8 (n, 32, 32, 3), with labels["class"]."""
    name = str(paths[0] if len(paths) == 1 else paths[0].parent)
    try:
        check_limit(name, sum(path.stat().st_size for path in paths))
        records = np.concatenate([_records(path) for path in paths])
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error})") from None
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return Images(planes.transpose(0, 2, 3, 1), {"class": records[:, 0].astype(int)}, name=name)


def _records(path: Path) -> np.ndarray:
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise DataError(
            f"{path}: wanted CIFAR-10 records of {RECORD} bytes, got {size:,} bytes, not a multiple"
        )
    records = np.memmap(path, np.uint8, mode="r", shape=(size // RECORD, RECORD))
    if records[:, 0].max() > 9:
        raise DataError(
            f"{path}: wanted CIFAR-10 records, whose classes are 0 to 9, got class {records[:, 0].max()}"
        )
    return records
