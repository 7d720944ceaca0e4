"""One picture file, opened with care: few bytes can ask for gigabytes of memory or for minutes of work.

What a picture takes to decode is estimated from its header and refused above DECODE_BYTES; beside that stand limits
on the bytes read, on the processor time, and on the number of passes over the pixels that a JPEG may ask for.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from npgan.data.regular import Rationed, open_regular
from npgan.errors import DataError

KINDS = {  # by the first bytes
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    b"II": "TIFF",
    b"MM": "TIFF",
    b"P": "PPM",
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B"}

FILE_BYTES = 128 * 2**20  # larger files are not opened
HEADER_BYTES = {"TIFF": 4 * 2**20, "WEBP": FILE_BYTES}  # read before the pixels; a WebP is read as a whole
OTHER_HEADER_BYTES = 24 * 2**20
DECODE_BYTES = 512 * 2**20  # what decoding one picture may take
COPIES = 8  # bytes a pixel: Pillow holds 4, and for a moment a copy: turned, converted or cut
TRANSPARENT = 4  # bytes a pixel more: one copy more
WORKING = {"WEBP": 12, "TIFF": 12, "PPM": 8, "BMP": 8}  # bytes a pixel that the decoder itself takes, at most
# Pillow decodes these pixel by pixel, a few million in seconds; so less is let through.
IN_PYTHON = {"bmp_rle", "ppm", "ppm_plain"}
IN_PYTHON_WORKING = 56
PASSES = 2**29  # pixels times scans of a JPEG: those of 53 million pixels in the usual ten scans
SECONDS = 2.0  # of processor time
EXIF_BYTES = 2**16  # no orientation is looked for in more: entries that overlap multiply


@contextmanager
def open_picture(path: str | os.PathLike) -> Iterator[Image.Image]:
    """The picture in a file, its header read and checked, its pixels not yet decoded.

    Any exception may come out of it, for that is what decoders do with broken files; `reason` makes a line of it.
    """
    with warnings.catch_warnings(), open_regular(path) as file:
        warnings.simplefilter("ignore")  # Pillow's, of harmless faults in metadata, and of sizes refused here
        nbytes, start = os.fstat(file.fileno()).st_size, file.read(4)
        kind = next((KINDS[magic] for magic in KINDS if start.startswith(magic)), None)
        if kind is None:
            raise DataError(
                f"is not a picture of a kind that is read here ({', '.join(sorted(set(KINDS.values())))})"
            )
        if nbytes > FILE_BYTES:
            raise DataError(f"the file has {nbytes:,} bytes, the limit is {FILE_BYTES:,}")
        file.seek(0)
        # Pillow's decoder of PPM as text works on what it is given in time that grows with the square of it.
        largest = 2**16 if kind == "PPM" else FILE_BYTES + 1
        rationed = Rationed(file, HEADER_BYTES.get(kind, OTHER_HEADER_BYTES), SECONDS, largest)
        try:
            image = Image.open(rationed, formats=(kind,))
        except UnidentifiedImageError:
            raise DataError(f"is not a {kind} that can be read") from None
        with image:
            rationed.left = 2 * nbytes + 2**20
            if decoding_bytes(image) > DECODE_BYTES:
                raise _too_large(image, 1)
            yield image


def decoding_bytes(image: Image.Image, scans: int = 1) -> int:
    """About how many bytes it takes to decode an opened picture, at most, where the JPEG has so many scans."""
    pixels, working = image.width * image.height, WORKING.get(image.format, 0)
    if image.tile and image.tile[0][0] in IN_PYTHON:
        working = IN_PYTHON_WORKING
    if image.format == "TIFF":
        pixels = max(pixels, _block(image))
    if image.format in ("JPEG", "MPO") and (scans > 1 or "progressive" in image.info):
        # All coefficients, two bytes each, are held until the last scan; colour mostly has fewer of them.
        horizontal, vertical = ([layer[i] for layer in image.layer] for i in (1, 2))
        working = 2 * sum(h * v for h, v in zip(horizontal, vertical)) / (max(horizontal) * max(vertical))
    return round(pixels * (COPIES + TRANSPARENT * is_transparent(image) + working))


def decode(image: Image.Image, channels: int, size: int | None = None) -> Image.Image:
    """An opened picture, decoded: turned as its EXIF says, in 8 bits, grey or RGB, or RGBA where it is transparent.

    Grey where that is asked for or where the file is. `size`: at least so many pixels a side are wanted, so a JPEG
    may be decoded at 1/2, 1/4 or 1/8, which is several times faster. Each step copies the picture; those that it
    does not need are left out, for it may be large.
    """
    _check_scans(image)
    if size is not None:
        image.draft(None, (2 * size, 2 * size))
    for name in ("exif", "Raw profile type exif"):
        if len(image.info.get(name, "")) > EXIF_BYTES:
            del image.info[name]
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise DataError("holds floating-point numbers; save it with 8 or 16 bits, or as an array (.npy)")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    mode = "RGBA" if is_transparent(image) else "L" if image.mode in ("1", "L") else _mode(channels)
    return image if image.mode == mode else image.convert(mode)


def opaque(image: Image.Image, channels: int, ground: str = "white") -> Image.Image:
    """A picture of `decode`, laid on `ground` where it is transparent, in grey or RGB."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return image if image.mode == _mode(channels) else image.convert(_mode(channels))


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """One picture at its full size: uint8 (height, width, 1 if it is stored as grey, else 3).

    Turned as its EXIF orientation says, laid on white where it is transparent; 16 bits become 8. Raises DataError,
    which names the file, if it cannot be read or would take more than DECODE_BYTES to decode.
    """
    try:
        with open_picture(path) as image:
            channels = 1 if image.mode in GREY_MODES else 3
            image = opaque(decode(image, channels), channels)
            return np.asarray(image).reshape(image.height, image.width, channels)
    except Exception as error:  # a decoder fed with a broken file may raise anything
        raise DataError(f"{path}: cannot be read as a picture ({reason(error)})") from None


