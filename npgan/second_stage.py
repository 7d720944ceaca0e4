"""A second generator, which draws the pictures of the first again, twice as large (StackGAN, Zhang et al. 2017)."""

from collections.abc import Sequence

import numpy as np

from npgan.autoencoding import halves, kl_divergence
from npgan.backend import Array, array_module
from npgan.captioned import CaptionedBlock, double
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    Sequential,
    Sigmoid,
    UpSampling2D,
)

LOG_VARIANCE = -3.0  # of a caption's cloud at first: a deviation of 0.22


def take_ink(images: Array, colours: Array) -> Array:
    """Images (N, H, W, C) and their colours (N, 2, C), fore- and background -> ink (N, H, W, 1), 0 to 1.

    How far a pixel is on the way from the background to the foreground. What is on no such way, as a red spot in blue
    ink on white, counts as the nearest point that is.
    """
    back = colours[:, 1, None, None]  # N, 1, 1, C
    way = colours[:, 0, None, None] - back
    share = ((images - back) * way).sum(axis=3, keepdims=True) / (way * way).sum(axis=3, keepdims=True)
    return share.clip(0, 1)


class Paint(Layer):
    """[ink (N, H, W, 1), colours (N, 2, C)] -> images (N, H, W, C), background + ink * (foreground - background).

    Backward: dink = sum of dy * (foreground - background), over the channels. The colours have none: they are told.
    """

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        ink, colours = parts
        back = colours[:, 1, None, None]  # N, 1, 1, C
        way = colours[:, 0, None, None] - back
        return self.remember(train, back + ink * way, way)

    def backward(self, dy: Array) -> list:
        (way,) = self.recall(dy)
        return [(dy * way).sum(axis=3, keepdims=True), None]


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
        self.cloud.bias.value[features:] = LOG_VARIANCE
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


class CaptionedResidual(Layer):
    """[x, code] -> x + what two convolutions make of both (a residual block, He et al. 2016); same shape as x."""

    def __init__(self, channels: int, code: int, rng: np.random.Generator):
        first, second = (Conv2D(channels, channels, 3, padding=1, bias=False, rng=rng) for _ in range(2))
        self.first = CaptionedBlock([first], channels, code, rng)
        self.second = Sequential([second, BatchNormalization(channels)])

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        return self.remember(train, parts[0] + self.second.forward(self.first.forward(parts, train), train))

    def backward(self, dy: Array) -> list[Array]:
        self.recall(dy)
        dx, dcode = self.first.backward(self.second.backward(dy))
        return [dy + dx, dcode]


class SecondStage(Layer):
    """[ink (N, H, W, 1), words (N, places), noise (N, code), colours (N, 2, C)] -> [images (N, 2 H, 2 W, C), words].

    Reads the ink, at half its size too, where two residual blocks see most of a stroke at once; each time the
    caption's code says what to do with what is read. Then draws twice as large what is to change:

        ink' = sigmoid(SHARP * (ink - 1/2) + change)

    So it starts as an enlargement that is a little sharper. Even H and W.
    """

    SHARP = 6.0

    def __init__(
        self,
        encoder: Layer,
        code: int,
        rng: np.random.Generator,
        *,
        width: int = 24,
        weight: float = 0.02,
    ):
        self.encoder, self.augment = encoder, ConditioningAugmentation(code, rng, weight=weight)
        read = Conv2D(1, width, 3, padding=1, bias=False, rng=rng)
        halve = Conv2D(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng)
        self.read = CaptionedBlock([read], width, code, rng)
        self.halve = CaptionedBlock([halve], 2 * width, code, rng)
        self.residual1 = CaptionedResidual(2 * width, code, rng)
        self.residual2 = CaptionedResidual(2 * width, code, rng)
        self.double = CaptionedBlock([double(2 * width, width, rng)], width, code, rng)
        self.draw = Conv2DTranspose(width, 1, 4, stride=2, padding=1, rng=rng)
        self.draw.weight.value /= 10  # little is changed at first
        self.enlarge, self.bound, self.paint = UpSampling2D(2), Sigmoid(), Paint()

    def forward(self, told: Sequence[Array], train: bool = True) -> list[Array]:
        ink, words, noise, colours = told
        code = self.augment.forward([self.encoder.forward(words, train), noise], train)  # N, code
        fine = self.read.forward([ink - 0.5, code], train)  # N, H, W, width
        x = self.halve.forward([fine, code], train)  # N, H/2, W/2, 2 width
        for block in (self.residual1, self.residual2):
            x = block.forward([x, code], train)
        x = fine + self.double.forward([x, code], train)  # N, H, W, width
        change = self.draw.forward(x, train)  # N, 2 H, 2 W, 1
        logits = self.SHARP * (self.enlarge.forward(ink, train) - 0.5) + change
        return [self.paint.forward([self.bound.forward(logits, train), colours], train), words]

    def backward(self, dy: Sequence[Array]) -> list:
        """[dimages, None] -> [dink, None, None, None]."""
        dink, _ = self.paint.backward(dy[0])
        dlogits = self.bound.backward(dink)
        dfine = self.draw.backward(dlogits)
        d, dcode = self.double.backward(dfine)
        for block in (self.residual2, self.residual1):
            d, dtold = block.backward(d)
            dcode = dcode + dtold
        d, dtold = self.halve.backward(d)
        dink, dread = self.read.backward(d + dfine)
        dcode, _ = self.augment.backward(dcode + dtold + dread)
        self.encoder.backward(dcode)
        return [dink + self.SHARP * self.enlarge.backward(dlogits), None, None, None]
