"""What every layer promises: dtypes, arguments left alone, gradients that add, one-shot memory, state, errors."""

import re

import numpy as np
import pytest
from layer_table import LAYERS, MIXING, Geometry, make

from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    Parameter,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)

every_layer = pytest.mark.parametrize("name", LAYERS)
WITH_STATE = [name for name in LAYERS if make(name)[1].state()]
WITH_PARAMETERS = [name for name in LAYERS if make(name)[1].parameters()]


def output_gradient(rng, y):
    return rng.standard_normal(y.shape).astype(y.dtype)


def passed(name, seed=0, **settings):
    """Build a layer, run it forward and backward once: (layer, x, y, dy, dx)."""
    rng, layer, x = make(name, seed, **settings)
    y = layer.forward(x)
    dy = output_gradient(rng, y)
    return layer, x, y, dy, layer.backward(dy)


def first_leaf(layer):
    """The layer that meets the input first."""
    return first_leaf(layer.layers[0]) if isinstance(layer, Sequential) else layer


def gradients(layer):
    return {name: parameter.grad.copy() for name, parameter in layer.named_parameters().items()}


def assert_same_arrays(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name, strict=True)


def assert_inputs_shape_and_dtype(layer, x, dtype):
    assert x.dtype == dtype
    assert all(array.dtype == dtype for array in layer.state().values())
    assert all(parameter.grad.dtype == dtype for parameter in layer.parameters())


# The table itself ----------------------------------------------------------------------------------------


def test_table_holds_every_layer_of_the_package():
    import npgan.layers

    exported = {getattr(npgan.layers, name) for name in npgan.layers.__all__} - {Layer, Parameter}
    exported -= {npgan.layers.Concatenate, npgan.layers.Add}  # take lists: tests/test_layers_join.py
    exported -= {npgan.layers.Embedding}  # takes whole numbers: tests/test_layers_embedding.py
    assert {type(make(name)[1]) for name in LAYERS} == exported


@every_layer
def test_table_keeps_inputs_off_kinks(name):
    for seed in range(20):
        _, layer, x = make(name, seed)
        if isinstance(layer, LeakyReLU | ReLU):
            assert np.abs(x).min() >= np.float32(0.1)
            assert (x > 0).any() and (x < 0).any()


# Forward and backward ------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("train", [True, False])
def test_layer_keeps_the_dtype_of_its_input(name, dtype, train):
    rng, layer, x = make(name, dtype=dtype)
    assert layer.forward(x, train=train).dtype == dtype
    y = layer.forward(x)
    assert layer.backward(output_gradient(rng, y)).dtype == dtype
    assert all(array.dtype == dtype for array in layer.state().values())
    assert all(parameter.grad.dtype == dtype for parameter in layer.parameters())


@pytest.mark.parametrize(
    "layer",
    [
        LeakyReLU(np.float64(0.3)),
        BatchNormalization(2, momentum=np.float64(0.7), epsilon=np.float64(1e-4)),
    ],
    ids=["LeakyReLU", "BatchNormalization"],
)
def test_a_float64_hyper_parameter_leaves_float32_alone(layer, rng):
    y = layer.forward(rng.standard_normal((4, 2), dtype=np.float32))
    assert y.dtype == np.float32
    assert layer.backward(np.ones_like(y)).dtype == np.float32


@every_layer
def test_input_gradient_has_the_shape_of_the_input(name):
    _, x, _, _, dx = passed(name)
    assert dx.shape == x.shape


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_forward_leaves_its_input_unchanged(name, train):
    _, layer, x = make(name)
    before = x.copy()
    layer.forward(x, train=train)
    np.testing.assert_array_equal(x, before)


@every_layer
def test_backward_leaves_input_and_output_gradient_unchanged(name):
    rng, layer, x = make(name)
    y = layer.forward(x)
    dy = output_gradient(rng, y)
    x_before, dy_before = x.copy(), dy.copy()
    layer.backward(dy)
    np.testing.assert_array_equal(dy, dy_before)
    np.testing.assert_array_equal(x, x_before)


@every_layer
def test_layer_leaves_its_values_unchanged(name):
    _, layer, _ = make(name)
    before = {key: parameter.value.copy() for key, parameter in layer.named_parameters().items()}
    layer = passed(name)[0]
    assert_same_arrays({key: p.value for key, p in layer.named_parameters().items()}, before)


