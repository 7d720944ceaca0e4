"""One's own data: what a path holds is told by its content, not by its name."""

from pathlib import Path

from npgan.data.arrays import read_npy, read_npz
from npgan.data.cifar import find_cifar, read_cifar
from npgan.data.folder import read_folder
from npgan.data.idx import GZIP_MAGIC, find_idx, read_idx_images
from npgan.data.images import Images
from npgan.errors import DataError

ACCEPTED = (
    "an IDX (plain or .gz), .npy, .npz or CIFAR-10 .bin file, or a folder of IDX, CIFAR-10 or picture files"
)


def read(
    path: Path, size: int | None = None, channels: int | None = None, count: int | None = None
) -> Images:
    """The images at `path`, which is one of ACCEPTED; DataError if it cannot be used.

    `size` (default 64), `channels` and `count` shape what is read from a folder of pictures; every other
    format has its own, and they are ignored.
    """
    try:
        if path.is_dir():
            if idx := find_idx(path):
                return read_idx_images(idx)
            if batches := find_cifar(path):
                return read_cifar(batches)
            return read_folder(path, size or 64, channels, count)
        if not path.is_file():
            raise DataError(f"{path}: is neither a file nor a folder; wanted {ACCEPTED}")
        with path.open("rb") as file:
            start = file.read(6)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if start == b"\x93NUMPY":
        return read_npy(path)
    if start.startswith(b"PK"):
        return read_npz(path)
    if start.startswith(GZIP_MAGIC) or (start[:2] == b"\0\0" and path.suffix != ".bin"):
        return read_idx_images(path)
    if path.suffix == ".bin":
        return read_cifar([path])
    hint = "; pickles can run code and are never read" if start.startswith(b"\x80") else ""
    raise DataError(f"{path}: starts with {start!r}; wanted {ACCEPTED}{hint}")
