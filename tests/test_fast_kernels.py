"""The kernels of the convolutions against their plain form: patches, one matrix product, and the patches' adjoint."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_table import make
from strategies import at_least, geometries, seeds

from npgan.gradcheck import check_layer
from npgan.layers import Conv2D, Conv2DTranspose, conv, winograd

DTYPES = ("float32", "float64")


# The plain form, tap by tap --------------------------------------------------------------------------------


def taps(x, kernel_size, stride, padding):
    """The pixels that each tap sees, as views of the padded image: (i, j, (N, OH, OW, C)); and that image."""
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    oh, ow = ((a - k) // s + 1 for a, k, s in zip(padded.shape[1:3], kernel_size, stride))
    seen = [
        (i, j, padded[:, i : i + oh * stride[0] : stride[0], j : j + ow * stride[1] : stride[1]][:, :oh, :ow])
        for i in range(kernel_size[0])
        for j in range(kernel_size[1])
    ]
    return seen, padded


def plain_correlate(x, weight, stride, padding):
    seen, _ = taps(x, weight.shape[:2], stride, padding)
    columns = np.concatenate([pixels for _, _, pixels in seen], axis=3)
    return columns @ weight.reshape(-1, weight.shape[3])


def plain_adjoint(dy, weight, stride, padding, size):
    seen, padded = taps(
        np.zeros((len(dy), *size, weight.shape[2]), dy.dtype), weight.shape[:2], stride, padding
    )
    for i, j, pixels in seen:
        pixels += dy @ weight[i, j].T
    (ph, pw), (h, w) = padding, size
    return padded[:, ph : ph + h, pw : pw + w]


def plain_weight_gradient(x, dy, kernel_size, stride, padding):
    dweight = np.empty((*kernel_size, x.shape[3], dy.shape[3]), x.dtype)
    for i, j, pixels in taps(x, kernel_size, stride, padding)[0]:
        dweight[i, j] = np.tensordot(pixels, dy, axes=((0, 1, 2), (0, 1, 2)))
    return dweight


# The comparisons -------------------------------------------------------------------------------------------


def same(fast, plain):
    """Equal to the rounding of some hundred additions."""
    assert fast.dtype == plain.dtype
    scale = max(1.0, float(np.abs(plain).max())) if plain.size else 1.0
    np.testing.assert_allclose(fast, plain, rtol=0, atol=100 * np.finfo(plain.dtype).eps * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@at_least(100)
@given(geometry=geometries(), seed=seeds)
def test_all_three_kernels_are_what_the_plain_form_gives(dtype, geometry, seed):
    g = geometry
    _, layer, x = make("Conv2D", seed, g, dtype)
    weight, settings = layer.weight.value, (g.stride, g.padding)
    y = plain_correlate(x, weight, *settings)
    same(conv.correlate(x, weight, *settings), y)
    same(conv.correlate(x, weight, *settings, layer.bias.value), y + layer.bias.value)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    same(
        conv.correlate_adjoint(dy, weight, *settings, x.shape[1:3]),
        plain_adjoint(dy, weight, *settings, x.shape[1:3]),
    )
    same(
        conv.correlate_weight_gradient(x, dy, g.kernel_size, *settings),
        plain_weight_gradient(x, dy, g.kernel_size, *settings),
    )


@st.composite
def twice_the_stride(draw):
    """(size, stride, padding) with room for a window of twice the stride, each axis with numbers of its own."""
    stride, padding = (draw(st.tuples(st.integers(low, 3), st.integers(low, 3))) for low in (1, 0))
    size = tuple(max(1, 2 * s - 2 * p) + draw(st.integers(0, 7)) for s, p in zip(stride, padding))
    return size, stride, padding


@pytest.mark.parametrize("dtype", DTYPES)
@at_least(100)
@given(geometry=twice_the_stride(), channels=st.tuples(*[st.integers(1, 3)] * 3), seed=seeds)
def test_nine_products_do_what_sixteen_do(dtype, geometry, channels, seed):
    (size, stride, padding), (n, c, d) = geometry, channels
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *size, c)).astype(dtype)
    weight = rng.standard_normal((2 * stride[0], 2 * stride[1], c, d)).astype(dtype)
    y = plain_correlate(x, weight, stride, padding)
    same(winograd.correlate(x, weight, stride, padding, y.shape[1:3]), y)
    dy = rng.standard_normal(y.shape).astype(dtype)
    same(
        winograd.correlate_adjoint(dy, weight, stride, padding, size),
        plain_adjoint(dy, weight, stride, padding, size),
    )


@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
def test_layers_with_many_channels_take_nine_products_and_their_gradients_hold(kind, rng, monkeypatch):
    called = []
    monkeypatch.setattr(winograd, "VALUES", 0)
    for name in ("correlate", "correlate_adjoint"):
        plain = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *a, f=plain, name=name: (called.append(name), f(*a))[1])
    layer = kind(64, 65, 4, stride=2, padding=1, rng=rng).astype("float64")
    check_layer(layer, rng.standard_normal((2, 6, 4, 64)), rng=rng, tolerance=1e-6)
    assert set(called) == {"correlate", "correlate_adjoint"}


def test_few_channels_few_pixels_and_other_strides_take_the_plain_way():
    weight = np.zeros((4, 4, 64, 64))
    assert winograd.pays(weight, (2, 2), 2048)
    assert not winograd.pays(weight, (2, 2), 2047)
    assert not winograd.pays(weight, (1, 2), 2048)
    assert not winograd.pays(weight[:, :, :63], (2, 2), 2**20)
    assert not winograd.pays(weight[..., :63], (2, 2), 2**20)
