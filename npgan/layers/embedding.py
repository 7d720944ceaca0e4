"""Embedding: whole numbers, of classes or of words, become vectors that are trained."""

import numpy as np

from npgan import backend
from npgan.backend import Array, array_module
from npgan.layers.base import Layer, Parameter, positive
from npgan.layers.dense import matmul


class Embedding(Layer):
    """Row x[n] of a table: whole numbers (N,) or (N, L) from 0 to count - 1 -> (N, width) or (N, L, width).

    With each number n written as a row of zeros with a one in place n, this is a Dense without bias, y = one_hot @
    weight; forward takes the rows out instead. Backward,

        dweight = one_hot.T @ dy

    adds to a row of the table all gradients of its number, however often it came. The product is right on a GPU
    too, where `dweight[x] += dy` keeps any one of the gradients that share a row. A whole number has no gradient:
    backward returns None, so an Embedding comes first in a network.

    weight (count, width) is drawn from N(0, 1). A number out of range is a ValueError. On a GPU, where to look at the
    numbers would be to wait for them, its row is NaN instead.
    """

    def __init__(self, count: int, width: int, *, rng: np.random.Generator | None = None):
        self.count = positive("Embedding: count", count)
        self.width = positive("Embedding: width", width)
        rng = np.random.default_rng() if rng is None else rng
        self.weight = Parameter(rng.standard_normal((count, width)).astype(np.float32))

    def forward(self, x: Array, train: bool = True) -> Array:
        known = self._check_numbers(x)
        numbers = x.astype(np.int64)  # N or N, L; a copy
        rows = self.weight.value[numbers % self.count]  # ..., width
        if array_module(x) is not np:
            rows = array_module(x).where(known[..., None], rows, rows.dtype.type(np.nan))
        return self.remember(train, rows, numbers)

    def backward(self, dy: Array) -> None:
        (numbers,) = self.recall(dy)
        if not self.frozen:
            everything = array_module(numbers).arange(self.count)
            one_hot = (numbers.reshape(-1, 1) == everything).astype(dy.dtype)  # N*L, count
            self.weight.grad += matmul(one_hot.T, dy.reshape(-1, self.width))

    def _check_numbers(self, x: Array) -> Array:
        """Refuse what is no number of a row; on a GPU say which are one, like x."""
        try:
            device = backend.device_of(x)
        except TypeError as error:
            raise TypeError(f"Embedding: input: {error}") from None
        if device != backend.device_of(self.weight.value):
            raise TypeError(
                f"Embedding: input is {backend.describe(x)}, the layer's weights are "
                f"{backend.describe(self.weight.value)}; move one with to_device or Layer.to"
            )
        if x.dtype.kind not in "iu":
            raise TypeError(f"Embedding: input is {x.dtype}, wanted whole numbers such as int64")
        if x.ndim not in (1, 2):
            raise ValueError(f"Embedding: input has {x.ndim} axes, wanted 1 or 2 (shape {tuple(x.shape)})")
        if 0 in x.shape:
            raise ValueError(f"Embedding: input is empty (shape {tuple(x.shape)})")
        known = x.astype(np.uint64) < self.count  # as an unsigned number, -1 is the largest there is
        if device == "numpy" and not known.all():
            raise ValueError(
                f"Embedding: input has numbers from {int(x.min())} to {int(x.max())}, "
                f"wanted 0 to {self.count - 1}"
            )
        return known
