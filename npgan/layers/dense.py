"""Dense: every output is a weighted sum of every input."""

import math

import numpy as np

from npgan.backend import Array
from npgan.layers.base import Layer, Parameter
from npgan.products import matmul


class Dense(Layer):
    """y = x @ weight + bias, for x of shape (batch, in_features).

    Backward, from y[n, o] = sum_i x[n, i] weight[i, o] + bias[o]:

        dx = dy @ weight.T          dweight = x.T @ dy          dbias = dy summed over the batch

    weight has shape (in_features, out_features) and is drawn from N(0, 2 / in_features) (He et al. 2015,
    section 2.2); bias starts at zero. `rng` is a numpy.random.Generator; None draws a fresh one.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ):
        self.in_features = positive("Dense: in_features", in_features)
        self.out_features = positive("Dense: out_features", out_features)
        self.weight = Parameter(he_normal((in_features, out_features), in_features, rng))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=2, last_axis=self.in_features)
        y = matmul(x, self.weight.value)  # (batch, out)
        if self.bias is not None:
            y += self.bias.value
        return self.remember(train, y, x)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += matmul(x.T, dy)
            if self.bias is not None:
                self.bias.grad += dy.sum(axis=0)
        return matmul(dy, self.weight.value.T) if input_gradient else None


def he_normal(shape: tuple[int, ...], fan_in: float, rng: np.random.Generator | None) -> np.ndarray:
    """Draw float32 weights from N(0, 2 / fan_in), so that a rectified layer keeps its input's variance."""
    rng = np.random.default_rng() if rng is None else rng
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)


def positive(name: str, value: int) -> int:
    """Return `value` where it is a whole number of at least one; otherwise raise a ValueError that names it."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)
