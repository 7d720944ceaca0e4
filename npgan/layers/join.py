"""Concatenate and Add join several arrays, Pack the samples of one. Backward takes apart what was joined."""

from collections.abc import Sequence

from npgan.backend import Array, array_module
from npgan.layers.base import Layer, positive


def check_parts(layer: Layer, parts: Sequence[Array]) -> None:
    """Raise one clear error where `parts` is no list of arrays of one library and dtype."""
    name = type(layer).__name__
    if not isinstance(parts, list | tuple) or not parts:  # an array would be taken for a list of its samples
        came = "an empty list" if isinstance(parts, list | tuple) else type(parts).__name__
        raise TypeError(f"{name}: input must be a list of arrays, got {came}")
    for part in parts:
        layer.check_input(part)
    array_module(*parts)
    if len({part.dtype for part in parts}) != 1:
        raise TypeError(f"{name}: the parts are {', '.join(str(part.dtype) for part in parts)}")


class Concatenate(Layer):
    """[(N, ..., A), (N, ..., B), ...] -> (N, ..., A + B + ...): joined along the last axis, in that order.

    It takes a list where other layers take one array, and backward returns a list: one gradient for each part.
    Joins noise to a code, a mask to an image, an encoder's features to a decoder's (skip connections,
    Ronneberger et al. 2015, section 2). What went two ways before the join gets the sum of both gradients.
    """

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        check_parts(self, parts)
        shapes = [tuple(part.shape) for part in parts]
        if len({shape[:-1] for shape in shapes}) != 1:
            raise ValueError(f"Concatenate: the parts must agree in all axes but the last, got {shapes}")
        y = array_module(*parts).concatenate(parts, axis=-1)
        return self.remember(train, y, [shape[-1] for shape in shapes])

    def backward(self, dy: Array) -> list[Array]:
        (widths,) = self.recall(dy)
        gradients, start = [], 0
        for width in widths:
            gradients.append(dy[..., start : start + width].copy())
            start += width
        return gradients

    def tangent(self, v: Sequence[Array]) -> Array:
        self.recall_for_tangent()
        return self.forward(v)


class Add(Layer):
    """[(N, ..., C), (N, ..., C), ...] -> (N, ..., C): the sum of arrays of one shape.

    As Concatenate, it takes a list, and backward returns a list: a copy of dy for each part. A block with a skip,
    y = x + f(x) (He et al. 2016), is `add.forward([x, f.forward(x)])`; backward, with `dx, df = add.backward(dy)`,
    x gets dx + f.backward(df).
    """

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        check_parts(self, parts)
        shapes = [tuple(part.shape) for part in parts]
        if len(set(shapes)) != 1:
            raise ValueError(f"Add: the parts must have one shape, got {shapes}")
        y = parts[0].copy()
        for part in parts[1:]:
            y += part
        return self.remember(train, y, len(parts))

    def backward(self, dy: Array) -> list[Array]:
        (count,) = self.recall(dy)
        return [dy.copy() for _ in range(count)]

    def tangent(self, v: Sequence[Array]) -> Array:
        self.recall_for_tangent()
        return self.forward(v)


class Pack(Layer):
    """(N, ..., C) -> (N/m, ..., m C): m neighbours of the batch side by side, as one sample (Lin et al. 2018).

    At the front of a discriminator: it judges m samples at once, and sees when a generator makes them all alike.
    Channels 0 to C - 1 are those of the first of the m, and so on. m must divide the batch.
    """

    def __init__(self, m: int):
        self.m = positive("Pack: m", m)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        self.check_input(x, last_axis=x.shape[-1])  # at least two axes
        if len(x) % self.m:
            raise ValueError(f"Pack: packs of {self.m} do not divide a batch of {len(x)}")
        first_to_last = [x[j :: self.m] for j in range(self.m)]  # sample j of every pack
        return self.remember(train, array_module(x).concatenate(first_to_last, axis=-1))

    def backward(self, dy: Array) -> Array:
        self.recall(dy)
        c = dy.shape[-1] // self.m
        dx = array_module(dy).empty((len(dy) * self.m, *dy.shape[1:-1], c), dtype=dy.dtype)
        for j in range(self.m):
            dx[j :: self.m] = dy[..., j * c : (j + 1) * c]
        return dx

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.forward(v)