@every_layer
def test_read_only_and_non_contiguous_arrays_give_the_same(name):
    layer, x, y, dy, dx = passed(name)
    _, other, _ = make(name)

    def strided(array):
        doubled = np.repeat(array, 2, axis=-1)[..., ::2]
        doubled.flags.writeable = False
        return doubled

    assert not strided(x).flags.c_contiguous
    np.testing.assert_allclose(other.forward(strided(x)), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other.backward(strided(dy)), dx, rtol=1e-5, atol=1e-5)
    for key, grad in gradients(layer).items():
        np.testing.assert_allclose(gradients(other)[key], grad, rtol=1e-5, atol=1e-5, err_msg=key)


@every_layer
def test_equal_passes_give_equal_bits(name):
    first, second = passed(name), passed(name)
    np.testing.assert_array_equal(first[2], second[2])
    np.testing.assert_array_equal(first[4], second[4])
    assert_same_arrays(gradients(first[0]), gradients(second[0]))


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in MIXING])
def test_samples_of_a_batch_do_not_mix(name):
    _, layer, x = make(name, dtype="float64")
    together = layer.forward(x, train=False)
    alone = np.concatenate([layer.forward(x[i : i + 1], train=False) for i in range(len(x))])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)


# Gradients add -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_start_at_zero_and_are_not_zero_after_a_pass(name):
    _, layer, _ = make(name)
    assert all(not grad.any() for grad in gradients(layer).values())
    layer = passed(name)[0]
    assert all(grad.any() for grad in gradients(layer).values())


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_of_two_passes_add(name):
    rng, layer, x = make(name, dtype="float64")
    passes, singles = [], []
    for _ in range(2):
        y = layer.forward(x)
        passes.append(output_gradient(rng, y))
        layer.backward(passes[-1])
        singles.append(gradients(layer))
        layer.zero_grad()
    for dy in passes:
        layer.forward(x)
        layer.backward(dy)
    for key, total in gradients(layer).items():
        wanted = singles[0][key] + singles[1][key]
        np.testing.assert_allclose(total, wanted, rtol=1e-12, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_stay_in_the_arrays_they_were_made_in(name):
    rng, layer, x = make(name)
    before = [parameter.grad for parameter in layer.parameters()]
    layer.backward(output_gradient(rng, layer.forward(x)))
    layer.zero_grad()
    assert all(parameter.grad is grad for parameter, grad in zip(layer.parameters(), before))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_zero_grad_sets_every_gradient_to_zero(name):
    layer = passed(name)[0]
    layer.zero_grad()
    assert all(not grad.any() for grad in gradients(layer).values())


# Freezing ------------------------------------------------------------------------------------------------


@every_layer
def test_frozen_layer_passes_the_same_gradient_through_and_gathers_none(name):
    _, _, y, dy, dx = passed(name)
    _, layer, x = make(name)
    state = layer.state()
    layer.freeze()
    np.testing.assert_array_equal(layer.forward(x), y)
    np.testing.assert_array_equal(layer.backward(dy), dx)
    assert all(not grad.any() for grad in gradients(layer).values())
    assert_same_arrays(layer.state(), state)  # running statistics too


@every_layer
def test_unfrozen_layer_learns_again(name):
    layer, _, _, dy, _ = passed(name)
    _, other, x = make(name)
    other.freeze(inference=True)
    other.unfreeze()
    other.forward(x)
    other.backward(dy)
    assert_same_arrays(gradients(other), gradients(layer))
    assert_same_arrays(other.state(), layer.state())


def test_freezing_reaches_nested_layers_in_both_modes():
    norm = BatchNormalization(2)
    network = Sequential([Sequential([norm])])
    network.freeze(inference=True)
    assert (norm.frozen, norm.inference) == (True, True)
    network.freeze()
    assert (norm.frozen, norm.inference) == (True, False)
    network.unfreeze()
    assert (norm.frozen, norm.inference) == (False, False)


# State ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_makes_another_layer_the_same_to_the_bit(name, dtype):
    rng, layer, x = make(name, seed=1, dtype=dtype)
    layer.forward(x)  # running statistics move
    _, other, _ = make(name, seed=2, dtype=dtype)
    assert not np.array_equal(layer.forward(x, train=False), other.forward(x, train=False))
    other.load_state(layer.state())
    assert_same_arrays(other.state(), layer.state())
    np.testing.assert_array_equal(other.forward(x, train=False), layer.forward(x, train=False))
    y = layer.forward(x)
    np.testing.assert_array_equal(other.forward(x), y)
    dy = output_gradient(rng, y)
    np.testing.assert_array_equal(other.backward(dy), layer.backward(dy))


@pytest.mark.parametrize("name", WITH_STATE)
def test_state_is_a_copy(name):
    _, layer, _ = make(name)
    before = layer.state()
    for array in layer.state().values():
        array += 1
    assert_same_arrays(layer.state(), before)
    given = layer.state()
    layer.load_state(given)
    for array in given.values():
        array += 1
    assert_same_arrays(layer.state(), before)


@pytest.mark.parametrize("name", WITH_STATE)
def test_loading_a_state_keeps_the_arrays_an_optimiser_holds(name):
    _, layer, _ = make(name)
    values = [parameter.value for parameter in layer.parameters()]
    layer.load_state(make(name, seed=2)[1].state())
    assert all(parameter.value is value for parameter, value in zip(layer.parameters(), values))


def _lacks(state, key):
    del state[key]


def _has_besides(state, key):
    state["stranger"] = state[key]


def _shape(state, key):
    state[key] = np.zeros((7, 7), state[key].dtype)


def _dtype(state, key):
    state[key] = state[key].astype("float64")


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lacks, "it lacks ['{key}'] and has besides []"),
        (_has_besides, "it lacks [] and has besides ['stranger']"),
        (_shape, "{key} is float32 (7, 7), wanted float32 {shape}"),
        (_dtype, "{key} is float64 {shape}, wanted float32 {shape}"),
    ],
    ids=["missing", "unknown", "shape", "dtype"],
)
def test_state_of_another_network_is_refused_by_name_and_changes_nothing(name, damage, message):
    _, layer, _ = make(name, seed=1)
    before = layer.state()
    state = make(name, seed=2)[1].state()
    key = list(state)[-1]  # the last, so that a loader that checks as it goes has begun to write
    message = message.format(key=key, shape=state[key].shape)
    damage(state, key)
    with pytest.raises(ValueError, match=re.escape(f"state is of another network: {message}")):
        layer.load_state(state)
    assert_same_arrays(layer.state(), before)


