"""Bugs, planted one at a time in the layers of the package: each must be caught, by a check that names the layer.

A test-suite that passes proves nothing until it has been seen to fail. Most of these mistakes were found in public
code for learning.
"""

import functools

import numpy as np
import pytest
import reference
from layer_table import Geometry, make

from npgan import losses
from npgan.gradcheck import GradientError, check_layer, check_loss
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    LeakyReLU,
    Parameter,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
)
from npgan.optim import SGD, Adam

SQUARE = Geometry(2, (4, 4), 3, 3, (3, 3), (1, 1), (1, 1), (0, 0))  # hides a transposed weight from its shape


def plant(monkeypatch, kind, wrong):
    """Make kind.backward(dy) return wrong(layer, x, dy, right), where right(dy) is the backward that was there."""
    forward, backward = kind.forward, kind.backward

    def remembering(self, x, train=True):
        self.seen = x
        return forward(self, x, train)

    monkeypatch.setattr(kind, "forward", remembering)
    monkeypatch.setattr(
        kind,
        "backward",
        lambda self, dy: wrong(self, self.seen, dy, functools.partial(backward, self)),
    )


# Wrong input gradients -----------------------------------------------------------------------------------


def normalised(layer, x):
    axes = tuple(range(x.ndim - 1))
    inverse_std = 1 / np.sqrt(x.var(axis=axes) + layer.epsilon)
    return (x - x.mean(axis=axes)) * inverse_std, layer.gamma.value * inverse_std, axes


def flipped_sign(layer, x, dy, right):
    u, scale, axes = normalised(layer, x)
    return right(dy) + 2 * scale * u * (dy * u).mean(axis=axes)


def forgotten_mean(layer, x, dy, right):
    _, scale, axes = normalised(layer, x)
    return right(dy) + scale * dy.mean(axis=axes)


def forgotten_variance(layer, x, dy, right):
    u, scale, axes = normalised(layer, x)
    return right(dy) + scale * u * (dy * u).mean(axis=axes)


def mean_over_the_batch_alone(layer, x, dy, right):
    _, scale, axes = normalised(layer, x)
    return right(dy) + scale * (dy.mean(axis=axes) - dy.mean(axis=0))


def forgotten_gamma(layer, x, dy, right):
    return right(dy) / layer.gamma.value


def slope_by_the_sign_of_dy(layer, x, dy, right):
    right(dy)
    return np.where(dy > 0, dy, getattr(layer, "alpha", 0) * dy)


def derivative_of_the_output_with_or_equal(layer, x, dy, right):
    right(dy)
    return dy * (np.maximum(x, 0) >= 0)


def slope_of_tanh_from_the_input(layer, x, dy, right):
    right(dy)
    return dy * (1 - x * x)


def slope_of_sigmoid_without_its_second_factor(layer, x, dy, right):
    right(dy)
    return dy / (1 + np.exp(-x))


def one_pixel_off(layer, x, dy, right):
    return np.roll(right(dy), 1, axis=1)


def columns_first(layer, x, dy, right):
    return right(dy).ravel().reshape(x.shape, order="F")


def sign(layer, x, dy, right):
    return -right(dy)


WRONG_INPUT_GRADIENTS = [
    (BatchNormalization, "BatchNormalization-of-images", flipped_sign),
    (BatchNormalization, "BatchNormalization-of-features", flipped_sign),
    (BatchNormalization, "BatchNormalization-of-images", forgotten_mean),
    (BatchNormalization, "BatchNormalization-of-images", forgotten_variance),
    (BatchNormalization, "BatchNormalization-of-images", mean_over_the_batch_alone),
    (BatchNormalization, "BatchNormalization-of-images", forgotten_gamma),
    (LeakyReLU, "LeakyReLU", slope_by_the_sign_of_dy),
    (ReLU, "ReLU", slope_by_the_sign_of_dy),
    (ReLU, "ReLU", derivative_of_the_output_with_or_equal),
    (Tanh, "Tanh", slope_of_tanh_from_the_input),
    (Sigmoid, "Sigmoid", slope_of_sigmoid_without_its_second_factor),
    (Conv2D, "Conv2D", one_pixel_off),
    (Conv2DTranspose, "Conv2DTranspose", one_pixel_off),
    (Flatten, "Flatten", columns_first),
    (Reshape, "Reshape", columns_first),
    (Dense, "Dense", sign),
]


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    WRONG_INPUT_GRADIENTS,
    ids=lambda value: getattr(value, "__name__", None),
)
def test_wrong_input_gradient_is_caught(monkeypatch, kind, name, wrong):
    rng, layer, x = make(name, dtype="float64")
    check_layer(layer, x, rng=rng, tolerance=1e-6)
    plant(monkeypatch, kind, wrong)
    with pytest.raises(GradientError, match=f"^{kind.__name__}, input: the gradient is wrong"):
        check_layer(layer, x, rng=rng, tolerance=1e-6)


