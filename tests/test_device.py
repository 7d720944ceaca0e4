"""The CuPy path: the same numbers, and no silent traffic. On strict_cupy.py, or with --device cupy on a GPU."""

import re

import numpy as np
import pytest
import strict_cupy
from layer_table import LAYERS, make
from parity import layer_problems

from npgan.backend import (
    DeviceError,
    array_module,
    choose_device,
    describe,
    device_of,
    gpu_status,
    synchronize,
    to_device,
    to_numpy,
)
from npgan.gradcheck import check_layer
from npgan.layers import BatchNormalization, Dense, Flatten, LeakyReLU, Sequential
from npgan.losses import (
    binary_cross_entropy,
    generator_saturating,
    hinge,
    least_squares,
    mean_absolute_error,
    mean_squared_error,
    one_centred_penalty,
    softmax_cross_entropy,
    wasserstein,
    zero_centred_penalty,
)
from npgan.optim import SGD, Adam

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)
every_layer = pytest.mark.parametrize("name", LAYERS)
WITH_PARAMETERS = [name for name in LAYERS if make(name)[1].parameters()]


# The backend ---------------------------------------------------------------------------------------------


def test_arrays_go_to_the_device_and_come_back_the_same(cupy):
    device = to_device(HOST, "cupy")
    assert isinstance(device, cupy.ndarray)
    assert array_module(device) is cupy and device_of(device) == "cupy"
    assert describe(device) == "a CuPy array of shape (2, 3), float32"
    assert to_device(device, "cupy") is device
    for back in (to_numpy(device), to_device(device, "numpy")):
        np.testing.assert_array_equal(back, HOST, strict=True)


def test_numpy_and_cupy_arrays_together_are_refused_and_both_named(cupy):
    with pytest.raises(TypeError) as raised:
        array_module(HOST, to_device(HOST[:1], "cupy"))
    assert str(raised.value) == (
        "NumPy and CuPy arrays in one computation: a NumPy array of shape (2, 3), float32 and a CuPy array of "
        "shape (1, 3), float32; move one of them with npgan.backend.to_device"
    )


def test_usable_gpu_is_chosen(cupy):
    status = gpu_status()
    assert status.usable and status.line.startswith("GPU: ") and f"CuPy {cupy.__version__}" in status.line
    assert choose_device("auto") == choose_device("cupy") == ("cupy", f"device: {status.line}")
    synchronize("cupy")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"devices": 0}, r"finds no device \(cudaErrorNoDevice"),
        ({"broken": strict_cupy.CUBLAS}, r"cannot compute \(.*libcublas"),
        ({"broken": ["add"]}, r"cannot compute \(.*libnvrtc"),
        ({"importable": False}, "CuPy is not installed"),
    ],
    ids=["no-device", "no-cublas", "no-nvrtc", "not-installed"],
)
def test_gpu_that_cannot_be_used_is_left_alone_with_the_reason(monkeypatch, options, reason):
    strict_cupy.install(monkeypatch, **options)
    device, line = choose_device("auto")
    assert device == "numpy"
    assert re.search(f"no GPU: .*{reason}", line) and "\n" not in line
    with pytest.raises(DeviceError, match=f"no GPU: .*{reason}.*; install CuPy for .* or use --device numpy"):
        choose_device("cupy")


# Layers --------------------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_layer_gives_the_numbers_of_numpy_without_float64_uploads_or_waiting(cupy, leeway, name, train):
    assert layer_problems(lambda: make(name), train=train, leeway=leeway) == []


@every_layer
def test_layer_goes_to_the_device_and_back_to_the_bit(cupy, name):
    _, layer, x = make(name)
    before, y = layer.state(), layer.forward(x, train=False)
    assert layer.to("cupy") is layer
    assert all(device_of(array) == "cupy" for array in layer.arrays().values())
    assert all(device_of(parameter.grad) == "cupy" for parameter in layer.parameters())
    assert all(isinstance(array, np.ndarray) for array in layer.state().values())
    layer.to("numpy")
    assert all(device_of(array) == "numpy" for array in layer.arrays().values())
    assert all(device_of(parameter.grad) == "numpy" for parameter in layer.parameters())
    assert all(np.array_equal(before[key], array) for key, array in layer.state().items())
    np.testing.assert_array_equal(layer.forward(x, train=False), y)


@pytest.mark.parametrize("name", [name for name in WITH_PARAMETERS if name != "Sequential"])
def test_input_on_the_other_device_than_the_weights_is_refused_and_both_named(cupy, name):
    _, layer, x = make(name)
    where, first = type(layer).__name__, layer.parameters()[0].value
    with pytest.raises(TypeError) as raised:
        layer.forward(to_device(x, "cupy"))
    assert str(raised.value) == (
        f"{where}: input is a CuPy array of shape {x.shape}, float32, the layer's weights are a NumPy array of "
        f"shape {first.shape}, float32; move one with to_device or Layer.to"
    )
    layer.to("cupy")
    with pytest.raises(TypeError) as raised:
        layer.forward(x)
    assert str(raised.value) == (
        f"{where}: input is a NumPy array of shape {x.shape}, float32, the layer's weights are a CuPy array of "
        f"shape {first.shape}, float32; move one with to_device or Layer.to"
    )