def test_state_names_say_position_type_and_parameter():
    network = Sequential([Dense(2, 3), Sequential([BatchNormalization(3), ReLU()]), Dense(3, 1, bias=False)])
    assert set(network.state()) == {
        "0.Dense.weight",
        "0.Dense.bias",
        "1.Sequential.0.BatchNormalization.gamma",
        "1.Sequential.0.BatchNormalization.beta",
        "1.Sequential.0.BatchNormalization.running_mean",
        "1.Sequential.0.BatchNormalization.running_variance",
        "2.Dense.weight",
    }
    assert len(network.parameters()) == 5


# One-shot memory -----------------------------------------------------------------------------------------


@every_layer
def test_second_backward_is_an_error(name):
    layer, _, _, dy, _ = passed(name)
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)


@every_layer
def test_backward_before_any_forward_is_an_error(name):
    _, _, _, dy, _ = passed(name)
    _, layer, _ = make(name)
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)


@every_layer
def test_backward_after_a_forward_without_train_is_an_error(name):
    _, _, _, dy, _ = passed(name)
    _, layer, x = make(name)
    layer.forward(x)
    layer.forward(x, train=False)  # forgets what the forward before it had kept
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)


@every_layer
def test_two_forwards_then_two_backwards_is_an_error_at_the_second(name):
    rng, other, x = make(name)
    dy = output_gradient(rng, other.forward(-x))
    other.backward(dy)
    other.forward(x)
    dx = other.backward(dy)
    _, layer, _ = make(name)
    layer.forward(-x)
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(dy), dx)  # belongs to the later forward
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)


@every_layer
def test_memory_error_names_the_layer(name):
    layer, _, _, dy, _ = passed(name)
    last = layer.layers[-1] if isinstance(layer, Sequential) else layer
    with pytest.raises(RuntimeError, match=f"^{type(last).__name__}: backward without a memory"):
        layer.backward(dy)