def is_transparent(image: Image.Image) -> bool:
    """Whether an opened picture may be transparent anywhere."""
    return image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info


def reason(error: Exception) -> str:
    """The first line of an error, for a message that has to stay on one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


def _block(image: Image.Image) -> int:
    """How many pixels of a TIFF are decoded at a time: those of one tile, which may be larger than the picture."""
    width, height = image.tag_v2.get(322), image.tag_v2.get(323)
    if width is None:  # strips of full width
        width, height = image.width, min(int(image.tag_v2.get(278, image.height)), image.height)
    return int(width) * int(height)


def _check_scans(image: Image.Image) -> None:
    """Raise DataError if a JPEG wants too many scans: each passes over all pixels, and may have hardly any bytes.

    Memory too depends on whether there is more than one.
    """
    file = image.fp
    if image.format in ("JPEG", "MPO"):
        pixels = image.width * image.height
    elif image.format == "TIFF" and image.tag_v2.get(259) in (6, 7):  # it holds JPEGs
        pixels = _block(image)
    else:
        return
    at = file.tell()  # behind the first start of scan
    if image.format == "TIFF":
        file.seek(0)
    scans, last = 1, b""
    while piece := file.file.read(2**20):
        scans += (last + piece).count(b"\xff\xda")  # the marker; it occurs nowhere else in coded data
        last = piece[-1:]
    file.seek(at)
    if pixels * scans > PASSES:
        raise DataError(
            f"a JPEG of {image.width} x {image.height} pixels in {scans:,} scans, the limit is {PASSES // pixels:,}"
        )
    if decoding_bytes(image, scans) > DECODE_BYTES:
        raise _too_large(image, scans)


def _too_large(image: Image.Image, scans: int) -> DataError:
    pixels = max(image.width * image.height, _block(image) if image.format == "TIFF" else 0)
    limit = DECODE_BYTES * pixels // decoding_bytes(image, scans)
    tile = f" in tiles of {pixels:,}" if pixels > image.width * image.height else ""
    return DataError(
        f"a {image.format} of {image.width} x {image.height} pixels{tile}, the limit for its kind is {limit:,}"
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits a pixel -> 8, in bands of rows; Pillow's own conversion would clip them at 255."""
    grey = Image.new("L", image.size)
    for top in range(0, image.height, 256):
        band = np.asarray(image.crop((0, top, image.width, min(top + 256, image.height))))
        grey.paste(Image.fromarray((band.clip(0, 65535) // 257).astype(np.uint8)), (0, top))
    return grey
