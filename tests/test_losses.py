"""Losses: hand values, extreme logits, and what saturates."""

import math
import re
from decimal import Decimal, localcontext

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan.gradcheck import check_gradient, check_loss
from npgan.losses import (
    binary_cross_entropy,
    generator_saturating,
    hinge,
    least_squares,
    mean_absolute_error,
    mean_squared_error,
    one_centred_penalty,
    relativistic,
    softmax_cross_entropy,
    wasserstein,
    zero_centred_penalty,
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
    assert_loss(generator_saturating(LOGITS, 1.0), *generator_saturating(LOGITS))


def test_game_losses_are_worked_out_by_hand():
    logits = np.array([[3.0], [-2.0], [0.5], [1.0]])
    assert_loss(
        least_squares(logits, 1.0), (4 + 9 + 0.25 + 0) / 8, np.array([[2.0], [-3.0], [-0.5], [0.0]]) / 4
    )
    assert_loss(
        least_squares(logits, 0.0), (9 + 4 + 0.25 + 1) / 8, np.array([[3.0], [-2.0], [0.5], [1.0]]) / 4
    )
    assert_loss(hinge(logits, 1.0), (0 + 3 + 0.5 + 0) / 4, np.array([[0.0], [-1.0], [-1.0], [0.0]]) / 4)
    assert_loss(hinge(logits, 0.0), (4 + 0 + 1.5 + 2) / 4, np.array([[1.0], [0.0], [1.0], [1.0]]) / 4)
    assert_loss(wasserstein(logits, 1.0), -2.5 / 4, np.full((4, 1), -1 / 4))
    assert_loss(wasserstein(logits, 0.0), 2.5 / 4, np.full((4, 1), 1 / 4))


def test_relativistic_loss_is_worked_out_by_hand():
    real, fake = np.array([[LOG_3], [1.0]]), np.array([[0.0], [1.0]])  # differences log 3 and 0
    value, dreal, dfake = relativistic(real, fake)
    assert value == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-14)
    np.testing.assert_allclose(dreal, [[-1 / 8], [-1 / 4]], rtol=1e-14)
    np.testing.assert_array_equal(dfake, -dreal)
    value, dfake, dreal = relativistic(fake, real)  # the generator's side: samples shall look more real
    assert value == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-14)
    np.testing.assert_allclose(dfake, [[-3 / 8], [-1 / 4]], rtol=1e-14)
    np.testing.assert_array_equal(dreal, -dfake)


def test_penalties_are_worked_out_by_hand():
    g = np.array([[3.0, 4.0], [0.6, 0.8], [0.0, -2.0], [0.0, 0.0]])  # of lengths 5, 1, 2, 0
    assert_loss(zero_centred_penalty(g, 10.0), 10 / 2 * (25 + 1 + 4 + 0) / 4, 10 * g / 4)
    value, gradient = one_centred_penalty(g, 10.0)
    assert value == pytest.approx(10 * (16 + 0 + 1 + 1) / 4, rel=1e-14)
    wanted = 10 * 2 * np.array([[4 * 0.6, 4 * 0.8], [0, 0], [0, -1.0], [0, 0]]) / 4
    np.testing.assert_allclose(gradient, wanted, rtol=1e-14, atol=1e-14)


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
    assert_loss(generator_saturating(logits, 0.0), -value, -gradient)
    value, gradient = binary_cross_entropy(logits, 0.0)
    assert_loss(generator_saturating(logits), -value, -gradient)


