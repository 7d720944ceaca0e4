"""Activations: functions of one number, applied to every number. Backward multiplies dy by the slope."""

from collections.abc import Callable

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers.base import Layer
from npgan.parallel import over_pieces


class Activation(Layer):
    """y = function(x), number by number. A subclass writes the function, and its slope in terms of y.

    All four slopes can be had from y alone, so that x need not be kept. Both passes run in pieces that fit the
    cache (npgan/parallel.py).
    """

    def function(self, x: Array) -> Array:
        """y of x."""
        raise NotImplementedError

    def slope(self, y: Array) -> Array:
        """dy/dx where the function has the value y."""
        raise NotImplementedError

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = elementwise(self.function, x)
        return self.remember(train, y, y)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        (y,) = self.recall(dy)
        return elementwise(lambda y, dy: self.slope(y) * dy, y, dy)


class LeakyReLU(Activation):
    """y = x where x > 0, alpha * x elsewhere (Maas et al. 2013); the slope is 1 or alpha, by the sign of x.

    y has the sign of x. The slope is computed as the larger of alpha and (y > 0, as 1 or 0): `where` would do
    the same ten times slower, since a processor cannot guess the signs ahead.
    """

    def __init__(self, alpha: float = 0.2):
        if not 0 <= alpha <= 1:
            raise ValueError(f"LeakyReLU: alpha must be in [0, 1], got {alpha!r}")
        self.alpha = float(alpha)  # a NumPy float64 would turn float32 into float64

    def function(self, x: Array) -> Array:
        return array_module(x).maximum(x, self.alpha * x)

    def slope(self, y: Array) -> Array:
        return array_module(y).maximum((y > 0).astype(y.dtype), self.alpha)


class ReLU(Activation):
    """y = max(x, 0); the slope is 1 where x > 0 (and so y > 0), and 0 elsewhere."""

    def function(self, x: Array) -> Array:
        return array_module(x).maximum(x, 0)

    def slope(self, y: Array) -> Array:
        return y > 0


class Tanh(Activation):
    """y = tanh(x), in (-1, 1); the slope is 1 - y**2."""

    def function(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def slope(self, y: Array) -> Array:
        return 1 - y * y


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)), in (0, 1); the slope is y * (1 - y)."""

    def function(self, x: Array) -> Array:
        return sigmoid(x)

    def slope(self, y: Array) -> Array:
        return y * (1 - y)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = exp(min(x, 0)) / (1 + exp(-|x|)); the second form never overflows."""
    xp = array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))


def elementwise(function: Callable[..., Array], *arrays: Array) -> Array:
    """function(*arrays), computed piece by piece along the first axis; the result has their shape and dtype."""
    first = arrays[0]
    if array_module(*arrays) is not np:
        return function(*arrays)
    result = np.empty(first.shape, first.dtype)

    def work(part: slice) -> None:
        result[part] = function(*(array[part] for array in arrays))

    over_pieces(work, first, len(first), first.nbytes // len(first))
    return result
