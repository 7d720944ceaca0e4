"""Networks that know captions: a text encoder, a generator and a discriminator that are told what to draw.

What the generator draws goes through the game as a pair, [images, words], so that the steps of npgan.adversarial need
not know of captions: the discriminator takes such a pair, and its gradient comes back as [dimages, None], for a whole
number has none.
"""

import math
from collections.abc import Sequence

import numpy as np

from npgan.adversarial import GameLoss, Penalty, r1
from npgan.backend import Array, array_module
from npgan.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Embedding,
    Flatten,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.losses import Loss, binary_cross_entropy
from npgan.networks import Shape

WORD = 16  # numbers for each word


def text_encoder(words: int, places: int, code: int, rng: np.random.Generator) -> Sequential:
    """Words (N, places), whole numbers from 0 to `words` - 1 -> codes (N, code).

    Each word in each place has a vector of its own; a code is a linear map of them side by side, so a sum over the
    places. What "red" adds to it, it adds in captions that were never seen, too.
    """
    return Sequential([Embedding(words, WORD, rng=rng), Flatten(), Dense(places * WORD, code, rng=rng)])


class Modulation(Layer):
    """[x (N, H, W, C), code (N, F)] -> (1 + scale) * x + shift, with scale and shift (N, C) linear in the code.

    So a code can turn channels up, down and off (as in conditional BatchNormalization, de Vries et al. 2017). What a
    picture of two colours is, back + ink * (fore - back), is a product, which layers that only add learn badly. Both
    start small: a code that says nothing yet changes little.

    Backward: dx = (1 + scale) * dy, dscale = sum of dy * x, dshift = sum of dy, both over the pixels.
    """

    def __init__(self, channels: int, code: int, rng: np.random.Generator):
        self.scale, self.shift = Dense(code, channels, rng=rng), Dense(code, channels, rng=rng)
        for dense in (self.scale, self.shift):
            dense.weight.value /= 4

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        x, code = parts
        scale = 1 + self.scale.forward(code, train)[:, None, None]  # N, 1, 1, C
        return self.remember(train, scale * x + self.shift.forward(code, train)[:, None, None], x, scale)

    def backward(self, dy: Array) -> list[Array]:
        x, scale = self.recall(dy)
        dscale, dshift = (dy * x).sum(axis=(1, 2)), dy.sum(axis=(1, 2))  # N, C
        return [scale * dy, self.scale.backward(dscale) + self.shift.backward(dshift)]


class CaptionedBlock(Layer):
    """[x, code] -> y: a layer that makes the picture larger, BatchNormalization, what the code does to it, ReLU."""

    def __init__(self, grow: Sequence[Layer], channels: int, code: int, rng: np.random.Generator):
        self.grow = Sequential([*grow, BatchNormalization(channels)])
        self.tell, self.bend = Modulation(channels, code, rng), ReLU()

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        x, code = parts
        y = self.bend.forward(self.tell.forward([self.grow.forward(x, train), code], train), train)
        return self.remember(train, y)

    def backward(self, dy: Array) -> list[Array]:
        self.recall(dy)
        dx, dcode = self.tell.backward(self.bend.backward(dy))
        return [self.grow.backward(dx), dcode]