# Wrong parameter gradients -------------------------------------------------------------------------------


def overwritten(layer, x, dy, right):
    layer.zero_grad()
    return right(dy)


def changed(parameter, change):
    """A wrong backward that replaces what `parameter` should gain by change(gain)."""

    def wrong(layer, x, dy, right):
        grad = getattr(layer, parameter).grad
        before = grad.copy()
        dx = right(dy)
        grad[...] = before + change(grad - before)
        return dx

    return wrong


WRONG_PARAMETER_GRADIENTS = {
    "Dense-overwritten": (Dense, "weight", overwritten),
    "Conv2D-overwritten": (Conv2D, "weight", overwritten),
    "Conv2DTranspose-overwritten": (Conv2DTranspose, "weight", overwritten),
    "BatchNormalization-overwritten": (BatchNormalization, "gamma", overwritten),
    "Dense-weight-transposed": (Dense, "weight", changed("weight", lambda gain: gain.T)),
    "Dense-bias-averaged": (Dense, "bias", changed("bias", lambda gain: gain / 3)),
    "Conv2D-weight-one-tap-off": (Conv2D, "weight", changed("weight", lambda gain: np.roll(gain, 1, axis=0))),
    "Conv2D-kernel-flipped": (Conv2D, "weight", changed("weight", lambda gain: gain[::-1, ::-1])),
    "Conv2D-weight-transposed": (
        Conv2D,
        "weight",
        changed("weight", lambda gain: gain.transpose(0, 1, 3, 2)),
    ),
    "Conv2DTranspose-weight-transposed": (
        Conv2DTranspose,
        "weight",
        changed("weight", lambda gain: gain.transpose(0, 1, 3, 2)),
    ),
    "Conv2DTranspose-bias-forgotten": (Conv2DTranspose, "bias", changed("bias", lambda gain: 0 * gain)),
    "BatchNormalization-gamma-averaged": (
        BatchNormalization,
        "gamma",
        changed("gamma", lambda gain: gain / 80),
    ),
    "BatchNormalization-beta-forgotten": (BatchNormalization, "beta", changed("beta", lambda gain: 0 * gain)),
}


@pytest.mark.parametrize("bug", WRONG_PARAMETER_GRADIENTS)
def test_wrong_parameter_gradient_is_caught(monkeypatch, bug):
    kind, parameter, wrong = WRONG_PARAMETER_GRADIENTS[bug]
    name = "BatchNormalization-of-images" if kind is BatchNormalization else kind.__name__
    rng, layer, x = make(name, geometry=SQUARE, dtype="float64")
    check_layer(layer, x, rng=rng, tolerance=1e-6)
    plant(monkeypatch, kind, wrong)
    with pytest.raises(GradientError, match=f"^{kind.__name__}, {parameter}: the gradient is wrong"):
        check_layer(layer, x, rng=rng, tolerance=1e-6)


# Arguments written to ------------------------------------------------------------------------------------


def dy_masked_in_place(layer, x, dy, right):
    right(dy)
    dy[x <= 0] *= getattr(layer, "alpha", 0)
    return dy


def dy_multiplied_in_place(layer, x, dy, right):
    dx = right(dy)
    dy *= 2
    return dx


def x_reused(layer, x, dy, right):
    x[...] = right(dy)
    return x


@pytest.mark.parametrize(
    ("kind", "wrong", "what"),
    [
        (LeakyReLU, dy_masked_in_place, "dy"),
        (ReLU, dy_masked_in_place, "dy"),
        (Tanh, dy_multiplied_in_place, "dy"),
        (Dense, dy_multiplied_in_place, "dy"),
        (Conv2D, dy_multiplied_in_place, "dy"),
        (Sigmoid, x_reused, "x"),
        (LeakyReLU, x_reused, "x"),
    ],
)
def test_argument_changed_in_place_is_caught(monkeypatch, kind, wrong, what):
    rng, layer, x = make(kind.__name__, dtype="float64")
    plant(monkeypatch, kind, wrong)
    with pytest.raises(GradientError, match=f"^{kind.__name__}: {what} was changed in place$"):
        check_layer(layer, x, rng=rng)


