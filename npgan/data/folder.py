"""A folder of pictures of any size, such as everybody has."""

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from npgan.data import lazy
from npgan.data.convert import centre_square
from npgan.data.images import Images
from npgan.data.lazy import Lazy
from npgan.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B"}


def read_folder(
    folder: Path, size: int = 64, channels: int | None = None, count: int | None = None
) -> Images:
    """The pictures in `folder` and its subfolders, in order of their paths: uint8 (n, size, size, channels).

    Each is turned as its EXIF orientation says, laid on white where it is transparent, cut to its largest
    centred square and resized. `channels`: 1 or 3; None takes 1 if every picture is stored as grey, else 3.
    `count`: the first so many. Links to files are followed, links to folders are not.

    Pictures that cannot be read or exceed IMAGE_PIXELS are left out and named in one warning.
    A set above MEMORY_BUDGET is decoded batch by batch; there a picture that turns out broken only then is a
    DataError. So is a folder without any picture.
    """
    paths = _picture_files(folder)
    left_out: dict[Path, str] = {}
    grey: dict[Path, bool] = {}
    for path in paths:
        try:
            with _quiet(), _open(path) as image:
                grey[path] = image.mode in GREY_MODES
        except Exception as error:  # a decoder fed with a broken file may raise anything
            left_out[path] = _reason(error)
        if len(grey) == count:
            break
    readable = list(grey)
    channels = channels or (1 if all(grey.values()) else 3)
    shape = (len(readable), size, size, channels)
    if math.prod(shape) <= lazy.MEMORY_BUDGET:
        pixels = _decode_all(readable, shape, left_out)
    else:
        pixels = Lazy(shape, np.uint8, lambda rows: _decode_rows(readable, rows, size, channels))
    if left_out:
        some = ", ".join(f"{str(path)!r} ({why})" for path, why in list(left_out.items())[:5])
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        message = f"{folder}: {len(left_out)} of {len(paths)} pictures cannot be read: {some}{more}"
        if pixels.shape[0] == 0:
            raise DataError(message)
        warnings.warn(message + "; left out", stacklevel=4)
    return Images(pixels, name=str(folder))


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """One picture at its full size: uint8 (height, width, 1 if it is stored as grey, else 3).

    Turned as its EXIF orientation says, laid on white where it is transparent; 16 bits become 8. Raises DataError,
    which names the file, if it cannot be read or exceeds IMAGE_PIXELS.
    """
    try:
        with _quiet(), _open(Path(path)) as image:
            channels = 1 if image.mode in GREY_MODES else 3
            image = _opaque(_upright(image, channels), channels)
            return np.asarray(image).reshape(image.height, image.width, channels)
    except Exception as error:  # a decoder fed with a broken file may raise anything
        raise DataError(f"{path}: cannot be read as a picture ({_reason(error)})") from None


def _picture_files(folder: Path) -> list[Path]:
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in files if not name.startswith(".")]
    # is_file: opening a pipe that is called x.png would wait for ever.
    paths = sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise DataError(
            f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}) and no other known data set"
        )
    return paths


def _open(path: Path) -> Image.Image:
    """Read the header alone, and refuse before the decoder allocates what it promises."""
    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > lazy.IMAGE_PIXELS:
        image.close()
        raise DataError(f"{image.width} x {image.height} pixels, the limit is {lazy.IMAGE_PIXELS:,}")
    return image


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    """One picture: uint8 (size, size, channels)."""
    with _quiet(), _open(path) as image:
        image.draft(None, (2 * size, 2 * size))  # a JPEG decodes at 1/2, 1/4 or 1/8 several times faster
        image = _upright(image, channels)
        square = image.crop(centre_square(image.width, image.height))
        small = square.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(_opaque(small, channels)).reshape(size, size, channels)


def _upright(image: Image.Image, channels: int) -> Image.Image:
    """An opened picture, decoded: turned as its EXIF says, in 8 bits, grey or RGB, or RGBA where it is transparent.

    Each step copies the picture; those that it does not need are left out, for it may be large.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    clear = image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info
    mode = "RGBA" if clear else _mode(channels)
    return image if image.mode == mode else image.convert(mode)


def _opaque(image: Image.Image, channels: int) -> Image.Image:
    """A picture of `_upright`, on white where it is transparent, in grey or RGB."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(_mode(channels))


def _mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def _decode_all(paths: list[Path], shape: tuple[int, ...], left_out: dict[Path, str]) -> np.ndarray:
    pixels, n = np.empty(shape, np.uint8), 0
    for path in paths:
        try:
            pixels[n] = _decode(path, *shape[2:])
            n += 1
        except Exception as error:
            left_out[path] = _reason(error)
    return pixels[:n]


def _decode_rows(paths: list[Path], rows: np.ndarray, size: int, channels: int) -> np.ndarray:
    pixels = np.empty((len(rows), size, size, channels), np.uint8)
    for i, row in enumerate(rows):
        try:
            pixels[i] = _decode(paths[row], size, channels)
        except Exception as error:
            raise DataError(f"{paths[row]}: cannot be decoded ({_reason(error)})") from None
    return pixels


def _reason(error: Exception) -> str:
    """The first line of an error, for a warning that has to stay on one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of harmless faults in metadata, and of sizes that `_open` refuses anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
