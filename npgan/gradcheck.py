"""Gradient checking: is `backward` the derivative of `forward`? Public; check your own layers with it.

Walk a little way from x along a random direction v, forward and back. To second order in the step h,

    (f(x + h v) - f(x - h v)) / (2 h)  =  <gradient of f at x, v>

The left side needs no derivative. Three random directions are compared as one vector, by the norm of the
difference over the larger norm: in float64 a right gradient agrees to about 1e-9, one that is 0.1% wrong does not.
The output is weighted with a random dy: with dy = 1 the gradient of BatchNormalization's input is zero, and a wrong
formula passes.

The step is h = eps times the size of x, its root mean square. Too large, and f is not a straight line any more; too
small, and f(x + h v) - f(x - h v) is lost in the rounding of f: so it is for a bias of 1 on outputs of 1e12. So where
the gradient disagrees, other steps are tried too. A wrong gradient agrees with none of them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from npgan.backend import Array, array_module, device_of, to_device
from npgan.layers.base import Layer, Parameter

STEPS = (1, 1e2, 1e4, 1e-2, 1e-4, 1e6, 1e8)  # times eps, in the order in which they are tried
FAR = 1e4  # times eps: where nothing moves from there, nothing has been lost in rounding
ROUNDING = 1e-12  # of an output in float64, relative: some thousand roundings


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
    the relative error is not below `tolerance` with any step, TypeError where `value` is not float64. The error is
    0 where both are zero, or nothing but rounding lies between them: so it is for a bias before BatchNormalization.
    """
    _check_arrays(name, value, gradient)
    size = _size(value)
    vs = [to_device(rng.standard_normal(value.shape), device_of(value)) for _ in range(directions)]
    found = []  # for each step: (h, finite differences, <gradient, v>, largest sum of |dy * y|), one for each v
    for factor in STEPS:
        h = eps * factor * size
        numeric, analytic, output = _slopes(function, value, gradient, dy, vs, h)
        error = _relative_error(numeric, analytic)
        # Zero against zero: rounding may hide a slope, so look from afar, unless there is nothing to round.
        if error < tolerance and (any(numeric) or factor == FAR or output == 0):
            return error
        found.append((h, np.array(numeric), np.array(analytic), output))
    if _within_rounding(found):
        return 0.0
    _, numeric, analytic, _ = found[0]
    error = _relative_error(numeric, analytic)
    raise GradientError(_report(name, eps, tolerance, error, vs, numeric, analytic))


def _check_arrays(name: str, value: Array, gradient: Array) -> None:
    if value.dtype != np.float64:
        raise TypeError(f"{name}: a gradient check needs float64, got {value.dtype}; use Layer.astype")
    if not hasattr(gradient, "dtype"):
        raise GradientError(
            f"{name}: the gradient is {_kind(gradient)}, wanted an array of shape {value.shape}"
        )
    if gradient.shape != value.shape:
        raise GradientError(f"{name}: gradient has shape {gradient.shape}, the value {value.shape}")
    if gradient.dtype != value.dtype:
        raise GradientError(f"{name}: gradient is {gradient.dtype}, the value {value.dtype}")


def _slopes(
    function: Callable[[], Array],
    value: Array,
    gradient: Array,
    dy: Array | float,
    vs: list[Array],
    h: float,
) -> tuple[list[float], list[float], float]:
    """The slope of sum(dy * function()) along each v, by finite differences and by the gradient.

    `value` is moved in place by h * v, both ways, and put back. Last, the largest sum of |dy * y|.
    """
    original, numeric, analytic, output = value.copy(), [], [], 0.0
    try:
        for v in vs:
            with np.errstate(all="ignore"):  # far away from x anything may happen; NaN agrees with nothing
                value[...] = original + h * v
                right, above = value.copy(), function().copy()  # it may be a view of the value, as Flatten's
                value[...] = original - h * v
                moved, difference = right - value, above - function()  # moved: 2 h v as it was rounded
                numeric.append(float((difference * dy).sum()) / (2 * h))
                analytic.append(float((gradient * moved).sum()) / (2 * h))
                output = max(output, float(abs(above * dy).sum()))
    finally:
        value[...] = original
    return numeric, analytic, output


