"""Holes for inpainting: which pixels are missing, and images damaged there.

A mask is 1 where a pixel is MISSING and 0 where it is known: float32 of shape (N, H, W, 1), so that it can be
a channel of a network's input beside the image. One mask (1, H, W, 1) serves for a whole batch. What is read
from a mask is `masks > 0.5`. Masks are drawn on the host, from an explicit numpy.random.Generator.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ImageColor

from npgan.backend import Array, array_module, device_of, to_device
from npgan.data.images import check_whole
from npgan.data.picture import decode, opaque, open_picture, reason
from npgan.errors import DataError

SMALLEST = 4  # pixels a side; in a smaller image a hole may leave nothing to look at
FILLS = ("mean", "zero", "noise")
NEARLY, GROWN = 16, 2  # of 255: what counts as the same colour; pixels around that count as painted over too


def make(
    kind: str | os.PathLike, count: int, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw `count` masks of one kind: float32 (count, height, width, 1), 1 = missing.

    kind: a name in KINDS, or the path of a mask file (see `load_mask`), which is then the same for all. Each
    mask has at least one missing and one known pixel. Raises ValueError for an unknown kind or a bad size,
    DataError for a file that cannot be used.
    """
    check_whole("count", count)
    check_whole("height", height, low=SMALLEST)
    check_whole("width", width, low=SMALLEST)
    if kind in KINDS:
        missing = KINDS[kind](count, height, width, rng)
        return missing.astype(np.float32)[..., None]
    if Path(kind).suffix:
        return np.repeat(load_mask(kind, (height, width)), count, axis=0)
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, or a mask file, got {os.fspath(kind)!r}")


# The kinds: each takes (count, height, width, rng) and returns booleans (count, height, width), True = missing.


