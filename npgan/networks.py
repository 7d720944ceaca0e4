"""The networks that lessons and benchmarks share: blocks, first weights, a dense stack, DCGAN, and one that repairs.

Plain functions that put layers in a row; read one, or print one's `summary`. All weights are drawn from `rng` in the
order in which the layers stand, so that the same generator gives the same network.
"""

import numpy as np

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

Shape = tuple[int, int, int]  # height, width, channels of one image


# Blocks --------------------------------------------------------------------------------------------------------
#
# Kernels of 4 with a stride of 2: divisible, so no checkerboard (lesson 4). A bias in front of BatchNormalization
# would be subtracted again, so there is none.


def halve(inputs: int, outputs: int, rng: np.random.Generator) -> Sequential:
    """Half the size: (N, H, W, inputs) -> (N, H/2, W/2, outputs)."""
    convolution = Conv2D(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)
    return Sequential([convolution, BatchNormalization(outputs), LeakyReLU(0.2)])


def double(inputs: int, outputs: int, rng: np.random.Generator) -> Sequential:
    """Twice the size: (N, H, W, inputs) -> (N, 2H, 2W, outputs)."""
    convolution = Conv2DTranspose(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)
    return Sequential([convolution, BatchNormalization(outputs), LeakyReLU(0.2)])


def normal_weights(network: Layer, rng: np.random.Generator) -> Layer:
    """Draw all weights anew from N(0, 0.02) (Radford et al. 2016, section 4); biases stay. Returns the network."""
    for name, parameter in network.named_parameters().items():
        if name.endswith("weight"):
            parameter.value[...] = 0.02 * rng.standard_normal(parameter.value.shape)
    return network


# Dense ---------------------------------------------------------------------------------------------------------


def dense_stack(widths: tuple[int, ...], rng: np.random.Generator, *, normalize: bool) -> list[Layer]:
    """Dense, LeakyReLU and, with `normalize`, BatchNormalization, for each width after the first."""
    layers: list[Layer] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [Dense(inputs, outputs, rng=rng), LeakyReLU(0.2)]
        if normalize:
            layers.append(BatchNormalization(outputs, momentum=0.8))
    return layers


# DCGAN (Radford, Metz and Chintala 2016, figure 1) -------------------------------------------------------------


