"""BatchNormalization: worked by hand, against loops, in training and in inference."""

import numpy as np
import pytest
import reference
from hypothesis import given
from layer_table import make, spread
from strategies import geometries, seeds

from npgan.layers import BatchNormalization, Sequential

BOTH = pytest.mark.parametrize("name", ["BatchNormalization-of-images", "BatchNormalization-of-features"])


def float64(channels, **settings):
    return BatchNormalization(channels, **settings).astype("float64")


def test_forward_backward_and_running_statistics_are_worked_out_by_hand():
    layer = float64(1, momentum=0.8, epsilon=1.0)
    layer.gamma.value[...], layer.beta.value[...] = 3, 10
    x = np.array([[1.5], [2.5], [3.5], [4.5]])  # mean 3, variance (2.25 + 0.25 + 0.25 + 2.25) / 4 = 1.25
    # sqrt(1.25 + 1) = 1.5, so u = -1, -1/3, 1/3, 1
    np.testing.assert_allclose(layer.forward(x), [[7], [9], [11], [13]], rtol=1e-15)
    np.testing.assert_allclose(layer.running_mean, [0.8 * 0 + 0.2 * 3], rtol=1e-15)
    np.testing.assert_allclose(layer.running_variance, [0.8 * 1 + 0.2 * 1.25], rtol=1e-15)
    # dy = 1 0 0 0: mean(dy) = 1/4, mean(dy * u) = -1/4, gamma / 1.5 = 2
    dx = layer.backward(np.array([[1.0], [0.0], [0.0], [0.0]]))
    wanted = [2 * (1 - 1 / 4 - 1 / 4), 2 * (-1 / 4 - 1 / 12), 2 * (-1 / 4 + 1 / 12), 2 * (-1 / 4 + 1 / 4)]
    np.testing.assert_allclose(dx[:, 0], wanted, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(layer.gamma.grad, [-1], rtol=1e-15)
    np.testing.assert_allclose(layer.beta.grad, [1], rtol=1e-15)


def test_inference_is_worked_out_by_hand():
    layer = float64(2, epsilon=1.0)
    layer.running_mean[...], layer.running_variance[...] = [1, 2], [3, 8]
    layer.gamma.value[...], layer.beta.value[...] = [2, -3], [10, 20]
    y = layer.forward(np.array([[3.0, 5.0]]), train=False)
    assert y.tolist() == [[12, 17]]  # 2 * 2 / 2 + 10 and -3 * 3 / 3 + 20


@BOTH
@given(geometry=geometries(), seed=seeds)
def test_training_pass_agrees_with_loops(name, geometry, seed):
    _, layer, x = make(name, seed, geometry, "float64")
    before = layer.state()
    means, variances = reference.batch_statistics(x)
    wanted = reference.normalise(x, means, variances, layer.gamma.value, layer.beta.value, layer.epsilon)
    np.testing.assert_allclose(layer.forward(x), wanted, rtol=1e-11, atol=1e-11)
    for c in range(geometry.out_channels):
        m = layer.momentum
        mean = m * before["running_mean"][c] + (1 - m) * means[c]
        variance = m * before["running_variance"][c] + (1 - m) * variances[c]
        assert layer.running_mean[c] == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert layer.running_variance[c] == pytest.approx(variance, rel=1e-12)


@BOTH
@given(geometry=geometries(), seed=seeds)
def test_inference_agrees_with_loops_and_changes_nothing(name, geometry, seed):
    _, layer, x = make(name, seed, geometry, "float64")
    before = layer.state()
    wanted = reference.normalise(
        x,
        before["running_mean"],
        before["running_variance"],
        layer.gamma.value,
        layer.beta.value,
        layer.epsilon,
    )
    np.testing.assert_allclose(layer.forward(x, train=False), wanted, rtol=1e-12, atol=1e-12)
    assert all(np.array_equal(before[key], array) for key, array in layer.state().items())


@given(geometry=geometries(), seed=seeds)
def test_output_has_mean_beta_and_standard_deviation_gamma_in_every_channel(geometry, seed):
    _, layer, x = make("BatchNormalization-of-images", seed, geometry, "float64")
    y = layer.forward(x)
    variance = x.var(axis=(0, 1, 2))
    shrunk = variance / (variance + layer.epsilon)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), layer.beta.value, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), layer.gamma.value**2 * shrunk, rtol=1e-11)


