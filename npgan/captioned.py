"""Networks that know captions: a text encoder, a generator and a discriminator that are told what to draw.

What the generator draws goes through the game as a pair, [images, words], so that the steps of npgan.adversarial need
not know of captions: the discriminator takes such a pair, and its gradient comes back as [dimages, None], for a whole
number has none.
"""

import math
from collections.abc import Sequence

import numpy as np

from npgan.adversarial import GameLoss, Penalty, penalise
from npgan.backend import Array, array_module
from npgan.layers import Concatenate, Conv2D, Dense, Embedding, Flatten, Layer, LeakyReLU, Pack, Sequential
from npgan.losses import Loss, binary_cross_entropy, zero_centred_penalty
from npgan.networks import Shape, dcgan_generator

WORD = 16  # numbers for each word


def text_encoder(words: int, places: int, code: int, rng: np.random.Generator) -> Sequential:
    """Words (N, places), whole numbers from 0 to `words` - 1 -> codes (N, code).

    Each word in each place has a vector of its own; a code is a linear map of them side by side, so a sum over the
    places. What "red" adds to it, it adds in captions that were never seen, too.
    """
    return Sequential([Embedding(words, WORD, rng=rng), Flatten(), Dense(places * WORD, code, rng=rng)])


class CaptionedGenerator(Layer):
    """[noise (N, noise), words (N, places)] -> [images (N, *shape), the same words]."""

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
        self.encoder, self.join = encoder, Concatenate()
        self.body = dcgan_generator(shape, noise + code, rng, width=width, smallest=4)

    def forward(self, told: Sequence[Array], train: bool = True) -> list[Array]:
        noise, words = told
        code = self.encoder.forward(words, train)  # N, code
        return [self.body.forward(self.join.forward([noise, code], train), train), words]

    def backward(self, dy: Sequence[Array]) -> list:
        """[dimages, None] -> [dnoise, None]."""
        dnoise, dcode = self.join.backward(self.body.backward(dy[0]))
        self.encoder.backward(dcode)
        return [dnoise, None]


class Projection(Layer):
    """[images (N, H, W, C), words (k N, places)] -> logits (k N, 1) (Miyato and Koyama 2018, equation 3).

        logit = score(f) + <f, code> / sqrt(F)        f = features(image), code = encoder(words), both F numbers

    The first part tells real from generated, whatever the caption; the second, whether image and caption belong
    together. Image n meets the captions n, N + n, and so on: k for each, for one pass through `features`. With
    packs of m images, N counts packs, and of the captions of a pack the first is taken.
    """

    def __init__(
        self, features: Layer, width: int, encoder: Layer, rng: np.random.Generator, *, packs: int = 1
    ):
        self.features, self.encoder, self.packs = features, encoder, packs
        self.score = Dense(width, 1, rng=rng)
        self.scale = 1 / math.sqrt(width)

    def forward(self, told: Sequence[Array], train: bool = True) -> Array:
        images, words = told
        f = self.features.forward(images, train)  # N, F
        code = self.encoder.forward(words[:: self.packs], train) * f.dtype.type(self.scale)  # k N, F
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
    shape: Shape, features: int, rng: np.random.Generator, *, width: int = 24, packs: int = 1
) -> Sequential:
    """Images (N, *shape) -> (N / packs, features), in three halvings, without BatchNormalization."""
    h, w, c = shape
    layers: list[Layer] = [Pack(packs)] if packs > 1 else []
    channels = c * packs
    for k in range(3):
        layers += [Conv2D(channels, width << k, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
        channels = width << k
    return Sequential(
        [*layers, Flatten(), Dense(h // 8 * (w // 8) * channels, features, rng=rng), LeakyReLU(0.2)]
    )


def matching(loss: GameLoss = binary_cross_entropy) -> GameLoss:
    """A loss of the game in which real images meet right captions and wrong ones (Reed et al. 2016, algorithm 1).

    Of logits for real images (target 1) the first half is for right captions, the second for wrong ones, whose target
    is 0; generated images and wrong captions count half each.
    """

    def both(logits: Array, target: float) -> Loss:
        if target == 0:
            value, gradient = loss(logits, 0.0)
            return value / 2, gradient / 2
        n = len(logits) // 2
        right, dright = loss(logits[:n], 1.0)
        wrong, dwrong = loss(logits[n:], 0.0)
        return right + wrong / 2, array_module(logits).concatenate([dright, dwrong / 2])

    return both


def captioned_r1(weight: float) -> Penalty:
    """As `adversarial.r1`, of pairs [images, words], by the images: real ones with captions that are true."""

    def penalty(discriminator: Layer, real: Sequence[Array], fake: Sequence[Array]) -> Array:
        images, words = real
        pair = [images, words[: len(images)]]
        return penalise(discriminator, pair, lambda g: zero_centred_pair(g, weight))

    return penalty


def zero_centred_pair(g: Sequence[Array], weight: float) -> tuple[Array, list]:
    value, v = zero_centred_penalty(g[0], weight)
    return value, [v, None]