def dcgan_generator(
    shape: Shape, latent: int, rng: np.random.Generator, *, width: int = 32, smallest: int = 8
) -> Sequential:
    """Noise (N, latent) -> images (N, *shape) in (-1, 1), by doublings from at most `smallest` pixels a side.

    The last hidden layer has `width` channels, each one before it twice as many.
    """
    height, wide, colours = shape
    doublings = 0
    while height % 2 == 0 and wide % 2 == 0 and max(height, wide) > smallest:
        height, wide, doublings = height // 2, wide // 2, doublings + 1
    channels = width * 2 ** max(0, doublings - 1)
    layers = [
        Dense(latent, height * wide * channels, bias=False, rng=rng),
        Reshape((height, wide, channels)),
        BatchNormalization(channels),
        ReLU(),
    ]
    for _ in range(doublings - 1):
        layers += [
            Conv2DTranspose(channels, channels // 2, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(channels // 2),
            ReLU(),
        ]
        channels //= 2
    if doublings:
        layers += [Conv2DTranspose(channels, colours, 4, stride=2, padding=1, rng=rng), Tanh()]
    else:  # a size that cannot be halved: no step up, only colours
        layers += [Conv2D(channels, colours, 3, padding=1, rng=rng), Tanh()]
    return Sequential(layers)


def dcgan_discriminator(
    shape: Shape, rng: np.random.Generator, *, width: int = 32, smallest: int = 4, outputs: int = 1
) -> Sequential:
    """Images (N, *shape) -> logits (N, outputs); above zero means real. Halves down to `smallest` pixels or fewer.

    The first layer has `width` channels, each one after it twice as many.
    """
    height, wide, channels = shape
    layers: list[Layer] = []
    while max(height, wide) > smallest and min(height, wide) > 1:
        layers.append(Conv2D(channels, width, 4, stride=2, padding=1, bias=not layers, rng=rng))
        if len(layers) > 1:  # none on the pixels themselves
            layers.append(BatchNormalization(width))
        layers.append(LeakyReLU(0.2))
        height, wide, channels, width = height // 2, wide // 2, width, 2 * width
    return Sequential([*layers, Flatten(), Dense(height * wide * channels, outputs, rng=rng)])


# Kinds ---------------------------------------------------------------------------------------------------------
#
# Both players are told of what kind an image is to be: kinds (N, K) have a 1 in the column of the kind, else 0
# (npgan/kinds.py). What G draws goes through the game as a pair, [images, kinds], so that the steps of
# npgan.adversarial need not know of kinds. D's gradient comes back as [dimages, None]: nobody changes a kind.


class ToldGenerator(Layer):
    """Noise with the kind beside it (N, latent + K) -> [images (N, H, W, C), kinds (N, K)].

    body: draws images of such rows. To its first Dense layer a kind is a bias of its own.
    """

    def __init__(self, body: Layer, kinds: int):
        self.body, self.kinds = body, kinds

    def forward(self, told: Array, train: bool = True) -> list[Array]:
        return [self.body.forward(told, train), told[:, -self.kinds :]]

    def backward(self, dy: list) -> Array:
        """[dimages, None] -> dtold."""
        return self.body.backward(dy[0])

    def backward_parameters(self, dy: list) -> None:
        self.body.backward_parameters(dy[0])


class ToldDiscriminator(Layer):
    """[images, kinds (N, K)] -> logits (N, 1), by a network with K outputs: that of the image's own kind counts.

    So each kind has weights of its own in the last layer, and all before are shared: the projection of Miyato and
    Koyama 2018 (equation 3) without its first term.
    """

    def __init__(self, body: Layer):
        self.body = body

    def forward(self, told: list[Array], train: bool = True) -> Array:
        images, kinds = told
        logits = self.body.forward(images, train)  # N, K
        return self.remember(train, (logits * kinds).sum(axis=1, keepdims=True), kinds)

    def tangent(self, v: list) -> Array:
        """v [like the images, None]: kinds are constant."""
        (kinds,) = self.recall_for_tangent()
        return self.remember(True, (self.body.tangent(v[0]) * kinds).sum(axis=1, keepdims=True), kinds)

    def backward(self, dy: Array) -> list:
        """dy (N, 1) -> [dimages, None]."""
        (kinds,) = self.recall(dy)
        return [self.body.backward(dy * kinds), None]

    def backward_parameters(self, dy: Array) -> None:
        (kinds,) = self.recall(dy)
        self.body.backward_parameters(dy * kinds)


# Repair --------------------------------------------------------------------------------------------------------


class Inpainter(Layer):
    """Damaged images (N, H, W, C), masks (N, H, W, 1), noise (N, noise) -> repaired images (N, H, W, C).

    A mask is 1 where a pixel is missing. Known pixels come back bit for bit. H and W must be divisible by 4.

    An encoder halves the image twice and squeezes it into a code, which sees the whole image; the noise joins it
    there, and a decoder goes back up. At each size the encoder's features are joined to the decoder's: skip
    connections (Ronneberger et al. 2015), which carry exact places past the code.
    """

    def __init__(
        self,
        shape: Shape,
        rng: np.random.Generator,
        *,
        width: int = 24,
        code: int = 128,
        noise: int = 16,
        skips: bool = True,
    ):
        h, w, c = shape
        bottom = (h // 4, w // 4, 2 * width)
        flat, twice = h // 4 * (w // 4) * 2 * width, 2 if skips else 1
        self.noise, self.skips = noise, skips
        self.down1 = halve(c + 1, width, rng)
        self.down2 = halve(width, 2 * width, rng)
        squeeze = Dense(flat, code, bias=False, rng=rng)
        self.encode = Sequential([Flatten(), squeeze, BatchNormalization(code), LeakyReLU(0.2)])
        widen = Dense(code + noise, flat, bias=False, rng=rng)
        self.decode = Sequential([widen, Reshape(bottom), BatchNormalization(2 * width), LeakyReLU(0.2)])
        self.up2 = double(twice * 2 * width, width, rng)
        self.up1 = Sequential([Conv2DTranspose(twice * width, c, 4, stride=2, padding=1, rng=rng), Tanh()])
        self.join_mask, self.join_noise, self.join2, self.join1 = (Concatenate() for _ in range(4))

    def forward(self, damaged: Array, mask: Array, noise: Array, train: bool = True) -> Array:
        a = self.down1.forward(self.join_mask.forward([damaged, mask], train), train)  # N, H/2, W/2, width
        b = self.down2.forward(a, train)  # N, H/4, W/4, 2 width
        code = self.encode.forward(b, train)  # N, code
        u = self.decode.forward(self.join_noise.forward([code, noise], train), train)  # N, H/4, W/4, 2 width
        if self.skips:
            u = self.join2.forward([u, b], train)
        u = self.up2.forward(u, train)  # N, H/2, W/2, width
        if self.skips:
            u = self.join1.forward([u, a], train)
        u = self.up1.forward(u, train)  # N, H, W, C
        missing = mask > 0.5
        return self.remember(train, array_module(u).where(missing, u, damaged), missing)

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        """dy (N, H, W, C) -> ddamaged, dmask, dnoise. At known pixels dy goes straight to the damaged image."""
        da, dnoise, missing = self._to_first(dy)
        ddamaged, dmask = self.join_mask.backward(self.down1.backward(da))
        return ddamaged + array_module(dy).where(missing, 0, dy), dmask, dnoise

    def backward_parameters(self, dy: Array) -> None:
        da, _, _ = self._to_first(dy)
        self.down1.backward_parameters(da)

    def _to_first(self, dy: Array) -> tuple[Array, Array, Array]:
        """The gradients by the output of the first layer, and by the noise; and which pixels are missing."""
        (missing,) = self.recall(dy)
        xp = array_module(dy)
        da = db = 0.0
        du = self.up1.backward(xp.where(missing, dy, 0))
        if self.skips:
            du, da = self.join1.backward(du)
        du = self.up2.backward(du)
        if self.skips:
            du, db = self.join2.backward(du)
        dcode, dnoise = self.join_noise.backward(self.decode.backward(du))
        db = db + self.encode.backward(dcode)  # b goes two ways: its gradient is the sum over both
        return da + self.down2.backward(db), dnoise, missing


def inpainting_discriminator(shape: Shape, rng: np.random.Generator, *, width: int = 16) -> Sequential:
    """Image and mask (N, H, W, C + 1) -> logits (N, 1); above zero means undamaged. Halves twice."""
    h, w, c = shape
    network = dcgan_discriminator((h, w, c + 1), rng, width=width, smallest=max(h, w) // 4)
    return normal_weights(network, rng)