# Errors of use -------------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda x: x.tolist(), TypeError, "input: wanted a NumPy or a CuPy array, got list"),
        (lambda x: None, TypeError, "input: wanted a NumPy or a CuPy array, got NoneType"),
        (lambda x: x.astype("uint8"), TypeError, "input is uint8, wanted a floating type such as float32"),
        (lambda x: x.astype("int64"), TypeError, "input is int64, wanted a floating type such as float32"),
        (lambda x: x > 0, TypeError, "input is bool, wanted a floating type such as float32"),
        (lambda x: x.astype("complex64"), TypeError, "input is complex64, wanted a floating type"),
        (lambda x: x[:0], ValueError, "input is empty (shape (0, "),
    ],
    ids=["list", "None", "uint8", "int64", "bool", "complex", "empty"],
)
def test_input_that_no_layer_takes_is_refused_by_name(name, train, spoil, error, message):
    _, layer, x = make(name)
    where = type(first_leaf(layer)).__name__
    with pytest.raises(error, match=re.escape(f"{where}: {message}")):
        layer.forward(spoil(x), train=train)


@pytest.mark.parametrize("name", [name for name in WITH_PARAMETERS if name != "Sequential"])
def test_input_of_another_dtype_than_the_weights_is_refused(name):
    _, layer, x = make(name)
    where = type(layer).__name__
    with pytest.raises(TypeError, match=f"^{where}: input is float64, the layer's weights are float32$"):
        layer.forward(x.astype("float64"))
    with pytest.raises(TypeError, match=f"^{where}: input is float32, the layer's weights are float64$"):
        layer.astype("float64").forward(x)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Dense(3, 2), (4, 5), "Dense: input has 5 features, this layer takes 3 (shape (4, 5))"),
        (Dense(3, 2), (3,), "Dense: input has 1 axes, wanted 2 (shape (3,))"),
        (Dense(3, 2), (4, 2, 3), "Dense: input has 3 axes, wanted 2 (shape (4, 2, 3))"),
        (
            Conv2D(1, 2, 3),
            (64, 28, 28, 3),
            "Conv2D: input has 3 channels, this layer takes 1 (shape (64, 28, 28, 3))",
        ),
        (Conv2D(1, 2, 3), (28, 28, 1), "Conv2D: input has 3 axes, wanted 4 (shape (28, 28, 1))"),
        (
            Conv2D(1, 2, (3, 5)),
            (2, 4, 4, 1),
            "Conv2D: kernel_size (3, 5) does not fit into an input of (4, 4) pixels with padding (0, 0)",
        ),
        (Conv2D(1, 2, 3), (2, 0, 4, 1), "Conv2D: input is empty (shape (2, 0, 4, 1))"),
        (
            Conv2DTranspose(4, 2, 3),
            (2, 7, 7, 2),
            "Conv2DTranspose: input has 2 channels, this layer takes 4 (shape (2, 7, 7, 2))",
        ),
        (Conv2DTranspose(4, 2, 3), (2, 4), "Conv2DTranspose: input has 2 axes, wanted 4 (shape (2, 4))"),
        (
            Conv2DTranspose(1, 1, 3, padding=(0, 2)),
            (2, 2, 2, 1),
            "Conv2DTranspose: padding (0, 2) leaves no output for an input of (2, 2) pixels",
        ),
        (
            BatchNormalization(3),
            (4, 4, 4, 2),
            "BatchNormalization: input has 2 features, this layer takes 3 (shape (4, 4, 4, 2))",
        ),
        (
            BatchNormalization(3),
            (3,),
            "BatchNormalization: input has 1 axes, wanted at least 2 (shape (3,))",
        ),
        (
            Reshape((2, 3)),
            (4, 5),
            "Reshape: an input of shape (4, 5) does not fit (2, 3) a sample",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Layer) else None,
)
def test_input_of_a_wrong_shape_is_refused_with_what_came_and_what_was_wanted(layer, shape, message):
    for train in (True, False):
        with pytest.raises(ValueError) as raised:
            layer.forward(np.ones(shape, np.float32), train=train)
        assert str(raised.value) == message


@pytest.mark.parametrize("layer", [Flatten(), Reshape((1,))], ids=["Flatten", "Reshape"])
def test_input_without_a_batch_axis_is_refused_by_name(layer):
    with pytest.raises(ValueError, match=f"^{type(layer).__name__}: "):
        layer.forward(np.ones((), np.float32))


