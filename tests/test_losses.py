"""Losses: hand values, extreme logits, and what saturates."""

import math
import re

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan.losses import (
    binary_cross_entropy,
    generator_non_saturating,
    generator_saturating,
    mean_absolute_error,
    mean_squared_error,
    softmax_cross_entropy,
)

LOG_3 = math.log(3)  # sigmoid(log 3) = 3/4
LOGITS = np.array([[0.0], [LOG_3], [-LOG_3], [0.0]])  # D = 1/2, 3/4, 1/4, 1/2


def assert_loss(result, value, gradient):
    np.testing.assert_allclose(result[0], value, rtol=1e-14)
    np.testing.assert_allclose(result[1], gradient, rtol=1e-14, atol=1e-16)


def test_binary_cross_entropy_is_worked_out_by_hand():
    real = (2 * math.log(2) + math.log(4 / 3) + math.log(4)) / 4
    assert_loss(
        binary_cross_entropy(LOGITS, 1.0), real, np.array([[-1 / 2], [-1 / 4], [-3 / 4], [-1 / 2]]) / 4
    )
    fake = (2 * math.log(2) + math.log(4) + math.log(4 / 3)) / 4
    assert_loss(binary_cross_entropy(LOGITS, 0.0), fake, np.array([[1 / 2], [3 / 4], [1 / 4], [1 / 2]]) / 4)
    smooth = np.array([[0.9]])  # at D = 3/4: -0.9 log(3/4) - 0.1 log(1/4)
    assert_loss(
        binary_cross_entropy(LOGITS[1:2], smooth), 0.9 * math.log(4 / 3) + 0.1 * math.log(4), [[0.75 - 0.9]]
    )


def test_generator_losses_are_worked_out_by_hand():
    value = -(2 * math.log(2) + math.log(4) + math.log(4 / 3)) / 4  # mean of log(1 - D)
    assert_loss(generator_saturating(LOGITS), value, -np.array([[1 / 2], [3 / 4], [1 / 4], [1 / 2]]) / 4)
    value = (2 * math.log(2) + math.log(4 / 3) + math.log(4)) / 4  # mean of -log D
    assert_loss(generator_non_saturating(LOGITS), value, -np.array([[1 / 2], [1 / 4], [3 / 4], [1 / 2]]) / 4)


def test_softmax_cross_entropy_is_worked_out_by_hand():
    logits = np.log([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]])  # probabilities 1/8 2/8 5/8 and 3/8 3/8 2/8
    gradient = np.array([[1 / 8, 2 / 8, 5 / 8 - 1], [3 / 8 - 1, 3 / 8, 2 / 8]]) / 2
    assert_loss(
        softmax_cross_entropy(logits, np.array([2, 0])), (math.log(8 / 5) + math.log(8 / 3)) / 2, gradient
    )


def test_mean_errors_are_worked_out_by_hand():
    prediction, target = np.array([[1.0, 2.0], [3.0, -4.0]]), np.array([[0.0, 4.0], [3.0, -3.0]])
    assert_loss(mean_squared_error(prediction, target), (1 + 4 + 0 + 1) / 4, [[0.5, -1.0], [0.0, -0.5]])
    assert_loss(mean_absolute_error(prediction, target), (1 + 2 + 0 + 1) / 4, [[0.25, -0.25], [0.0, -0.25]])
    assert_loss(mean_squared_error(prediction, 1.0), (0 + 1 + 4 + 25) / 4, [[0.0, 0.5], [1.0, -2.5]])


@given(rows=st.integers(1, 5), columns=st.integers(1, 4), seed=seeds)
def test_cross_entropies_agree_with_loops(rows, columns, seed):
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-8, 8, (rows, columns))
    targets = rng.uniform(0, 1, (rows, columns))
    wanted = reference.binary_cross_entropy(logits.ravel(), targets.ravel())
    assert binary_cross_entropy(logits, targets)[0] == pytest.approx(wanted, rel=1e-10)
    labels = rng.integers(0, columns, rows)
    wanted = reference.softmax_cross_entropy(logits, labels)
    assert softmax_cross_entropy(logits, labels)[0] == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@given(seed=seeds)
def test_generator_losses_are_cross_entropies_with_turned_labels(seed):
    logits = np.random.default_rng(seed).uniform(-8, 8, (4, 2))
    value, gradient = binary_cross_entropy(logits, 1.0)
    assert_loss(generator_non_saturating(logits), value, gradient)
    value, gradient = binary_cross_entropy(logits, 0.0)
    assert_loss(generator_saturating(logits), -value, -gradient)


# Extremes ------------------------------------------------------------------------------------------------

LOGIT_LOSSES = {
    "real": lambda logits: binary_cross_entropy(logits, 1.0),
    "fake": lambda logits: binary_cross_entropy(logits, 0.0),
    "array": lambda logits: binary_cross_entropy(logits, np.full_like(logits, 0.5)),
    "saturating": generator_saturating,
    "non-saturating": generator_non_saturating,
    "softmax": lambda logits: softmax_cross_entropy(logits, np.zeros(len(logits), int)),
}


