"""Checkpoints: a whole training run in one file, from which it goes on to the same bits.

The file is an .npz of plain arrays. Nothing in it is a pickle, so reading one runs no code, whoever made it.

    header                       JSON: format, version, step, settings, and the states of random generators
    generator/0.Dense.weight     the state of each part of the run, under "part/name": weights, running
                                 statistics, an optimiser's moments and step count (schedules are functions of
                                 it), a moving average, the place in the data
    history/d_loss               what was logged at each step

A part is anything with `state()`, a dict of NumPy arrays, and `load_state(dict)`; or a numpy.random.Generator. The
same run always gives the same file, byte for byte: no clock goes into it.

A file that was made to do harm costs no more than an honest one: it has at most FILE_LIMIT bytes and MEMBER_LIMIT
arrays, which lie side by side, uncompressed. Only those are read that the parts here need, in the same shapes, and
the history; so reading takes the memory of the parts once more, and at most twice the file's size beside it.

Weights for other libraries. `numpy.load(path)["average/layer.0.Dense.weight"]` needs no npgan. To PyTorch's modules,
whose images are NCHW:

    Dense            Linear.weight = weight.T                                         (in, out) -> (out, in)
    Conv2D           Conv2d.weight = weight.transpose(3, 2, 0, 1)           (kh, kw, in, out) -> (out, in, kh, kw)
    Conv2DTranspose  ConvTranspose2d.weight = weight.transpose(3, 2, 0, 1)  (kh, kw, out, in) -> (in, out, kh, kw)
    BatchNormalization(momentum=m, epsilon=e)    BatchNorm(momentum=1-m, eps=e) with weight = gamma, bias = beta,
                     running_mean = running_mean, running_var = running_variance (which divides by M in training
                     here, by M - 1 there; at inference both only use it)

A bias goes over as it is. Flatten and Reshape list the values of an image as (h, w, c) here, as (c, h, w) there, so a
Dense beside one of them needs its rows or columns in the other order first:

    after Flatten    weight.reshape(h, w, c, out).transpose(2, 0, 1, 3).reshape(c * h * w, out).T
    before Reshape   weight.reshape(in, h, w, c).transpose(0, 3, 1, 2).reshape(in, c * h * w).T     (a bias likewise)
"""

import hashlib
import json
import re
import struct
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npgan.data.arrays import member_header
from npgan.errors import DataError
from npgan.whole_file import whole_file

NAME = re.compile(r"checkpoint-(\d{8,18})\.npz")
FORMAT, VERSION = "npgan checkpoint", 1
HEADER_LIMIT = 2**20  # characters
FILE_LIMIT, MEMBER_LIMIT = 2**31 - 2**22, 5000  # bytes, arrays
DIRECTORY_LIMIT = 2**22  # bytes of the archive's list of its members

Parts = dict[str, Any]  # name -> something with state and load_state, or a numpy.random.Generator


class Checkpoint(NamedTuple):
    """What a checkpoint says about its run, beside the state of the parts."""

    step: int  # how many steps are done
    settings: dict[str, Any]
    history: dict[str, array]  # of doubles: a quarter of the memory of a list


# Which file ----------------------------------------------------------------------------------------------------


def path_for(folder: Path, step: int) -> Path:
    """The name of the checkpoint after `step` steps."""
    return folder / f"checkpoint-{step:08d}.npz"


