"""Templates: copy the hole from the training image that fits best around it."""

import numpy as np

from npgan.filling.mean import known_somewhere
from npgan.masks import blend

CHUNK = 2048  # training images, and damaged ones, at a time


def nearest_image_fill(images: np.ndarray, masks: np.ndarray, training_images) -> np.ndarray:
    """Fill the hole from the training image with the least squared distance over the known pixels.

    training_images: (T, H, W, C) in [-1, 1], an array or npgan.data.Images. It is scene completion
    (Hays and Efros 2007, sections 3 and 4) in its barest form: no descriptors, no shifts, no search for a good
    seam. A repair network has to beat it before one can say that it does more than remember.

    With m = 1 at known pixels, sum m (x - t)^2 = sum m x^2 - 2 sum (m x) t + sum m t^2. The first sum is the same
    for all t; the others are matrix products.
    """
    known = ~known_somewhere(images, masks)
    n = len(images)
    m = np.broadcast_to(known, images.shape).reshape(n, -1).astype(np.float32)  # N, H*W*C
    mx = np.where(known, images, 0).reshape(n, -1).astype(np.float32)
    least, nearest = np.full(n, np.inf, np.float32), np.zeros(n, int)
    for first in range(0, len(training_images), CHUNK):
        t = np.asarray(training_images[first : first + CHUNK], np.float32)
        if t.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"training_images: wanted the shape of images, {images.shape[1:]}, got {t.shape[1:]}"
            )
        t = t.reshape(len(t), -1)  # CHUNK, H*W*C
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            cost = m[part] @ (t * t).T - 2 * mx[part] @ t.T  # CHUNK, CHUNK
            best = cost.argmin(axis=1)
            value = cost[np.arange(len(best)), best]
            better = value < least[part]
            least[part] = np.where(better, value, least[part])
            nearest[part] = np.where(better, first + best, nearest[part])
    return blend(images, np.asarray(training_images[nearest]), masks)
