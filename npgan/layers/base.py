"""What every layer is: parameters with gradients, a forward, a backward, and a memory that is used once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npgan import backend
from npgan.backend import Array
from npgan.parallel import blas_on_one_thread


class Parameter:
    """An array that is trained, and the gradient of the loss with respect to it.

    `value` and `grad` have one shape and dtype. `grad` starts at zero; every backward pass adds to it.
    """

    def __init__(self, value: Array):
        self.value = value
        self.grad = backend.array_module(value).zeros_like(value)

    def zero_grad(self) -> None:
        """Set the gradient to zero."""
        self.grad.fill(0)


class Layer:
    """A function with parameters that can be run forward and differentiated backward.

    A subclass writes `forward(x, train=True)` and `backward(dy)`. `forward` leaves in the memory what
    `backward` will need; `backward` takes it out again, so each forward pass can be followed by one backward
    pass and no more. Attributes that are Parameters or Layers are found by themselves.
    """

    buffers: tuple[str, ...] = ()  # names of arrays that belong to the state but are not trained
    frozen = False  # True: gradients pass through, none are gathered, and the state stays as it is
    inference = False  # True: batch statistics are replaced by running ones in training passes too
    _memory: tuple[Any, ...] | None = None

    def forward(self, x: Array, train: bool = True) -> Array:
        """Compute y from x. With `train`, remember what `backward` needs."""
        raise NotImplementedError

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Compute dx, the gradient of the loss by x, from dy, its gradient by y; add to each Parameter.grad.

        Without `input_gradient` a layer with weights saves itself dx and returns None: nobody reads it behind the
        first layer of a network. Never writes to dy. Raises RuntimeError where no forward(train=True) came just
        before.
        """
        raise NotImplementedError

    # The one-shot memory ---------------------------------------------------------------------------------

    def remember(self, train: bool, y: Array, *memory: Any) -> Array:
        """Keep `memory` for one backward pass (nothing where `train` is false); return y."""
        self._memory = (y.shape, y.dtype, backend.device_of(y), memory) if train else None
        return y

    def recall(self, dy: Array) -> tuple[Any, ...]:
        """Hand out the memory and forget it, after checking that dy fits the y that was computed."""
        name = type(self).__name__
        if self._memory is None:
            raise RuntimeError(
                f"{name}: backward without a memory. Each backward needs a forward(train=True) of its own just "
                "before it; the memory of that forward pass has been spent or was never kept"
            )
        shape, dtype, device, memory = self._memory
        try:
            same_device = backend.device_of(dy) == device
        except TypeError as error:
            raise TypeError(f"{name}: dy: {error}") from None
        if not same_device:
            raise TypeError(f"{name}: dy is {backend.describe(dy)}, the output was computed on {device}")
        if dy.shape != shape:
            raise ValueError(f"{name}: dy has shape {tuple(dy.shape)}, the output had {tuple(shape)}")
        if dy.dtype != dtype:
            raise TypeError(f"{name}: dy is {dy.dtype}, the output was {dtype}")
        self._memory = None
        return memory

    def check_input(self, x: Array, ndim: int | None = None, last_axis: int | None = None) -> None:
        """Raise one clear error where x has the wrong library, dtype, number of axes or last axis."""
        name = type(self).__name__
        try:
            device = backend.device_of(x)
        except TypeError as error:
            raise TypeError(f"{name}: input: {error}") from None
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: input is {x.dtype}, wanted a floating type such as float32")
        for parameter in self.own_parameters().values():
            if backend.device_of(parameter.value) != device:
                raise TypeError(
                    f"{name}: input is {backend.describe(x)}, the layer's weights are "
                    f"{backend.describe(parameter.value)}; move one with to_device or Layer.to"
                )
            if parameter.value.dtype != x.dtype:
                raise TypeError(
                    f"{name}: input is {x.dtype}, the layer's weights are {parameter.value.dtype}"
                )
        if ndim is not None and x.ndim != ndim:
            raise ValueError(f"{name}: input has {x.ndim} axes, wanted {ndim} (shape {tuple(x.shape)})")
        least = 1 if last_axis is None else 2  # the batch axis; and the last one
        if x.ndim < least:
            raise ValueError(
                f"{name}: input has {x.ndim} axes, wanted at least {least} (shape {tuple(x.shape)})"
            )
        if last_axis is not None and x.shape[-1] != last_axis:
            what = "channels" if ndim == 4 else "features"
            raise ValueError(
                f"{name}: input has {x.shape[-1]} {what}, this layer takes {last_axis} "
                f"(shape {tuple(x.shape)})"
            )
        if 0 in x.shape:
            raise ValueError(f"{name}: input is empty (shape {tuple(x.shape)})")

    # Parameters and state --------------------------------------------------------------------------------

    def children(self) -> dict[str, "Layer"]:
        """The layers inside this one, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Layer)}

    def own_parameters(self) -> dict[str, Parameter]:
        """The parameters of this layer itself, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def named_parameters(self) -> dict[str, Parameter]:
        """All parameters, those of the layers inside too, by path ("3.Conv2D.weight")."""
        found = self.own_parameters()
        for name, child in self.children().items():
            found |= {f"{name}.{key}": value for key, value in child.named_parameters().items()}
        return found

    def parameters(self) -> list[Parameter]:
        """All parameters as a list, for an optimiser."""
        return list(self.named_parameters().values())

    def walk(self) -> Iterator["Layer"]:
        """Yield this layer and all layers inside it."""
        yield self
        for child in self.children().values():
            yield from child.walk()

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def arrays(self) -> dict[str, Array]:
        """The live arrays of the state by path: values of parameters, and running statistics."""
        found = {name: parameter.value for name, parameter in self.own_parameters().items()}
        found |= {name: getattr(self, name) for name in self.buffers}
        for name, child in self.children().items():
            found |= {f"{name}.{key}": value for key, value in child.arrays().items()}
        return found

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and running statistics, as NumPy arrays."""
        return {name: backend.to_numpy(array).copy() for name, array in self.arrays().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError, before anything is changed, where it differs."""
        arrays = self.arrays()
        missing, unknown = sorted(arrays.keys() - state.keys()), sorted(state.keys() - arrays.keys())
        if missing or unknown:
            raise ValueError(f"state is of another network: it lacks {missing} and has besides {unknown}")
        for name, array in arrays.items():
            if state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise ValueError(
                    f"state is of another network: {name} is {state[name].dtype} {state[name].shape}, "
                    f"wanted {array.dtype} {array.shape}"
                )
        for name, array in arrays.items():
            array[...] = backend.to_device(state[name], backend.device_of(array))

    def freeze(self, inference: bool = False) -> None:
        """Let gradients through but gather none, and leave running statistics alone, until `unfreeze`.

        With `inference`, BatchNormalization uses its running statistics in passes with train=True too: what a
        finished network needs whose input is searched, while a frozen discriminator in training keeps using
        those of the batch.
        """
        for layer in self.walk():
            layer.frozen, layer.inference = True, inference

    def unfreeze(self) -> None:
        """End `freeze`."""
        for layer in self.walk():
            layer.frozen = layer.inference = False

    def to(self, device: str) -> "Layer":
        """Move all arrays to "numpy" or "cupy"; before an optimiser is made. Returns the layer."""
        return self._convert(lambda array: backend.to_device(array, device))

    def astype(self, dtype: Any) -> "Layer":
        """Convert all arrays to a dtype; before an optimiser is made. Returns the layer."""
        return self._convert(lambda array: array.astype(dtype))

    def _convert(self, convert) -> "Layer":
        for layer in self.walk():
            for parameter in layer.own_parameters().values():
                parameter.value, parameter.grad = convert(parameter.value), convert(parameter.grad)
            for name in layer.buffers:
                setattr(layer, name, convert(getattr(layer, name)))
            layer._memory = None
        return self


class Sequential(Layer):
    """Layers in a row: forward through the first to the last, backward from the last to the first."""

    def __init__(self, layers: Sequence[Layer]):
        for index, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: layers[{index}] is {type(layer).__name__}, wanted a Layer")
        self.layers = list(layers)

    def children(self) -> dict[str, Layer]:
        """The layers by position and type: "0.Dense", "1.LeakyReLU"."""
        return {f"{i}.{type(layer).__name__}": layer for i, layer in enumerate(self.layers)}

    def forward(self, x: Array, train: bool = True) -> Array:
        with blas_on_one_thread():
            for layer in self.layers:
                x = layer.forward(x, train)
        return x

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        with blas_on_one_thread():
            for index in range(len(self.layers) - 1, 0, -1):
                dy = self.layers[index].backward(dy)
            return self.layers[0].backward(dy, input_gradient)

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of the layers' output shapes and parameter counts for inputs of `input_shape` (no batch axis)."""
        arrays = self.arrays()
        like = next(iter(arrays.values())) if arrays else np.zeros(0, np.float32)
        x = backend.array_module(like).zeros((1, *input_shape), dtype=like.dtype)
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
