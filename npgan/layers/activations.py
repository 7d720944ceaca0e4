"""Activations: functions of one number, applied to every number. Backward multiplies dy by the slope."""

from npgan.backend import Array, array_module
from npgan.layers.base import Layer


class LeakyReLU(Layer):
    """y = x where x > 0, alpha * x elsewhere (Maas et al. 2013); the slope is 1 or alpha, by the sign of x."""

    def __init__(self, alpha: float = 0.2):
        if not 0 <= alpha <= 1:
            raise ValueError(f"LeakyReLU: alpha must be in [0, 1], got {alpha!r}")
        self.alpha = float(alpha)  # a NumPy float64 would turn float32 into float64

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = array_module(x).maximum(x, self.alpha * x)
        return self.remember(train, y, x > 0 if train else None)

    def backward(self, dy: Array) -> Array:
        (positive,) = self.recall(dy)
        return array_module(dy).where(positive, dy, self.alpha * dy)


class ReLU(Layer):
    """y = max(x, 0); the slope is 1 where x > 0 and 0 elsewhere."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = array_module(x).maximum(x, 0)
        return self.remember(train, y, x > 0 if train else None)

    def backward(self, dy: Array) -> Array:
        (positive,) = self.recall(dy)
        return dy * positive


class Tanh(Layer):
    """y = tanh(x), in (-1, 1); the slope is 1 - y**2."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = array_module(x).tanh(x)
        return self.remember(train, y, y)

    def backward(self, dy: Array) -> Array:
        (y,) = self.recall(dy)
        return dy * (1 - y * y)


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)), in (0, 1); the slope is y * (1 - y)."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        y = sigmoid(x)
        return self.remember(train, y, y)

    def backward(self, dy: Array) -> Array:
        (y,) = self.recall(dy)
        return dy * y * (1 - y)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = exp(min(x, 0)) / (1 + exp(-|x|)); the second form never overflows."""
    xp = array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))
