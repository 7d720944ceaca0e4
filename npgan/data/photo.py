"""Random crops of the one photograph that matplotlib ships: a real picture without a download."""

import numpy as np
from matplotlib import cbook
from PIL import Image

from npgan.data.images import Images, check_whole
from npgan.data.lazy import DRAWN_BYTES, check_limit
from npgan.errors import DataError


def photograph() -> np.ndarray:
    """The portrait of Grace Hopper (1984, public domain) in matplotlib's sample data: uint8 (600, 512, 3)."""
    try:
        with cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise DataError(f"photo: this matplotlib comes without its sample photograph ({error})") from None


def photo(count: int, *, size: int = 64, channels: int = 3, seed: int = 0) -> Images:
    """`count` random square crops of `photograph()`, at least a quarter of its width, half of them mirrored.

    Pixels are uint8 (count, size, size, channels), channels 1 or 3. Image i does not depend on `count`.
    """
    count, size = check_whole("count", count), check_whole("size", size)
    if channels not in (1, 3):
        raise ValueError(f"channels: wanted 1 or 3, got {channels!r}")
    check_limit("photo", count * size * size * channels, DRAWN_BYTES)
    image = Image.fromarray(photograph()).convert("RGB" if channels == 3 else "L")
    u = np.random.default_rng(seed).random((count, 4))
    widest = min(image.size)
    smallest = min(max(size, widest // 4), widest)  # enlarge nothing, where the photograph allows it
    pixels = np.empty((count, size, size, channels), np.uint8)
    for i, (scale, across, down, mirror) in enumerate(u):
        side = smallest + (widest - smallest) * scale
        left, top = (image.width - side) * across, (image.height - side) * down
        box = (left, top, left + side, top + side)
        crop = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
        pixels[i] = crop.reshape(size, size, channels)[:, :: -1 if mirror < 0.5 else 1]
    return Images(pixels, name="photo")
