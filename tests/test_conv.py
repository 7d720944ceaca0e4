"""Conv2D and Conv2DTranspose: worked by hand, against loops, and as each other's adjoint."""

import numpy as np
import pytest
import reference
from hypothesis import given
from layer_table import make
from strategies import geometries, seeds

from npgan.layers import Conv2D, Conv2DTranspose

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def with_values(layer, weight, bias=None):
    layer.astype("float64")
    layer.weight.value[...] = np.asarray(weight, float).reshape(layer.weight.value.shape)
    if bias is not None:
        layer.bias.value[...] = bias
    return layer


def image(*rows):
    """One sample with one channel."""
    return np.array(rows, float)[None, :, :, None]


def plain(y):
    """The rows of one sample with one channel."""
    assert y.shape[0] == y.shape[3] == 1
    return y[0, :, :, 0].tolist()


# By hand -------------------------------------------------------------------------------------------------

X = image([1, 2, 3], [4, 5, 6], [7, 8, 9])
WEIGHT = [[1, 2], [3, 4]]


def test_conv2d_is_worked_out_by_hand():
    layer = with_values(Conv2D(1, 1, 2), WEIGHT, bias=[0.5])
    # 1*1 + 2*2 + 3*4 + 4*5 = 37 and so on: the kernel is not flipped
    assert plain(layer.forward(X)) == [[37.5, 47.5], [67.5, 77.5]]
    # dx: each dy stamps the kernel where its window was
    assert plain(layer.backward(image([1, 0], [0, -1]))) == [[1, 2, 0], [3, 4 - 1, -2], [0, -3, -4]]
    # dweight[i, j] = x[i, j] - x[i + 1, j + 1]
    assert layer.weight.grad[:, :, 0, 0].tolist() == [[-4, -4], [-4, -4]]
    assert layer.bias.grad.tolist() == [0]


def test_conv2d_with_stride_and_padding_is_worked_out_by_hand():
    layer = with_values(Conv2D(1, 1, 2, stride=2, padding=1), WEIGHT)
    # windows start at -1 and 1: corner 4*1; then 3*2 + 4*3; then 2*4 + 4*7; then 1*5 + 2*6 + 3*8 + 4*9
    assert plain(layer.forward(X)) == [[4, 18], [36, 77]]


def test_conv2d_with_rectangular_settings_is_worked_out_by_hand():
    layer = with_values(Conv2D(1, 1, (1, 2), stride=(2, 1), padding=(0, 1)), [[1, 10]])
    assert plain(layer.forward(X)) == [[10, 21, 32, 3], [70, 87, 98, 9]]


def test_conv2d_channels_are_worked_out_by_hand():
    layer = with_values(Conv2D(2, 3, 1), [[1, 2, 3], [10, 20, 30]], bias=[0, 0, 100])
    y = layer.forward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert y.tolist() == [[[[21, 42, 163], [43, 86, 229]]]]


def test_conv2d_transpose_is_worked_out_by_hand():
    layer = with_values(Conv2DTranspose(1, 1, 2, stride=1), WEIGHT, bias=[0.5])
    # x = [[1, 0], [0, -1]] stamps +kernel at (0, 0) and -kernel at (1, 1)
    y = layer.forward(image([1, 0], [0, -1]))
    assert plain(y) == [[1.5, 2.5, 0.5], [3.5, 3.5, -1.5], [0.5, -2.5, -3.5]]


def test_conv2d_transpose_with_stride_padding_and_output_padding_is_worked_out_by_hand():
    layer = with_values(Conv2DTranspose(1, 1, 3, stride=2, padding=1), np.arange(1, 10))
    # stamps at (-1, -1), (-1, 1), (1, -1), (1, 1); what falls outside is lost
    wanted = [
        [5 * 1, 6 * 1 + 4 * 2, 5 * 2],
        [8 * 1 + 2 * 3, 9 * 1 + 7 * 2 + 3 * 3 + 1 * 4, 8 * 2 + 2 * 4],
        [5 * 3, 6 * 3 + 4 * 4, 5 * 4],
    ]
    assert plain(layer.forward(image([1, 2], [3, 4]))) == wanted
    more = with_values(Conv2DTranspose(1, 1, 3, stride=2, padding=1, output_padding=(0, 1)), np.arange(1, 10))
    right = [6 * 2, 9 * 2 + 3 * 4, 6 * 4]  # a fourth column, the right edge of the right stamps
    assert plain(more.forward(image([1, 2], [3, 4]))) == [row + [r] for row, r in zip(wanted, right)]


