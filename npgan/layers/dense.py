"""Dense: every output is a weighted sum of every input."""

import numpy as np

from npgan import fast
from npgan.backend import Array
from npgan.fast import faster
from npgan.layers.base import Layer, Parameter, he_normal, positive


@faster(fast.matmul)
def matmul(a: Array, b: Array) -> Array:
    """a @ b for matrices, (M, K) and (K, N) -> (M, N)."""
    return a @ b


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
        self.fan_in = self.in_features  # products in each output
        self.weight = Parameter(he_normal((in_features, out_features), self.fan_in, rng))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=2, last_axis=self.in_features)
        y = matmul(x, self.weight.value)  # batch, out
        if self.bias is not None:
            y += self.bias.value
        return self.remember(train, y, x, self.bias)

    def backward(self, dy: Array) -> Array:
        self.backward_parameters(dy)
        return matmul(dy, self.weight.value.T)

    def backward_parameters(self, dy: Array) -> None:
        x, bias = self.recall(dy)
        if not self.frozen:
            self.weight.grad += matmul(x.T, dy)
            if bias is not None:
                bias.grad += dy.sum(axis=0)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.remember(True, matmul(v, self.weight.value), v, None)
