"""The checker itself: it must pass what is right, fail on what is a little wrong, and say what it saw."""

import re

import numpy as np
import pytest
from layer_table import LAYERS, make

from npgan.fast import switch
from npgan.gradcheck import GradientError, check_gradient, check_layer, check_loss
from npgan.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    Parameter,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.losses import mean_squared_error


class Cube(Layer):
    """y = x**3, with a gradient that can be made wrong by a factor."""

    factor = 1.0

    def forward(self, x, train=True):
        return self.remember(train, x**3, x)

    def backward(self, dy):
        (x,) = self.recall(dy)
        return dy * 3 * x**2 * self.factor


@pytest.fixture
def x(rng):
    return rng.standard_normal((4, 3))


def dense(rng):
    return Dense(3, 2, rng=rng).astype("float64")


def test_right_gradients_pass_far_below_the_tolerance(rng, x):
    errors = check_layer(dense(rng), x, rng=rng)
    assert errors.keys() == {"input", "weight", "bias"}
    assert all(0 < error < 1e-8 for error in errors.values())


@pytest.mark.parametrize("factor", [1.001, 0.999, 1.00001, -1, 0, 2])
def test_gradient_that_is_wrong_by_a_factor_fails(rng, x, factor):
    layer = Cube()
    layer.factor = factor
    with pytest.raises(GradientError, match="^Cube, input: the gradient is wrong"):
        check_layer(layer, x, rng=rng)


def test_relative_error_is_the_factor_by_which_the_gradient_is_wrong(rng, x):
    error = check_gradient(lambda: x**2, x, 2 * x * 1.001, rng, tolerance=1.0)
    assert error == pytest.approx(0.001 / 1.001, rel=1e-3)


