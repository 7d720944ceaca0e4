"""NumPy's .npy and .npz files. Sizes are checked before anything is allocated; pickles are never read."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from npgan.data.images import Images
from npgan.data.lazy import check_limit, in_memory
from npgan.errors import DataError

IMAGE_NAMES = ("images", "x", "x_train", "train_images", "data")
LABEL_NAMES = ("labels", "y", "y_train", "train_labels")


def read_npy(path: Path) -> Images:
    """The images of a .npy file, mapped if it is large."""
    try:
        with path.open("rb") as file:
            shape, dtype = _read_header(file, str(path))
            follow = path.stat().st_size - file.tell()
        if math.prod(shape) * dtype.itemsize != follow:
            raise DataError(f"{path}: its header says {shape} of {dtype}, but {follow:,} bytes follow")
        pixels = in_memory(np.load(path, mmap_mode="r", allow_pickle=False))
    except DataError:
        raise
    except Exception as error:  # a reader fed with a broken file may raise anything
        raise DataError(f"{path}: is not a .npy file that can be read ({error})") from None
    return Images(pixels, name=str(path))


def read_npz(path: Path) -> Images:
    """The images of a .npz file: the array named as in IMAGE_NAMES, else the only one of 3 or 4 dimensions.

    An array named as in LABEL_NAMES becomes labels["class"], if it holds one whole number an image.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    headers[info.filename.removesuffix(".npy")] = member_header(archive, info, path)
            name = _choose(headers, path)
            pixels = read_member(archive, name, headers[name], path)
            labels = {}
            for label in LABEL_NAMES:
                shape, dtype = headers.get(label, ((), None))
                if shape in ((len(pixels),), (len(pixels), 1)) and dtype.kind in "iu":
                    labels["class"] = (
                        read_member(archive, label, headers[label], path).reshape(-1).astype(int)
                    )
                    break
    except DataError:
        raise
    except Exception as error:  # a reader fed with a broken file may raise anything
        raise DataError(f"{path}: is not a .npz file that can be read ({error})") from None
    return Images(pixels, labels, name=f"{path}[{name}]")


def _read_header(file, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, dtype) of the .npy that starts here; object arrays are refused."""
    version = npy.read_magic(file)
    if version != (1, 0):  # the later ones are for structured arrays, and their headers may be gigabytes long
        raise DataError(f"{name}: wanted a .npy of version 1.0, got {version}")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype.hasobject:
        raise DataError(f"{name}: holds Python objects (a pickle), which can run code and are never read")
    if min(shape, default=1) < 0:
        raise DataError(f"{name}: its header says shape {shape}")
    return shape, dtype


def member_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path
) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, dtype) of the .npy that `info` names, from its header alone; DataError if its size is another."""
    with archive.open(info) as file:
        shape, dtype = _read_header(file, f"{path}[{info.filename}]")
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes != info.file_size - file.tell():
            follow = info.file_size - file.tell()
            raise DataError(
                f"{path}[{info.filename}]: its header says {shape} of {dtype}, but {follow:,} bytes follow"
            )
    return shape, dtype


def _choose(headers: dict, path: Path) -> str:
    for name in IMAGE_NAMES:
        if name in headers:
            return name
    likely = [name for name, (shape, _) in headers.items() if len(shape) in (3, 4)]
    if len(likely) == 1:
        return likely[0]
    found = ", ".join(f"{name} {shape}" for name, (shape, _) in headers.items()) or "no arrays"
    wanted = f"an array named {', '.join(IMAGE_NAMES)}, or one alone with 3 or 4 dimensions"
    raise DataError(f"{path}: wanted {wanted}; found {found}")


def read_member(archive: zipfile.ZipFile, name: str, header: tuple, path: Path) -> np.ndarray:
    """The array `name`, whose header is `header`; DataError, before it is read, if it is above the limit."""
    shape, dtype = header
    check_limit(f"{path}[{name}]", math.prod(shape) * dtype.itemsize)
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)