# Against loops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Conv2D", "Conv2D-without-bias"])
@given(geometry=geometries(), seed=seeds)
def test_conv2d_agrees_with_loops(name, geometry, seed):
    _, layer, x = make(name, seed, geometry, "float64")
    bias = None if layer.bias is None else layer.bias.value
    wanted = reference.convolution(x, layer.weight.value, bias, geometry.stride, geometry.padding)
    for train in (True, False):
        np.testing.assert_allclose(layer.forward(x, train=train), wanted, **ROUNDING)


@pytest.mark.parametrize("name", ["Conv2DTranspose", "Conv2DTranspose-without-bias"])
@given(geometry=geometries(), seed=seeds)
def test_conv2d_transpose_agrees_with_loops(name, geometry, seed):
    _, layer, x = make(name, seed, geometry, "float64")
    bias = None if layer.bias is None else layer.bias.value
    wanted = reference.transposed_convolution(
        x, layer.weight.value, bias, geometry.stride, geometry.padding, geometry.output_padding
    )
    for train in (True, False):
        np.testing.assert_allclose(layer.forward(x, train=train), wanted, **ROUNDING)


DCGAN = [(1, 8, 3, 5), (3, 8, 4, 8), (8, 3, 5, 9), (33, 40, 2, 4)]  # channels in and out, batch, size


@pytest.mark.parametrize(("inputs", "outputs", "batch", "size"), DCGAN)
@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
def test_kernel_4_stride_2_padding_1_agrees_with_loops_in_float32(kind, inputs, outputs, batch, size, rng):
    """The geometry of DCGAN, the one that a fast kernel would be written for; with few and with many channels."""
    layer = kind(inputs, outputs, 4, stride=2, padding=1, rng=rng)
    x = rng.standard_normal((batch, size, size, inputs), dtype=np.float32)
    args = (x.astype("float64"), layer.weight.value.astype("float64"), layer.bias.value, (2, 2), (1, 1))
    if kind is Conv2D:
        wanted = reference.convolution(*args)
    else:
        wanted = reference.transposed_convolution(*args, (0, 0))
    np.testing.assert_allclose(layer.forward(x), wanted, rtol=1e-4, atol=1e-5)


# Each other's adjoint ------------------------------------------------------------------------------------


def adjoint_pair(geometry, rng):
    """A Conv2D from OH x OW to H x W and the Conv2DTranspose back, without biases, with one weight array."""
    g = geometry
    conv = Conv2D(
        g.in_channels, g.out_channels, g.kernel_size, stride=g.stride, padding=g.padding, bias=False
    )
    transpose = Conv2DTranspose(
        g.out_channels,
        g.in_channels,
        g.kernel_size,
        stride=g.stride,
        padding=g.padding,
        output_padding=g.output_padding,
        bias=False,
    )
    conv.astype("float64")
    transpose.astype("float64")
    conv.weight.value[...] = rng.standard_normal(conv.weight.value.shape)
    transpose.weight.value[...] = conv.weight.value  # fails where the shapes differ
    small = rng.standard_normal((g.batch, *g.size, g.out_channels))
    large = rng.standard_normal(transpose.forward(small, train=False).shape)
    return conv, transpose, large, small


@given(geometry=geometries(), seed=seeds)
def test_conv2d_and_conv2d_transpose_with_one_weight_are_adjoint(geometry, seed):
    """<conv(x), y> = <x, conv_transpose(y)>."""
    conv, transpose, x, y = adjoint_pair(geometry, np.random.default_rng(seed))
    ahead, back = conv.forward(x), transpose.forward(y)
    assert ahead.shape == y.shape and back.shape == x.shape
    scale = np.linalg.norm(ahead) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(back)
    assert abs((ahead * y).sum() - (x * back).sum()) <= 1e-13 * scale


@given(geometry=geometries(), seed=seeds)
def test_forward_of_one_is_backward_of_the_other(geometry, seed):
    conv, transpose, x, y = adjoint_pair(geometry, np.random.default_rng(seed))
    ahead, back = conv.forward(x), transpose.forward(y)
    np.testing.assert_allclose(conv.backward(y), back, **ROUNDING)
    np.testing.assert_allclose(transpose.backward(x), ahead, **ROUNDING)
    np.testing.assert_allclose(conv.weight.grad, transpose.weight.grad, **ROUNDING)


