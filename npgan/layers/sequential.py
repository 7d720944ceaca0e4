"""Sequential: layers in a row."""

from collections.abc import Mapping, Sequence

import numpy as np

from npgan.backend import Array, array_module
from npgan.fast import blas_on_one_thread
from npgan.layers.base import Layer


class Sequential(Layer):
    """Layers in a row: forward through the first to the last, backward from the last to the first.

    A list names its layers by position and type, "0.Dense", "1.LeakyReLU"; a dict gives them names of its own,
    which stay when layers are put between them: `Sequential({"from_rgb_8": ..., "body_8": ...})`.
    """

    def __init__(self, layers: Sequence[Layer] | Mapping[str, Layer]):
        named = isinstance(layers, Mapping)
        for key, layer in layers.items() if named else enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: layers[{key!r}] is {type(layer).__name__}, wanted a Layer")
        if not layers:
            raise ValueError("Sequential: layers is empty")
        if not named:
            layers = {f"{i}.{type(layer).__name__}": layer for i, layer in enumerate(layers)}
        self._layers = dict(layers)

    @property
    def layers(self) -> list[Layer]:
        """The layers in their order."""
        return list(self._layers.values())

    def children(self) -> dict[str, Layer]:
        return self._layers

    def forward(self, x: Array, train: bool = True) -> Array:
        with blas_on_one_thread():  # npgan's own threads share the work
            for layer in self.layers:
                x = layer.forward(x, train)
        return x

    def backward(self, dy: Array) -> Array:
        with blas_on_one_thread():
            for layer in reversed(self.layers):
                dy = layer.backward(dy)
        return dy

    def backward_parameters(self, dy: Array) -> None:
        with blas_on_one_thread():
            first, *others = self.layers
            for layer in reversed(others):
                dy = layer.backward(dy)
            first.backward_parameters(dy)

    def tangent(self, v: Array) -> Array:
        with blas_on_one_thread():
            for layer in self.layers:
                v = layer.tangent(v)
        return v

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of the layers' output shapes and parameter counts for inputs of `input_shape` (no batch axis)."""
        arrays = self.arrays()
        like = next(iter(arrays.values())) if arrays else np.zeros(0, np.float32)
        x = array_module(like).zeros((1, *input_shape), dtype=like.dtype)
        rows = [("layer", "output shape", "parameters"), ("input", str(tuple(input_shape)), "")]
        for name, layer in self.children().items():
            x = layer.forward(x, train=False)
            count = sum(parameter.value.size for parameter in layer.parameters())
            rows.append((name, str(tuple(x.shape[1:])), f"{count:,}"))
        total = sum(parameter.value.size for parameter in self.parameters())
        rows.append(("total", "", f"{total:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:-1], "-" * len(lines[0]), lines[-1]])
