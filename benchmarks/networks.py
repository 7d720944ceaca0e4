"""The networks that the benchmarks time: the DCGAN of the paper at three widths, a small one, the dense one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)


class Workload(NamedTuple):
    """Two networks, the shape of their images, and the number of noise values a sample."""

    generator: Layer
    discriminator: Layer
    shape: tuple[int, int, int]
    latent: int


def dcgan(
    size: int, channels: int, width: int, latent: int, start: int, rng: np.random.Generator
) -> Workload:
    """DCGAN (Radford et al. 2016, figure 1): from start x start pixels up to size x size by transposed convolutions.

    The generator's last hidden layer and the discriminator's first have `width` channels; each step further
    inside has twice as many.
    """
    doublings = (size // start).bit_length() - 1
    c = width * 2 ** (doublings - 1)
    up = [Dense(latent, start * start * c, bias=False, rng=rng), Reshape((start, start, c))]
    up += [BatchNormalization(c), ReLU()]
    for _ in range(doublings - 1):
        up += [Conv2DTranspose(c, c // 2, 4, stride=2, padding=1, bias=False, rng=rng)]
        up += [BatchNormalization(c // 2), ReLU()]
        c //= 2
    up += [Conv2DTranspose(c, channels, 4, stride=2, padding=1, rng=rng), Tanh()]

    down = [Conv2D(channels, width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    for _ in range(doublings - 1):
        down += [Conv2D(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng)]
        down += [BatchNormalization(2 * width), LeakyReLU(0.2)]
        width *= 2
    down += [Flatten(), Dense(start * start * width, 1, rng=rng)]
    return Workload(Sequential(up), Sequential(down), (size, size, channels), latent)


def dense_gan(rng: np.random.Generator) -> Workload:
    """The dense GAN of lesson 8 at 64x64x3, without narrowing."""
    up, width = [], 100
    for out in (256, 512):
        up += [Dense(width, out, rng=rng), LeakyReLU(0.2), BatchNormalization(out)]
        width = out
    up += [Dense(width, 64 * 64 * 3, rng=rng), Reshape((64, 64, 3)), Tanh()]
    down, width = [Flatten()], 64 * 64 * 3
    for out in (512, 256):
        down += [Dense(width, out, rng=rng), LeakyReLU(0.2)]
        width = out
    down += [Dense(width, 1, rng=rng)]
    return Workload(Sequential(up), Sequential(down), (64, 64, 3), 100)


WORKLOADS: dict[str, Callable[[np.random.Generator], Workload]] = {
    "DCGAN 64x64x3, width 64": lambda rng: dcgan(64, 3, 64, 100, 4, rng),
    "DCGAN 64x64x3, width 32": lambda rng: dcgan(64, 3, 32, 100, 4, rng),
    "DCGAN 64x64x3, width 16": lambda rng: dcgan(64, 3, 16, 100, 4, rng),
    "DCGAN 28x28x1, width 32": lambda rng: dcgan(28, 1, 32, 64, 7, rng),
    "dense GAN 64x64x3": dense_gan,
}
