"""How far apart are two sets of images, at each scale? Karras et al. 2018, section 5.

A Laplacian pyramid (Burt and Adelson 1983) takes an image apart: what is lost when it is made half as large, what
is lost when that is halved again, and so on, and at the end the small image that is left. The first level holds
edges and noise, the last one where things are and of what colour. So a distance at each level says *what* is wrong.
"""

import numpy as np

from npgan.backend import describe
from npgan.layers.resize import repeat, sum_blocks
from npgan.metrics.samples import sliced_wasserstein

SMALLEST = 16  # pixels a side of the last level, as in the paper
PATCH, PATCHES = 7, 32  # pixels a side, and how many of an image


def laplacian_pyramid(images: np.ndarray) -> dict[int, np.ndarray]:
    """The levels of images (N, H, W, C) by their height: each (N, height, ..., C), the last one the small images.

    Halved by the mean of each 2 x 2 pixels, and doubled by repeating pixels: so the levels, doubled and added up,
    give the images. Down to SMALLEST pixels, or as long as both sides are even and above it.
    """
    levels = {}
    while min(images.shape[1:3]) > SMALLEST and images.shape[1] % 2 == images.shape[2] % 2 == 0:
        half = sum_blocks(images, (2, 2)) / 4
        levels[images.shape[1]] = images - repeat(half, (2, 2))
        images = half
    levels[images.shape[1]] = images
    return levels


def patches(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """PATCHES random squares of each image of a level, (N * PATCHES, values); the whole image where it is smaller."""
    n, h, w, _ = level.shape
    side = min(PATCH, h, w)
    top, left = rng.integers(h - side + 1, size=n * PATCHES), rng.integers(w - side + 1, size=n * PATCHES)
    rows, columns = top[:, None] + np.arange(side), left[:, None] + np.arange(side)
    image = np.repeat(np.arange(n), PATCHES)
    return level[image[:, None, None], rows[:, :, None], columns[:, None, :]].reshape(n * PATCHES, -1)


def pyramid_distances(*, real: np.ndarray, generated: np.ndarray, seed: int = 0) -> dict[int, float]:
    """The sliced Wasserstein distance between patches at each level, by the level's height.

    real, generated: floating images (N, H, W, C) of one shape, else ValueError. Patches are divided by the standard
    deviation of the real ones of the level, so a level of faint edges counts like one of colours. (The paper divides
    each set by its own, and so does not see edges that are too faint.) One seed gives one choice of places and
    directions. Print the same beside it for other real images: the floor.
    """
    if real.shape != generated.shape or {real.dtype.kind, generated.dtype.kind} != {"f"} or real.ndim != 4:
        raise ValueError(
            "pyramid_distances: real and generated must be floating images (N, H, W, C) of one shape, got "
            f"{describe(real)} and {describe(generated)}"
        )
    found, theirs = {}, laplacian_pyramid(generated)
    for height, level in laplacian_pyramid(real).items():
        # At the same places of both:
        a, b = (patches(x, np.random.default_rng(seed)) for x in (level, theirs[height]))
        scale = max(float(a.std()), 1e-6)
        found[height] = sliced_wasserstein(a / scale, b / scale, np.random.default_rng(seed), directions=128)
    return found
