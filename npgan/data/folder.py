"""A folder of pictures of any size, such as everybody has."""

import math
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from npgan.data import lazy
from npgan.data.convert import centre_square
from npgan.data.images import Images
from npgan.data.labels import CLASSES
from npgan.data.lazy import Lazy
from npgan.data.picture import (
    GREY_MODES,
    SUFFIXES,
    decode,
    decoding_bytes,
    is_transparent,
    opaque,
    open_picture,
    reason,
)
from npgan.errors import DataError

SMALLEST, LARGEST, STEP = 8, 64, 4  # sizes that are chosen: the lessons' networks halve twice
ENTRIES = 300_000  # files and folders that are looked at


class Header(NamedTuple):
    """What is known of a picture before it is decoded."""

    width: int
    height: int
    grey: bool
    transparent: bool
    memory: int  # bytes that decoding takes


def read_folder(
    folder: Path,
    size: int | None = None,
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Images:
    """The pictures in `folder` and its subfolders, in order of their paths: uint8 (n, size, size, channels).

    Each is turned as its EXIF orientation says, laid on white where it is transparent, cut to its largest
    centred square and resized. `size`: None takes the middle one of the pictures' own sizes (their shorter sides),
    the nearest in 8, 12, ... 64. `channels`: 1 or 3; None takes 1 if every picture is stored as grey, else 3.
    `count`: if there are more, so many are drawn at random with `seed`. Links to files are followed, links to
    folders are not.

    If every picture lies in a sub-folder, and there are several, the sub-folders are classes: labels["class"].
    Pictures that cannot be read, or are too large to be, are left out. What was done is told in `notes`.
    A set above MEMORY_BUDGET is decoded batch by batch; there a picture that turns out broken only then is a
    DataError. So is a folder without any picture.
    """
    paths, notes = _picture_files(folder)
    chosen = count is not None and count < len(paths)
    left_out: dict[str, str] = {}
    headers: dict[int, Header] = {}
    for i in np.random.default_rng(seed).permutation(len(paths)) if chosen else range(len(paths)):
        try:
            headers[int(i)] = _header(paths[i])
        except Exception as error:  # a decoder fed with a broken file may raise anything
            left_out[paths[i]] = reason(error)
        if len(headers) == count:
            break
    if chosen and len(headers) == count:
        notes.append(f"{folder}: {count:,} of {len(paths):,} pictures, drawn at random with seed {seed}")
    found = {paths[i]: headers[i] for i in sorted(headers)}
    if found:
        size = size or _usual_size(found.values())
        channels = channels or (1 if all(header.grey for header in found.values()) else 3)
        pixels, kept = _pixels(found, size, channels, left_out)
    if left_out:
        some = ", ".join(f"{path!r} ({why})" for path, why in list(left_out.items())[:5])
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        tried = len(headers) + sum(path not in found for path in left_out)
        message = f"{folder}: {len(left_out):,} of {tried:,} pictures cannot be read: {some}{more}"
        if len(left_out) == tried:
            raise DataError(message)
        notes.append(message + "; left out")
    notes += _changes(folder, [found[path] for path in kept], size, channels)
    labels, names, told = _classes(folder, kept)
    return Images(pixels, labels, name=str(folder), notes=[*notes, *told], names=names)


def _picture_files(folder: Path) -> tuple[list[str], list[str]]:
    """(paths of the picture files in order, notes)."""
    paths, notes, seen = [], [], 0

    def cannot(error: OSError) -> None:
        notes.append(f"{error.filename}: cannot be looked into ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=cannot):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # isfile: a pipe or a folder may be called x.png, and a link may lead nowhere.
        paths += [
            path
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
            if os.path.isfile(path := os.path.join(parent, name))
        ]
        seen += len(folders) + len(files)
        if seen > ENTRIES:
            notes.append(f"{folder}: looked at {seen:,} files and folders, and no further")
            break
    if not paths:
        raise DataError(
            f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}) and no other known data set"
            + "".join(f"; {note}" for note in notes[:1])
        )
    return sorted(paths, key=lambda path: path.replace(os.sep, "\0")), notes  # part by part


