"""Stacked images: three grey ones in the three colour channels, so that ten digits make a thousand modes."""

import numpy as np

from npgan.data.images import Images, check_whole


def stacked(images: Images, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` images (count, h, w, 3), float32 in [-1, 1], each of three grey ones drawn at random; and which.

    The second array, whole numbers (count, 3), holds the rows of the images in the red, green and blue channel: with
    labels of ten classes `labels[rows] @ [100, 10, 1]` is one of 1,000 modes, all equally likely where the classes
    are. (Metz et al. 2017, section 3.3.1; Srivastava et al. 2017, VEEGAN.) ValueError where the images are in colour.
    """
    h, w, channels = images.shape
    if channels != 1:
        raise ValueError(f"stacked: images must be grey, (h, w, 1), got {images.shape}")
    rows = rng.integers(len(images), size=(check_whole("count", count), 3))
    each = images[rows.ravel()].reshape(count, 3, h, w)
    return np.ascontiguousarray(each.transpose(0, 2, 3, 1)), rows