# Wrong forwards ------------------------------------------------------------------------------------------


def with_settings(layer, x, train, **settings):
    """layer.forward(x) as it would be with other settings."""
    kept = {name: getattr(layer, name) for name in settings}
    vars(layer).update(settings)
    try:
        return FORWARD[type(layer)](layer, x, train)
    finally:
        vars(layer).update(kept)


FORWARD = {kind: kind.forward for kind in (Conv2D, Conv2DTranspose, BatchNormalization)}


def transposed_without_padding(layer, x, train):
    """The output has the right size, but begins at the corner instead of `padding` pixels inside."""
    whole = with_settings(layer, x, False, padding=(0, 0))
    right = FORWARD[Conv2DTranspose](layer, x, train)
    return whole[:, : right.shape[1], : right.shape[2]]


def transposed_as_a_smaller_stride(layer, x, train):
    """Stamps one pixel too close, on a canvas of the right size."""
    close = with_settings(layer, x, False, stride=(1, 1), output_padding=(0, 0), padding=(0, 0))
    right = FORWARD[Conv2DTranspose](layer, x, train)
    wrong = np.zeros_like(right)
    h, w = min(close.shape[1], right.shape[1]), min(close.shape[2], right.shape[2])
    wrong[:, :h, :w] = close[:, :h, :w]
    return wrong


def conv_with_windows_one_pixel_late(layer, x, train):
    late = FORWARD[Conv2D](layer, np.roll(x, -1, axis=1), False)
    FORWARD[Conv2D](layer, x, train)  # remembers
    return late


def conv_with_a_flipped_kernel(layer, x, train):
    kept = layer.weight.value.copy()
    layer.weight.value[...] = kept[::-1, ::-1]
    flipped = FORWARD[Conv2D](layer, x, False)
    layer.weight.value[...] = kept
    FORWARD[Conv2D](layer, x, train)  # remembers
    return flipped


WRONG_FORWARDS = [
    (Conv2DTranspose, transposed_without_padding),
    (Conv2DTranspose, transposed_as_a_smaller_stride),
    (Conv2D, conv_with_windows_one_pixel_late),
    (Conv2D, conv_with_a_flipped_kernel),
]


def assert_loops_agree(layer, x, g):
    """Compare the forward of a Conv2D or a Conv2DTranspose with reference.py; the message names the layer."""
    weight, bias = layer.weight.value, layer.bias.value
    if isinstance(layer, Conv2D):
        wanted = reference.convolution(x, weight, bias, g.stride, g.padding)
    else:
        wanted = reference.transposed_convolution(x, weight, bias, g.stride, g.padding, g.output_padding)
    y = layer.forward(x)
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12, err_msg=type(layer).__name__)


@pytest.mark.parametrize(
    ("kind", "wrong"), WRONG_FORWARDS, ids=lambda value: getattr(value, "__name__", None)
)
def test_wrong_forward_is_caught_by_the_gradient_check_and_by_the_loops(monkeypatch, kind, wrong):
    g = Geometry(2, (5, 4), 2, 3, (3, 4), (2, 2), (1, 1), (1, 1))
    rng, layer, x = make(kind.__name__, geometry=g, dtype="float64")
    check_layer(layer, x, rng=rng, tolerance=1e-6)
    assert_loops_agree(layer, x, g)
    monkeypatch.setattr(kind, "forward", lambda self, x, train=True: wrong(self, x, train))
    with pytest.raises(GradientError, match=f"^{kind.__name__}, (input|weight): the gradient is wrong"):
        check_layer(layer, x, rng=rng, tolerance=1e-6)
    with pytest.raises(AssertionError, match=kind.__name__):
        assert_loops_agree(layer, x, g)


@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
@pytest.mark.parametrize(
    "settings", [{"padding": (1, 2)}, {"stride": (3, 2), "output_padding": (0, 0)}], ids=["padding", "stride"]
)
def test_wrong_geometry_in_forward_and_backward_alike_is_caught_by_the_loops(kind, settings):
    """It is the derivative of another function: no gradient check can see it."""
    g = Geometry(2, (5, 4), 2, 3, (3, 3), (2, 2), (1, 1), (0, 0))
    rng, layer, x = make(kind.__name__, geometry=g, dtype="float64")
    vars(layer).update({name: value for name, value in settings.items() if hasattr(layer, name)})
    check_layer(layer, x, rng=rng, tolerance=1e-6)
    with pytest.raises(AssertionError, match=kind.__name__):
        assert_loops_agree(layer, x, g)


