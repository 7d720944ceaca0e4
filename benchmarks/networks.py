"""The networks that the benchmarks time: the DCGAN at three widths, a small one, a dense one, one that repairs."""

from collections.abc import Callable

import numpy as np
from games import Drawing, Game, Repairing

from npgan.layers import Dense, Flatten, Reshape, Sequential, Tanh
from npgan.networks import (
    Inpainter,
    dcgan_discriminator,
    dcgan_generator,
    dense_stack,
    inpainting_discriminator,
)


def dcgan(size: int, channels: int, width: int, latent: int, start: int, rng: np.random.Generator) -> Drawing:
    """DCGAN from start x start pixels up to size x size; the layers nearest to the image have `width` channels."""
    shape = (size, size, channels)
    generator = dcgan_generator(shape, latent, rng, width=width, smallest=start)
    return Drawing(generator, dcgan_discriminator(shape, rng, width=width, smallest=start), shape, latent)


def dense_gan(rng: np.random.Generator) -> Drawing:
    """The dense GAN of lesson 8 at 64x64x3, without narrowing."""
    shape, pixels = (64, 64, 3), 64 * 64 * 3
    up = [
        *dense_stack((100, 256, 512), rng, normalize=True),
        Dense(512, pixels, rng=rng),
        Reshape(shape),
        Tanh(),
    ]
    down = [Flatten(), *dense_stack((pixels, 512, 256), rng, normalize=False), Dense(256, 1, rng=rng)]
    return Drawing(Sequential(up), Sequential(down), shape, 100)


def inpainting_gan(shape: tuple[int, int, int], latent: int, rng: np.random.Generator) -> Repairing:
    """The inpainting GAN of lesson 11."""
    generator = Inpainter(shape, rng, noise=latent)
    return Repairing(generator, inpainting_discriminator(shape, rng), shape, latent)


SEQUENTIAL: dict[str, Callable[[np.random.Generator], Game]] = {  # both networks are layers in a row
    "DCGAN 64x64x3, width 64": lambda rng: dcgan(64, 3, 64, 100, 4, rng),
    "DCGAN 64x64x3, width 32": lambda rng: dcgan(64, 3, 32, 100, 4, rng),
    "DCGAN 64x64x3, width 16": lambda rng: dcgan(64, 3, 16, 100, 4, rng),
    "DCGAN 28x28x1, width 32": lambda rng: dcgan(28, 1, 32, 64, 7, rng),
    "dense GAN 64x64x3": dense_gan,
}
WORKLOADS = SEQUENTIAL | {"inpainting GAN 28x28x1": lambda rng: inpainting_gan((28, 28, 1), 16, rng)}