class CaptionedGenerator(Layer):
    """[noise (N, noise), words (N, places)] -> [images (N, *shape), the same words]; H and W divisible by 8.

    DCGAN's, from an eighth of the size in three doublings, the last without BatchNormalization. The code enters
    beside the noise, and at each size by a Modulation; the last bends the colours of the picture itself.
    """

    def __init__(
        self,
        shape: Shape,
        encoder: Layer,
        code: int,
        rng: np.random.Generator,
        *,
        noise: int = 48,
        width: int = 24,
    ):
        h, w, c = shape
        self.encoder, self.join = encoder, Concatenate()
        bottom = (h // 8, w // 8, 4 * width)
        widen = [Dense(noise + code, math.prod(bottom), bias=False, rng=rng), Reshape(bottom)]
        self.block1 = CaptionedBlock(widen, 4 * width, code, rng)
        self.block2 = CaptionedBlock([double(4 * width, 2 * width, rng)], 2 * width, code, rng)
        self.block3 = CaptionedBlock([double(2 * width, width, rng)], width, code, rng)
        self.draw = Conv2DTranspose(width, c, 4, stride=2, padding=1, rng=rng)
        self.paint, self.bound = Modulation(c, code, rng), Tanh()

    def forward(self, told: Sequence[Array], train: bool = True) -> list[Array]:
        noise, words = told
        return [self.of_code(noise, self.encoder.forward(words, train), train), words]

    def of_code(self, noise: Array, code: Array, train: bool = True) -> Array:
        """Images of noise (N, noise) and codes (N, code), which no caption need have."""
        x = self.join.forward([noise, code], train)
        for block in (self.block1, self.block2, self.block3):
            x = block.forward([x, code], train)
        x = self.paint.forward([self.draw.forward(x, train), code], train)
        return self.bound.forward(x, train)

    def backward(self, dy: Sequence[Array]) -> list:
        """[dimages, None] -> [dnoise, None]. The code goes five ways: its gradient is the sum over them."""
        d, dcode = self.paint.backward(self.bound.backward(dy[0]))
        d = self.draw.backward(d)
        for block in (self.block3, self.block2, self.block1):
            d, dtold = block.backward(d)
            dcode = dcode + dtold
        dnoise, dbeside = self.join.backward(d)
        self.encoder.backward(dcode + dbeside)
        return [dnoise, None]


def double(inputs: int, outputs: int, rng: np.random.Generator) -> Layer:
    """Twice the size, as in networks.double, but nothing after it."""
    return Conv2DTranspose(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)


class PairScore(Layer):
    """(N, F) -> (N, 1): how real each sample looks, from its features and those of its neighbour, 2k and 2k + 1.

    Where both were drawn from one caption, this sees that a generator draws the same again and again, as `Pack` does,
    while all else in the discriminator still judges one sample at a time.
    """

    def __init__(self, features: int, rng: np.random.Generator):
        self.body = Sequential([Dense(2 * features, 64, rng=rng), LeakyReLU(0.2), Dense(64, 1, rng=rng)])

    def forward(self, f: Array, train: bool = True) -> Array:
        return self.remember(train, self.body.forward(self._beside(f), train))

    def backward(self, dy: Array) -> Array:
        self.recall(dy)
        both = self.body.backward(dy)  # N, 2 F
        own, others = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        return own + self._neighbours(others)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.remember(True, self.body.tangent(self._beside(v)))

    def _beside(self, f: Array) -> Array:
        return array_module(f).concatenate([f, self._neighbours(f)], axis=1)  # N, 2 F

    @staticmethod
    def _neighbours(f: Array) -> Array:
        return f.reshape(-1, 2, f.shape[1])[:, ::-1].reshape(f.shape)


class Projection(Layer):
    """[images (N, H, W, C), words (k N, places)] -> logits (k N, 1) (Miyato and Koyama 2018, equation 3).

        logit = score(f) + <f, code> / sqrt(F)        f = features(image), code = encoder(words), both F numbers

    The first part tells real from generated, whatever the caption; the second, whether image and caption belong
    together. Image n meets the captions n, N + n, and so on: k for each, for one pass through `features`.
    score: features (N, F) -> (N, 1).
    """

    def __init__(self, features: Layer, width: int, encoder: Layer, score: Layer):
        self.features, self.encoder, self.score = features, encoder, score
        self.scale = 1 / math.sqrt(width)

    def forward(self, told: Sequence[Array], train: bool = True) -> Array:
        images, words = told
        f = self.features.forward(images, train)  # N, F
        code = self.encoder.forward(words, train) * f.dtype.type(self.scale)  # k N, F
        score = self.score.forward(f, train)  # N, 1
        times = len(code) // len(f)
        f, score = array_module(f).tile(f, (times, 1)), array_module(f).tile(score, (times, 1))
        return self.remember(train, score + (f * code).sum(axis=1, keepdims=True), f, code, times)

    def backward(self, dy: Array) -> list:
        """dy (k N, 1) -> [dimages, None]."""
        return [self.features.backward(self._to_features(dy)), None]

    def backward_parameters(self, dy: Array) -> None:
        self.features.backward_parameters(self._to_features(dy))

    def tangent(self, v: Sequence[Array]) -> Array:
        """v [like the images, None]: the caption is constant, so the code stays what it was."""
        _, code, times = self.recall_for_tangent()
        t = self.features.tangent(v[0])
        score = self.score.tangent(t)
        xp = array_module(t)
        t, score = xp.tile(t, (times, 1)), xp.tile(score, (times, 1))
        return self.remember(True, score + (t * code).sum(axis=1, keepdims=True), t, code, times)

    def _to_features(self, dy: Array) -> Array:
        f, code, times = self.recall(dy)
        self.encoder.backward(dy * f * f.dtype.type(self.scale))
        df = (dy * code).reshape(times, -1, f.shape[1]).sum(axis=0)  # N, F
        return df + self.score.backward(dy.reshape(times, -1, 1).sum(axis=0))


def image_features(
    shape: Shape, features: int, rng: np.random.Generator, *, width: int = 24, halvings: int = 3
) -> Sequential:
    """Images (N, *shape) -> (N, features), in so many halvings, without BatchNormalization."""
    h, w, channels = shape
    layers: list[Layer] = []
    for k in range(halvings):
        layers += [Conv2D(channels, width << k, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
        channels = width << k
    flat = (h >> halvings) * (w >> halvings) * channels
    return Sequential([*layers, Flatten(), Dense(flat, features, rng=rng), LeakyReLU(0.2)])


def matching(shares: Sequence[float]) -> GameLoss:
    """The cross-entropy of a game in which each real image meets wrong captions, too (Reed et al. 2016, algorithm 1).

    shares: how much each of them counts; Reed's is (0.5,). Of the logits for real images (target 1) the first part is
    for the right captions, and then one for each share, of equally many; those have the target 0. Generated images
    count a half.
    """

    def both(logits: Array, target: float) -> Loss:
        if target == 0:
            value, gradient = binary_cross_entropy(logits, 0.0)
            return value / 2, gradient / 2
        n = len(logits) // (1 + len(shares))
        value, gradient = binary_cross_entropy(logits[:n], 1.0)
        gradients = [gradient]
        for k, share in enumerate(shares, start=1):
            wrong, dwrong = binary_cross_entropy(logits[k * n : (k + 1) * n], 0.0)
            value = value + share * wrong
            gradients.append(logits.dtype.type(share) * dwrong)
        return value, array_module(logits).concatenate(gradients)

    return both


def captioned_r1(weight: float) -> Penalty:
    """As `adversarial.r1`, of pairs [images, words], by the images: real ones with captions that are true."""
    penalty = r1(weight)
    return lambda discriminator, real, fake: penalty(discriminator, [real[0], real[1][: len(real[0])]], fake)