def test_parameter_gradient_that_is_a_thousandth_wrong_fails_by_name(rng, x):
    class Wrong(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.bias.grad += 0.001 * dy.sum(axis=0)
            return dx

    with pytest.raises(GradientError, match="^Wrong, bias: the gradient is wrong, relative error 9.99e-04"):
        check_layer(Wrong(3, 2, rng=rng).astype("float64"), x, rng=rng)


def test_one_wrong_number_among_many_fails(rng):
    x = rng.standard_normal((20, 20))
    gradient = 2 * x
    gradient[7, 7] *= 1.1
    with pytest.raises(GradientError):
        check_gradient(lambda: x**2, x, gradient, rng)


def test_batch_normalization_without_its_mean_terms_fails(rng, x):
    """With dy of ones the right dx is zero, and formulas that forget a term look right: so dy is random."""

    class Forgetful(BatchNormalization):
        def backward(self, dy):
            seen, mean, inverse_std, _ = self.recall(dy)
            u = (seen - mean) * inverse_std
            self.gamma.grad += (dy * u).sum(axis=0)
            self.beta.grad += dy.sum(axis=0)
            return self.gamma.value * inverse_std * (dy - dy.mean(axis=0))

    layer = Forgetful(3).astype("float64")
    y = layer.forward(x)
    assert np.abs(layer.backward(np.ones_like(y))).max() < 1e-15  # "right"
    with pytest.raises(GradientError, match="^Forgetful, input: the gradient is wrong"):
        check_layer(layer, x, rng=rng)


def test_gradient_that_overwrites_fails(rng, x):
    class Overwriting(Dense):
        def backward(self, dy):
            seen, _ = self.recall(dy)
            self.weight.grad[...] = seen.T @ dy
            self.bias.grad += dy.sum(axis=0)
            return dy @ self.weight.value.T

    with pytest.raises(GradientError, match="^Overwriting, weight: the gradient is wrong"):
        check_layer(Overwriting(3, 2, rng=rng).astype("float64"), x, rng=rng)


def test_dy_changed_in_place_fails(rng, x):
    class Greedy(Cube):
        def backward(self, dy):
            (seen,) = self.recall(dy)
            dy *= 3 * seen**2
            return dy

    with pytest.raises(GradientError, match="^Greedy: dy was changed in place$"):
        check_layer(Greedy(), x, rng=rng)


def test_x_changed_in_place_by_backward_fails(rng, x):
    class Greedy(Cube):
        def backward(self, dy):
            (seen,) = self.recall(dy)
            seen **= 2
            return dy * 3 * seen

    with pytest.raises(GradientError, match="^Greedy: x was changed in place$"):
        check_layer(Greedy(), x, rng=rng)


def test_x_changed_in_place_by_forward_fails(rng, x):
    class Greedy(Cube):
        def forward(self, x, train=True):
            y = super().forward(x.copy(), train)
            x += 1
            return y

    with pytest.raises(GradientError, match="^Greedy: x was changed in place$"):
        check_layer(Greedy(), x, rng=rng)


def test_gradient_of_a_wrong_shape_fails(rng, x):
    with pytest.raises(GradientError, match=re.escape("x: gradient has shape (3,), the value (4, 3)")):
        check_gradient(lambda: x**2, x, (2 * x).sum(axis=0), rng)


@pytest.mark.parametrize("where", ["forward", "backward", "both"])
def test_nan_fails(rng, where):
    x = rng.standard_normal(3)
    bad = np.array([1.0, np.nan, 1.0])
    with pytest.raises(GradientError, match="relative error nan"):
        check_gradient(
            lambda: x * (bad if where != "backward" else 1),
            x,
            np.ones(3) * (bad if where != "forward" else 1),
            rng,
        )


def test_nan_gradient_of_a_constant_fails(rng):
    x = rng.standard_normal(3)
    with pytest.raises(GradientError, match="relative error nan"):
        check_gradient(lambda: 0 * x, x, np.full(3, np.nan), rng)


def test_gradient_zero_of_a_constant_passes_and_another_fails(rng, x):
    assert check_gradient(lambda: 0 * x, x, 0 * x, rng) == 0
    with pytest.raises(GradientError, match="relative error 1.00e[+]00"):
        check_gradient(lambda: 0 * x, x, 1e-9 * x, rng)
    with pytest.raises(GradientError, match="relative error 1.00e[+]00"):
        check_gradient(lambda: x, x, 0 * x, rng)


@pytest.mark.parametrize("layer", [Flatten(), Reshape((3, 1))], ids=["Flatten", "Reshape"])
def test_output_that_is_a_view_of_the_input_is_measured_before_the_input_moves_on(rng, x, layer):
    assert check_layer(layer, x, rng=rng)["input"] < 1e-8


def test_report_holds_name_step_directions_and_both_values(rng, x):
    layer = Cube()
    layer.factor = 2
    with pytest.raises(GradientError) as raised:
        check_layer(layer, x, rng=rng, eps=1e-5, tolerance=1e-7, directions=2)
    first, *rest = str(raised.value).splitlines()
    assert first == (
        "Cube, input: the gradient is wrong, relative error 5.00e-01, wanted below 1e-07 (eps 1e-05)"
    )
    assert len(rest) == 2
    for line in rest:
        found = re.fullmatch(
            r"  along v = \[[-\d. ]+\]\.\.\. finite difference ([-+]\S+), backward ([-+]\S+)", line
        )
        assert found is not None, line
        numeric, analytic = map(float, found.groups())
        assert analytic == pytest.approx(2 * numeric, rel=1e-6)


def test_float32_is_refused(rng, x):
    with pytest.raises(TypeError, match="a gradient check needs float64, got float32; use Layer.astype"):
        check_gradient(lambda: x, x.astype(np.float32), x, rng)
    with pytest.raises(TypeError, match="Dense: a gradient check needs float64, got float32"):
        check_layer(Dense(3, 2, rng=rng), x.astype(np.float32), rng=rng)


def test_step_that_is_too_large_or_too_small_shows_in_the_error(rng, x):
    """Truncation falls with eps squared, rounding grows with one over eps: 1e-6 lies between."""
    errors = {
        eps: check_gradient(lambda: np.exp(x), x, np.exp(x), rng, eps=eps, tolerance=1)
        for eps in (1e-2, 1e-6, 1e-11)
    }
    assert errors[1e-6] < 1e-8 < 1e-7 < min(errors[1e-2], errors[1e-11])


def test_check_leaves_values_state_and_gradients_as_they_were(rng, x):
    network = Sequential([Dense(3, 2, rng=rng), BatchNormalization(2), Tanh()]).astype("float64")
    network.forward(x)
    state, before = network.state(), x.copy()
    check_layer(network.layers[1], rng.standard_normal((4, 2)), rng=rng)
    check_layer(Sequential(network.layers[1:]), rng.standard_normal((4, 2)), rng=rng)
    assert all(np.array_equal(state[key], array) for key, array in network.state().items())
    np.testing.assert_array_equal(x, before)
    assert all(not parameter.grad.any() for parameter in network.parameters())


def test_names_of_a_network_are_paths(rng):
    network = Sequential([Conv2D(1, 2, 2, rng=rng), Flatten()]).astype("float64")
    errors = check_layer(network, rng.standard_normal((2, 3, 3, 1)), rng=rng)
    assert errors.keys() == {"input", "0.Conv2D.weight", "0.Conv2D.bias"}


def test_loss_is_checked_and_named(rng, x):
    def halved(prediction):
        value, gradient = mean_squared_error(prediction, 0.0)
        return value, gradient / 2

    assert check_loss(lambda p: mean_squared_error(p, 0.0), x, rng) < 1e-8
    with pytest.raises(GradientError, match="^halved: the gradient is wrong, relative error 5.00e-01"):
        check_loss(halved, x, rng)


# Scales --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_input", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("of_weights", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", LAYERS)
def test_right_gradients_pass_at_every_scale(name, of_weights, of_input):
    tiny = of_weights == 1e-6 and of_input <= 1
    tiny_too = switch.plain_everywhere and (of_weights, of_input) == (1.0, 1e-6)  # it rounds otherwise
    if name == "Sequential" and (tiny or tiny_too):
        # Its bias before tanh and BatchNormalization: a sum of numbers that cancel to their rounding. Finite
        # differences and backward both differ from the truth there.
        pytest.skip("no finite difference can tell in float64")
    rng, layer, x = make(name, dtype="float64")
    for parameter in layer.parameters():
        parameter.value *= of_weights
    check_layer(layer, x * of_input, rng=rng)


@pytest.mark.parametrize("factor", [1.001, 0.999, 1.00001, -1, 0, 2])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("parameter", ["weight", "bias", "input"])
def test_wrong_gradients_fail_at_every_scale(parameter, scale, factor):
    class Wrong(Dense):
        def backward(self, dy):
            before = {key: p.grad.copy() for key, p in self.named_parameters().items()}
            dx = super().backward(dy)
            if parameter == "input":
                return factor * dx
            grad = getattr(self, parameter).grad
            grad[...] = before[parameter] + factor * (grad - before[parameter])
            return dx

    for of_weights, of_input in ((1, scale), (scale, 1), (scale, scale), (1 / scale, scale)):
        rng = np.random.default_rng(1)
        layer = Wrong(3, 2, rng=rng).astype("float64")
        layer.bias.value[...] = rng.standard_normal(2)
        for one in layer.parameters():
            one.value *= of_weights
        with pytest.raises(GradientError, match=f"^Wrong, {parameter}: the gradient is wrong"):
            check_layer(layer, of_input * rng.standard_normal((4, 3)), rng=rng)


def test_an_input_far_smaller_than_the_bias_is_still_seen(rng, x):
    """y = x w + 1, with x w = 1e-12: a gradient of zero for x is wrong, though the output hardly moves."""

    class Blind(Dense):
        def backward(self, dy):
            return 0 * super().backward(dy)

    for kind, passes in ((Dense, True), (Blind, False)):
        layer = kind(3, 2, rng=rng).astype("float64")
        layer.weight.value *= 1e-6
        layer.bias.value += 1
        if passes:
            check_layer(layer, 1e-6 * x, rng=rng)
        else:
            with pytest.raises(GradientError, match="^Blind, input: the gradient is wrong"):
                check_layer(layer, 1e-6 * x, rng=rng)


def test_zero_against_zero_passes_but_for_rounding(rng, x):
    """A bias before BatchNormalization has no effect; its gradient is some 1e-17."""
    network = Sequential([Dense(3, 2, rng=rng), BatchNormalization(2)]).astype("float64")
    network.layers[0].bias.value[...] = [1.0, -2.0]
    errors = check_layer(network, x, rng=rng)
    assert errors["0.Dense.bias"] == 0 < errors["0.Dense.weight"]


def test_zero_beside_a_kink_that_only_a_large_step_crosses_passes(rng):
    value = np.array([[-2.4, -1.0001]])  # 0.0001 from the kink of hinge, where its gradient is zero

    def function():
        return np.maximum(0, 1 + value).mean(keepdims=True)

    assert check_gradient(function, value, np.zeros((1, 2)), rng) == 0
    with pytest.raises(GradientError):
        check_gradient(function, value, np.array([[0.0, 1e-3]]), rng)


def test_a_gradient_that_is_not_zero_does_not_pass_for_zero(rng, x):
    class Wrong(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.bias.grad += 1e-6
            return dx

    network = Sequential([Flatten(), Wrong(3, 2, rng=rng), BatchNormalization(2)]).astype("float64")
    with pytest.raises(GradientError, match="1.Wrong.bias: the gradient is wrong"):
        check_layer(network, x, rng=rng)


# Frozen layers -------------------------------------------------------------------------------------------


def test_a_layer_that_ignores_frozen_fails(rng, x):
    class Deaf(Dense):
        def backward(self, dy):
            frozen, self.frozen = self.frozen, False
            dx = super().backward(dy)
            self.frozen = frozen
            return dx

    with pytest.raises(GradientError, match="^Deaf, weight: gathers a gradient though the layer is frozen$"):
        check_layer(Deaf(3, 2, rng=rng).astype("float64"), x, rng=rng)
    network = Sequential([Dense(3, 3, rng=rng), Deaf(3, 2, rng=rng)]).astype("float64")
    with pytest.raises(GradientError, match="1.Deaf.weight: gathers a gradient though the layer is frozen$"):
        check_layer(network, x, rng=rng)
    assert not any(layer.frozen for layer in network.walk())


def test_a_layer_that_lets_nothing_through_while_frozen_fails(rng, x):
    class Dam(Dense):
        def backward(self, dy):
            return super().backward(dy) * (not self.frozen)

    with pytest.raises(GradientError, match="^Dam, input while frozen: the gradient is wrong"):
        check_layer(Dam(3, 2, rng=rng).astype("float64"), x, rng=rng)


def test_running_statistics_that_move_while_frozen_fail(rng, x):
    class Restless(BatchNormalization):
        def forward(self, x, train=True):
            frozen, self.frozen = self.frozen, False
            y = super().forward(x, train)
            self.frozen = frozen
            return y

    with pytest.raises(GradientError, match="^Restless, running_mean: changes though the layer is frozen$"):
        check_layer(Restless(3).astype("float64"), x, rng=rng)


def test_flags_and_state_are_as_before(rng, x):
    network = Sequential([Dense(3, 2, rng=rng), BatchNormalization(2)]).astype("float64")
    state = network.state()
    check_layer(network, x, rng=rng)
    assert not any(layer.frozen for layer in network.walk())
    assert all(np.array_equal(state[key], array) for key, array in network.state().items())


# What backward returns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda dx: None, "Cube, input: the gradient is None, wanted an array of shape (4, 3)"),
        (lambda dx: [dx], "Cube, input: the gradient is a list of 1, wanted an array of shape (4, 3)"),
        (lambda dx: 1.0, "Cube, input: the gradient is 1.0, wanted an array of shape (4, 3)"),
        (lambda dx: dx[:1], "Cube, input: gradient has shape (1, 3), the value (4, 3)"),
        (lambda dx: dx.sum(), "Cube, input: gradient has shape (), the value (4, 3)"),
        (lambda dx: dx.astype(np.float32), "Cube, input: gradient is float32, the value float64"),
    ],
)
def test_what_is_no_gradient_is_named(rng, x, wrong, message):
    class Other(Cube):
        def backward(self, dy):
            return wrong(super().backward(dy))

    Other.__name__ = "Cube"
    with pytest.raises(GradientError, match="^" + re.escape(message)):
        check_layer(Other(), x, rng=rng)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda y: None, "None"),
        (lambda y: y.astype(np.float32), "a float32 array"),
        (lambda y: [y], "a list of 1"),
    ],
)
def test_an_output_that_is_no_float64_array_is_named(rng, x, wrong, words):
    class Other(Cube):
        def forward(self, x, train=True):
            return wrong(super().forward(x, train))

    with pytest.raises(GradientError, match=f"^Other: forward returned {words}, wanted a float64 array"):
        check_layer(Other(), x, rng=rng)