@pytest.mark.parametrize("name", LOGIT_LOSSES)
@pytest.mark.parametrize("logits", [(1e4, 1e4), (-1e4, -1e4), (1e4, -1e4), (0.0, 1e4), (-200.0, 100.0)])
def test_extreme_logits_give_finite_float32_without_warnings(name, logits):
    value, gradient = LOGIT_LOSSES[name](np.array([logits, logits], np.float32))
    assert value.dtype == gradient.dtype == np.float32
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_extreme_logits_give_the_right_numbers():
    logits = np.array([[1e4, -1e4]], np.float32)
    assert_loss(binary_cross_entropy(logits, 1.0), 5000, [[0, -0.5]])
    assert_loss(binary_cross_entropy(logits, 0.0), 5000, [[0.5, 0]])
    assert_loss(softmax_cross_entropy(logits, np.array([1])), 2e4, [[1, -1]])
    assert_loss(softmax_cross_entropy(logits, np.array([0])), 0, [[0, 0]])


def test_saturating_gradient_vanishes_where_the_discriminator_is_sure_and_the_other_stays():
    sure = np.full((8, 1), -10.0)  # D = 4.5e-5
    d = reference.sigmoid(-10.0)
    _, saturating = generator_saturating(sure)
    _, non_saturating = generator_non_saturating(sure)
    np.testing.assert_allclose(saturating, -d / 8, rtol=1e-10)
    np.testing.assert_allclose(non_saturating, -(1 - d) / 8, rtol=1e-10)
    assert np.abs(non_saturating / saturating).min() > 2e4


def test_both_generator_losses_fall_as_logits_rise_and_are_equally_steep_at_one_half():
    logits = np.linspace(-5, 5, 21)
    for loss in (generator_saturating, generator_non_saturating):
        values = [float(loss(np.array([value]))[0]) for value in logits]
        assert all(later < earlier for earlier, later in zip(values, values[1:]))
        np.testing.assert_allclose(loss(np.zeros(1))[1], [-0.5], rtol=1e-15)


# Dtypes, scalars, errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [1, 1.0, True, np.float64(0.9)], ids=["int", "float", "bool", "float64"])
@pytest.mark.parametrize("loss", [binary_cross_entropy, mean_squared_error, mean_absolute_error])
def test_value_and_gradient_keep_the_dtype_for_every_kind_of_number_as_target(loss, target, dtype):
    value, gradient = loss(np.array([[0.5], [2.0]], dtype), target)
    assert value.dtype == gradient.dtype == dtype
    assert value.shape == () and gradient.shape == (2, 1)
    other, _ = loss(np.array([[0.5], [2.0]], dtype), float(target))
    assert value == other


@pytest.mark.parametrize("name", LOGIT_LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_leave_logits_unchanged_and_keep_their_dtype(name, dtype, rng):
    logits = rng.standard_normal((3, 2)).astype(dtype)
    before = logits.copy()
    value, gradient = LOGIT_LOSSES[name](logits)
    np.testing.assert_array_equal(logits, before)
    assert value.dtype == gradient.dtype == dtype


ONE = np.ones((2, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: binary_cross_entropy(ONE, np.ones(2, np.float32)),
            ValueError,
            "binary_cross_entropy: target is a NumPy array of shape (2,), float32, "
            "logits is a NumPy array of shape (2, 1), float32; they must agree in shape and dtype",
        ),
        (
            lambda: binary_cross_entropy(ONE, np.ones((2, 1))),
            ValueError,
            "binary_cross_entropy: target is a NumPy array of shape (2, 1), float64",
        ),
        (
            lambda: mean_squared_error(ONE, np.ones((1, 2), np.float32)),
            ValueError,
            "mean_squared_error: target is a NumPy array of shape (1, 2), float32",
        ),
        (
            lambda: mean_absolute_error(ONE, np.ones((2, 2), np.float32)),
            ValueError,
            "mean_absolute_error: target is a NumPy array of shape (2, 2), float32",
        ),
        (
            lambda: binary_cross_entropy(ONE.astype(int), 1.0),
            TypeError,
            "binary_cross_entropy: logits is int64, wanted a floating type",
        ),
        (
            lambda: generator_saturating(ONE > 0),
            TypeError,
            "generator_saturating: logits is bool, wanted a floating type",
        ),
        (
            lambda: generator_non_saturating(ONE[:0]),
            ValueError,
            "generator_non_saturating: logits is empty",
        ),
        (lambda: generator_non_saturating([0.5]), TypeError, "wanted a NumPy or a CuPy array, got list"),
        (
            lambda: mean_squared_error(ONE, [1.0, 1.0]),
            TypeError,
            "wanted a NumPy or a CuPy array, got list",
        ),
        (
            lambda: softmax_cross_entropy(ONE, np.ones(3, int)),
            ValueError,
            "softmax_cross_entropy: wanted logits (N, classes) and whole-number labels (N,), got "
            "a NumPy array of shape (2, 1), float32 and a NumPy array of shape (3,), int64",
        ),
        (
            lambda: softmax_cross_entropy(ONE, np.ones(2, np.float32)),
            ValueError,
            "softmax_cross_entropy: wanted logits (N, classes) and whole-number labels (N,)",
        ),
        (
            lambda: softmax_cross_entropy(ONE[:, 0], np.ones(2, int)),
            ValueError,
            "softmax_cross_entropy: wanted logits (N, classes) and whole-number labels (N,)",
        ),
    ],
)
def test_wrong_argument_is_refused_by_name(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