def in_folder(folder: Path) -> list[Path]:
    """The checkpoints in a folder, in order of their steps."""
    found = {path: NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*.npz") if path.is_file()}
    return sorted((path for path in found if found[path]), key=lambda path: int(found[path][1]))


def find(path: Path) -> Path:
    """`path`, or where it is a folder the checkpoint in it that is furthest on. Raises DataError if none is.

    A folder that holds none itself may hold the folders of several trainings, which one run does one after the
    other: their settings are the same, but for "training", the name, and "training_number", the place in the order.
    Then the last training that has begun is meant. Clocks, which copying changes, count for nothing. So where
    a folder holds checkpoints of several runs, or trainings without an order, DataError asks which is meant.
    """
    if not path.is_dir():
        return path
    files = in_folder(path) or [file for folder in sorted(path.glob("*")) for file in in_folder(folder)]
    if not files:
        raise DataError(f"{path}: holds no checkpoint (checkpoint-*.npz) to resume from")
    known = {}
    for file in files:
        with suppress(DataError):  # a damaged one: if it is the last, whoever loads it says so
            known[file] = read_settings(file)
    if not known:
        return files[-1]
    (one, mine), *others = known.items()
    for other, its in others:
        for name in sorted(mine.keys() | its.keys()):
            if mine.get(name) != its.get(name) and not name.startswith("training"):
                raise DataError(
                    f"{path}: holds checkpoints of several runs, such as {one} ({name}: {mine.get(name)!r:.80}) "
                    f"and {other} ({name}: {its.get(name)!r:.80}); name one with --resume FILE"
                )
    numbers = {file.parent: settings.get("training_number") for file, settings in known.items()}
    if len(numbers) > 1 and any(type(number) is not int for number in numbers.values()):
        raise DataError(f"{path}: holds several trainings, name one, such as --resume {max(numbers)}")
    return in_folder(max(numbers, key=numbers.get))[-1]


def fingerprint(images: Any) -> dict[str, Any]:
    """What a run's settings say of its data, so that it does not go on with others: number, shape, a digest.

    images: npgan.data.Images, of which at most 64, spread over all, are read for the digest.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, 64).astype(int))
    digest = hashlib.sha256(np.ascontiguousarray(images.pixels[rows]).tobytes()).hexdigest()[:16]
    return {"images": len(images), "shape": list(images.shape), "images_digest": digest}


# Writing -------------------------------------------------------------------------------------------------------


def save(
    path: Path, parts: Parts, *, step: int, settings: dict[str, Any], history: dict[str, Sequence[float]]
) -> None:
    """Write a checkpoint, whole or not at all. `settings` are what JSON can hold. Raises DataError if it cannot."""
    random = {name: part.bit_generator.state for name, part in parts.items() if _is_random(part)}
    header = {"format": FORMAT, "version": VERSION, "step": step, "settings": settings, "random": random}
    arrays = {"header": np.array(json.dumps(header)), **_state(parts)}
    arrays |= {f"history/{name}": np.array(values, np.float64) for name, values in history.items()}
    nbytes = sum(values.nbytes for values in arrays.values())
    if nbytes > FILE_LIMIT - DIRECTORY_LIMIT or len(arrays) > MEMBER_LIMIT:
        raise DataError(
            f"{path}: {len(arrays):,} arrays of {nbytes:,} bytes are more than a checkpoint holds "
            f"({MEMBER_LIMIT:,} of {FILE_LIMIT - DIRECTORY_LIMIT:,})"
        )
    with whole_file(path) as file:
        np.savez(file, **arrays)


def _is_random(part: Any) -> bool:
    return isinstance(part, np.random.Generator)


def _state(parts: Parts) -> dict[str, np.ndarray]:
    """The arrays of all parts as "part/name"."""
    return {
        f"{name}/{key}": array
        for name, part in parts.items()
        if not _is_random(part)
        for key, array in part.state().items()
    }


# Reading -------------------------------------------------------------------------------------------------------


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of the run that wrote a checkpoint. Raises DataError where `path` is not one."""
    with _open(path) as archive:
        return _read_header(archive, _members(archive))["settings"]


def arrays(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The arrays in a checkpoint, name -> (shape, dtype), without reading them. Raises DataError as `load` does."""
    with _open(path) as archive:
        found = _members(archive)
        _read_header(archive, found)
        return found


def load(path: Path, parts: Parts, settings: dict[str, Any] | None = None) -> Checkpoint:
    """Give the parts the state they have in the checkpoint; other parts in it are left alone.

    Raises DataError where the file cannot be read, holds other settings than `settings` (None: any will do) or
    the state of other networks, and says what differs; nothing has been changed then.
    """
    with _open(path) as archive:
        found = _members(archive)
        header = _read_header(archive, found)
        if settings is not None:
            _compare_settings(path, header["settings"], json.loads(json.dumps(settings)))
        wanted = {name: (array.shape, array.dtype) for name, array in _state(parts).items()}
        _compare_arrays(path, {n: a for n, a in found.items() if n.split("/")[0] in parts}, wanted)
        values = {name: _read(archive, name) for name in wanted}
        history = _read_history(archive, found)
        random = {name: header["random"][name] for name, part in parts.items() if _is_random(part)}
        for name, state in random.items():  # tried on another generator, which raises what is wrong
            type(parts[name].bit_generator)().state = state

    for name, part in parts.items():
        if _is_random(part):
            part.bit_generator.state = random[name]
            continue
        mine = {key.removeprefix(f"{name}/"): a for key, a in values.items() if key.startswith(f"{name}/")}
        try:
            part.load_state(mine)
        except ValueError as error:
            raise DataError(f"{path}: {name}: {error}") from None
    return Checkpoint(header["step"], header["settings"], history)


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    """The checkpoint as an archive; every error of reading becomes a DataError."""
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError(f"{path}: there is no such file")
    try:
        _check_archive(path)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a reader fed with a broken file may raise anything
        raise _damaged(path, f"is cut off, damaged or no checkpoint at all ({error})") from None


def _damaged(path: Path, what: str) -> DataError:
    """The error for a file that cannot be used, with the checkpoint before it, if there is one that can."""
    beside = in_folder(path.parent)
    place = beside.index(path) if path in beside else 0
    hint = f"; the checkpoint before it: --resume {beside[place - 1]}" if place else ""
    return DataError(f"{path}: {what}{hint}")


def _check_archive(path: Path) -> None:
    """Refuse an archive whose list of members alone would fill the memory, before zipfile reads that."""
    size = path.stat().st_size
    if size > FILE_LIMIT:
        raise DataError(f"{path}: has {size:,} bytes, a checkpoint has at most {FILE_LIMIT:,}")
    with path.open("rb") as file:
        file.seek(max(0, size - 42))
        end = file.read()
    # At the end of a file under 2 GiB, without a comment: 22 bytes, and not before them the mark of a larger file.
    if end[-22:-18] != b"PK\5\6" or end[-2:] != bytes(2) or end[:4] == b"PK\6\7":
        raise ValueError("the end of the archive is missing")
    number, nbytes = struct.unpack("<HL", end[-12:-6])
    if number > MEMBER_LIMIT or nbytes > DIRECTORY_LIMIT:
        raise DataError(f"{path}: lists {number:,} arrays in {nbytes:,} bytes, too many for a checkpoint")


def _members(archive: zipfile.ZipFile) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Name -> (shape, dtype) of all arrays; together they are no larger than the file."""
    path, listed = Path(archive.filename), archive.infolist()
    if len(listed) > MEMBER_LIMIT:
        raise DataError(f"{path}: lists {len(listed):,} arrays, a checkpoint has at most {MEMBER_LIMIT:,}")
    if any(info.compress_type != zipfile.ZIP_STORED for info in listed):
        raise DataError(f"{path}: is compressed, which a checkpoint never is")
    if sum(info.file_size for info in listed) > path.stat().st_size:
        raise DataError(f"{path}: its arrays lie over one another or are compressed, as in no checkpoint")
    found = {}
    for info in listed:
        try:
            found[info.filename.removesuffix(".npy")] = member_header(archive, info, path)
        except DataError as error:
            raise _damaged(path, str(error).removeprefix(str(path))) from None
    return found


def _read_header(archive: zipfile.ZipFile, found: dict) -> dict[str, Any]:
    """The header, among the `found` members."""
    path = Path(archive.filename)
    shape, dtype = found.get("header", (None, None))
    if shape != () or dtype.kind != "U" or dtype.itemsize > 4 * HEADER_LIMIT:
        raise _damaged(path, f"is no checkpoint; it holds {', '.join(list(found)[:5]) or 'nothing'}")
    header = json.loads(str(_read(archive, "header")))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path}: is no checkpoint; its header is {header!r:.80}")
    if header["version"] != VERSION:
        raise DataError(
            f"{path}: has version {header['version']!r} of the format, this npgan reads version {VERSION}; "
            "use the npgan that wrote it, or a newer one"
        )
    for name, kind in (("step", int), ("settings", dict), ("random", dict)):
        if type(header[name]) is not kind:
            raise DataError(f"{path}: its {name} should be {kind.__name__}, is {header[name]!r:.80}")
    if header["step"] < 0:
        raise DataError(f"{path}: its step is {header['step']}")
    return header


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array that `_members` has found to be as large as its header says."""
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_history(archive: zipfile.ZipFile, found: dict) -> dict[str, array]:
    history, path = {}, Path(archive.filename)
    for name in (name for name in found if name.startswith("history/")):
        shape, dtype = found[name]
        if len(shape) != 1 or dtype != np.float64:
            raise DataError(f"{path}: {name} should be a row of float64, is {dtype} {shape}")
        values = _read(archive, name)
        history[name.removeprefix("history/")] = column = array("d")
        column.frombytes(values.view(np.uint8))
    return history


def _compare_settings(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    different = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    if different:
        both = "; ".join(
            f"{name}: {there.get(name)!r:.80} there, {here.get(name)!r:.80} here" for name in different
        )
        raise DataError(f"{path}: was made with other settings. {both}")


def _compare_arrays(path: Path, there: dict, here: dict) -> None:
    """There and here: name -> (shape, dtype)."""
    different = [name for name in [*here, *(there.keys() - here)] if there.get(name) != here.get(name)]
    if different:
        some = "; ".join(
            f"{n}: {_describe(there.get(n))} there, {_describe(here.get(n))} here" for n in different[:3]
        )
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise DataError(f"{path}: is of another network. {some}{more}")


def _describe(array: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "none" if array is None else f"{array[1]} {array[0]}"
