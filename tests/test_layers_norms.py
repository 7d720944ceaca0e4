"""PixelNormalization, MinibatchStandardDeviation, and the layers around a layer: by hand, against loops and NumPy's
singular values, and with the mistakes that others have made planted in them.
"""

import copy
import math
import re

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from layer_table import Geometry, conv2d, conv2d_transpose, dense, off_zero, spread
from strategies import at_least, geometries, seeds

from npgan.gradcheck import GradientError, check_gradient, check_layer
from npgan.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Embedding,
    EqualizedLearningRate,
    Flatten,
    LeakyReLU,
    MinibatchStandardDeviation,
    Parameter,
    PixelNormalization,
    ReLU,
    Sequential,
    SpectralNormalization,
    UpSampling2D,
)
from npgan.losses import mean_squared_error
from npgan.optim import SGD, Adam, MovingAverage

WRAPPERS = pytest.mark.parametrize("around", [SpectralNormalization, EqualizedLearningRate])
KINDS = {"Dense": dense, "Conv2D": conv2d, "Conv2DTranspose": conv2d_transpose}
DEFAULT = Geometry()
KIND = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)


# PixelNormalization --------------------------------------------------------------------------------------


def test_pixel_normalization_is_worked_out_by_hand():
    layer = PixelNormalization(24.0)
    # mean square (1 + 49) / 2 = 25, so r = 1 / sqrt(25 + 24) = 1/7
    np.testing.assert_allclose(layer.forward(np.array([[1.0, 7.0]])), [[1 / 7, 1]], rtol=1e-15)
    # mean(dy * y) = 1/14, so dx = ((1 - 1/7 * 1/14) / 7, (0 - 1 * 1/14) / 7)
    dx = layer.backward(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(dx, [[97 / 98 / 7, -1 / 98]], rtol=1e-14)


@at_least(100)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4), seed=seeds)
def test_pixel_normalization_agrees_with_loops_and_every_pixel_has_size_one(shape, seed):
    x = off_zero(np.random.default_rng(seed), shape).astype("float64")
    layer = PixelNormalization()
    y = layer.forward(x)
    np.testing.assert_allclose(y, reference.pixel_normalisation(x, 1e-8), rtol=1e-12)
    np.testing.assert_allclose((y * y).mean(axis=-1), 1, rtol=1e-5)


@at_least(100)
@given(shape=st.lists(st.integers(2, 4), min_size=2, max_size=4), seed=seeds)
def test_gradient_of_pixel_normalization_with_its_own_epsilon_is_that_of_finite_differences(shape, seed):
    rng = np.random.default_rng(seed)
    check_layer(
        PixelNormalization(), off_zero(rng, shape, low=0.5).astype("float64"), rng=rng, tolerance=1e-6
    )


def test_epsilon_of_pixel_normalization_is_1e_8_under_the_root_and_keeps_zeros_finite():
    layer = PixelNormalization()
    y = layer.forward(np.array([[1e-4, -1e-4], [0, 0]], np.float32))  # mean square 1e-8
    np.testing.assert_allclose(y, [[0.5**0.5, -(0.5**0.5)], [0, 0]], rtol=1e-6)
    dx = layer.backward(np.array([[0, 0], [3, 4]], np.float32))
    np.testing.assert_allclose(dx, [[0, 0], [3e4, 4e4]], rtol=1e-6)


@pytest.mark.parametrize("layer", [PixelNormalization(), MinibatchStandardDeviation(2)])
def test_float16_keeps_its_dtype_and_stays_finite_at_zero_and_at_its_largest(layer):
    x = np.array([[0, 0], [0, 0], [6e4, -6e4], [1, 3]], np.float16)
    y = layer.forward(x)
    dx = layer.backward(np.full_like(y, 1e-3))
    assert y.dtype == dx.dtype == np.float16
    assert np.isfinite(y).all() and np.isfinite(dx).all()


# MinibatchStandardDeviation ------------------------------------------------------------------------------