@every_layer
def test_output_gradient_of_a_wrong_shape_or_dtype_is_refused_and_the_right_one_still_works(name):
    _, _, _, dy, dx = passed(name)
    _, layer, x = make(name)
    last = layer.layers[-1] if isinstance(layer, Sequential) else layer
    where = type(last).__name__
    layer.forward(x)
    message = f"{where}: dy has shape {dy[:-1].shape}, the output had {dy.shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.backward(dy[:-1])
    with pytest.raises(TypeError, match=f"^{where}: dy is float64, the output was float32$"):
        layer.backward(dy.astype("float64"))
    with pytest.raises(TypeError, match=f"^{where}: dy: wanted a NumPy or a CuPy array, got list$"):
        layer.backward(dy.tolist())
    assert all(not grad.any() for grad in gradients(layer).values())
    np.testing.assert_array_equal(layer.backward(dy), dx)


WHOLE = "must be a whole number of at least"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dense(0, 2), f"Dense: in_features {WHOLE} 1, got 0"),
        (lambda: Dense(2, -1), f"Dense: out_features {WHOLE} 1, got -1"),
        (lambda: Dense(2.0, 2), f"Dense: in_features {WHOLE} 1, got 2.0"),
        (lambda: Dense(True, 2), f"Dense: in_features {WHOLE} 1, got True"),
        (lambda: Dense("2", 2), f"Dense: in_features {WHOLE} 1, got '2'"),
        (lambda: Conv2D(0, 1, 3), f"Conv2D: in_channels {WHOLE} 1, got 0"),
        (lambda: Conv2D(1, 0, 3), f"Conv2D: out_channels {WHOLE} 1, got 0"),
        (lambda: Conv2D(1, 1, 0), f"Conv2D: kernel_size {WHOLE} 1 or a pair of them, got 0"),
        (lambda: Conv2D(1, 1, (3, 3, 3)), f"Conv2D: kernel_size {WHOLE} 1 or a pair of them, got (3, 3, 3)"),
        (lambda: Conv2D(1, 1, 2.5), f"Conv2D: kernel_size {WHOLE} 1 or a pair of them, got 2.5"),
        (lambda: Conv2D(1, 1, True), f"Conv2D: kernel_size {WHOLE} 1 or a pair of them, got True"),
        (lambda: Conv2D(1, 1, 3, stride=0), f"Conv2D: stride {WHOLE} 1 or a pair of them, got 0"),
        (
            lambda: Conv2D(1, 1, 3, padding=(1, -1)),
            f"Conv2D: padding {WHOLE} 0 or a pair of them, got (1, -1)",
        ),
        (
            lambda: Conv2D(1, 1, 3, padding="same"),
            f"Conv2D: padding {WHOLE} 0 or a pair of them, got 'same'",
        ),
        (lambda: Conv2DTranspose(0, 1, 3), f"Conv2DTranspose: in_channels {WHOLE} 1, got 0"),
        (lambda: Conv2DTranspose(1, 0, 3), f"Conv2DTranspose: out_channels {WHOLE} 1, got 0"),
        (
            lambda: Conv2DTranspose(1, 1, None),
            f"Conv2DTranspose: kernel_size {WHOLE} 1 or a pair of them, got None",
        ),
        (
            lambda: Conv2DTranspose(1, 1, 3, stride=-1),
            f"Conv2DTranspose: stride {WHOLE} 1 or a pair of them, got -1",
        ),
        (
            lambda: Conv2DTranspose(1, 1, 3, padding=-1),
            f"Conv2DTranspose: padding {WHOLE} 0 or a pair of them, got -1",
        ),
        (
            lambda: Conv2DTranspose(1, 1, 3, stride=(2, 1), output_padding=1),
            "Conv2DTranspose: output_padding (1, 1) must be less than stride (2, 1)",
        ),
        (lambda: BatchNormalization(0), f"BatchNormalization: channels {WHOLE} 1, got 0"),
        (
            lambda: BatchNormalization(1, momentum=1.0),
            "BatchNormalization: momentum must be in [0, 1), got 1.0",
        ),
        (
            lambda: BatchNormalization(1, momentum=-0.1),
            "BatchNormalization: momentum must be in [0, 1), got -0.1",
        ),
        (lambda: BatchNormalization(1, epsilon=0.0), "BatchNormalization: epsilon must be above 0, got 0.0"),
        (lambda: LeakyReLU(-0.1), "LeakyReLU: alpha must be in [0, 1], got -0.1"),
        (lambda: LeakyReLU(1.5), "LeakyReLU: alpha must be in [0, 1], got 1.5"),
        (lambda: LeakyReLU(float("nan")), "LeakyReLU: alpha must be in [0, 1], got nan"),
        (lambda: Reshape((2, -1)), f"Reshape: shape {WHOLE} 1, got -1"),
    ],
)
def test_bad_constructor_argument_is_refused_by_name(build, message):
    with pytest.raises(ValueError) as raised:
        build()
    assert str(raised.value) == message