@given(geometry=geometries(), seed=seeds)
def test_input_gradient_is_orthogonal_to_what_the_layer_takes_out(geometry, seed):
    """Shifting a channel changes nothing, so dx sums to zero; scaling it changes nothing but for epsilon."""
    rng, layer, x = make("BatchNormalization-of-images", seed, geometry, "float64")
    layer.epsilon = 1e-300
    dy = rng.standard_normal(x.shape)
    layer.forward(x)
    dx = layer.backward(dy)
    scale = np.abs(layer.gamma.value) * np.abs(dy).sum(axis=(0, 1, 2))
    assert (np.abs(dx.sum(axis=(0, 1, 2))) <= 1e-12 * scale).all()
    u = x - x.mean(axis=(0, 1, 2))
    assert (np.abs((dx * u).sum(axis=(0, 1, 2))) <= 1e-12 * scale).all()


@given(geometry=geometries(), seed=seeds)
def test_channels_do_not_mix(geometry, seed):
    rng, layer, x = make("BatchNormalization-of-images", seed, geometry, "float64")
    dy = rng.standard_normal(x.shape)
    y, dx = layer.forward(x), layer.backward(dy)
    changed, dy_changed = x.copy(), dy.copy()
    changed[..., 0], dy_changed[..., 0] = rng.standard_normal((2, *x.shape[:-1]))
    np.testing.assert_allclose(layer.forward(changed)[..., 1:], y[..., 1:], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(layer.backward(dy_changed)[..., 1:], dx[..., 1:], rtol=1e-12, atol=1e-12)


def test_samples_of_a_training_batch_do_mix(rng):
    """The reason why real and generated samples go through the discriminator in batches of their own."""
    layer = float64(2)
    x = rng.standard_normal((6, 2))
    y = layer.forward(x)
    x[-1] += 5
    assert (np.abs(layer.forward(x) - y)[:-1] > 0.1).any()


def test_running_statistics_come_to_those_of_the_data(rng):
    layer = float64(2, momentum=0.9)
    for _ in range(300):
        layer.forward(rng.normal([3.0, -1.0], [2.0, 0.5], (500, 2)))
    # an average over about 10 batches of 500: the mean strays by 2 / sqrt(5000 * 1.9), the variance by as much * 2.8
    np.testing.assert_allclose(layer.running_mean, [3, -1], atol=0.1)
    np.testing.assert_allclose(layer.running_variance, [4, 0.25], rtol=0.1)
    y = layer.forward(rng.normal([3.0, -1.0], [2.0, 0.5], (5000, 2)), train=False)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(y.std(axis=0), 1, atol=0.1)


def test_running_statistics_move_only_in_training_passes_of_a_layer_that_is_not_frozen(rng):
    x = rng.standard_normal((4, 2))
    layer = float64(2)
    layer.forward(x, train=False)
    layer.freeze()
    layer.forward(x)
    layer.freeze(inference=True)
    layer.forward(x)
    assert layer.running_mean.tolist() == [0, 0] and layer.running_variance.tolist() == [1, 1]
    layer.unfreeze()
    layer.forward(x)
    np.testing.assert_allclose(layer.running_mean, 0.2 * x.mean(axis=0), rtol=1e-12)


def test_frozen_layer_normalises_with_the_batch_and_in_inference_with_the_running_statistics(rng):
    x = rng.standard_normal((5, 2)) + 3
    layer = float64(2)
    batch = layer.forward(x)
    layer.freeze()
    np.testing.assert_array_equal(layer.forward(x), batch)
    layer.freeze(inference=True)
    running = layer.forward(x, train=False)
    assert np.abs(running - batch).max() > 0.1
    np.testing.assert_array_equal(layer.forward(x), running)


def test_backward_in_inference_is_a_plain_scaling(rng):
    layer = float64(2, epsilon=1.0)
    layer.running_variance[...] = [3, 8]
    layer.gamma.value[...] = [2, -3]
    layer.freeze(inference=True)
    layer.forward(rng.standard_normal((4, 2)))
    dy = rng.standard_normal((4, 2))
    np.testing.assert_allclose(layer.backward(dy), dy * [1, -1], rtol=1e-15)  # 2 / sqrt(4), -3 / sqrt(9)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_one_value_a_channel_is_refused_in_training_and_fine_in_inference(shape):
    layer = BatchNormalization(3)
    x = np.ones(shape, np.float32)
    with pytest.raises(ValueError, match="^BatchNormalization: one value a channel has no variance"):
        layer.forward(x)
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.forward(x, train=False).shape == shape
    layer.freeze(inference=True)
    assert layer.forward(x).shape == shape


def test_one_image_is_a_batch_of_its_pixels(rng):
    x = rng.standard_normal((1, 4, 4, 2))
    np.testing.assert_allclose(float64(2).forward(x).mean(axis=(0, 1, 2)), 0, atol=1e-12)


def test_constant_channel_becomes_beta_and_does_not_divide_by_zero():
    layer = BatchNormalization(1)
    layer.beta.value[...] = 0.5
    y = layer.forward(np.full((8, 1), 7, np.float32))
    np.testing.assert_array_equal(y, np.full((8, 1), 0.5, np.float32))
    assert np.isfinite(layer.backward(np.arange(8, dtype=np.float32)[:, None])).all()


def test_variance_of_values_far_from_zero_is_not_lost_to_cancellation(rng):
    """mean(x**2) - mean(x)**2 would give rubbish here in float32."""
    x = (1000 + 0.5 * spread(rng, (512, 1))).astype(np.float32)
    y = BatchNormalization(1, epsilon=1e-8).forward(x)
    assert y.std(dtype="float64") == pytest.approx(1, rel=1e-3)


def test_defaults_are_those_of_the_article():
    layer = BatchNormalization(1)
    assert (layer.momentum, layer.epsilon) == (0.8, 1e-5)
    assert (layer.gamma.value, layer.beta.value, layer.running_mean, layer.running_variance) == (1, 0, 0, 1)


def test_state_holds_the_running_statistics_that_inference_needs(rng):
    network, other = Sequential([float64(2)]), Sequential([float64(2)])
    network.forward(rng.standard_normal((4, 2)) + 3)
    other.load_state(network.state())
    x = rng.standard_normal((4, 2))
    np.testing.assert_array_equal(other.forward(x, train=False), network.forward(x, train=False))


@pytest.mark.parametrize("shape", [(64, 32, 32, 4), (4096, 3)])
@pytest.mark.parametrize("ratio", [1, 100, 1000, 10_000])
def test_float32_is_as_exact_as_the_mean_can_be_written_down(rng, shape, ratio):
    """Measured: 3e-5 at 1,000, where half a unit in the mean's last place is 3e-5 of the spread."""
    x = (ratio + rng.standard_normal(shape)).astype(np.float32)
    y = BatchNormalization(shape[-1]).forward(x)
    exact = float64(shape[-1]).forward(x.astype("float64"))
    assert np.abs(y - exact).max() < 0.55 * np.spacing(np.float32(ratio)) + 2e-6


def test_float16_sums_more_values_than_its_range_holds(rng):
    x = rng.standard_normal((64, 64, 64, 3)).astype(np.float16)
    dy = (rng.standard_normal(x.shape) / 100).astype(np.float16)
    layer, exact = BatchNormalization(3).astype("float16"), float64(3)
    y, wanted = layer.forward(x), exact.forward(x.astype("float64"))
    dx, wanted_dx = layer.backward(dy), exact.backward(dy.astype("float64"))
    assert y.dtype == dx.dtype == np.float16
    np.testing.assert_allclose(y, wanted, atol=4e-3)
    np.testing.assert_allclose(dx, wanted_dx, atol=4e-5)
    np.testing.assert_allclose(layer.running_variance, exact.running_variance, rtol=1e-3)
