"""The networks that the benchmarks time: the DCGAN at three widths, a small one, a dense one, one that repairs."""

from collections.abc import Callable

import numpy as np
from games import Drawing, Game, Repairing

from npgan.backend import Array, array_module
from npgan.layers import (
    BatchNormalization,
    Concatenate,
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


def dcgan(size: int, channels: int, width: int, latent: int, start: int, rng: np.random.Generator) -> Drawing:
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
    return Drawing(Sequential(up), Sequential(down), (size, size, channels), latent)


def dense_gan(rng: np.random.Generator) -> Drawing:
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
    return Drawing(Sequential(up), Sequential(down), (64, 64, 3), 100)


class Inpainter(Layer):
    """G(x, z) of lesson 11: damaged images (N, H, W, C), masks (N, H, W, 1), noise -> repaired images (N, H, W, C).

    An encoder down to a code, which the noise joins, and a decoder with the encoder's features joined at each size.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, rng, width: int = 24, code: int = 128):
        h, w, c = shape
        bottom = (h // 4, w // 4, 2 * width)
        flat = h // 4 * (w // 4) * 2 * width
        self.down1 = _scaled(Conv2D, c + 1, width, rng)
        self.down2 = _scaled(Conv2D, width, 2 * width, rng)
        squeeze = Dense(flat, code, bias=False, rng=rng)
        self.encode = Sequential([Flatten(), squeeze, BatchNormalization(code), LeakyReLU(0.2)])
        widen = Dense(code + latent, flat, bias=False, rng=rng)
        self.decode = Sequential([widen, Reshape(bottom), BatchNormalization(2 * width), LeakyReLU(0.2)])
        self.up2 = _scaled(Conv2DTranspose, 4 * width, width, rng)
        self.up1 = Sequential([Conv2DTranspose(2 * width, c, 4, stride=2, padding=1, rng=rng), Tanh()])
        self.join_mask, self.join_noise, self.join2, self.join1 = (Concatenate() for _ in range(4))

    def forward(self, damaged: Array, mask: Array, noise: Array, train: bool = True) -> Array:
        a = self.down1.forward(self.join_mask.forward([damaged, mask], train), train)  # N, H/2, W/2, width
        b = self.down2.forward(a, train)  # N, H/4, W/4, 2 width
        code = self.encode.forward(b, train)  # N, code
        u = self.decode.forward(self.join_noise.forward([code, noise], train), train)  # N, H/4, W/4, 2 width
        u = self.up2.forward(self.join2.forward([u, b], train), train)  # N, H/2, W/2, width
        u = self.up1.forward(self.join1.forward([u, a], train), train)  # N, H, W, C
        missing = mask > 0.5
        return self.remember(train, array_module(u).where(missing, u, damaged), missing)

    def backward(self, dy: Array) -> None:
        """Add to the gradients of the weights. Nothing stands before this network that would need one of its own."""
        (missing,) = self.recall(dy)
        xp = array_module(dy)
        du, da = self.join1.backward(self.up1.backward(xp.where(missing, dy, xp.zeros_like(dy))))
        du, db = self.join2.backward(self.up2.backward(du))
        dcode, _ = self.join_noise.backward(self.decode.backward(du))
        db = db + self.encode.backward(dcode)
        self.down1.backward(da + self.down2.backward(db), input_gradient=False)


def _scaled(kind: type, inputs: int, outputs: int, rng: np.random.Generator) -> Sequential:
    """Half the size with Conv2D, twice the size with Conv2DTranspose."""
    convolution = kind(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)
    return Sequential([convolution, BatchNormalization(outputs), LeakyReLU(0.2)])


def inpainting_gan(
    shape: tuple[int, int, int], latent: int, rng: np.random.Generator, width: int = 16
) -> Repairing:
    """The inpainting GAN of lesson 11; its discriminator's first layer has `width` channels."""
    h, w, c = shape
    down = [Conv2D(c + 1, width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    down += [Conv2D(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng)]
    down += [BatchNormalization(2 * width), LeakyReLU(0.2)]
    down += [Flatten(), Dense(h // 4 * (w // 4) * 2 * width, 1, rng=rng)]
    return Repairing(Inpainter(shape, latent, rng), Sequential(down), shape, latent)


SEQUENTIAL: dict[str, Callable[[np.random.Generator], Game]] = {  # both networks are layers in a row
    "DCGAN 64x64x3, width 64": lambda rng: dcgan(64, 3, 64, 100, 4, rng),
    "DCGAN 64x64x3, width 32": lambda rng: dcgan(64, 3, 32, 100, 4, rng),
    "DCGAN 64x64x3, width 16": lambda rng: dcgan(64, 3, 16, 100, 4, rng),
    "DCGAN 28x28x1, width 32": lambda rng: dcgan(28, 1, 32, 64, 7, rng),
    "dense GAN 64x64x3": dense_gan,
}
WORKLOADS = SEQUENTIAL | {"inpainting GAN 28x28x1": lambda rng: inpainting_gan((28, 28, 1), 16, rng)}
