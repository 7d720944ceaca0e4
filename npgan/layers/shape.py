"""Flatten and Reshape: the same numbers under another shape. Backward restores the shape that came in."""

import math

from npgan.backend import Array
from npgan.layers.base import Layer, positive


class Flatten(Layer):
    """(N, ...) -> (N, product of the rest)."""

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        return self.remember(train, x.reshape(x.shape[0], -1), x.shape)

    def backward(self, dy: Array) -> Array:
        (shape,) = self.recall(dy)
        return dy.reshape(shape)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.forward(v)


class Reshape(Layer):
    """(N, ...) -> (N, *shape); the number of values must stay the same."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = tuple(positive("Reshape: shape", size) for size in shape)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"Reshape: an input of shape {tuple(x.shape)} does not fit {self.shape} a sample"
            )
        return self.remember(train, x.reshape(x.shape[0], *self.shape), x.shape)

    def backward(self, dy: Array) -> Array:
        (shape,) = self.recall(dy)
        return dy.reshape(shape)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.forward(v)
