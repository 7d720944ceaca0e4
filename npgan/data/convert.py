"""Other sizes and other numbers of channels."""

import numpy as np
from PIL import Image

from npgan.data.images import Images
from npgan.data.lazy import Lazy, in_memory

LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green, blue in brightness: ITU-R BT.601


def centre_square(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest centred square as Pillow's box (left, top, right, bottom)."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def convert(images: Images, size: int | None = None, channels: int | None = None) -> Images:
    """`images` as squares of `size` pixels (None: as they are) with 1 or 3 `channels` (None: as they are).

    The largest centred square is resized with an antialiasing triangle filter; grey is the luma of RGB.
    """
    h, w, c = images.shape
    if size in (None, h) and (size is None or h == w) and channels in (None, c):
        return images
    shape = (len(images), size or h, size or w, channels or c)
    store = images.pixels

    def read(rows: np.ndarray) -> np.ndarray:
        pixels = np.asarray(store[rows])
        if channels == 1 < c:
            pixels = _luma(pixels)
        if size is not None:
            pixels = np.stack([_resized(image, size) for image in pixels])
        if channels is not None and channels > c:
            pixels = np.repeat(pixels, 3, axis=-1)  # last, so that one plane is resized, not three
        return pixels

    # Both steps only average, so the range of values found for `images` still holds.
    dtype = np.uint8 if store.dtype == np.uint8 else np.float32
    return images.with_pixels(in_memory(Lazy(shape, dtype, read)))


def _luma(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 1), in the same dtype."""
    luma = (pixels @ LUMA)[..., None]
    return np.rint(luma).astype(np.uint8) if pixels.dtype == np.uint8 else luma.astype(pixels.dtype)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(h, w, c) -> (size, size, c); uint8 stays, every other dtype becomes float32."""
    left, top, right, bottom = centre_square(image.shape[1], image.shape[0])
    image = image[top:bottom, left:right]
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(image[..., k])) for k in range(image.shape[-1])]
    resized = [np.asarray(p.resize((size, size), Image.Resampling.BILINEAR)) for p in planes]
    return np.stack(resized, axis=-1)