# Several inputs ------------------------------------------------------------------------------------------


class Product(Layer):
    """y = a * b, from two inputs; a list of two gradients, the second times `factor`."""

    factor = 1.0

    def forward(self, a, b, train=True):
        return self.remember(train, a * b, a, b)

    def backward(self, dy):
        a, b = self.recall(dy)
        return [dy * b, self.factor * dy * a]


class Embedding(Layer):
    """y = table[labels]."""

    def __init__(self, rng):
        self.table = Parameter(rng.standard_normal((5, 3)))

    def forward(self, labels, train=True):
        return self.remember(train, self.table.value[labels], labels)

    def backward(self, dy):
        (labels,) = self.recall(dy)
        if not self.frozen:
            np.add.at(self.table.grad, labels, dy)


class Conditional(Embedding):
    """y = x * table[labels]."""

    pair = False

    def forward(self, x, labels, train=True):
        return self.remember(train, x * self.table.value[labels], x, labels)

    def backward(self, dy):
        x, labels = self.recall(dy)
        if not self.frozen:
            np.add.at(self.table.grad, labels, dy * x)
        dx = dy * self.table.value[labels]
        return (dx, None) if self.pair else dx


def test_each_of_several_inputs_is_checked(rng, x):
    layer, other = Product(), rng.standard_normal((4, 3))
    assert check_layer(layer, x, other, rng=rng).keys() == {"input 0", "input 1"}
    layer.factor = 1.001
    with pytest.raises(GradientError, match="^Product, input 1: the gradient is wrong"):
        check_layer(layer, x, other, rng=rng)


