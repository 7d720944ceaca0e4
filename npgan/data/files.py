"""One's own data: what a path holds is told by its content, not by its name."""

from pathlib import Path

import numpy as np

from npgan.data.arrays import read_npy, read_npz
from npgan.data.cifar import find_cifar, read_cifar
from npgan.data.convert import convert
from npgan.data.folder import read_folder
from npgan.data.idx import GZIP_MAGIC, find_idx, read_idx_images
from npgan.data.images import Images
from npgan.data.lazy import in_memory
from npgan.data.picture import KINDS, SUFFIXES
from npgan.data.regular import open_regular
from npgan.errors import DataError

ACCEPTED = (
    "an IDX (plain or .gz), .npy, .npz or CIFAR-10 .bin file, or a folder of IDX, CIFAR-10 or picture files"
)


def read(
    path: Path, size: int | None = None, channels: int | None = None, count: int | None = None, seed: int = 0
) -> Images:
    """The images at `path`, which is one of ACCEPTED, as npgan.data.load describes them.

    DataError if they cannot be used.
    """
    try:
        if path.is_dir() and not find_idx(path) and not find_cifar(path):
            return read_folder(path, size, channels, count, seed)
        images = _read_set(path, count)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if count is not None and count < len(images):
        rows = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
        note = f"{images.name}: {count:,} of {len(images):,} images, drawn at random with seed {seed}"
        images = images.take(rows)
        images.notes += (note,)
    images = images.with_pixels(in_memory(images.pixels))
    return convert(images, size, channels)


def _read_set(path: Path, count: int | None) -> Images:
    """All images of a file or of a folder that is one data set; the first `count` where their order is random."""
    if path.is_dir():
        idx = find_idx(path)
        return read_idx_images(idx, count) if idx else read_cifar(find_cifar(path))
    if not path.is_file():
        raise DataError(f"{path}: is neither a file nor a folder; wanted {ACCEPTED}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; wanted {ACCEPTED}")
    with open_regular(path) as file:
        start = file.read(6)
    if start == b"\x93NUMPY":
        return read_npy(path)
    if start.startswith(b"PK"):
        return read_npz(path)
    if start.startswith(GZIP_MAGIC) or (start[:2] == b"\0\0" and path.suffix != ".bin"):
        return read_idx_images(path, count)
    if path.suffix == ".bin":
        return read_cifar([path])
    hint = "; pickles can run code and are never read" if start.startswith(b"\x80") else ""
    if path.suffix.lower() in SUFFIXES or start.startswith(tuple(magic for magic in KINDS if len(magic) > 2)):
        hint = (
            "; this is one picture, and a network learns from many: give the folder that they are in. "
            "To repair one picture, give it to lessons/11_own_picture.py as --image"
        )
    raise DataError(f"{path}: starts with {start!r}; wanted {ACCEPTED}{hint}")