def test_sequential_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match=re.escape("Sequential: layers[1] is type, wanted a Layer")):
        Sequential([Dense(1, 1), ReLU])


def test_whole_numbers_of_numpy_are_whole_numbers():
    layer = Conv2D(np.int64(2), np.int32(3), np.int64(2), stride=[np.int64(2), 1])
    assert layer.forward(np.ones((1, 4, 4, 2), np.float32)).shape == (1, 2, 3, 3)


# Initial weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "shape", "fan_in"),
    [
        (lambda rng: Dense(50, 400, rng=rng), (50, 400), 50),
        (lambda rng: Conv2D(20, 40, (5, 4), rng=rng), (5, 4, 20, 40), 5 * 4 * 20),
        (lambda rng: Conv2DTranspose(40, 20, 4, stride=2, rng=rng), (4, 4, 20, 40), 40 * 4 * 4 / (2 * 2)),
    ],
    ids=["Dense", "Conv2D", "Conv2DTranspose"],
)
def test_initial_weights_are_normal_with_variance_two_over_fan_in_and_biases_zero(build, shape, fan_in, rng):
    layer = build(rng)
    weight = layer.weight.value
    assert weight.shape == shape
    count = weight.size  # the sample variance of n normal values strays by sqrt(2 / n) of itself
    assert weight.var() == pytest.approx(2 / fan_in, rel=4 * np.sqrt(2 / count))
    assert abs(weight.mean()) < 4 * np.sqrt(2 / fan_in / count)
    assert not layer.bias.value.any()


def test_rectified_layer_keeps_the_scale_of_its_input(rng):
    """E[ReLU(x)**2] = E[x**2] / 2, which the factor 2 in the variance of the weights undoes."""
    x = rng.standard_normal((200, 1000)).astype(np.float32)
    for _ in range(3):
        x = ReLU().forward(Dense(1000, 1000, bias=False, rng=rng).forward(x))
    assert (x * x).mean() == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_same_seed_gives_the_same_weights(name):
    assert_same_arrays(make(name, seed=3)[1].state(), make(name, seed=3)[1].state())


# Values of the activations, Flatten, Reshape -------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "y", "slope"),
    [
        (LeakyReLU(0.2), [-0.4, -0.1, 0.0, 0.5, 3.0], [0.2, 0.2, 0.2, 1.0, 1.0]),
        (LeakyReLU(0.0), [0.0, 0.0, 0.0, 0.5, 3.0], [0.0, 0.0, 0.0, 1.0, 1.0]),
        (ReLU(), [0.0, 0.0, 0.0, 0.5, 3.0], [0.0, 0.0, 0.0, 1.0, 1.0]),
        (
            Tanh(),
            [-0.9640275800758169, -0.46211715726000975, 0.0, 0.46211715726000975, 0.9950547536867305],
            [0.07065082485316443, 0.7864477329659274, 1.0, 0.7864477329659274, 0.009866037165440211],
        ),
        (
            Sigmoid(),
            [0.11920292202211755, 0.3775406687981454, 0.5, 0.6224593312018546, 0.9525741268224334],
            [0.1049935854035065, 0.23500371220159449, 0.25, 0.23500371220159449, 0.045176659730912],
        ),
    ],
    ids=["LeakyReLU", "LeakyReLU-of-slope-zero", "ReLU", "Tanh", "Sigmoid"],
)
def test_activation_has_the_values_and_slopes_worked_out_by_hand(layer, y, slope):
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 3.0]])
    np.testing.assert_allclose(layer.forward(x), [y], rtol=1e-14, atol=1e-16)
    dy = np.array([[1.0, -2.0, 3.0, -4.0, 5.0]])
    np.testing.assert_allclose(layer.backward(dy), dy * slope, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), LeakyReLU(), ReLU()], ids=lambda v: type(v).__name__)
