"""NumPy's .npy and .npz files. Sizes are checked before anything is allocated; pickles are never read."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from npgan.data.images import Images
from npgan.data.labels import class_labels
from npgan.data.lazy import MEMORY_BUDGET, check_images, check_limit, in_memory, on_disk
from npgan.data.regular import Rationed, open_regular
from npgan.errors import DataError

IMAGE_NAMES = ("images", "x", "x_train", "train_images", "data")
LABEL_NAMES = ("labels", "y", "y_train", "train_labels")
DIRECTORY_BYTES = 2**20  # of the list of members in a .npz: NumPy's have a hundred bytes for each array
MEMBERS = 1000


def read_npy(path: Path) -> Images:
    """The images of a .npy file, read piece by piece if it is large."""
    try:
        with open_regular(path) as file:
            shape, dtype, fortran = _read_header(file, str(path))
            follow = os.fstat(file.fileno()).st_size - file.tell()
            if math.prod(shape) * dtype.itemsize != follow:
                raise DataError(f"{path}: its header says {shape} of {dtype}, but {follow:,} bytes follow")
            _check_numbers(str(path), shape, dtype)
            if fortran:  # an image is then spread over the whole file
                check_limit(str(path), follow)
                pixels = np.fromfile(file, dtype).reshape(shape, order="F")
            else:
                pixels = in_memory(on_disk(path, shape, dtype, file.tell()))
        return Images(pixels, name=str(path))
    except DataError:
        raise
    except Exception as error:  # a reader fed with a broken file may raise anything
        raise DataError(f"{path}: is not a .npy file that can be read ({error})") from None


def read_npz(path: Path) -> Images:
    """The images of a .npz file: the array named as in IMAGE_NAMES, else the only one of 3 or 4 dimensions.

    An array named as in LABEL_NAMES becomes labels["class"], if it holds one class an image.
    """
    try:
        with open_regular(path) as file:
            rationed = Rationed(file, 2 * DIRECTORY_BYTES)
            with zipfile.ZipFile(rationed) as archive:
                rationed.left = 2**62
                if len(archive.infolist()) > MEMBERS:
                    raise DataError(
                        f"{path}: has {len(archive.infolist()):,} members, the limit is {MEMBERS:,}"
                    )
                headers = {}
                for info in archive.infolist():
                    if info.filename.endswith(".npy"):
                        headers[info.filename.removesuffix(".npy")] = member_header(archive, info, path)
                name = _choose(headers, path)
                _check_numbers(f"{path}[{name}]", *headers[name])
                pixels = read_member(archive, name, headers[name], path)
                labels, notes = _labels(archive, headers, len(pixels), path)
        return Images(pixels, labels, name=f"{path}[{name}]", notes=notes)
    except DataError:
        raise
    except Exception as error:  # a reader fed with a broken file may raise anything
        raise DataError(f"{path}: is not a .npz file that can be read ({error})") from None


def _read_header(file, name: str) -> tuple[tuple[int, ...], np.dtype, bool]:
    """(shape, dtype, whether in Fortran's order) of the .npy that starts here; object arrays are refused."""
    version = npy.read_magic(file)
    if version != (1, 0):  # the later ones are for structured arrays, and their headers may be gigabytes long
        raise DataError(f"{name}: wanted a .npy of version 1.0, got {version}")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if dtype.hasobject:
        raise DataError(f"{name}: holds Python objects (a pickle), which can run code and are never read")
    if dtype.itemsize == 0:  # so any number of them fits into no bytes at all
        raise DataError(f"{name}: its header says dtype {dtype}, of 0 bytes")
    if min(shape, default=1) < 0:
        raise DataError(f"{name}: its header says shape {shape}")
    return shape, dtype, fortran


def _check_numbers(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise DataError, from the header alone, unless these can be images."""
    if dtype.kind not in "buif":
        raise DataError(f"{name}: wanted numbers, got dtype {dtype}")
    if len(shape) > 4:
        raise DataError(f"{name}: wanted an array of 3 or 4 dimensions, got {len(shape)}")
    check_images(name, shape, dtype.itemsize)


def member_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path
) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, dtype) of the .npy that `info` names, from its header alone; DataError if its size is another."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}[{info.filename}]: is packed in a way that NumPy does not use")
    with archive.open(info) as file:
        shape, dtype, _ = _read_header(file, f"{path}[{info.filename}]")
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
    found = [f"{name} {shape}" for name, (shape, _) in headers.items()]
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    wanted = f"an array named {', '.join(IMAGE_NAMES)}, or one alone with 3 or 4 dimensions"
    raise DataError(f"{path}: wanted {wanted}; found {', '.join(found[:10]) or 'no arrays'}{more}")


def _labels(archive: zipfile.ZipFile, headers: dict, count: int, path: Path) -> tuple[dict, tuple[str, ...]]:
    """(labels, notes) from the first array that has a name for labels and one row an image."""
    for name in LABEL_NAMES:
        shape, _ = headers.get(name, ((), None))
        if shape in ((count,), (count, 1)):
            try:
                values = read_member(archive, name, headers[name], path, limit=MEMORY_BUDGET // 8)
            except Exception as error:  # a reader fed with a broken file may raise anything
                return {}, (f"{path}[{name}]: these labels are left out, they cannot be read ({error})",)
            return class_labels(values, count, f"{path}[{name}]")
    return {}, ()


def read_member(
    archive: zipfile.ZipFile, name: str, header: tuple, path: Path, limit: int | None = None
) -> np.ndarray:
    """The array `name`, whose header is `header`; DataError, before it is read, if it is above the limit."""
    shape, dtype = header
    check_limit(f"{path}[{name}]", math.prod(shape) * dtype.itemsize, limit)
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)