def assert_statistics_agree(layer, x):
    means, variances = reference.batch_statistics(x)
    before, m = layer.state(), layer.momentum
    layer.forward(x)
    for name, batch in (("running_mean", means), ("running_variance", variances)):
        wanted = m * before[name] + (1 - m) * np.array(batch)
        np.testing.assert_allclose(
            getattr(layer, name), wanted, rtol=1e-12, err_msg=f"{type(layer).__name__}.{name}"
        )


def momentum_the_other_way_round(layer, x, train):
    return with_settings(layer, x, train, momentum=1 - layer.momentum)


def variance_divided_by_one_less(layer, x, train):
    before = layer.running_variance.copy()
    y = FORWARD[BatchNormalization](layer, x, train)
    count = x.size // layer.channels
    layer.running_variance += (layer.running_variance - layer.momentum * before) / (count - 1)
    return y


@pytest.mark.parametrize("wrong", [momentum_the_other_way_round, variance_divided_by_one_less])
def test_wrong_running_statistics_are_caught_by_the_loops(monkeypatch, wrong):
    _, layer, x = make("BatchNormalization-of-images", dtype="float64")
    assert_statistics_agree(layer, x)
    monkeypatch.setattr(BatchNormalization, "forward", lambda self, x, train=True: wrong(self, x, train))
    with pytest.raises(AssertionError, match=r"BatchNormalization\.running_"):
        assert_statistics_agree(layer, x)


# Optimisers and losses -----------------------------------------------------------------------------------


def assert_optimiser_agrees(optimiser, loop, rng):
    (parameter,) = optimiser.parameters.values()
    gradients = rng.standard_normal(10)
    wanted = loop(float(parameter.value[0]), gradients.tolist(), [0.1] * 10)
    for gradient in gradients:
        parameter.grad[...] = gradient
        optimiser.step()
    np.testing.assert_allclose(parameter.value, [wanted], rtol=1e-10, err_msg=type(optimiser).__name__)


def adam():
    return Adam([Parameter(np.ones(1))], 0.1), lambda *args: reference.adam(*args, 0.5, 0.999, 1e-8)


def constant_bias_correction(update):
    def wrong(self, *args, **kwargs):
        kept, self.steps = self.steps, 1
        update(self, *args, **kwargs)
        self.steps = kept

    return wrong


def no_bias_correction(update):
    def wrong(self, *args, **kwargs):
        kept, self.steps = self.steps, 10**6
        update(self, *args, **kwargs)
        self.steps = kept

    return wrong


@pytest.mark.parametrize("bug", [constant_bias_correction, no_bias_correction])
def test_wrong_bias_correction_of_adam_is_caught_by_the_loop(monkeypatch, rng, bug):
    assert_optimiser_agrees(*adam(), rng)
    monkeypatch.setattr(Adam, "update", bug(Adam.update))
    with pytest.raises(AssertionError, match="Adam"):
        assert_optimiser_agrees(*adam(), rng)


def test_nesterov_that_is_plain_momentum_is_caught_by_the_loop(rng):
    def plain():
        return SGD([Parameter(np.ones(1))], 0.1, momentum=0.9)

    assert_optimiser_agrees(plain(), lambda *args: reference.momentum(*args, 0.9), rng)
    with pytest.raises(AssertionError, match="SGD"):
        assert_optimiser_agrees(plain(), lambda *args: reference.nesterov(*args, 0.9), rng)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda gradient, logits: gradient * logits.size,  # the sum's, not the mean's
        lambda gradient, logits: -gradient,
        lambda gradient, logits: (
            gradient * losses.sigmoid(logits) * (1 - losses.sigmoid(logits))
        ),  # by D twice
    ],
    ids=["sum-for-mean", "sign", "sigmoid-twice"],
)
@pytest.mark.parametrize("loss", [losses.generator_saturating, losses.least_squares])
def test_wrong_loss_gradient_is_caught(rng, loss, wrong):
    logits = rng.standard_normal((4, 1))
    check_loss(lambda logits: loss(logits, 1.0), logits, rng)

    @functools.wraps(loss)
    def planted(logits):
        value, gradient = loss(logits, 1.0)
        return value, wrong(gradient, logits)

    with pytest.raises(GradientError, match=f"^{loss.__name__}: the gradient is wrong"):
        check_loss(planted, logits, rng)