def test_minibatch_standard_deviation_is_worked_out_by_hand():
    layer = MinibatchStandardDeviation(2, epsilon=16.0)
    x = np.array([[0.0, 1.0], [6.0, 1.0], [2.0, 3.0], [2.0, 3.0]])
    # first two: variances 9 and 0, deviations 5 and 4, mean 4.5. Last two: 0 and 0, so 4 and 4
    assert layer.forward(x).tolist() == [[0, 1, 4.5], [6, 1, 4.5], [2, 3, 4], [2, 3, 4]]
    # ds = 30 + 10 = 40 for the first two; d = -3 and 3; G * F * std = 2 * 2 * 5 = 20: slopes -+3/20
    dx = layer.backward(np.array([[1.0, 2, 30], [3, 4, 10], [5, 6, 7], [8, 9, 10]]))
    assert dx.tolist() == [[1 - 6, 2], [3 + 6, 4], [5, 6], [8, 9]]


@at_least(100)
@given(
    groups=st.integers(1, 3),
    group=st.integers(1, 4),
    rest=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    seed=seeds,
)
def test_minibatch_standard_deviation_agrees_with_loops(groups, group, rest, seed):
    x = np.random.default_rng(seed).standard_normal((groups * group, *rest))
    layer = MinibatchStandardDeviation(group)
    wanted = reference.minibatch_standard_deviation(x, group, 1e-8)
    np.testing.assert_allclose(layer.forward(x), wanted, rtol=1e-11, atol=1e-12)


@at_least(100)
@given(groups=st.integers(1, 3), group=st.integers(2, 4), channels=st.integers(1, 3), seed=seeds)
def test_gradient_of_minibatch_standard_deviation_is_that_of_finite_differences(
    groups, group, channels, seed
):
    rng = np.random.default_rng(seed)
    x = spread(rng, (groups * group, 2, 2, channels)).astype("float64")
    check_layer(MinibatchStandardDeviation(group), x, rng=rng, tolerance=1e-6)


def test_every_sample_is_given_the_number_of_its_own_group(rng):
    """Groups tiled in the wrong order, a public port's mistake, give sample 1 the number of the second group."""
    x = np.zeros((8, 2, 2, 1), np.float32)
    x[4:] = 5 * rng.standard_normal((4, 2, 2, 1))  # the first four are all alike
    seen = MinibatchStandardDeviation().forward(x)[..., -1]
    assert (seen[:4] < 2e-4).all() and (seen[4:] > 1).all()
    assert len(np.unique(seen[:4])) == len(np.unique(seen[4:])) == 1


def test_groups_do_not_mix_and_every_pixel_of_a_sample_sees_its_number(rng):
    layer, x = MinibatchStandardDeviation(2), rng.standard_normal((6, 2, 3, 2))
    before = layer.forward(x)
    x[2] += rng.standard_normal((2, 3, 2))
    changed = (layer.forward(x) != before)[..., -1]
    assert changed[2:4].all() and not changed[[0, 1, 4, 5]].any()
    dy = np.zeros((6, 2, 3, 3))
    dy[2, 1, 1, -1] = 1
    assert layer.backward(dy)[2:4].all()