@pytest.mark.parametrize("loss", [binary_cross_entropy, hinge, wasserstein])
@given(target=st.floats(0, 1), seed=seeds)
def test_a_soft_target_mixes_the_losses_of_real_and_generated(loss, target, seed):
    logits = np.random.default_rng(seed).uniform(-4, 4, (3, 2))
    (real, dreal), (fake, dfake) = loss(logits, 1.0), loss(logits, 0.0)
    for wanted in (target, np.full_like(logits, target)):
        value, gradient = loss(logits, wanted)
        assert value == pytest.approx(target * real + (1 - target) * fake, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(gradient, target * dreal + (1 - target) * dfake, rtol=1e-9, atol=1e-15)


@given(seed=seeds)
def test_generator_loss_of_the_hinge_game_is_that_of_wasserstein(seed):
    """What its docstring says: maximise D(fake), where the discriminator's side stops at the margin."""
    logits = np.random.default_rng(seed).uniform(-4, 4, (3, 1))
    assert_loss(wasserstein(logits, 1.0), -logits.mean(), np.full((3, 1), -1 / 3))


@given(seed=seeds)
def test_relativistic_loss_is_cross_entropy_of_the_difference(seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.uniform(-8, 8, (2, 4, 1))
    value, dreal, dfake = relativistic(real, fake)
    assert_loss((value, dreal), *binary_cross_entropy(real - fake, 1.0))
    np.testing.assert_array_equal(dreal, -dfake)
    check_gradient(lambda: relativistic(real, fake)[0], real, dreal, rng)
    check_gradient(lambda: relativistic(real, fake)[0], fake, dfake, rng)


@pytest.mark.parametrize("loss", [least_squares, wasserstein, hinge, generator_saturating])
@given(soft=st.floats(0, 1), seed=seeds)
def test_gradients_of_game_losses_are_those_of_finite_differences(loss, soft, seed):
    rng = np.random.default_rng(seed)
    logits = rng.choice([-1.0, 1.0], (4, 2)) + rng.choice([-1.0, 1.0], (4, 2)) * rng.uniform(0.1, 0.9, (4, 2))
    for target in (1.0, 0.0, soft, rng.uniform(0, 1, logits.shape)):  # off the hinges' kinks at -1 and 1
        check_loss(lambda x, target=target: loss(x, target), logits, rng)


@pytest.mark.parametrize("penalty", [zero_centred_penalty, one_centred_penalty])
@given(rest=st.lists(st.integers(1, 3), min_size=1, max_size=3), rows=st.integers(1, 4), seed=seeds)
def test_penalties_agree_with_loops_and_finite_differences(penalty, rest, rows, seed):
    rng = np.random.default_rng(seed)
    g = rng.choice([-1.0, 1.0], (rows, *rest)) * rng.uniform(0.1, 2, (rows, *rest))
    lengths = [math.sqrt(sum(float(v) ** 2 for v in one.ravel())) for one in g]
    wanted = sum(n**2 / 2 if penalty is zero_centred_penalty else (n - 1) ** 2 for n in lengths)
    value, gradient = penalty(g, 3.0)
    assert value == pytest.approx(3.0 * wanted / rows, rel=1e-12)
    assert gradient.shape == g.shape
    check_loss(lambda g: penalty(g, 3.0), g, rng)


@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-20, 1e-10, 1e10])
@pytest.mark.parametrize("penalty", [zero_centred_penalty, one_centred_penalty])
def test_penalties_of_tiny_and_large_gradients_are_finite(penalty, size):
    g = np.full((2, 3), size, np.float32)
    value, gradient = penalty(g, np.float64(10.0))
    assert value.dtype == gradient.dtype == np.float32
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if size == 0:
        assert not gradient.any()


# Accuracy: against 60 digits -----------------------------------------------------------------------------


def exactly(function):
    with localcontext() as context:
        context.prec = 60
        return float(function())


def exact_softplus(x):
    return exactly(lambda: (1 + Decimal(x).exp()).ln())


def exact_sigmoid(x):
    return exactly(lambda: 1 / (1 + (-Decimal(x)).exp()))


