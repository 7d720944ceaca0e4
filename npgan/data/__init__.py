"""Data: glyphs drawn on the spot, points in the plane, a photograph, one's own files, MNIST from the web."""

import os
import sys
from pathlib import Path

from npgan.data.download import SHA256, fetch
from npgan.data.files import ACCEPTED, read
from npgan.data.glyphs import DIGITS, FONTS, LOWERCASE, UPPERCASE, glyphs
from npgan.data.images import Images, check_whole
from npgan.data.mixtures import Mixture
from npgan.data.photo import photo, photograph
from npgan.data.picture import read_picture
from npgan.data.stacked import stacked
from npgan.errors import DataError, printable

__all__ = [
    "DIGITS",
    "FONTS",
    "LOWERCASE",
    "UPPERCASE",
    "DataError",
    "Images",
    "Mixture",
    "glyphs",
    "load",
    "photo",
    "photograph",
    "read_picture",
    "stacked",
]


def load(
    source: str | os.PathLike = "glyphs",
    *,
    size: int | None = None,
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Images:
    """The images that `source` names; every lesson's `--data` ends here.

    source: "glyphs" (digits in many fonts), "photo" (crops of one photograph), "mnist" or "fashion-mnist"
        (training sets, downloaded once), or the path of one's own data: see npgan.data.files.ACCEPTED.
    size: height and width; None means 28 for glyphs, 64 for photo, the usual size of the pictures of a folder (at
        most 64), else as stored.
    channels: 1 or 3; glyphs are in colour with 3. None means 1 for glyphs, 3 for photo, else as stored.
    count: how many; None means 10,000 for glyphs and photo, else all. Of more than so many in a file or folder,
        `count` are drawn at random, of IDX files the first are taken.
    seed: draws the glyphs, the crops and the choice.
    Prints in a line each what it has done to one's own data: converted, chosen, left out. The lines are also in
    `notes` of the images. Needs less than 1 GiB of memory, whatever a file says: see npgan.data.lazy.
    Raises DataError, one line, if the data or a number asked for cannot be used.
    """
    try:
        for name, value, low in (("size", size, 1), ("count", count, 1), ("seed", seed, 0)):
            if value is not None:
                check_whole(name, value, low)
        if channels not in (None, 1, 3):
            raise ValueError(f"channels: wanted 1 or 3, got {channels!r}")
        if source == "glyphs":
            return glyphs(count or 10_000, size=size or 28, colour=channels == 3, seed=seed)
        if source == "photo":
            return photo(count or 10_000, size=size or 64, channels=channels or 3, seed=seed)
        if isinstance(source, str) and source in SHA256:
            path = fetch(source)
        else:
            path = _existing(source)
        images = read(path, size, channels, count, seed)
    except DataError:
        raise
    except ValueError as error:  # of a number asked for
        raise DataError(str(error)) from None
    except MemoryError:
        raise DataError(f"{source}: needs more memory than there is; take fewer or smaller images") from None
    for note in images.notes:
        _say(note)
    return images


def _say(line: str) -> None:
    """Print a line that may hold names of files, which no terminal can be trusted to know how to show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(printable(line).encode(encoding, "backslashreplace").decode(encoding))


def _existing(source: str | os.PathLike) -> Path:
    wanted = f"wanted 'glyphs', 'photo', 'mnist', 'fashion-mnist' or the path of {ACCEPTED}"
    if not isinstance(source, str | os.PathLike):
        raise DataError(f"source: {wanted}; got {source!r}")
    path = os.path.expanduser(source)
    if not os.path.exists(path):
        raise DataError(f"{str(source)!r}: there is no such data set or file; {wanted}")
    return Path(path)