def test_deviation_grows_as_the_samples_move_apart(rng):
    """With square(x + 1e8) for a root, another port's mistake, it would be constant."""
    x = rng.standard_normal((4, 3, 3, 2)).astype(np.float32)
    layer = MinibatchStandardDeviation()
    once, thrice = layer.forward(x)[..., -1], layer.forward(3 * x)[..., -1]
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)
    np.testing.assert_allclose(once, x.std(axis=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(layer.forward(x + 100)[..., -1], once, rtol=1e-3)  # far from zero too


@pytest.mark.parametrize("value", [0, 1e-20, -7.5])
def test_samples_that_are_all_equal_have_a_finite_slope(value):
    layer = MinibatchStandardDeviation()
    y = layer.forward(np.full((4, 2, 2, 3), value, np.float32))
    np.testing.assert_allclose(y[..., -1], 1e-4, rtol=1e-5)  # sqrt(epsilon)
    dy = np.arange(y.size, dtype=np.float32).reshape(y.shape)
    np.testing.assert_array_equal(layer.backward(dy), dy[..., :-1])


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_batch_smaller_than_the_group_is_one_group(batch, rng):
    x = rng.standard_normal((batch, 3))
    y = MinibatchStandardDeviation(4).forward(x)
    np.testing.assert_allclose(y, reference.minibatch_standard_deviation(x, batch, 1e-8), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: MinibatchStandardDeviation(4).forward(np.ones((6, 2))),
            "MinibatchStandardDeviation: groups of 4 do not divide a batch of 6",
        ),
        (
            lambda: MinibatchStandardDeviation().forward(np.ones(4)),
            "MinibatchStandardDeviation: input has 1 axes, wanted at least 2 (shape (4,))",
        ),
        (
            lambda: PixelNormalization().forward(np.ones(4)),
            "PixelNormalization: input has 1 axes, wanted at least 2 (shape (4,))",
        ),
        (
            lambda: MinibatchStandardDeviation(0),
            "MinibatchStandardDeviation: group must be a whole number of at least 1, got 0",
        ),
        (
            lambda: MinibatchStandardDeviation(epsilon=0),
            "MinibatchStandardDeviation: epsilon must be above 0, got 0",
        ),
        (lambda: PixelNormalization(-1e-8), "PixelNormalization: epsilon must be above 0, got -1e-08"),
        (
            lambda: PixelNormalization(float("nan")),
            "PixelNormalization: epsilon must be above 0, got nan",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_a_curved_layer_has_no_tangent_pass(rng):
    layer, x = PixelNormalization(), rng.standard_normal((2, 3))
    layer.forward(x)
    with pytest.raises(TypeError, match="^PixelNormalization: has no tangent pass"):
        layer.tangent(x)


def test_a_penalty_takes_the_deviation_of_the_batch_for_a_constant(rng):
    layer, x = MinibatchStandardDeviation(2), rng.standard_normal((4, 3))
    dy = rng.standard_normal((4, 4))
    with layer.held(inference=True):
        layer.forward(x)
        np.testing.assert_array_equal(layer.backward(dy), dy[:, :3])
    layer.forward(x)
    np.testing.assert_array_equal(layer.tangent(x), np.pad(x, ((0, 0), (0, 1))))
    np.testing.assert_array_equal(layer.backward(dy), dy[:, :3])
    layer.forward(x)
    assert not np.array_equal(layer.backward(dy), dy[:, :3])


@pytest.mark.parametrize("layer", [PixelNormalization, MinibatchStandardDeviation])
def test_a_float64_epsilon_leaves_float32_alone(layer, rng):
    layer = layer(epsilon=np.float64(1e-6))
    y = layer.forward(rng.standard_normal((4, 2), dtype=np.float32))
    assert y.dtype == layer.backward(np.ones_like(y)).dtype == np.float32


# SpectralNormalization -----------------------------------------------------------------------------------


def largest_singular_value(weight):
    return np.linalg.svd(weight.reshape(-1, weight.shape[-1]), compute_uv=False)[0]


def settled_spectral(build, rng, geometry=DEFAULT):
    """A SpectralNormalization of drawn weights, in float64, with the u of NumPy's decomposition: (layer, x)."""
    layer, x = build(rng, geometry)
    layer, x = SpectralNormalization(layer, rng=rng).astype("float64"), x.astype("float64")
    weight = layer.weight.value
    layer.u[...] = np.linalg.svd(weight.reshape(-1, weight.shape[-1]), full_matrices=False)[2][0]
    return layer, x


def test_spectral_normalization_is_worked_out_by_hand():
    layer = SpectralNormalization(Dense(2, 2)).astype("float64")
    layer.weight.value[...] = [[4, 0], [0, 1]]
    layer.layer.bias.value[...] = [10, 20]
    layer.u[...] = [-2, 0]  # along the larger one; its length does not matter, nor its sign
    y = layer.forward(np.array([[8.0, 8.0]]))
    np.testing.assert_allclose(y, [[8 + 10, 2 + 20]], rtol=1e-11)
    np.testing.assert_allclose(layer.u, [-1, 0], rtol=1e-11)
    # G = x.T @ dy = ((8, 16), (8, 16)); <G, W / 4> = 8 + 16 / 4 = 12, which leaves the corner of v and u
    dx = layer.backward(np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(dx, [[1, 0.5]], rtol=1e-11)
    np.testing.assert_allclose(layer.weight.grad, [[(8 - 12) / 4, 4], [2, 4]], rtol=1e-11)
    np.testing.assert_allclose(layer.layer.bias.grad, [1, 2], rtol=1e-15)


@KIND
@pytest.mark.parametrize("seed", range(5))
def test_sigma_comes_to_the_singular_value_of_numpy(build, seed):
    rng = np.random.default_rng(seed)
    layer, x = settled_spectral(build, rng)
    layer.weight.value[...] = rng.standard_normal(layer.weight.value.shape)
    layer.u[...] = rng.standard_normal(layer.u.shape)  # from anywhere
    for _ in range(1000):
        layer.forward(x)
    sigma = layer.power_iteration()[0]
    assert sigma == pytest.approx(largest_singular_value(layer.weight.value), rel=1e-6)
    assert largest_singular_value(layer.layer.weight.value) == pytest.approx(1, rel=1e-6)


def test_one_step_a_pass_follows_a_weight_that_is_trained(rng):
    layer = SpectralNormalization(Dense(20, 10, rng=rng), rng=rng)
    x, target = rng.standard_normal((2, 64, 20)).astype(np.float32)
    target, optimizer, errors = target[:, :10], Adam(layer.parameters(), 0.01), []
    for _ in range(200):
        layer.zero_grad()
        layer.backward(mean_squared_error(layer.forward(x), target)[1])
        errors.append(abs(largest_singular_value(layer.layer.weight.value) - 1))
        optimizer.step()
    assert max(errors[50:]) < 0.03 < errors[0]


@KIND
@at_least(100)
@given(geometry=geometries(), seed=seeds)
def test_gradient_of_spectral_normalization_is_that_of_finite_differences(build, geometry, seed):
    """Of drawn weights, whose singular values may lie close together; every pass starts from the same u."""
    rng = np.random.default_rng(seed)
    layer, x = settled_spectral(build, rng, geometry)
    assert set(check_from_one_u(layer, x, rng)) == set(layer.named_parameters()) | {"input"}


def check_from_one_u(layer, x, rng):
    """check_layer, with u put back before each pass: the relative errors by name."""
    u = layer.u.copy()

    def forward():
        layer.u[...] = u
        return layer.forward(x)

    dy = rng.standard_normal(forward().shape)
    dx = layer.backward(dy)
    gradients = {"input": (x, dx)} | {
        n: (p.value, p.grad.copy()) for n, p in layer.named_parameters().items()
    }
    return {
        name: check_gradient(forward, value, gradient, rng, dy=dy, name=name, tolerance=1e-6)
        for name, (value, gradient) in gradients.items()
    }


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g, w, sigma, v, u: g / sigma,
        lambda g, w, sigma, v, u: (g - (g * np.outer(v, u)).sum() * w) / sigma,
        lambda g, w, sigma, v, u: g - (g * w).sum() * np.outer(v, u),
        lambda g, w, sigma, v, u: (g + (g * w).sum() * np.outer(v, u)) / sigma,
    ],
    ids=["sigma held constant", "outer and weight exchanged", "not divided", "wrong sign"],
)
def test_wrong_gradient_of_spectral_normalization_is_found(wrong, rng):
    layer, x = settled_spectral(dense, rng)
    layer.gradient = lambda g, sigma, v, u: wrong(g, layer.layer.weight.value, sigma, v, u)
    with pytest.raises(GradientError, match="^weight: the gradient is wrong"):
        check_from_one_u(layer, x, rng)


def test_u_moves_in_training_alone(rng):
    layer = SpectralNormalization(Conv2D(2, 3, 3, rng=rng), rng=rng)
    x = rng.standard_normal((2, 5, 5, 2)).astype(np.float32)
    before = layer.state()
    with layer.held():
        held = layer.forward(x)
    inference = layer.forward(x, train=False)
    assert all(np.array_equal(layer.state()[name], array) for name, array in before.items())
    np.testing.assert_array_equal(layer.forward(x), held)  # from one u and weight all three compute the same
    np.testing.assert_array_equal(inference, held)
    moved = [name for name, array in layer.state().items() if not np.array_equal(array, before[name])]
    assert moved == ["u"]


@KIND
def test_weight_of_zeros_gives_zeros_and_can_still_learn(build, rng):
    layer, x = settled_spectral(build, rng)
    layer.weight.value[...] = 0
    layer.layer.bias.value[...] = 0
    u = layer.u.copy()
    y = layer.forward(x)
    assert not y.any() and (layer.u == u).all()
    layer.backward(np.ones_like(y))
    assert np.isfinite(layer.weight.grad).all()
    layer.weight.value[...] = rng.standard_normal(layer.weight.value.shape)
    for _ in range(300):
        layer.forward(x)
    assert largest_singular_value(layer.layer.weight.value) == pytest.approx(1, rel=1e-3)


def matrix_of(layer, shape):
    """The layer without its bias as a matrix: its output for each unit vector of inputs of `shape`."""
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    return (layer.forward(units, train=False) - layer.forward(0 * units, train=False)).reshape(len(units), -1)


@at_least(50)
@given(geometry=geometries(), transpose=st.booleans(), seed=seeds)
def test_convolution_is_bounded_by_the_root_of_how_many_windows_overlap(geometry, transpose, seed):
    build = conv2d_transpose if transpose else conv2d
    layer, x = settled_spectral(build, np.random.default_rng(seed), geometry)
    overlap = math.prod(math.ceil(k / s) for k, s in zip(geometry.kernel_size, geometry.stride))
    matrix = matrix_of(layer, x.shape[1:])
    assert np.linalg.norm(matrix, 2) <= math.sqrt(overlap) * (1 + 1e-9)


def test_convolution_can_reach_that_bound_where_a_dense_has_norm_one(rng):
    conv = SpectralNormalization(Conv2D(1, 1, 3, padding=1), rng=rng).astype("float64")
    conv.weight.value[...] = 1  # sigma = 3; on a bright wall each pixel adds up 9 ones, divided by 3
    y = conv.forward(np.ones((1, 40, 40, 1)))
    np.testing.assert_allclose(y[0, 1:-1, 1:-1], math.sqrt(9), rtol=1e-9)
    dense_layer, _ = settled_spectral(dense, rng)
    assert np.linalg.norm(matrix_of(dense_layer, (3,)), 2) == pytest.approx(1, rel=1e-9)


# EqualizedLearningRate -----------------------------------------------------------------------------------


def test_equalized_learning_rate_is_worked_out_by_hand():
    layer = EqualizedLearningRate(Dense(8, 1)).astype("float64")
    layer.weight.value[...] = np.arange(8.0)[:, None]
    layer.layer.bias.value[...] = 1
    x = np.ones((1, 8))
    assert layer.forward(x) == 28 / 2 + 1  # scale = sqrt(2 / 8) = 1/2
    np.testing.assert_array_equal(layer.backward(np.array([[4.0]])), [2 * np.arange(8.0)])
    np.testing.assert_array_equal(layer.weight.grad, np.full((8, 1), 4 / 2))
    assert layer.layer.bias.grad == 4


MADE = pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda rng: Dense(50, 400, rng=rng), 50),
        (lambda rng: Conv2D(20, 40, (5, 4), stride=2, rng=rng), 5 * 4 * 20),
        (lambda rng: Conv2DTranspose(40, 20, 4, stride=(2, 1), rng=rng), 40 * 4 * 4 / 2),
    ],
    ids=KINDS,
)