def test_activation_of_huge_inputs_is_finite_and_silent(layer):
    x = np.array([[-1e4, -100, 100, 1e4]], np.float32)
    y = layer.forward(x)
    assert np.isfinite(y).all()
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_dense_is_worked_out_by_hand():
    layer = Dense(2, 3).astype("float64")
    layer.weight.value[...] = [[1, 2, 3], [4, 5, 6]]
    layer.bias.value[...] = [10, 20, 30]
    np.testing.assert_array_equal(
        layer.forward(np.array([[1.0, -1.0], [2.0, 0.5]])), [[7, 17, 27], [14, 26.5, 39]]
    )
    np.testing.assert_array_equal(
        layer.backward(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])), [[7, 16], [-1, -1]]
    )
    np.testing.assert_array_equal(layer.weight.grad, [[1, 2, 0], [-1, 0.5, -2.5]])
    np.testing.assert_array_equal(layer.bias.grad, [1, 1, 1])


def test_flatten_and_reshape_keep_the_order_and_undo_each_other():
    x = np.arange(24.0).reshape(2, 2, 3, 2)
    flat = Flatten().forward(x)
    np.testing.assert_array_equal(flat, [np.arange(12), np.arange(12, 24)])
    np.testing.assert_array_equal(Reshape((2, 3, 2)).forward(flat), x)


# Sequential ----------------------------------------------------------------------------------------------


def test_sequential_is_its_layers_one_after_the_other():
    rng, network, x = make("Sequential", dtype="float64")
    dy = rng.standard_normal((len(x), 2))
    _, same, _ = make("Sequential", dtype="float64")
    flatten, (dense, tanh), norm, last = same.layers[0], same.layers[1].layers, same.layers[2], same.layers[3]
    y = last.forward(norm.forward(tanh.forward(dense.forward(flatten.forward(x)))))
    np.testing.assert_array_equal(network.forward(x), y)
    dx = flatten.backward(dense.backward(tanh.backward(norm.backward(last.backward(dy)))))
    np.testing.assert_array_equal(network.backward(dy), dx)
    assert_same_arrays(gradients(network), gradients(same))


def test_summary_has_output_shapes_and_exact_parameter_counts():
    network = Sequential(
        [
            Dense(16, 72, bias=False),
            Reshape((3, 3, 8)),
            BatchNormalization(8),
            Sequential([Conv2DTranspose(8, 5, 4, stride=2, padding=1), LeakyReLU()]),
            Conv2D(5, 3, (3, 1)),
            Tanh(),
        ]
    )
    before = network.state()
    lines = network.summary((16,)).splitlines()
    rows = [tuple(re.split(r" {2,}", line.strip())) for line in lines if not set(line) <= {"-"}]
    assert rows == [
        ("layer", "output shape", "parameters"),
        ("input", "(16,)"),
        ("0.Dense", "(72,)", "1,152"),  # 16 * 72
        ("1.Reshape", "(3, 3, 8)", "0"),
        ("2.BatchNormalization", "(3, 3, 8)", "16"),  # gamma and beta; running statistics are not trained
        ("3.Sequential", "(6, 6, 5)", "645"),  # 4 * 4 * 5 * 8 + 5
        ("4.Conv2D", "(4, 6, 3)", "48"),  # 3 * 1 * 5 * 3 + 3
        ("5.Tanh", "(4, 6, 3)", "0"),
        ("total", "1,861"),
    ]
    assert_same_arrays(network.state(), before)


def test_summary_names_the_layer_that_the_shape_does_not_fit():
    with pytest.raises(ValueError, match="^Dense: input has 4 features, this layer takes 5"):
        Sequential([Flatten(), Dense(5, 1)]).summary((2, 2, 1))


def test_summary_works_for_float64_and_without_parameters():
    assert "(4,)" in Sequential([Dense(3, 4)]).astype("float64").summary((3,))
    assert "(6,)" in Sequential([Flatten()]).summary((2, 3))