def check_layer(
    layer: Layer, *inputs: Array | Sequence[Array], rng: np.random.Generator, **settings
) -> dict[str, float]:
    """Check the gradients of a layer, or a whole network, by its inputs and by each of its parameters.

    `inputs` are what layer.forward takes: float64 arrays away from kinks, or a list of them for a layer that takes
    a list. Whole numbers, such as labels, have no gradient and are left out. The layer has been converted with
    astype("float64"). `settings` are those of `check_gradient`. Returns the relative errors by name: "input" (or
    "input 0", "input 1" of several, "input[0]" in a list) and the names of the parameters.

    Gradients must add: the check starts from gradients that are not zero. Neither inputs nor dy may be changed in
    place. Frozen, the layer must pass the same gradient through, gather none, and leave its state alone. What the
    layer holds is left as it was.
    """
    name = type(layer).__name__
    arrays = _by_name(inputs)
    for x in arrays.values():
        if x.dtype.kind == "f" and x.dtype != np.float64:
            raise TypeError(f"{name}: a gradient check needs float64, got {x.dtype}; use Layer.astype")
    state, parameters = layer.state(), layer.named_parameters()
    errors: dict[str, float] = {}

    def check(key: str, value: Array, gradient: Array, dy: Array, when: str = "") -> float:
        what = f"{name}, {key}{when}"
        return check_gradient(
            lambda: layer.forward(*inputs), value, gradient, rng, dy=dy, name=what, **settings
        )

    layer.zero_grad()
    _forward_and_backward(layer, inputs, arrays, rng)  # shows how large the gradients are
    before = _draw_gradients(parameters, rng)
    dy, gradients = _forward_and_backward(layer, inputs, arrays, rng)
    gained = {key: parameter.grad - before[key] for key, parameter in parameters.items()}
    for key, gradient in gradients.items():
        errors[key] = check(key, arrays[key], gradient, dy)
    for key, parameter in parameters.items():
        errors[key] = check(key, parameter.value, gained[key], dy)
    layer.load_state(state)

    if state:
        flags = [(each, each.frozen) for each in layer.walk()]
        for each in layer.walk():
            each.frozen = True
        try:
            before = {key: parameter.grad.copy() for key, parameter in parameters.items()}
            dy, gradients = _forward_and_backward(layer, inputs, arrays, rng)
            for key, parameter in parameters.items():
                if not (parameter.grad == before[key]).all():
                    raise GradientError(f"{name}, {key}: gathers a gradient though the layer is frozen")
            for key, array in layer.state().items():
                if not np.array_equal(array, state[key], equal_nan=True):
                    raise GradientError(f"{name}, {key}: changes though the layer is frozen")
            for key, gradient in gradients.items():
                check(key, arrays[key], gradient, dy, " while frozen")
        finally:
            for each, frozen in flags:
                each.frozen = frozen
    layer.zero_grad()
    return errors


def check_loss(
    loss: Callable[[Array], tuple[Array, Array]], prediction: Array, rng: np.random.Generator, **settings
) -> float:
    """Check the gradient that a loss, such as binary_cross_entropy, returns; return the relative error."""
    _, gradient = loss(prediction)
    name = getattr(loss, "__name__", "loss")
    return check_gradient(lambda: loss(prediction)[0], prediction, gradient, rng, name=name, **settings)


def _relative_error(numeric: list[float], analytic: list[float]) -> float:
    difference = np.linalg.norm(np.subtract(numeric, analytic))
    scale = max(np.linalg.norm(numeric), np.linalg.norm(analytic))
    return float(difference / scale) if difference != 0 else 0.0  # NaN is not 0 either


