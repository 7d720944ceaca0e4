"""Concatenate: several arrays side by side. Backward cuts the gradient where they were joined."""

from collections.abc import Sequence

from npgan.backend import Array, array_module
from npgan.layers.base import Layer


class Concatenate(Layer):
    """[(N, ..., A), (N, ..., B), ...] -> (N, ..., A + B + ...): joined along the last axis, in that order.

    It takes a list where other layers take one array, and backward returns a list: one gradient for each part.
    Joins noise to a code, a mask to an image, an encoder's features to a decoder's (skip connections,
    Ronneberger et al. 2015, section 2). What went two ways before the join gets the sum of both gradients.
    """

    def forward(self, parts: Sequence[Array], train: bool = True) -> Array:
        for part in parts:
            self.check_input(part)
        shapes = [tuple(part.shape) for part in parts]
        if len({shape[:-1] for shape in shapes}) != 1:
            raise ValueError(f"Concatenate: the parts must agree in all axes but the last, got {shapes}")
        if len({part.dtype for part in parts}) != 1:
            raise TypeError(f"Concatenate: the parts are {', '.join(str(part.dtype) for part in parts)}")
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