def _header(path: str) -> Header:
    with open_picture(path) as image:
        grey = image.mode in GREY_MODES
        return Header(*image.size, grey, is_transparent(image), decoding_bytes(image))


def _usual_size(headers) -> int:
    """The middle one of the shorter sides, so that of the most where most have one; the nearest that is chosen."""
    sides = sorted(min(header.width, header.height) for header in headers)
    side = sides[(len(sides) - 1) // 2]
    return min(LARGEST, max(SMALLEST, STEP * round(side / STEP)))


def _pixels(found: dict[str, Header], size: int, channels: int, left_out: dict[str, str]):
    """(pixels, the paths that they are of); those that cannot be decoded go to `left_out`."""
    paths = list(found)
    shape, memory = (len(paths), size, size, channels), max(header.memory for header in found.values())
    if math.prod(shape) + memory > lazy.MEMORY_BUDGET:
        return Lazy(shape, np.uint8, lambda rows: _decode_rows(paths, rows, size, channels), memory), paths
    pixels, kept = np.empty(shape, np.uint8), []
    for path in paths:
        try:
            pixels[len(kept)] = _decode(path, size, channels)
            kept.append(path)
        except Exception as error:
            left_out[path] = reason(error)
    return pixels[: len(kept)], kept


def _decode_rows(paths: list[str], rows: np.ndarray, size: int, channels: int) -> np.ndarray:
    pixels = np.empty((len(rows), size, size, channels), np.uint8)
    for i, row in enumerate(rows):
        try:
            pixels[i] = _decode(paths[row], size, channels)
        except Exception as error:
            raise DataError(f"{paths[row]}: cannot be decoded ({reason(error)})") from None
    return pixels


def _decode(path: str, size: int, channels: int) -> np.ndarray:
    """One picture: uint8 (size, size, channels)."""
    with open_picture(path) as image:
        image = decode(image, channels, size)
        if image.width != image.height:
            image = image.crop(centre_square(image.width, image.height))
        small = image.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(opaque(small, channels)).reshape(size, size, channels)


def _changes(folder: Path, headers: list[Header], size: int, channels: int) -> list[str]:
    """What was done to the pictures, in a sentence, or nothing if it was nothing."""
    n = len(headers)
    sizes = Counter((header.width, header.height) for header in headers)
    grey = sum(header.grey for header in headers)
    done = []
    if set(sizes) != {(size, size)}:
        ((width, height), most), (last, _) = sizes.most_common(1)[0], max(sizes.items(), key=lambda s: s[0])
        first = min(sizes)
        have = f"{width}x{height} pixels" if len(sizes) == 1 else f"{_by(first)} to {_by(last)} pixels"
        if len(sizes) > 1 and most > n / 2:
            have += f", most {width}x{height}"
        done.append(f"of {have}: cut square and resized to {size}x{size}")
    if channels == 1 and grey < n:
        done.append(f"{n - grey:,} in colour turned grey")
    if channels == 3 and grey:
        done.append(f"{grey:,} grey ones given three equal channels")
    if transparent := sum(header.transparent for header in headers):
        done.append(f"{transparent:,} with transparency laid on white")
    return [f"{folder}: {n:,} pictures {'; '.join(done)}"] if done else []


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _classes(folder: Path, paths: list[str]) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """(labels, names, notes): the class of a picture is the first folder on its path that is not that of all."""
    places = [os.path.relpath(os.path.dirname(path), folder).split(os.sep) for path in paths]
    depth = len(os.path.commonprefix(places))
    if any(place == [os.curdir] or len(place) == depth for place in places):
        return {}, [], []
    names = sorted({place[depth] for place in places})
    if len(names) > CLASSES:
        return {}, [], [f"{folder}: {len(names):,} sub-folders, too many for classes ({CLASSES:,} at most)"]
    number = {name: k for k, name in enumerate(names)}
    some = ", ".join(f"{k} {name}" for k, name in enumerate(names[:10])) + (
        ", ..." if len(names) > 10 else ""
    )
    note = f"{folder}: the {len(names)} sub-folders are classes: {some}"
    return {"class": np.array([number[place[depth]] for place in places])}, names, [note]