def test_a_layer_that_takes_a_list_is_checked(rng, x, monkeypatch):
    parts = [x, rng.standard_normal((4, 1)), rng.standard_normal((4, 2))]
    errors = check_layer(Concatenate(), parts, rng=rng)
    assert errors.keys() == {"input[0]", "input[1]", "input[2]"}
    backward = Concatenate.backward
    monkeypatch.setattr(Concatenate, "backward", lambda self, dy: [-g for g in backward(self, dy)])
    with pytest.raises(GradientError, match=r"^Concatenate, input\[0\]: the gradient is wrong"):
        check_layer(Concatenate(), parts, rng=rng)
    monkeypatch.setattr(Concatenate, "backward", lambda self, dy: backward(self, dy)[:2])
    with pytest.raises(
        GradientError, match="^Concatenate: backward returned a list of 2, wanted a list of 3 gr"
    ):
        check_layer(Concatenate(), parts, rng=rng)


def test_whole_numbers_are_left_out(rng, x):
    labels = np.array([0, 3, 3, 4])
    assert check_layer(Embedding(rng), labels, rng=rng).keys() == {"table"}
    for pair, key in ((False, "input 0"), (True, "input 0")):
        layer = Conditional(rng)
        layer.pair = pair
        assert check_layer(layer, x, labels, rng=rng).keys() == {key, "table"}


def test_an_input_that_is_changed_in_place_is_named(rng, x):
    class Greedy(Product):
        def forward(self, a, b, train=True):
            y = super().forward(a, b, train)
            b += 1
            return y

    with pytest.raises(GradientError, match="^Greedy: input 1 was changed in place$"):
        check_layer(Greedy(), x, x.copy(), rng=rng)


def test_values_are_put_back_where_forward_fails(rng, x):
    before, calls = x.copy(), []

    def fails():
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return x**2

    with pytest.raises(ZeroDivisionError):
        check_gradient(fails, x, 2 * x, rng)
    np.testing.assert_array_equal(x, before)
