"""UpSampling2D and AveragePooling2D: worked by hand, against loops, and as each other's adjoint."""

import re

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import at_least, seeds

from npgan.layers import AveragePooling2D, UpSampling2D

sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))


def image(*rows):
    """One sample with one channel."""
    return np.array(rows, float)[None, :, :, None]


def plain(y):
    """The rows of one sample with one channel."""
    assert y.shape[0] == y.shape[3] == 1
    return y[0, :, :, 0].tolist()


def test_upsampling_is_worked_out_by_hand():
    layer = UpSampling2D((2, 3))
    y = layer.forward(image([1, 2]))
    assert plain(y) == [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]
    # the sums of the two blocks: 1 + 2 + 3 + 10 + 20 + 30 and 4 + 5 + 6 + 40 + 50 + 60
    assert plain(layer.backward(image([1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]))) == [[66, 165]]


def test_average_pooling_is_worked_out_by_hand():
    layer = AveragePooling2D((1, 2))
    assert plain(layer.forward(image([1, 3, 10, 20], [0, -4, 7, 7]))) == [[2, 15], [-2, 7]]
    assert plain(layer.backward(image([2, 4], [6, -8]))) == [[1, 1, 2, 2], [3, 3, -4, -4]]


def test_two_is_the_size_where_none_is_given():
    assert UpSampling2D().forward(np.ones((1, 3, 4, 2))).shape == (1, 6, 8, 2)
    assert AveragePooling2D().forward(np.ones((1, 6, 8, 2))).shape == (1, 3, 4, 2)


@at_least(100)
@given(batch=st.integers(1, 3), pixels=sizes, channels=st.integers(1, 3), factor=sizes, seed=seeds)
def test_both_agree_with_loops_and_are_each_others_adjoint(batch, pixels, channels, factor, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *pixels, channels))
    y = rng.standard_normal((batch, pixels[0] * factor[0], pixels[1] * factor[1], channels))
    up, down = UpSampling2D(factor), AveragePooling2D(factor)
    np.testing.assert_array_equal(up.forward(x), reference.upsampling(x, factor))
    np.testing.assert_allclose(down.forward(y), reference.average_pooling(y, factor), rtol=1e-12, atol=1e-12)
    block = factor[0] * factor[1]
    np.testing.assert_allclose((up.forward(x) * y).sum(), block * (x * down.forward(y)).sum(), atol=1e-11)
    np.testing.assert_allclose(up.backward(y), block * down.forward(y), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(down.backward(x), up.forward(x) / block, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(down.forward(up.forward(x)), x, rtol=1e-14)  # the mean of equal pixels


@pytest.mark.parametrize("layer", [UpSampling2D((2, 3)), AveragePooling2D((2, 3))])
def test_tangent_is_the_layer_itself_since_it_is_linear(layer, rng):
    x, v = rng.standard_normal((2, 2, 4, 6, 2))
    layer.forward(x)
    y = layer.tangent(v)
    np.testing.assert_array_equal(y, layer.forward(v, train=False))
    layer.forward(x)
    layer.tangent(v)
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy)
    np.testing.assert_allclose((y * dy).sum(), (v * dx).sum(), rtol=1e-12)
    with pytest.raises(RuntimeError, match="tangent without a memory"):
        layer.tangent(v)


@pytest.mark.parametrize("layer", [UpSampling2D(1), AveragePooling2D(1)])
def test_blocks_of_one_pixel_are_a_copy(layer, rng):
    x = rng.standard_normal((2, 3, 3, 1))
    y = layer.forward(x)
    np.testing.assert_array_equal(y, x)
    assert y.flags.writeable and not np.may_share_memory(y, x)
    assert not np.may_share_memory(layer.backward(y), y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: AveragePooling2D((2, 4)).forward(np.ones((1, 6, 6, 1))),
            "AveragePooling2D: size (2, 4) does not divide an input of (6, 6) pixels",
        ),
        (
            lambda: AveragePooling2D().forward(np.ones((1, 1, 2, 1))),
            "AveragePooling2D: size (2, 2) does not divide an input of (1, 2) pixels",
        ),
        (
            lambda: AveragePooling2D().forward(np.ones((4, 4))),
            "AveragePooling2D: input has 2 axes, wanted 4 (shape (4, 4))",
        ),
        (
            lambda: UpSampling2D().forward(np.ones((4, 4, 1))),
            "UpSampling2D: input has 3 axes, wanted 4 (shape (4, 4, 1))",
        ),
        (
            lambda: UpSampling2D(0),
            "UpSampling2D: factor must be a whole number of at least 1 or a pair of them, got 0",
        ),
        (
            lambda: UpSampling2D(1.5),
            "UpSampling2D: factor must be a whole number of at least 1 or a pair of them, got 1.5",
        ),
        (
            lambda: AveragePooling2D((2, -2)),
            "AveragePooling2D: size must be a whole number of at least 1 or a pair of them, got (2, -2)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