SURE = [0.0, 0.1, 1.0, 3.0, 10.0, 16.0, 17.0, 20.0, 30.0, 37.0, 50.0, 80.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["number", "array"])
@pytest.mark.parametrize("target", [1.0, 0.0])
def test_cross_entropy_keeps_its_accuracy_however_sure_the_discriminator_is(dtype, form, target):
    close = 8 * float(np.finfo(dtype).eps)
    for x in [*SURE, *(-x for x in SURE)]:
        logits = np.array([[x]], dtype)
        given_target = target if form == "number" else np.full_like(logits, target)
        value, gradient = binary_cross_entropy(logits, given_target)
        x, sign = float(logits[0, 0]), 1 - 2 * target
        assert value == pytest.approx(exact_softplus(sign * x), rel=close, abs=0)
        assert gradient == pytest.approx(sign * exact_sigmoid(sign * x), rel=close, abs=0)
        value, gradient = generator_saturating(logits)
        assert value == pytest.approx(-exact_softplus(x), rel=close, abs=0)
        assert gradient == pytest.approx(-exact_sigmoid(x), rel=close, abs=0)
        value, dreal, _ = relativistic(logits, 0 * logits)
        assert value == pytest.approx(exact_softplus(-x), rel=close, abs=0)
        assert dreal == pytest.approx(-exact_sigmoid(-x), rel=close, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", [0.9, 0.5, 0.1, 1e-3, 1 - 2**-10])
def test_cross_entropy_of_soft_targets_is_accurate(dtype, target):
    close = 8 * float(np.finfo(dtype).eps)
    for x in [*SURE, *(-x for x in SURE)]:
        logits = np.array([[x]], dtype)
        for given_target in (target, np.full_like(logits, target)):
            t = Decimal(float(np.asarray(given_target).flat[0]))
            value, gradient = binary_cross_entropy(logits, given_target)
            x = Decimal(float(logits[0, 0]))
            wanted = exactly(lambda t=t, x=x: t * (1 + (-x).exp()).ln() + (1 - t) * (1 + x.exp()).ln())
            assert value == pytest.approx(wanted, rel=close, abs=0)
            wanted = exactly(lambda t=t, x=x: 1 / (1 + (-x).exp()) - t)
            assert gradient == pytest.approx(wanted, rel=close, abs=close)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_cross_entropy_keeps_its_accuracy_however_sure_the_classifier_is(dtype):
    close = 20 * float(np.finfo(dtype).eps)
    for x in [*SURE, *(-x for x in SURE)]:
        for others in ([0.0], [0.0, -1.0], [0.0, 0.0, -30.0], [2.0, x]):
            logits = np.array([[x, *others]], dtype)
            value, gradient = softmax_cross_entropy(logits, np.array([0]))
            d = [Decimal(float(v)) - Decimal(float(logits[0, 0])) for v in logits[0]]
            with localcontext() as context:
                context.prec = 60
                exps = [one.exp() for one in d]
                loss, rest = float(sum(exps).ln()), sum(exps[1:])
                wanted = [float(-rest / sum(exps)), *(float(e / sum(exps)) for e in exps[1:])]
            assert value == pytest.approx(loss, rel=close, abs=0)
            np.testing.assert_allclose(
                gradient[0], wanted, rtol=close * (1 + abs(x)), atol=float(np.finfo(dtype).tiny)
            )


# Extremes ------------------------------------------------------------------------------------------------

LOGIT_LOSSES = {
    "real": lambda logits: binary_cross_entropy(logits, 1.0),
    "fake": lambda logits: binary_cross_entropy(logits, 0.0),
    "array": lambda logits: binary_cross_entropy(logits, np.full_like(logits, 0.5)),
    "saturating": generator_saturating,
    "soft": lambda logits: binary_cross_entropy(logits, 0.9),
    "hinge": lambda logits: hinge(logits, 1.0),
    "wasserstein": lambda logits: wasserstein(logits, 0.0),
    "least squares": lambda logits: least_squares(logits, 1.0),
    "relativistic": lambda logits: relativistic(logits, -logits)[:2],
    "zero-centred": lambda logits: zero_centred_penalty(logits, 1.0),
    "one-centred": lambda logits: one_centred_penalty(logits, 1.0),
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
    _, non_saturating = binary_cross_entropy(sure, 1.0)
    np.testing.assert_allclose(saturating, -d / 8, rtol=1e-10)
    np.testing.assert_allclose(non_saturating, -(1 - d) / 8, rtol=1e-10)
    assert np.abs(non_saturating / saturating).min() > 2e4


def test_both_generator_losses_fall_as_logits_rise_and_are_equally_steep_at_one_half():
    logits = np.linspace(-5, 5, 21)
    for loss in (generator_saturating, binary_cross_entropy):
        values = [float(loss(np.array([value]), 1.0)[0]) for value in logits]
        assert all(later < earlier for earlier, later in zip(values, values[1:]))
        np.testing.assert_allclose(loss(np.zeros(1), 1.0)[1], [-0.5], rtol=1e-15)


# Dtypes, scalars, errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "target",
    [1, 1.0, True, np.float64(0.9), np.float32(0.9), np.int64(1), np.bool_(True)],
    ids=lambda target: type(target).__name__,
)
@pytest.mark.parametrize(
    "loss",
    [
        *(binary_cross_entropy, least_squares, hinge, wasserstein, generator_saturating),
        *(mean_squared_error, mean_absolute_error),
    ],
)
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
        (lambda: generator_saturating(ONE[:0]), ValueError, "generator_saturating: logits is empty"),
        (lambda: generator_saturating([0.5]), TypeError, "wanted a NumPy or a CuPy array, got list"),
        *(
            (
                lambda loss=loss, target=target: loss(ONE, target),
                ValueError,
                f"{loss.__name__}: target must be in [0, 1] (1: real, 0: generated), got {target}",
            )
            for loss in (binary_cross_entropy, least_squares, hinge, wasserstein, generator_saturating)
            for target in (-1.0, 1.1, 2.0, math.nan)
        ),
        (
            lambda: hinge(ONE, np.ones(2, np.float32)),
            ValueError,
            "hinge: target is a NumPy array of shape (2,), float32, logits is a NumPy array of shape (2, 1)",
        ),
        (lambda: wasserstein(ONE[:0], 1.0), ValueError, "wasserstein: logits is empty"),
        (
            lambda: least_squares(ONE.astype(int), 1.0),
            TypeError,
            "least_squares: logits is int64, wanted a floating type",
        ),
        (
            lambda: relativistic(ONE, ONE[:1]),
            ValueError,
            "relativistic: fake_logits is a NumPy array of shape (1, 1), float32, "
            "real_logits is a NumPy array of shape (2, 1), float32; they must agree in shape and dtype",
        ),
        (lambda: relativistic(ONE, 0.0), TypeError, "wanted a NumPy or a CuPy array, got float"),
        (
            lambda: relativistic(ONE > 0, ONE),
            TypeError,
            "relativistic: real_logits is bool, wanted a floating type",
        ),
        (
            lambda: zero_centred_penalty(ONE.astype(int), 1.0),
            TypeError,
            "zero_centred_penalty: g is int64, wanted a floating type",
        ),
        (lambda: one_centred_penalty(ONE[:0], 1.0), ValueError, "one_centred_penalty: g is empty"),
        (
            lambda: one_centred_penalty(np.float32(1), 1.0),
            ValueError,
            "one_centred_penalty: wanted g of shape (N, ...), got a NumPy array of shape (), float32",
        ),
        (
            lambda: zero_centred_penalty(ONE, -1.0),
            ValueError,
            "zero_centred_penalty: weight must be at least 0, got -1.0",
        ),
        (
            lambda: one_centred_penalty(ONE, math.nan),
            ValueError,
            "one_centred_penalty: weight must be at least 0, got nan",
        ),
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


def test_cross_entropy_of_an_infinite_logit_is_what_it_tends_to():
    logits = np.array([[np.inf], [-np.inf]], np.float32)
    for target, value, gradient in ((1.0, [0, np.inf], [0, -0.5]), (0.0, [np.inf, 0], [0.5, 0])):
        for row, wanted in zip(logits, value):
            assert binary_cross_entropy(row[None], target)[0] == wanted
        np.testing.assert_array_equal(binary_cross_entropy(logits, target)[1].ravel(), gradient)


@pytest.mark.parametrize("label", [-1, 3, 10**9])
def test_a_label_outside_the_classes_is_refused(label):
    with pytest.raises(ValueError, match="softmax_cross_entropy: labels are .* wanted 0 to 2"):
        softmax_cross_entropy(np.zeros((2, 3)), np.array([0, label]))
