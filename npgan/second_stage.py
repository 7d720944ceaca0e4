"""A second generator, which makes the pictures of the first twice as large (StackGAN, Zhang et al. 2017)."""

from collections.abc import Sequence

import numpy as np

from npgan.autoencoding import halves, kl_divergence
from npgan.backend import Array, array_module
from npgan.captioned import CaptionedBlock, Modulation, double
from npgan.layers import BatchNormalization, Conv2D, Dense, Layer, LeakyReLU, Sequential, UpSampling2D
from npgan.networks import Shape


class ConditioningAugmentation(Layer):
    """[code (N, F), noise (N, F)] -> mean + deviation * noise (N, F): each caption has a cloud of codes.

    Mean and log variance are linear in the code (Zhang et al. 2017, section 3.1): a ReLU behind them, as in a public
    version, would allow no deviation below 1. `weight` times the divergence of the cloud from N(0, 1), in nats, is
    part of the generator's loss; `divergence` keeps its value.

    Backward: dmean = dy + weight * mean / N, dlog_variance = dy * noise * deviation / 2 + weight * (variance - 1) /
    (2 N). There is none by the noise.
    """

    def __init__(self, features: int, rng: np.random.Generator, *, weight: float = 0.02):
        self.cloud, self.weight = Dense(features, 2 * features, rng=rng), weight
        self.divergence: Array | float = 0.0

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        code, noise = parts
        mean, log_variance = halves(self.cloud.forward(code, train))
        deviation = array_module(code).exp(log_variance / 2)
        return self.remember(train, mean + deviation * noise, mean, log_variance, noise)

    def backward(self, dy: Array) -> list:
        """[dcode, None]: the divergence's part is in it."""
        mean, log_variance, noise = self.recall(dy)
        xp = array_module(dy)
        self.divergence, dmean, dlog_variance = kl_divergence(mean, log_variance)
        dlog_variance = self.weight * dlog_variance + dy * noise * xp.exp(log_variance / 2) / 2
        return [self.cloud.backward(xp.concatenate([dy + self.weight * dmean, dlog_variance], axis=1)), None]


class SecondStage(Layer):
    """[images (N, H, W, C), words (N, places), noise (N, code)] -> [images (N, 2 H, 2 W, C), the same words].

    Each pixel becomes a block of four, and the network says what to change: features of the small image, bent by the
    caption's code, then a residual block (He et al. 2016), then twice the size. It starts where enlarging ends.
    """

    def __init__(
        self,
        shape: Shape,
        encoder: Layer,
        code: int,
        rng: np.random.Generator,
        *,
        width: int = 24,
        weight: float = 0.02,
    ):
        c = shape[2]
        self.encoder, self.augment = encoder, ConditioningAugmentation(code, rng, weight=weight)
        self.read = CaptionedBlock([Conv2D(c, width, 3, padding=1, bias=False, rng=rng)], width, code, rng)
        self.residual = Sequential(
            [
                Conv2D(width, width, 3, padding=1, bias=False, rng=rng),
                BatchNormalization(width),
                LeakyReLU(0.2),
                Conv2D(width, width, 3, padding=1, bias=False, rng=rng),
                BatchNormalization(width),
            ]
        )
        self.grow = CaptionedBlock([double(width, width, rng)], width, code, rng)
        self.draw, self.paint = Conv2D(width, c, 3, padding=1, rng=rng), Modulation(c, code, rng)
        self.draw.weight.value /= 10  # little is changed at first
        self.enlarge = UpSampling2D(2)

    def forward(self, told: Sequence[Array], train: bool = True) -> list[Array]:
        images, words, noise = told
        code = self.augment.forward([self.encoder.forward(words, train), noise], train)  # N, code
        x = self.read.forward([images, code], train)  # N, H, W, width
        x = x + self.residual.forward(x, train)
        x = self.grow.forward([x, code], train)  # N, 2 H, 2 W, width
        change = self.paint.forward([self.draw.forward(x, train), code], train)
        return [self.enlarge.forward(images, train) + change, words]

    def backward(self, dy: Sequence[Array]) -> list:
        """[dimages, None] -> [dimages, None, None]."""
        d, dcode = self.paint.backward(dy[0])
        d, dtold = self.grow.backward(self.draw.backward(d))
        dcode = dcode + dtold
        d = d + self.residual.backward(d)
        d, dtold = self.read.backward(d)
        dcode, _ = self.augment.backward(dcode + dtold)
        self.encoder.backward(dcode)
        return [d + self.enlarge.backward(dy[0]), None, None]