@MADE
def test_scale_is_the_root_of_two_over_fan_in_and_weights_are_drawn_with_variance_one(make, fan_in, rng):
    layer = EqualizedLearningRate(make(rng))
    weight = layer.weight.value
    assert layer.scale == pytest.approx(math.sqrt(2 / fan_in), rel=1e-12)  # not sqrt(1 / fan_in)
    assert weight.dtype == np.float32
    assert weight.var() == pytest.approx(1, rel=4 * np.sqrt(2 / weight.size))
    assert abs(weight.mean()) < 4 / np.sqrt(weight.size)


@MADE
def test_it_computes_at_first_what_the_layer_alone_does(make, fan_in, rng):
    alone = make(rng)
    layer = EqualizedLearningRate(copy.deepcopy(alone))
    shape = (3, 50) if isinstance(alone, Dense) else (1, 6, 6, alone.in_channels)
    x = rng.standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(layer.forward(x), alone.forward(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", [2, 200])
def test_one_step_of_adam_changes_weights_by_the_same_share_of_their_size(inputs, rng):
    """Without it, a step of 0.01 is 1% of the weights of 2 inputs and 10% of those of 200."""
    layer = EqualizedLearningRate(Dense(inputs, 3, rng=rng))
    x = rng.standard_normal((8, inputs)).astype(np.float32)
    layer.forward(x, train=False)
    before = layer.layer.weight.value
    layer.backward(np.ones_like(layer.forward(x)))
    Adam(layer.parameters(), 0.01).step()
    layer.forward(x, train=False)
    moved = np.abs(layer.layer.weight.value - before)
    np.testing.assert_allclose(moved, 0.01 * math.sqrt(2 / inputs), rtol=1e-3)


# Both layers around a layer ------------------------------------------------------------------------------


@WRAPPERS
@KIND
def test_backward_parameters_gathers_what_backward_does(around, build, rng):
    layer, x = build(rng, DEFAULT)
    layer = around(layer)
    other = copy.deepcopy(layer)
    dy = rng.standard_normal(layer.forward(x).shape).astype(np.float32)
    layer.backward(dy)
    other.forward(x)
    assert other.backward_parameters(dy) is None
    for ours, theirs in zip(layer.parameters(), other.parameters()):
        assert ours.grad.any()
        np.testing.assert_array_equal(ours.grad, theirs.grad)


def around_all(around, rng):
    """A discriminator with every layer of weights wrapped, in float64."""
    network = Sequential(
        {
            "enlarge": UpSampling2D(),
            "conv": around(Conv2D(2, 3, 3, padding=1, rng=rng)),
            "leaky": LeakyReLU(),
            "back": around(Conv2DTranspose(3, 2, 2, stride=2, rng=rng)),
            "relu": ReLU(),
            "pool": AveragePooling2D(4),
            "flat": Flatten(),
            "judge": around(Dense(2 * 2 * 2, 1, rng=rng)),
        }
    ).astype("float64")
    x = rng.standard_normal((3, 2, 2, 2))
    for _ in range(500):  # u settles
        network.forward(x)
    return network, x


@WRAPPERS
def test_tangent_pass_is_the_derivative_along_v_and_its_gradient_is_exact(around, rng):
    network, x = around_all(around, rng)
    v = rng.standard_normal(x.shape)

    def slope():
        """v . dD/dx, from backward alone."""
        with network.held():
            return np.float64((network.backward(np.ones_like(network.forward(x))) * v).sum())

    network.forward(x)
    y = network.tangent(v)
    assert y.sum() == pytest.approx(slope(), rel=1e-12)
    network.forward(x)
    network.backward(np.ones_like(network.tangent(v)))
    for name, parameter in network.named_parameters().items():
        if name.endswith("bias"):
            assert not parameter.grad.any()
        else:
            check_gradient(slope, parameter.value, parameter.grad.copy(), rng, name=name, tolerance=1e-6)


@WRAPPERS
def test_names_are_the_weights_and_what_the_layer_inside_has_besides(around, rng):
    network = Sequential(
        [around(Conv2D(2, 3, 3, rng=rng)), Flatten(), around(Dense(3, 1, bias=False, rng=rng))]
    )
    name, extra = around.__name__, ["u"] if around is SpectralNormalization else []
    assert set(network.state()) == {
        *(f"0.{name}.{key}" for key in ("weight", "layer.bias", *extra)),
        *(f"2.{name}.{key}" for key in ("weight", *extra)),
    }
    assert list(network.named_parameters()) == [
        f"0.{name}.weight",
        f"0.{name}.layer.bias",
        f"2.{name}.weight",
    ]
    assert all(isinstance(parameter, Parameter) for parameter in network.parameters())
    network.forward(
        rng.standard_normal((1, 3, 3, 2)).astype(np.float32)
    )  # the computed weight is not among them
    assert len(network.parameters()) == 3
    assert network.summary((3, 3, 2)).endswith(" 60")  # 3*3*2*3 + 3, and 3
    partial = {key: array + 1 for key, array in network.state().items() if key.startswith("2.")}
    network.load_state(partial, only=f"2.{name}")
    np.testing.assert_array_equal(network.state()[f"2.{name}.weight"], partial[f"2.{name}.weight"])


@WRAPPERS
def test_it_learns_in_a_network_and_the_moving_average_follows(around, rng):
    network = Sequential([around(Dense(4, 16, rng=rng)), LeakyReLU(), around(Dense(16, 1, rng=rng))])
    average = MovingAverage(network, decay=0.9)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    target = np.tanh(x[:, :1])
    optimizer, losses = Adam(network.parameters(), 0.01), []
    for _ in range(200):
        network.zero_grad()
        loss, dy = mean_squared_error(network.forward(x), target)
        network.backward_parameters(dy)
        optimizer.step()
        average.update()
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]
    followed = mean_squared_error(average.layer.forward(x, train=False), target)[0]
    assert float(followed) < 0.3 * losses[0]


@WRAPPERS
def test_frozen_inside_alone_or_whole_nothing_is_gathered(around, rng):
    layer = around(Dense(3, 2, rng=rng))
    x = rng.standard_normal((4, 3)).astype(np.float32)
    layer.layer.freeze()
    dy = np.ones((4, 2), np.float32)
    with layer.held():
        layer.forward(x)
        layer.backward(dy)
    assert not any(parameter.grad.any() for parameter in layer.parameters())
    assert layer.layer.frozen and not layer.frozen
    SGD(layer.parameters()).step()


@WRAPPERS
def test_backward_uses_the_weight_of_its_forward_though_an_optimiser_has_stepped_since(around, rng):
    layer = around(Dense(3, 2, rng=rng))
    x, dy = rng.standard_normal((4, 3)).astype(np.float32), np.ones((4, 2), np.float32)
    other = copy.deepcopy(layer)
    layer.forward(x)
    other.forward(x)
    layer.weight.value *= -3
    np.testing.assert_array_equal(layer.backward(dy), other.backward(dy))
    np.testing.assert_array_equal(layer.weight.grad, other.weight.grad)


@WRAPPERS
@pytest.mark.parametrize(
    ("make", "name"),
    [(ReLU, "ReLU"), (lambda: BatchNormalization(2), "BatchNormalization"), (lambda: None, "NoneType")]
    + [(lambda: Embedding(2, 2), "Embedding"), (lambda: Sequential([Dense(1, 1)]), "Sequential")]
    + [(lambda: EqualizedLearningRate(Dense(1, 1)), "EqualizedLearningRate")],
)
def test_layer_that_cannot_be_wrapped_is_refused_in_one_line(around, make, name):
    wanted = "layer must be a Dense, Conv2D or Conv2DTranspose with a weight of its own"
    with pytest.raises(TypeError, match=f"^{around.__name__}: {wanted}, got {name}$"):
        around(make())


@WRAPPERS
def test_layer_is_wrapped_once(around):
    inside = Dense(2, 2)
    around(inside)
    with pytest.raises(TypeError, match="with a weight of its own, got Dense$"):
        around(inside)


@WRAPPERS
def test_input_of_a_wrong_shape_is_refused_by_the_layer_inside_and_the_next_pass_works(around, rng):
    layer = around(Dense(3, 2, rng=rng))
    with pytest.raises(
        ValueError, match=r"^Dense: input has 5 features, this layer takes 3 \(shape \(4, 5\)\)$"
    ):
        layer.forward(np.ones((4, 5), np.float32))
    assert layer.forward(np.ones((4, 3), np.float32)).shape == (4, 2)


@WRAPPERS
def test_float16_works(around, rng):
    layer = around(Dense(3, 2, rng=rng)).astype("float16")
    y = layer.forward(np.ones((4, 3), np.float16))
    dx = layer.backward(y)
    assert y.dtype == dx.dtype == layer.weight.grad.dtype == np.float16
    assert np.isfinite(layer.weight.grad).all()
