"""Other sizes and other numbers of channels."""

import numpy as np
from PIL import Image

from npgan.data.images import Images
from npgan.data.lazy import Lazy, holds, in_memory, pieces

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green, blue in brightness: ITU-R BT.601
AT_ONCE = 100_000  # more images are converted where they are read: all of them could take minutes


def centre_square(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest centred square as Pillow's box (left, top, right, bottom)."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def convert(images: Images, size: int | None = None, channels: int | None = None) -> Images:
    """`images` as squares of `size` pixels (None: as they are) with 1 or 3 `channels` (None: as they are).

    The largest centred square is resized with an antialiasing triangle filter; grey is the luma of RGB.
    What was done is added to `notes`.
    """
    h, w, c = images.shape
    resize = size is not None and (h, w) != (size, size)
    recolour = channels not in (None, c)
    if not (resize or recolour):
        return images
    shape = (len(images), size or h, size or w, channels or c)
    store = images.pixels

    def converted(pixels: np.ndarray) -> np.ndarray:
        if channels == 1 < c:
            pixels = _luma(pixels)
        if size is not None:
            pixels = np.stack([_resized(image, size) for image in pixels])
        if channels is not None and channels > c:
            pixels = np.repeat(pixels, 3, axis=-1)  # last, so that one plane is resized, not three
        return pixels

    # Both steps only average, so the range of values found for `images` still holds.
    dtype = np.uint8 if store.dtype == np.uint8 else np.float32

    def read(rows: np.ndarray) -> np.ndarray:
        result = np.empty((len(rows), *shape[1:]), dtype)
        for some in pieces(len(rows), 8 * h * w * c):
            result[some] = converted(np.asarray(store[rows[some]]))
        return result

    done = []
    if resize:
        done.append(f"cut square and resized to {size}x{size}" if h != w else f"resized to {size}x{size}")
    if recolour:
        done.append("colour turned grey" if channels == 1 else "grey given three equal channels")
    pixels = Lazy(shape, dtype, read, holds(store))
    other = images.with_pixels(in_memory(pixels) if len(images) <= AT_ONCE else pixels)
    other.notes += (f"{images.name}: images of {w}x{h} pixels: {'; '.join(done)}",)
    return other


def _luma(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 1); uint8 and floating point stay, other numbers become float32."""
    luma = (pixels @ LUMA)[..., None]
    if pixels.dtype == np.uint8:
        return np.rint(luma).astype(np.uint8)
    return luma.astype(pixels.dtype if pixels.dtype.kind == "f" else np.float32)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(h, w, c) -> (size, size, c); uint8 stays, every other dtype becomes float32."""
    left, top, right, bottom = centre_square(image.shape[1], image.shape[0])
    image = image[top:bottom, left:right]
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(image[..., k])) for k in range(image.shape[-1])]
    resized = [np.asarray(p.resize((size, size), Image.Resampling.BILINEAR)) for p in planes]
    return np.stack(resized, axis=-1)
