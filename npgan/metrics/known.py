"""Sets of images of which everybody knows how good they are: the floor and the scale of every score.

A score alone says nothing. Beside it belong the score of other real images, which is the best there is, and those of
images with a known fault.
"""

import numpy as np

from npgan.data import Images
from npgan.metrics.repair import blur

FITTED = 4000  # images to which the Gaussian is fitted


def known_sets(
    train: Images, labels: np.ndarray | None, count: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Name -> float32 images (count, H, W, C) in [-1, 1], all made of training images, which nobody has unseen.

    real: training images. blurred: with a Gaussian of 1.5 pixels. noisy: see `noisy`. shuffled: all their pixels in
    one other order, the same for all images. one class: those of the most frequent label alone, where there are
    labels (N,); each may come several times. Gaussian: see `gaussian`. noise: every value uniform.
    """
    real = train[rng.permutation(len(train))[:count]]
    if len(real) < count:
        raise ValueError(f"known_sets: wanted {count} images a set, got {len(train)} to make them of")
    n, h, w, c = real.shape
    order = rng.permutation(h * w)
    sets = {
        "real": real,
        "blurred": blur(real),
        "noisy": noisy(real, rng),
        "shuffled": real.reshape(n, h * w, c)[:, order].reshape(real.shape),
    }
    if labels is not None:
        members = np.flatnonzero(labels == np.bincount(labels).argmax())
        sets["one class"] = train[np.resize(rng.permutation(members), count)]
    sets["Gaussian"] = gaussian(train[:FITTED], count, rng)
    sets["noise"] = rng.uniform(-1, 1, real.shape)
    return {name: images.astype(np.float32) for name, images in sets.items()}


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A quarter of the images as they are, the others with noise of standard deviations from 0 to 3.

    So some are good, and of all kinds, and most are spoiled: what precision and recall are there to tell apart.
    """
    strength = rng.uniform(-1, 3, (len(images), 1, 1, 1)).clip(0)
    return np.clip(images + strength * rng.standard_normal(images.shape), -1, 1)


def gaussian(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Images (count, H, W, C) of the normal distribution with the mean and covariance of `images` (N, H, W, C).

    It is the Gaussian in the space of their principal components, all of which are kept: no generator is simpler
    that knows how pixels hang together. With z from N(0, 1), the sum over the images of z_i (x_i - mean) /
    sqrt(N - 1) has their covariance, so nothing has to be decomposed. Clipped to [-1, 1].
    """
    n = len(images)
    if n < 2:
        raise ValueError(f"gaussian: wanted at least 2 images to fit, got {n}")
    mean = images.mean(axis=0)
    z = rng.standard_normal((count, n)).astype(np.float32)
    drawn = mean.reshape(-1) + z @ (images - mean).reshape(n, -1) / np.sqrt(n - 1)  # count, H*W*C
    return np.clip(drawn, -1, 1).reshape(count, *images.shape[1:])
