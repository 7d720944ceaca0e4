"""UpSampling2D and AveragePooling2D: every pixel becomes a block of pixels, every block becomes one pixel.

Both rest on two sums without weights, each the other's adjoint, <repeat(x), y> = <x, sum_blocks(y)>:

    repeat       (N, H, W, C) -> (N, fh*H, fw*W, C)       y[n, a, b] = x[n, a // fh, b // fw]
    sum_blocks   (N, fh*H, fw*W, C) -> (N, H, W, C)       x[n, a, b] = y summed over the block of (a, b)

So UpSampling2D goes forward by the first and backward by the second, AveragePooling2D the other way round, with
1 / (fh*fw) before both.
"""

from npgan.backend import Array
from npgan.layers.base import Layer, Pair, pair


def repeat(x: Array, factor: Pair) -> Array:
    """Make a block of `factor` equal pixels of every pixel: (N, H, W, C) -> (N, fh*H, fw*W, C)."""
    fh, fw = factor
    return x.repeat(fw, axis=2).repeat(fh, axis=1)


def sum_blocks(y: Array, factor: Pair) -> Array:
    """Add up the pixels of every block of `factor` pixels: (N, fh*H, fw*W, C) -> (N, H, W, C)."""
    fh, fw = factor
    places = [(i, j) for i in range(fh) for j in range(fw)]  # the same place in all blocks at once
    total = y[:, ::fh, ::fw].copy()
    for i, j in places[1:]:
        total += y[:, i::fh, j::fw]
    return total


class UpSampling2D(Layer):
    """(N, H, W, C) -> (N, fh*H, fw*W, C): every pixel becomes a block of `factor` equal ones (nearest neighbour).

    `factor` is a number or a (height, width) pair. Backward, each pixel gets the sum of its block. Followed by a
    Conv2D it enlarges as a Conv2DTranspose does, without checkerboards (Odena et al. 2016).
    """

    def __init__(self, factor: int | Pair = 2):
        self.factor = pair("UpSampling2D: factor", factor, at_least=1)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4)
        return self.remember(train, repeat(x, self.factor))

    def backward(self, dy: Array) -> Array:
        self.recall(dy)
        return sum_blocks(dy, self.factor)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.forward(v)


class AveragePooling2D(Layer):
    """(N, H, W, C) -> (N, H/sh, W/sw, C): every block of `size` pixels becomes one, its mean.

    `size` is a number or a (height, width) pair. It must divide H and W: cut off or filled up, the pixels at the
    edge would count less or more than the others. Backward, each pixel gets 1 / (sh*sw) of its block's gradient.
    """

    def __init__(self, size: int | Pair = 2):
        self.size = pair("AveragePooling2D: size", size, at_least=1)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4)
        (sh, sw), (h, w) = self.size, x.shape[1:3]
        if h % sh or w % sw:
            raise ValueError(
                f"AveragePooling2D: size {self.size} does not divide an input of {(h, w)} pixels"
            )
        return self.remember(train, sum_blocks(x, self.size) * (1 / (sh * sw)))

    def backward(self, dy: Array) -> Array:
        self.recall(dy)
        sh, sw = self.size
        return repeat(dy * (1 / (sh * sw)), self.size)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.forward(v)
