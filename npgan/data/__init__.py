"""Data: glyphs drawn on the spot, points in the plane, a photograph, one's own files, MNIST from the web."""

import os
from pathlib import Path

import numpy as np

from npgan.data.convert import convert
from npgan.data.download import SHA256, fetch
from npgan.data.files import ACCEPTED, read
from npgan.data.folder import read_picture
from npgan.data.glyphs import DIGITS, FONTS, LOWERCASE, UPPERCASE, glyphs
from npgan.data.images import Images, check_whole
from npgan.data.lazy import in_memory
from npgan.data.mixtures import Mixture
from npgan.data.photo import photo, photograph
from npgan.errors import DataError

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
    size: height and width; None means 28 for glyphs, 64 for photo and folders of pictures, else as stored.
    channels: 1 or 3; glyphs are in colour with 3. None means 1 for glyphs, 3 for photo, else as stored.
    count: how many; None means 10,000 for glyphs and photo, else all. Files give their first `count`, or all
        they have.     seed: draws the glyphs and the crops.
    Raises DataError if the data cannot be used, ValueError for a bad size, channels or count.
    """
    for name, value in (("size", size), ("count", count)):
        if value is not None:
            check_whole(name, value)
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
    images = read(path, size, channels, count)
    if count is not None and count < len(images):
        images = images.take(np.arange(count))
    images = convert(images, size, channels)
    return images.with_pixels(in_memory(images.pixels))


def _existing(source: str | os.PathLike) -> Path:
    wanted = f"wanted 'glyphs', 'photo', 'mnist', 'fashion-mnist' or the path of {ACCEPTED}"
    if not isinstance(source, str | os.PathLike):
        raise DataError(f"source: {wanted}; got {source!r}")
    path = os.path.expanduser(source)
    if not os.path.exists(path):
        raise DataError(f"{str(source)!r}: there is no such data set or file; {wanted}")
    return Path(path)