# astype --------------------------------------------------------------------------------------------------


@every_layer
def test_astype_converts_all_arrays_and_forgets_the_memory(name):
    layer, _, _, dy, _ = passed(name)
    _, layer, x = make(name)
    layer.forward(x)
    assert layer.astype("float64") is layer
    assert all(array.dtype == np.float64 for array in layer.state().values())
    assert all(parameter.grad.dtype == np.float64 for parameter in layer.parameters())
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)


@every_layer
def test_float32_and_float64_agree_to_float32_rounding(name):
    _, _, y32, dy, dx32 = passed(name)
    _, layer, x = make(name, dtype="float64")
    np.testing.assert_allclose(y32, layer.forward(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx32, layer.backward(dy.astype("float64")), rtol=1e-4, atol=1e-4)


@every_layer
def test_single_pixel_single_channel_single_sample_works(name):
    one = Geometry(1, (1, 1), 1, 1, (1, 1), (1, 1), (0, 0), (0, 0))
    _, x, _, _, dx = passed(name, geometry=one)
    assert dx.shape == x.shape


# What is infinite ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_leaky_relu_of_infinity_is_infinity_and_of_minus_infinity_alpha_times_that(alpha, dtype):
    y = LeakyReLU(alpha).forward(np.array([[np.inf, -np.inf]], dtype))
    np.testing.assert_array_equal(y, [[np.inf, -np.inf if alpha else 0]])


# The protocol's second storey --------------------------------------------------------------------------------


@every_layer
def test_backward_parameters_gathers_what_backward_gathers(name):
    layer, _, _, dy, _ = passed(name)
    _, other, x = make(name)
    other.forward(x)
    assert other.backward_parameters(dy) is None
    assert_same_arrays(gradients(other), gradients(layer))
    with pytest.raises(RuntimeError, match="backward without a memory"):
        other.backward_parameters(dy)


def test_held_freezes_and_brings_back_the_flags_that_it_found():
    frozen, free = Dense(2, 2), BatchNormalization(2)
    network = Sequential([Sequential([frozen]), free])
    frozen.freeze(inference=True)
    with network.held():
        assert (frozen.frozen, frozen.inference, free.frozen, free.inference) == (True, False, True, False)
        with network.held(inference=True):
            assert free.inference
        assert not free.inference
    assert (frozen.frozen, frozen.inference, free.frozen, free.inference) == (True, True, False, False)
    with pytest.raises(ZeroDivisionError), network.held():
        raise ZeroDivisionError
    assert (frozen.frozen, free.frozen) == (True, False)


def test_named_layers_keep_their_names_when_others_come_between(rng):
    old = Sequential({"from_rgb": Dense(3, 4, rng=rng), "body": Dense(4, 2, rng=rng)})
    new = Sequential({"from_rgb": Dense(3, 4, rng=rng), "grown": LeakyReLU(), "body": Dense(4, 2, rng=rng)})
    assert list(new.named_parameters()) == ["from_rgb.weight", "from_rgb.bias", "body.weight", "body.bias"]
    new.load_state(old.state())
    x = rng.standard_normal((5, 3), dtype=np.float32)
    np.testing.assert_array_equal(new.layers[0].forward(x), old.layers[0].forward(x))
    assert "grown" in new.summary((3,))


def test_part_of_a_state_is_loaded_by_the_name_of_a_layer(rng):
    make_network = lambda: Sequential({"body": Dense(2, 2, rng=rng), "body_8": Dense(2, 2, rng=rng)})  # noqa: E731
    one, other = make_network(), make_network()
    before = other.state()
    other.load_state(one.state(), only="body")
    np.testing.assert_array_equal(other.state()["body.weight"], one.state()["body.weight"])
    np.testing.assert_array_equal(other.state()["body_8.weight"], before["body_8.weight"])
    part = {name: array for name, array in one.state().items() if name.startswith("body_8.")}
    other.load_state(part, only="body_8")
    np.testing.assert_array_equal(other.state()["body_8.weight"], one.state()["body_8.weight"])
    with pytest.raises(ValueError, match=re.escape("only='head': no such layer; there are body, body_8")):
        other.load_state(one.state(), only="head")
    with pytest.raises(ValueError, match="it lacks"):
        other.load_state({}, only="body")