def centre(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Half the height and half the width, in the middle: a quarter of the area. Nothing is drawn."""
    h, w = round(height / 2), round(width / 2)
    top, left = (height - h) // 2, (width - w) // 2
    missing = np.zeros((count, height, width), bool)
    missing[:, top : top + h, left : left + w] = True
    return missing


def rectangle(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """One rectangle, each side a quarter to a half of the image's, anywhere; it may touch the border."""
    return _rectangle(count, height, width, rng, smallest=4, largest=2)


def rectangles(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Four rectangles, each side an eighth to a third of the image's; they may overlap."""
    four = [_rectangle(count, height, width, rng, smallest=8, largest=3) for _ in range(4)]
    return np.any(four, axis=0)


def strokes(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Strokes of a round brush that walks at random, until 10 to 30% of the pixels are missing.

    A walk is six straight pieces, each turned a little from the one before; then the brush is lifted and put
    down elsewhere. Such free-form holes were introduced by Liu et al. 2018 (partial convolutions) and Yu et
    al. 2019 (gated convolutions, section 3.4).
    """
    side = min(height, width)
    missing = np.zeros((count, height, width), bool)
    wanted = rng.uniform(0.1, 0.3, count)
    for piece in range(48):
        if piece % 6 == 0:
            start = np.stack([rng.integers(height, size=count), rng.integers(width, size=count)], axis=1)
            radius = np.maximum(0.75, side * rng.uniform(1 / 24, 1 / 12, count))
            angle = rng.uniform(0, 2 * np.pi, count)
        angle = angle + rng.normal(0, 0.7, count)
        step = np.stack([np.sin(angle), np.cos(angle)], axis=1) * side * rng.uniform(0.1, 0.25, (count, 1))
        end = np.clip(start + step, 0, [height - 1, width - 1])
        short = missing.mean(axis=(1, 2)) < wanted  # these still want more
        if not short.any():
            break
        missing[short] |= _near_segment(height, width, start[short], end[short], radius[short])
        start = end
    return missing


def pixels(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Single pixels, exactly half of them (rounded down), each set of that size as likely as any other."""
    order = rng.random((count, height * width)).argsort(axis=1).argsort(axis=1)
    return (order < height * width // 2).reshape(count, height, width)


def half(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The left, right, upper or lower half, drawn at random for each image."""
    upper = np.broadcast_to((np.arange(height) < height // 2)[:, None], (height, width))
    left = np.broadcast_to(np.arange(width) < width // 2, (height, width))
    four = np.stack([upper, upper[::-1], left, left[:, ::-1]])
    return four[rng.integers(4, size=count)]


KINDS: dict[str, Callable[[int, int, int, np.random.Generator], np.ndarray]] = {
    "centre": centre,
    "rectangle": rectangle,
    "rectangles": rectangles,
    "strokes": strokes,
    "pixels": pixels,
    "half": half,
}


def load_mask(path: str | os.PathLike, size: int | tuple[int, int]) -> np.ndarray:
    """One's own mask from an image file, best a PNG: float32 (1, height, width, 1), 1 = missing.

    White (above 127 of 255, as grey) is missing, black is known; what is transparent counts as black.
    size: (height, width), or one number for a square; the file must have just this size, since a mask that is
    resized is no longer the one that was drawn. Raises DataError, which names the file, if it cannot be read,
    has another size, or marks no pixel or every pixel as missing.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    try:
        with open_picture(path) as image:
            got = image.size
            if sorted(got) == sorted(
                (width, height)
            ):  # checked before anything is decoded, which may turn it
                image = opaque(decode(image, 1), 1, "black")
                got = image.size
            if got != (width, height):
                raise DataError(
                    f"wanted a mask of {width} x {height} pixels (width x height), got {got[0]} x {got[1]}"
                )
            grey = np.asarray(image)
    except Exception as error:  # a decoder fed with a broken file may raise anything
        raise DataError(f"{path}: cannot be read as a mask ({reason(error)})") from None
    missing = grey > 127
    if missing.all() or not missing.any():
        raise DataError(
            f"{path}: no pixel is {'black (known)' if missing.any() else 'white (missing)'}; "
            "a mask is white where pixels are missing and black where they are known"
        )
    return missing.astype(np.float32)[None, :, :, None]


def of_picture(mask: str | os.PathLike, picture: np.ndarray) -> np.ndarray:
    """What is missing in one picture, uint8 (H, W, 1 or 3), as --mask says: float32 (1, H, W, 1), 1 = missing.

    mask: an image file of the picture's size (see `load_mask`), or a colour that Pillow knows ("white", "black",
    "red", "#ff0000"): then what has this colour was painted over (see `of_colour`). A file of that name goes first.
    """
    if is_colour(mask) and not Path(mask).is_file():
        return of_colour(str(mask), picture)
    return load_mask(mask, picture.shape[:2])


def is_colour(text: str | os.PathLike) -> bool:
    """Whether `text` is a colour for Pillow: a name, or #rrggbb."""
    try:
        ImageColor.getrgb(str(text))
    except ValueError:
        return False
    return True


def of_colour(colour: str, picture: np.ndarray) -> np.ndarray:
    """Where a picture, uint8 (H, W, 1 or 3), has a colour, and 2 pixels around: float32 (1, H, W, 1), 1 = missing.

    Within 16 of 255 in each channel, and the 2 pixels are for the soft rim of a brush and for JPEG: at quality 75
    strokes of 5 pixels were found to 99% and more, red ones of 2 pixels were not. What had this colour before is
    taken for damage too, so paint in one that the picture does not have. In a grey picture the colour is taken as
    its grey. Raises DataError where no pixel has it, or where none would be left.
    """
    wanted = np.array(ImageColor.getcolor(colour, "L" if picture.shape[2] == 1 else "RGB")).reshape(-1)[:3]
    missing = (np.abs(picture.astype(int) - wanted) <= NEARLY).all(axis=2)
    found, (h, w) = int(missing.sum()), missing.shape
    padded = np.pad(missing, GROWN)
    steps = range(2 * GROWN + 1)
    missing = np.any(
        [padded[y : y + h, x : x + w] for y in steps for x in steps], axis=0
    )  # a square around each
    if missing.all() or not found:
        raise DataError(
            f"{found:,} of {h * w:,} pixels are {colour}"
            + (f": with {GROWN} pixels around them nothing is left" if found else ", so none is missing")
        )
    return missing.astype(np.float32)[None, :, :, None]


def damage(images: Array, masks: Array, fill: str = "mean", rng: np.random.Generator | None = None) -> Array:
    """Take the missing pixels out of images (N, H, W, C) in [-1, 1]; the known pixels stay bit for bit.

    fill: what stands in their place: "mean", the mean colour of the known pixels of the same image; "zero",
    mid grey; "noise", uniform in [-1, 1], drawn from `rng`.
    """
    xp = array_module(images, masks)
    missing = missing_pixels(images, masks)
    if fill == "zero":
        filling = xp.zeros_like(images)
    elif fill == "mean":
        known = xp.where(missing, xp.zeros_like(images), images)
        pixels_known = (~missing).sum(axis=(1, 2), keepdims=True).astype(images.dtype)  # N or 1, 1, 1, 1
        filling = known.sum(axis=(1, 2), keepdims=True) / xp.maximum(pixels_known, 1)  # N, 1, 1, C
    elif fill == "noise":
        if rng is None:
            raise ValueError("damage: fill='noise' needs rng, a numpy.random.Generator")
        filling = to_device(rng.uniform(-1, 1, images.shape).astype(images.dtype), device_of(images))
    else:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}")
    return xp.where(missing, filling, images)


def blend(images: Array, repaired: Array, masks: Array) -> Array:
    """Known pixels from `images`, bit for bit, and missing ones from `repaired`; (N, H, W, C), images' dtype.

    Chosen, not computed: in `images * (1 - masks) + repaired * masks` a NaN in a hole would stay one.
    """
    xp = array_module(images, repaired, masks)
    if images.shape != repaired.shape:
        raise ValueError(f"images have shape {images.shape}, repaired {repaired.shape}; wanted the same")
    return xp.where(missing_pixels(images, masks), repaired.astype(images.dtype), images)


def missing_pixels(images: Array, masks: Array) -> Array:
    """`masks` as booleans (N or 1, H, W, 1), True = missing; ValueError if their shape does not fit images."""
    n, h, w = images.shape[:3] if images.ndim == 4 else (0, 0, 0)
    if n == 0 or tuple(masks.shape) not in ((n, h, w, 1), (1, h, w, 1)):
        raise ValueError(
            "wanted images of shape (N, H, W, C) and masks of shape (N, H, W, 1) or (1, H, W, 1), "
            f"got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    return masks > 0.5


def _rectangle(
    count: int, height: int, width: int, rng: np.random.Generator, smallest: int, largest: int
) -> np.ndarray:
    """One rectangle a mask, its sides between a `smallest`-th and a `largest`-th of the image's."""
    inside = []
    for side in (height, width):
        length = rng.integers(max(1, side // smallest), max(1, side // largest) + 1, size=count)[:, None]
        first = (rng.random((count, 1)) * (side - length + 1)).astype(int)
        inside.append((np.arange(side) >= first) & (np.arange(side) < first + length))  # count, side
    rows, columns = inside
    return rows[:, :, None] & columns[:, None, :]


def _near_segment(
    height: int, width: int, start: np.ndarray, end: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """Which pixels lie within `radius` of the straight line from `start` to `end`, rows of (y, x)."""
    start, end, radius = (a.astype(np.float32) for a in (start, end, radius))  # half the time of float64
    y = np.arange(height, dtype=np.float32)[None, :, None] - start[:, 0, None, None]  # count, height, 1
    x = np.arange(width, dtype=np.float32)[None, None, :] - start[:, 1, None, None]  # count, 1, width
    dy, dx = ((end - start)[:, axis, None, None] for axis in (0, 1))
    along = np.clip(
        (y * dy + x * dx) / np.maximum(dy**2 + dx**2, 1e-9), 0, 1
    )  # of the nearest point on the line
    return (y - along * dy) ** 2 + (x - along * dx) ** 2 <= radius[:, None, None] ** 2
