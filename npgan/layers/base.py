"""What every layer is: parameters with gradients, a forward, a backward, and a memory that is used once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from npgan import backend
from npgan.backend import Array

Pair = tuple[int, int]


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

    A subclass writes `forward(x, train=True)` and `backward(dy)`. `forward` ends with
    `return self.remember(train, y, ...)`, which keeps what backward will need; `backward` begins with
    `... = self.recall(dy)`, which takes it out again. So each forward pass can be followed by one backward pass
    and no more. Attributes that are Parameters or Layers are found by themselves. A whole layer, y = scale * x:

        class Scale(Layer):
            def __init__(self, channels):
                self.scale = Parameter(np.ones(channels, np.float32))

            def forward(self, x, train=True):
                return self.remember(train, self.scale.value * x, x)

            def backward(self, dy):
                (x,) = self.recall(dy)
                if not self.frozen:
                    self.scale.grad += (dy * x).sum(axis=0)  # x is (N, channels)
                return self.scale.value * dy

    `npgan.gradcheck.check_layer` proves it.
    """

    buffers: tuple[str, ...] = ()  # names of arrays that belong to the state but are not trained
    frozen = False  # True: gradients pass through, none are gathered, and the state stays as it is
    inference = False  # True: batch statistics are replaced by running ones in training passes too
    _memory: tuple[Any, ...] | None = None

    def forward(self, x: Array, train: bool = True) -> Array:
        """Compute y from x. With `train`, remember what `backward` needs."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """Compute dx, the gradient of the loss by x, from dy, its gradient by y; add to each Parameter.grad.

        Never writes to dy. Raises RuntimeError where no forward(train=True) came just before.
        """
        raise NotImplementedError

    def backward_parameters(self, dy: Array) -> None:
        """Add to each Parameter.grad as `backward` does, without dx: nothing comes before a network's first layer.

        A layer with weights saves the work of dx by a form of its own.
        """
        self.backward(dy)

    def tangent(self, v: Array) -> Array:
        """Send v, shaped like x, through the layer's linear part, and remember v in the place of x.

        For the gradients of penalties on gradients: see npgan.adversarial.penalise. It comes after `forward(x)`,
        whose slopes it uses: a Dense gives v @ weight without the bias, a LeakyReLU multiplies v by its slope at
        x. The `backward` that follows adds to weights what v, not x, makes of dy, and nothing to biases. Raises
        TypeError for layers that are not linear between kinks.
        """
        raise TypeError(
            f"{type(self).__name__}: has no tangent pass, since it is not linear between kinks; a network whose "
            "gradient is penalised is made of Dense, Conv2D, Conv2DTranspose, with SpectralNormalization or "
            "EqualizedLearningRate around them, of LeakyReLU, ReLU, and layers that only move or add numbers"
        )

    # The one-shot memory ---------------------------------------------------------------------------------

    def remember(self, train: bool, y: Array, *memory: Any) -> Array:
        """Keep `memory` for one backward pass (nothing where `train` is false); return y."""
        self._memory = (y.shape, y.dtype, backend.device_of(y), memory) if train else None
        return y

    def recall(self, dy: Array) -> tuple[Any, ...]:
        """Hand out the memory and forget it, after checking that dy fits the y that was computed."""
        name = type(self).__name__
        shape, dtype, device, memory = self._kept("backward")
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

    def recall_for_tangent(self) -> tuple[Any, ...]:
        """Hand out the memory and forget it; `tangent` then remembers anew."""
        *_, memory = self._kept("tangent")
        self._memory = None
        return memory

    def _kept(self, method: str) -> tuple[Any, ...]:
        if self._memory is None:
            raise RuntimeError(
                f"{type(self).__name__}: {method} without a memory. Each {method} needs a forward(train=True) of "
                "its own just before it; the memory of that forward pass has been spent or was never kept"
            )
        return self._memory

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

    def load_state(self, state: dict[str, np.ndarray], only: str | None = None) -> None:
        """Take over what `state` returned; with `only`, no more than the layer of that name and what it holds.

        Raises ValueError, before anything is changed, where it differs.
        """
        arrays = self.arrays()
        if only is not None:
            arrays, state = (
                {name: array for name, array in found.items() if f"{name}.".startswith(f"{only}.")}
                for found in (arrays, state)
            )
            if not arrays:
                raise ValueError(f"only={only!r}: no such layer; there are {', '.join(self.children())}")
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

    @contextmanager
    def held(self, inference: bool = False) -> Iterator[None]:
        """Freeze until the block ends; then every layer has its own flags again, also after an error.

        with discriminator.held():
            ...                       # a fixed judge; a layer that was frozen before stays so afterwards
        """
        before = [(layer, layer.frozen, layer.inference) for layer in self.walk()]
        self.freeze(inference)
        try:
            yield
        finally:
            for layer, frozen, inference_before in before:
                layer.frozen, layer.inference = frozen, inference_before

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


def he_normal(shape: tuple[int, ...], fan_in: float, rng: np.random.Generator | None) -> np.ndarray:
    """Draw float32 weights from N(0, 2 / fan_in), so that a rectified layer keeps its input's variance."""
    rng = np.random.default_rng() if rng is None else rng
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)


def positive(name: str, value: int) -> int:
    """Return `value` where it is a whole number of at least one; otherwise raise a ValueError that names it."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def pair(name: str, value: int | Pair, at_least: int) -> Pair:
    """Turn a number or a (height, width) pair into a pair; raise a ValueError that names it where it is neither."""
    values = (value, value) if isinstance(value, int | np.integer) else value
    if (
        not isinstance(values, tuple | list)
        or len(values) != 2
        or any(not isinstance(v, int | np.integer) or isinstance(v, bool) or v < at_least for v in values)
    ):
        raise ValueError(
            f"{name} must be a whole number of at least {at_least} or a pair of them, got {value!r}"
        )
    return int(values[0]), int(values[1])