def _within_rounding(found: list[tuple[float, np.ndarray, np.ndarray, float]]) -> bool:
    """Whether no step can tell the gradient from the finite differences, for the rounding of the outputs.

    Of all neighbouring steps take the two that agree best. The gradient may be as far from the finite differences as
    these are from each other (twice as far), where that is no more than rounding makes of it.
    """
    best, verdict = np.inf, False
    found = sorted(found, key=lambda step: step[0])
    for (h, numeric, analytic, output), (_, other, _, _) in zip(found, found[1:]):
        apart, size = np.linalg.norm(numeric - other), max(np.linalg.norm(numeric), np.linalg.norm(other))
        if size > 0 and apart / size < best:  # not where it is NaN
            best = apart / size
            near = min(np.linalg.norm(numeric - analytic), np.linalg.norm(other - analytic)) <= 2 * apart
            verdict = bool(near and apart <= ROUNDING * output / h)
    return verdict


def _by_name(inputs: Sequence[Array | Sequence[Array]]) -> dict[str, Array]:
    found = {}
    for index, x in enumerate(inputs):
        key = "input" if len(inputs) == 1 else f"input {index}"
        parts = {f"{key}[{i}]": part for i, part in enumerate(x)} if isinstance(x, list | tuple) else {key: x}
        array_module(*parts.values())
        found |= parts
    return found


def _draw_gradients(parameters: dict[str, Parameter], rng: np.random.Generator) -> dict[str, Array]:
    """Replace each gradient by a random one of its size, which backward has to add to; return copies of them.

    Added to much larger ones, a gradient would be lost in rounding.
    """
    for parameter in parameters.values():
        grad = parameter.grad
        grad[...] = _size(grad) * to_device(rng.standard_normal(grad.shape), device_of(grad))
    return {key: parameter.grad.copy() for key, parameter in parameters.items()}


def _size(value: Array) -> float:
    """The root mean square; 1 where all is zero."""
    return float((value * value).sum() / max(1, value.size)) ** 0.5 or 1.0


def _forward_and_backward(layer, inputs, arrays, rng) -> tuple[Array, dict[str, Array]]:
    """Run both passes, and see that they change neither inputs nor dy; return dy, and the gradients by input."""
    name = type(layer).__name__
    copies = {("x" if key == "input" else key): (x, x.copy()) for key, x in arrays.items()}
    y = layer.forward(*inputs)
    if getattr(y, "dtype", None) != np.float64:
        raise GradientError(f"{name}: forward returned {_kind(y)}, wanted a float64 array")
    dy = to_device(rng.standard_normal(y.shape), device_of(y))
    copies["dy"] = (dy, dy.copy())
    dx = layer.backward(dy)
    for what, (now, then) in copies.items():
        if not (now == then).all():
            raise GradientError(f"{name}: {what} was changed in place")
    wanted = {key for key, x in arrays.items() if x.dtype.kind not in "iub"}  # whole numbers have no gradient
    if not wanted:
        return dy, {}
    one_for_each = isinstance(inputs[0], list | tuple) if len(inputs) == 1 else not hasattr(dx, "dtype")
    if not one_for_each and len(wanted) == 1:
        return dy, dict.fromkeys(wanted, dx)
    if not isinstance(dx, list | tuple) or len(dx) != len(arrays):
        raise GradientError(
            f"{name}: backward returned {_kind(dx)}, wanted a list of {len(arrays)} gradients, one for each input"
        )
    return dy, {key: gradient for key, gradient in zip(arrays, dx) if key in wanted}


def _kind(value) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {value.dtype} array" if hasattr(value, "dtype") else repr(value)[:40]


def _report(name, eps, tolerance, error, directions, numeric, analytic) -> str:
    lines = [
        f"{name}: the gradient is wrong, relative error {error:.2e}, wanted below {tolerance:.0e} (eps {eps:.0e})"
    ]
    for v, n, a in zip(directions, numeric, analytic):
        start = np.array2string(array_module(v).ravel(v)[:4], precision=3)
        lines.append(f"  along v = {start}... finite difference {n:+.10e}, backward {a:+.10e}")
    return "\n".join(lines)
