"""Activations: functions of one number, applied to every number. Backward multiplies dy by the slope.

All slopes here can be had from y alone, so that x need not be kept.
"""

from npgan import fast
from npgan.backend import Array, array_module
from npgan.fast import faster
from npgan.layers.base import Layer


@faster(fast.leaky_relu)
def leaky_relu(x: Array, alpha: float) -> Array:
    """x where x > 0, alpha * x elsewhere."""
    xp = array_module(x)
    if alpha == 0:
        return xp.maximum(x, 0)  # 0 * infinity is no number
    return xp.maximum(x, alpha * x)


@faster(fast.leaky_relu_gradient)
def leaky_relu_gradient(y: Array, dy: Array, alpha: float) -> Array:
    """dy times the slope, 1 or alpha; y has the sign of x."""
    return array_module(y).where(y > 0, dy, alpha * dy)


@faster(fast.tanh)
def tanh(x: Array) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return array_module(x).tanh(x)


@faster(fast.tanh_gradient)
def tanh_gradient(y: Array, dy: Array) -> Array:
    """dy times the slope, 1 - y**2."""
    return dy * (1 - y * y)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = exp(min(x, 0)) / (1 + exp(-|x|)); the second form never overflows."""
    xp = array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))


class LeakyReLU(Layer):
    """y = x where x > 0, alpha * x elsewhere (Maas et al. 2013); the slope is 1 or alpha, by the sign of x."""

    def __init__(self, alpha: float = 0.2):
        if not 0 <= alpha <= 1:
            raise ValueError(f"LeakyReLU: alpha must be in [0, 1], got {alpha!r}")
        self.alpha = float(alpha)  # a NumPy float64 would turn float32 into float64

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = leaky_relu(x, self.alpha)
        return self.remember(train, y, y)

    def backward(self, dy: Array) -> Array:
        (y,) = self.recall(dy)
        return leaky_relu_gradient(y, dy, self.alpha)

    def tangent(self, v: Array) -> Array:
        (y,) = self.recall_for_tangent()
        return self.remember(True, leaky_relu_gradient(y, v, self.alpha), y)


class ReLU(LeakyReLU):
    """y = max(x, 0), the LeakyReLU with alpha = 0; the slope is 1 where x > 0, and 0 elsewhere."""

    def __init__(self):
        super().__init__(0.0)


class Tanh(Layer):
    """y = tanh(x), in (-1, 1); the slope is 1 - y**2."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = tanh(x)
        return self.remember(train, y, y)

    def backward(self, dy: Array) -> Array:
        (y,) = self.recall(dy)
        return tanh_gradient(y, dy)


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)), in (0, 1); the slope is y * (1 - y)."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = sigmoid(x)
        return self.remember(train, y, y)

    def backward(self, dy: Array) -> Array:
        (y,) = self.recall(dy)
        return dy * (y * (1 - y))