def test_numpy_input_to_a_network_on_the_device_is_refused_by_the_first_layer_with_weights(cupy):
    network = Sequential([Flatten(), Dense(6, 2), LeakyReLU()]).to("cupy")
    with pytest.raises(TypeError, match="^Dense: input is a NumPy array of .*weights are a CuPy array"):
        network.forward(np.ones((4, 2, 3), np.float32))


@every_layer
def test_output_gradient_on_the_other_device_is_refused_by_name(cupy, name):
    _, layer, x = make(name)
    layer.to("cupy")
    y = layer.forward(to_device(x, "cupy"))
    with pytest.raises(TypeError, match="dy is a NumPy array of .*, the output was computed on cupy$"):
        layer.backward(to_numpy(y))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_state_goes_from_one_device_to_the_other_to_the_bit(cupy, name):
    _, layer, _ = make(name, seed=1)
    _, other, _ = make(name, seed=2)
    other.to("cupy").load_state(layer.state())
    assert all(device_of(array) == "cupy" for array in other.arrays().values())
    assert all(np.array_equal(layer.state()[key], array) for key, array in other.state().items())


def test_gradient_check_works_on_the_device(cupy):
    rng, layer, x = make("Conv2D", dtype="float64")
    errors = check_layer(layer.to("cupy"), to_device(x, "cupy"), rng=rng)
    assert errors.keys() == {"input", "weight", "bias"}


def test_summary_works_on_the_device(cupy):
    network = Sequential([Dense(3, 2), BatchNormalization(2)])
    assert network.summary((3,)) == network.to("cupy").summary((3,))


# Losses, optimisers, the game ----------------------------------------------------------------------------

LOSSES = {
    "binary_cross_entropy": lambda x, t: binary_cross_entropy(x, 1.0),
    "binary_cross_entropy-array": lambda x, t: binary_cross_entropy(x, abs(t)),
    "generator_saturating": lambda x, t: generator_saturating(x),
    "least_squares": lambda x, t: least_squares(x, 1.0),
    "hinge": lambda x, t: hinge(x, 1.0),
    "wasserstein": lambda x, t: wasserstein(x, 0.0),
    "zero_centred_penalty": lambda x, t: zero_centred_penalty(x, 10.0),
    "one_centred_penalty": lambda x, t: one_centred_penalty(x, 10.0),
    "softmax_cross_entropy": lambda x, t: softmax_cross_entropy(x, (t[:, 0] > 0).astype("int64")),
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_gives_the_numbers_of_numpy_without_float64_uploads_or_waiting(cupy, leeway, name, rng):
    x, target = rng.uniform(-1, 1, (2, 4, 3)).astype(np.float32)
    value, gradient = LOSSES[name](x, target)
    x_device, target_device = to_device(x, "cupy"), to_device(target, "cupy")
    strict_cupy.counters.reset()
    with strict_cupy.forbid_float64():
        value_device, gradient_device = LOSSES[name](x_device, target_device)
    assert strict_cupy.counters == strict_cupy.Counters()
    np.testing.assert_allclose(to_numpy(value_device), value, rtol=1e-5 * leeway)
    np.testing.assert_allclose(to_numpy(gradient_device), gradient, rtol=1e-5 * leeway, atol=1e-7 * leeway)


@pytest.mark.parametrize(
    "loss", [binary_cross_entropy, mean_squared_error, mean_absolute_error, softmax_cross_entropy]
)
def test_target_on_the_other_device_is_refused_and_both_named(cupy, loss):
    with pytest.raises(TypeError, match="a CuPy array of shape .* and a NumPy array of shape"):
        loss(to_device(HOST, "cupy"), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    "make_optimiser",
    [SGD, lambda ps: SGD(ps, momentum=0.9, nesterov=True), Adam],
    ids=["SGD", "Nesterov", "Adam"],
)
def test_optimiser_gives_the_numbers_of_numpy_without_float64_uploads_or_waiting(
    cupy, leeway, make_optimiser, rng
):
    layers = [Dense(3, 2, rng=np.random.default_rng(1)) for _ in range(2)]
    layers[1].to("cupy")
    optimisers = [make_optimiser(layer.parameters()) for layer in layers]
    for _ in range(5):
        grad = rng.standard_normal((3, 2)).astype(np.float32)
        layers[0].weight.grad[...] = grad
        layers[1].weight.grad[...] = to_device(grad, "cupy")
        strict_cupy.counters.reset()
        with strict_cupy.forbid_float64():
            for optimiser in optimisers:
                optimiser.step()
        assert strict_cupy.counters == strict_cupy.Counters()
    np.testing.assert_allclose(
        layers[1].state()["weight"], layers[0].state()["weight"], rtol=1e-5 * leeway, atol=1e-7 * leeway
    )
    optimisers[0].load_state(optimisers[1].state())
    optimisers[1].load_state(optimisers[0].state())
    assert all(
        device_of(array) == "cupy" for memory in optimisers[1].memory.values() for array in memory.values()
    )