@given(geometry=geometries(), seed=seeds)
def test_weight_gradient_is_the_adjoint_of_the_convolution_as_a_function_of_its_weight(geometry, seed):
    """<conv_weight(x), dy> = <weight, dweight(x, dy)>, with a weight that never met the layer."""
    rng = np.random.default_rng(seed)
    conv, _, x, dy = adjoint_pair(geometry, rng)
    conv.forward(x)
    conv.backward(dy)
    weight = rng.standard_normal(conv.weight.value.shape)
    y = reference.convolution(x, weight, None, geometry.stride, geometry.padding)
    scale = np.linalg.norm(y) * np.linalg.norm(dy)
    assert abs((y * dy).sum() - (weight * conv.weight.grad).sum()) <= 1e-12 * max(scale, 1)


# Sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "wanted"),
    [
        ((28, 28), 4, 2, 1, (14, 14)),
        ((7, 7), 4, 2, 1, (3, 3)),  # one row and one column are left over
        ((64, 32), 4, 2, 1, (32, 16)),
        ((5, 6), 3, 1, 1, (5, 6)),
        ((5, 6), (5, 6), 1, 0, (1, 1)),
        ((5, 6), (1, 2), (3, 2), (0, 1), (2, 4)),
        ((1, 1), 3, 1, 1, (1, 1)),
        ((2, 2), 2, 3, 0, (1, 1)),
        ((3, 3), 1, 1, 2, (7, 7)),
    ],
)
def test_conv2d_output_has_the_size_worked_out_by_hand(size, kernel, stride, padding, wanted):
    layer = Conv2D(1, 2, kernel, stride=stride, padding=padding)
    assert layer.forward(np.ones((2, *size, 1), np.float32)).shape == (2, *wanted, 2)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "extra", "wanted"),
    [
        ((7, 7), 4, 2, 1, 0, (14, 14)),
        ((1, 1), 4, 1, 0, 0, (4, 4)),
        ((3, 3), 4, 2, 1, 1, (7, 7)),
        ((3, 3), 3, 2, 1, 0, (5, 5)),
        ((3, 3), 3, 2, 1, 1, (6, 6)),
        ((2, 3), (1, 2), (3, 2), (0, 1), (2, 1), (6, 5)),
        ((2, 2), 1, 3, 0, 0, (4, 4)),  # kernel smaller than stride: the gaps are zero
        ((5, 5), 3, 1, 2, 0, (3, 3)),
    ],
)
def test_conv2d_transpose_output_has_the_size_worked_out_by_hand(
    size, kernel, stride, padding, extra, wanted
):
    layer = Conv2DTranspose(1, 2, kernel, stride=stride, padding=padding, output_padding=extra)
    assert layer.forward(np.ones((2, *size, 1), np.float32)).shape == (2, *wanted, 2)


def test_pixels_that_the_stride_leaves_over_have_no_influence_and_no_gradient(rng):
    layer = Conv2D(1, 1, 3, stride=2, rng=rng)
    x = rng.standard_normal((1, 6, 8, 1), dtype=np.float32)  # windows cover rows 0-4 and columns 0-6
    y = layer.forward(x)
    dx = layer.backward(np.ones_like(y))
    x[:, 5], x[:, :, 7] = 1e6, 1e6
    np.testing.assert_array_equal(layer.forward(x), y)
    assert not dx[:, 5].any() and not dx[:, :, 7].any()
    assert dx[:, :5, :7].all()


def test_rows_added_by_output_padding_beyond_every_stamp_hold_the_bias_alone(rng):
    layer = Conv2DTranspose(1, 1, 2, stride=3, output_padding=2, rng=rng)
    layer.bias.value[...] = 0.25
    y = layer.forward(np.ones((1, 1, 1, 1), np.float32))
    assert y.shape == (1, 4, 4, 1)
    assert (y[:, 2:] == 0.25).all() and (y[:, :, 2:] == 0.25).all() and (y[:, :2, :2] != 0.25).all()


def test_one_number_means_the_same_as_a_pair(rng):
    x = rng.standard_normal((2, 5, 5, 1), dtype=np.float32)
    one = Conv2D(1, 2, 3, stride=2, padding=1, rng=np.random.default_rng(0))
    two = Conv2D(1, 2, (3, 3), stride=(2, 2), padding=(1, 1), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(one.forward(x), two.forward(x))
    np.testing.assert_array_equal(
        one.forward(x),
        Conv2D(1, 2, [3, 3], stride=[2, 2], padding=1, rng=np.random.default_rng(0)).forward(x),
    )
