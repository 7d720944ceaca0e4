"""Every fast kernel against the plain form that it stands in for, and which of the two runs where."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_table import Geometry, make
from strategies import at_least, geometries, seeds

from npgan import optim
from npgan.fast import parallel, switch, winograd
from npgan.gradcheck import check_layer
from npgan.layers import Conv2D, Conv2DTranspose, activations, batchnorm, conv, dense

DTYPES = ("float32", "float64")


# The comparisons -------------------------------------------------------------------------------------------


def same(fast, plain):
    """Equal to the rounding of some hundred additions."""
    assert fast.dtype == plain.dtype and fast.shape == plain.shape
    scale = max(1.0, float(np.abs(plain).max())) if plain.size else 1.0
    np.testing.assert_allclose(fast, plain, rtol=0, atol=100 * np.finfo(plain.dtype).eps * scale)


def both(kernel, *arguments):
    same(kernel.fast(*arguments), kernel.plain(*arguments))


@pytest.fixture(autouse=True)
def whatever_the_environment_says(monkeypatch):
    """Both forms are compared here, also where NPGAN_PLAIN=1 runs the others' tests on the plain one."""
    monkeypatch.setattr(switch, "plain_everywhere", False)


@pytest.fixture
def small_pieces(monkeypatch):
    """So small that even small arrays are cut in many, and shared among threads."""
    monkeypatch.setattr(parallel, "CACHE", 256)
    monkeypatch.setattr(parallel, "WORTH_A_THREAD", 256)


@pytest.mark.parametrize("dtype", DTYPES)
@at_least(100)
@given(geometry=geometries(), seed=seeds)
def test_the_three_kernels_of_convolutions(dtype, geometry, seed):
    g = geometry
    _, layer, x = make("Conv2D", seed, g, dtype)
    weight, bias, settings = layer.weight.value, layer.bias.value, (g.stride, g.padding)
    both(conv.correlate, x, weight, *settings)
    both(conv.correlate, x, weight, *settings, bias)
    shape = conv.correlate.plain(x, weight, *settings).shape
    dy = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    both(conv.correlate_adjoint, dy, weight, *settings, x.shape[1:3])
    both(conv.correlate_adjoint, dy, weight, *settings, x.shape[1:3], np.arange(x.shape[3], dtype=dtype))
    both(conv.correlate_weight_gradient, x, dy, g.kernel_size, *settings)
    both(conv.channel_sums, dy)


def test_the_three_kernels_cut_in_small_pieces(small_pieces):
    test_the_three_kernels_of_convolutions.hypothesis.inner_test("float32", Geometry(9, (12, 10)), 3)


@pytest.mark.parametrize("pieces", ["small", "as shipped"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(2, 1), (7, 3), (5, 1, 1, 2), (6, 4, 5, 3), (16, 8, 8, 24), (3, 2, 2, 1025)]
)
def test_the_passes_of_batch_normalization(request, rng, dtype, shape, pieces):
    if pieces == "small":
        request.getfixturevalue("small_pieces")
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    x += 3
    gamma, beta = rng.standard_normal((2, shape[-1])).astype(dtype)
    mean, variance = batchnorm.moments.plain(x)
    for fast, plain in zip(batchnorm.moments.fast(x), (mean, variance)):
        same(fast, plain)
    both(batchnorm.scale_and_shift, x, mean, gamma, beta)
    inverse_std = 1 / np.sqrt(variance + x.dtype.type(1e-5))
    sums = batchnorm.summed_gradients.plain(dy, x, mean, inverse_std)
    for fast, plain in zip(batchnorm.summed_gradients.fast(dy, x, mean, inverse_std), sums):
        same(fast, plain)
    both(batchnorm.input_gradient, dy, x, mean, inverse_std, gamma, *sums)


@pytest.mark.parametrize("pieces", ["small", "as shipped"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_and_products(request, rng, dtype, pieces):
    if pieces == "small":
        request.getfixturevalue("small_pieces")
    x, dy = (rng.standard_normal((33, 5, 7)).astype(dtype) for _ in range(2))
    x[0, 0, :3] = [0.0, -0.0, np.inf]
    for alpha in (0.2, 0.0, 1.0):
        np.testing.assert_array_equal(
            activations.leaky_relu.fast(x, alpha), activations.leaky_relu.plain(x, alpha)
        )
        both(activations.leaky_relu_gradient, activations.leaky_relu.plain(x, alpha), dy, alpha)
    both(activations.tanh, x)
    both(activations.tanh_gradient, np.tanh(x), dy)
    for m, k, n in ((1, 1, 1), (50, 1, 3), (3, 1, 50), (40, 30, 2), (2, 30, 40)):
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        both(dense.matmul, a, b)


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
    y = conv.correlate.plain(x, weight, stride, padding)
    same(winograd.correlate(x, weight, stride, padding, y.shape[1:3]), y)
    dy = rng.standard_normal(y.shape).astype(dtype)
    same(
        winograd.correlate_adjoint(dy, weight, stride, padding, size),
        conv.correlate_adjoint.plain(dy, weight, stride, padding, size),
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


@pytest.mark.parametrize("pieces", ["small", "as shipped"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_of_adam(request, rng, dtype, pieces):
    if pieces == "small":
        request.getfixturevalue("small_pieces")
    forms = []
    start = rng.standard_normal((40, 7)).astype(dtype)
    gradients = rng.standard_normal((5, 40, 7)).astype(dtype)
    for form in (optim.adam_step.fast, optim.adam_step.plain):
        arrays = [start.copy(), np.zeros_like(start), np.zeros_like(start)]
        for grad in gradients:
            value, mean, square = arrays
            form(value, grad, mean, square, 0.01, 0.5, 0.999, 1e-8)
        forms.append(arrays)
    for fast, plain in zip(*forms):
        same(fast, plain)


# Which of the two runs ----------------------------------------------------------------------------------------


def test_float16_and_plain_everywhere_run_the_plain_form_and_all_else_the_fast_one(monkeypatch, rng):
    called = []
    kernel = switch.faster(lambda x: called.append("fast"))(lambda x: called.append("plain"))
    for dtype, wanted in (("float16", "plain"), ("float32", "fast"), ("float64", "fast")):
        kernel(rng.standard_normal(3).astype(dtype))
        assert called.pop() == wanted
    monkeypatch.setattr(switch, "plain_everywhere", True)
    kernel(np.zeros(3))
    assert called.pop() == "plain"


def test_device_arrays_run_the_plain_form(cupy):
    kernel = switch.faster(lambda x: "fast")(lambda x: "plain")
    assert kernel(cupy.zeros(3, dtype="float32")) == "plain"


@pytest.mark.parametrize(("value", "plain"), [("", False), ("0", False), ("1", True)])
def test_the_environment_switches_to_the_plain_forms(value, plain):
    code = "from npgan.fast import switch; print(switch.plain_everywhere)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NPGAN_PLAIN": value}, capture_output=True, text=True
    )
    assert found.stdout.strip() == str(plain), found.stderr


@pytest.mark.parametrize("room", [conv, batchnorm])
def test_the_rooms_to_learn_in_need_nothing_that_only_speed_needs(room):
    tree = ast.parse(Path(room.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    processes = {"npgan.distributed"} if room is batchnorm else set()  # its sums are over all of them
    assert modules <= {"npgan", "npgan.backend", "npgan.fast", "npgan.layers.base"} | processes
    names = {
        a.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.module == "npgan"
        for a in n.names
    }
    assert names == {"fast"}
