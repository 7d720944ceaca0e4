"""Gradient checking: is `backward` the derivative of `forward`? Public; check your own layers with it.

Walk a little way from x along a random direction v, forward and back. To second order in the step eps,

    (f(x + eps v) - f(x - eps v)) / (2 eps)  =  <gradient of f at x, v>

The left side needs no derivative. Three random directions are compared as one vector, by the norm of the
difference over the larger norm: in float64 with eps = 1e-6 a right gradient agrees to about 1e-9, one that is
0.1% wrong does not. The output is weighted with a random dy: with dy = 1 the gradient of BatchNormalization's
input is zero, and a wrong formula passes.
"""

from collections.abc import Callable

import numpy as np

from npgan.backend import Array, array_module, device_of, to_device
from npgan.layers.base import Layer


class GradientError(AssertionError):
    """A gradient disagrees with the finite differences; the message holds all that is needed to see how."""


def check_gradient(
    function: Callable[[], Array],
    value: Array,
    gradient: Array,
    rng: np.random.Generator,
    *,
    dy: Array | float = 1.0,
    name: str = "x",
    directions: int = 3,
    eps: float = 1e-6,
    tolerance: float = 1e-6,
) -> float:
    """Compare `gradient`, of sum(dy * function()) by `value`, with finite differences; return the relative error.

    `function` reads `value`, a float64 array that is moved in place and put back. Raises GradientError where
    the relative error is not below `tolerance`, TypeError where `value` is not float64.
    """
    if value.dtype != np.float64:
        raise TypeError(f"{name}: a gradient check needs float64, got {value.dtype}; use Layer.astype")
    if gradient.shape != value.shape:
        raise GradientError(f"{name}: gradient has shape {gradient.shape}, the value {value.shape}")
    original = value.copy()
    vs, numeric, analytic = [], [], []
    for _ in range(directions):
        v = to_device(rng.standard_normal(value.shape), device_of(value))
        value[...] = original + eps * v
        above = function().copy()  # it may be a view of the value, as Flatten's is
        value[...] = original - eps * v
        below = function().copy()
        value[...] = original
        vs.append(v)
        numeric.append(float(((above - below) * dy).sum()) / (2 * eps))
        analytic.append(float((gradient * v).sum()))
    difference = np.linalg.norm(np.subtract(numeric, analytic))
    scale = max(np.linalg.norm(numeric), np.linalg.norm(analytic))
    error = float(difference / scale) if difference != 0 else 0.0  # NaN is not 0 either
    if not error < tolerance:  # also where it is NaN
        raise GradientError(_report(name, eps, tolerance, error, vs, numeric, analytic))
    return error


def check_layer(layer: Layer, x: Array, rng: np.random.Generator, **settings) -> dict[str, float]:
    """Check the gradients of a layer, or a whole network, by its input and by each of its parameters.

    x is a float64 input away from kinks, the layer has been converted with astype("float64"). Returns the
    relative errors by name. Gradients must add: the check starts from gradients that are not zero. The
    layer's state is left as it was.
    """
    name = type(layer).__name__
    if x.dtype != np.float64:
        raise TypeError(f"{name}: a gradient check needs float64, got {x.dtype}; use Layer.astype")
    state, x_before = layer.state(), x.copy()
    parameters = layer.named_parameters()
    y = layer.forward(x)
    dy = to_device(rng.standard_normal(y.shape), device_of(y))
    before = {}
    for key, parameter in parameters.items():
        parameter.grad[...] = to_device(rng.standard_normal(parameter.grad.shape), device_of(y))
        before[key] = parameter.grad.copy()
    dy_before = dy.copy()
    dx = layer.backward(dy)
    for what, now, then in (("x", x, x_before), ("dy", dy, dy_before)):
        if not (now == then).all():
            raise GradientError(f"{name}: {what} was changed in place")
    errors = {}
    for key, value, gradient in [("input", x, dx)] + [
        (key, parameter.value, parameter.grad - before[key]) for key, parameter in parameters.items()
    ]:
        errors[key] = check_gradient(
            lambda: layer.forward(x),
            value,
            gradient,
            rng,
            dy=dy,
            name=f"{name}, {key}",
            **settings,
        )
    layer.load_state(state)
    layer.zero_grad()
    return errors


def check_loss(
    loss: Callable[[Array], tuple[Array, Array]], prediction: Array, rng: np.random.Generator, **settings
) -> float:
    """Check the gradient that a loss, such as binary_cross_entropy, returns; return the relative error."""
    _, gradient = loss(prediction)
    name = getattr(loss, "__name__", "loss")
    return check_gradient(lambda: loss(prediction)[0], prediction, gradient, rng, name=name, **settings)


def _report(name, eps, tolerance, error, directions, numeric, analytic) -> str:
    lines = [
        f"{name}: the gradient is wrong, relative error {error:.2e}, wanted below {tolerance:.0e} (eps {eps:.0e})"
    ]
    for v, n, a in zip(directions, numeric, analytic):
        start = np.array2string(array_module(v).ravel(v)[:4], precision=3)
        lines.append(f"  along v = {start}... finite difference {n:+.10e}, backward {a:+.10e}")
    return "\n".join(lines)
