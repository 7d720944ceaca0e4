"""Embedding: by hand, against loops and finite differences, on the device, and all that it refuses."""

import re

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from parity import differences, watched
from strategies import at_least, seeds

from npgan.backend import device_of, to_device, to_numpy
from npgan.gradcheck import check_gradient
from npgan.layers import Dense, Embedding, Flatten, LeakyReLU, Sequential
from npgan.losses import softmax_cross_entropy
from npgan.optim import Adam


def test_embedding_is_worked_out_by_hand():
    layer = Embedding(3, 2).astype("float64")
    layer.weight.value[...] = [[1, 2], [3, 4], [5, 6]]
    assert layer.forward(np.array([2, 0, 2, 2])).tolist() == [[5, 6], [1, 2], [5, 6], [5, 6]]
    # number 2 came three times: its gradients add up. Number 1 never came
    assert layer.backward(np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [100.0, 200.0]])) is None
    assert layer.weight.grad.tolist() == [[3, 4], [0, 0], [111, 222]]


@at_least(100)
@given(
    count=st.integers(1, 5),
    width=st.integers(1, 3),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    dtype=st.sampled_from(["uint8", "int8", "int32", "uint32", "int64", "uint64"]),
    seed=seeds,
)
def test_embedding_agrees_with_loops_and_finite_differences(count, width, shape, dtype, seed):
    rng = np.random.default_rng(seed)
    layer = Embedding(count, width, rng=rng).astype("float64")
    numbers = rng.integers(0, count, shape).astype(dtype)
    before = numbers.copy()
    dy = rng.standard_normal((*shape, width))
    y, dweight = reference.embedding(numbers, layer.weight.value, dy)
    np.testing.assert_array_equal(layer.forward(numbers), y)
    layer.backward(dy)
    np.testing.assert_allclose(layer.weight.grad, dweight, rtol=1e-12, atol=1e-12)
    check_gradient(
        lambda: layer.forward(numbers),
        layer.weight.value,
        layer.weight.grad.copy(),
        rng,
        dy=dy,
        tolerance=1e-6,
    )
    np.testing.assert_array_equal(numbers, before, strict=True)


def test_embedding_is_a_dense_of_one_hot_rows(rng):
    numbers = rng.integers(0, 7, 20)
    layer, dense = Embedding(7, 4, rng=rng), Dense(7, 4, bias=False)
    dense.weight.value[...] = layer.weight.value
    one_hot = np.eye(7, dtype=np.float32)[numbers]
    np.testing.assert_array_equal(layer.forward(numbers), dense.forward(one_hot))
    dy = rng.standard_normal((20, 4)).astype(np.float32)
    layer.backward(dy)
    dense.backward(dy)
    np.testing.assert_allclose(layer.weight.grad, dense.weight.grad, rtol=1e-6)


def test_what_every_layer_promises(rng):
    layer, numbers = Embedding(5, 3, rng=rng), np.array([[0, 4], [4, 1]])
    y = layer.forward(numbers)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    assert y.dtype == np.float32 and y.shape == (2, 2, 3)
    numbers[...] = 3  # what the caller does with its array later does not matter
    before = dy.copy()
    layer.backward(dy)
    once = layer.weight.grad.copy()
    np.testing.assert_array_equal(dy, before)
    assert once[[0, 1, 4]].all() and not once[[2, 3]].any() and once.dtype == np.float32
    with pytest.raises(RuntimeError, match="^Embedding: backward without a memory"):
        layer.backward(dy)
    layer.forward(np.array([[0, 4], [4, 1]]))
    layer.backward_parameters(dy)
    np.testing.assert_allclose(layer.weight.grad, 2 * once, rtol=1e-6)  # gradients add
    with layer.held():
        layer.forward(np.array([[0, 4], [4, 1]]))
        layer.backward(dy)
    np.testing.assert_allclose(layer.weight.grad, 2 * once, rtol=1e-6)
    other = Embedding(5, 3)
    other.load_state(layer.state())
    np.testing.assert_array_equal(other.weight.value, layer.weight.value)
    layer.forward(numbers, train=False)
    with pytest.raises(RuntimeError, match="backward without a memory"):
        layer.backward(dy)
    with pytest.raises(TypeError, match="^Embedding: has no tangent pass"):
        layer.tangent(y)


def test_rows_handed_out_are_copies(rng):
    layer = Embedding(2, 2, rng=rng)
    before = layer.weight.value.copy()
    layer.forward(np.array([0, 1]))[...] = 0
    np.testing.assert_array_equal(layer.weight.value, before)


def test_rows_are_drawn_from_a_normal_law_of_variance_one(rng):
    weight = Embedding(100, 200, rng=rng).weight.value
    assert weight.var() == pytest.approx(1, rel=4 * np.sqrt(2 / weight.size))
    assert abs(weight.mean()) < 4 / np.sqrt(weight.size)


@pytest.mark.parametrize("method", ["backward", "backward_parameters"])
def test_it_stands_first_in_a_network_that_learns(method, rng):
    """Words in, a class out: which of two halves of the vocabulary the first of three words is from."""
    network = Sequential([Embedding(10, 4, rng=rng), Flatten(), Dense(12, 8, rng=rng), LeakyReLU()])
    network = Sequential([network, Dense(8, 2, rng=rng)])
    words = rng.integers(0, 10, (64, 3))
    labels = (words[:, 0] >= 5).astype(int)
    optimizer, losses = Adam(network.parameters(), 0.02), []
    for _ in range(100):
        network.zero_grad()
        loss, dlogits = softmax_cross_entropy(network.forward(words), labels)
        assert getattr(network, method)(dlogits) is None
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.05 < 0.5 < losses[0]


# What is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        (np.array([0, 5]), ValueError, "input has numbers from 0 to 5, wanted 0 to 4"),
        (np.array([[0, -1]]), ValueError, "input has numbers from -1 to 0, wanted 0 to 4"),
        (np.array([-128], np.int8), ValueError, "input has numbers from -128 to -128, wanted 0 to 4"),
        (
            np.array([2**64 - 1], np.uint64),
            ValueError,
            "input has numbers from 18446744073709551615 to 18446744073709551615, wanted 0 to 4",
        ),
        (np.array([1.0]), TypeError, "input is float64, wanted whole numbers such as int64"),
        (np.array([True]), TypeError, "input is bool, wanted whole numbers such as int64"),
        (np.array([1j]), TypeError, "input is complex128, wanted whole numbers such as int64"),
        (np.array(1), ValueError, "input has 0 axes, wanted 1 or 2 (shape ())"),
        (np.ones((1, 1, 1), int), ValueError, "input has 3 axes, wanted 1 or 2 (shape (1, 1, 1))"),
        (np.ones((2, 0), int), ValueError, "input is empty (shape (2, 0))"),
        ([0, 1], TypeError, "input: wanted a NumPy or a CuPy array, got list"),
    ],
)
def test_input_that_is_no_number_of_a_row_is_refused_in_one_line(numbers, error, message, train):
    with pytest.raises(error, match=f"^{re.escape(f'Embedding: {message}')}$"):
        Embedding(5, 2).forward(numbers, train)


def test_a_table_longer_than_the_numbers_can_say_takes_them(rng):
    layer = Embedding(300, 1, rng=rng)
    assert layer.forward(np.array([255], np.uint8)) == layer.weight.value[255]
    with pytest.raises(ValueError, match="from -1 to -1"):  # not row 255
        layer.forward(np.array([-1], np.int8))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Embedding(0, 2), "Embedding: count must be a whole number of at least 1, got 0"),
        (lambda: Embedding(2, 1.5), "Embedding: width must be a whole number of at least 1, got 1.5"),
    ],
)
def test_bad_sizes_are_refused(build, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build()


# On the device -------------------------------------------------------------------------------------------


def test_device_gives_the_numbers_of_numpy_without_waiting(cupy, leeway, rng):
    numbers = rng.integers(0, 5, (4, 3))  # 12 numbers, 5 rows: some come twice
    dy = rng.standard_normal((4, 3, 2)).astype(np.float32)
    found, problems = {}, []
    for device in ("numpy", "cupy"):
        layer = Embedding(5, 2, rng=np.random.default_rng(0)).to(device)
        there, dy_there = to_device(numbers, device), to_device(dy, device)
        with watched(problems, f"{device}, forward"):
            y = layer.forward(there)
        with watched(problems, f"{device}, backward"):
            layer.backward(dy_there)
        found[device] = {"y": y, "grad": layer.weight.grad}
    assert problems + differences(found["numpy"], found["cupy"], leeway=leeway) == []


def test_numbers_on_the_other_device_are_refused_and_both_named(cupy):
    layer, numbers = Embedding(5, 2).to("cupy"), np.array([1])
    with pytest.raises(TypeError, match="^Embedding: input is a NumPy array of .*weights are a CuPy array"):
        layer.forward(numbers)
    assert device_of(layer.forward(to_device(numbers, "cupy"))) == "cupy"


def test_a_number_out_of_range_is_a_row_of_nan_on_the_device(cupy):
    layer = Embedding(5, 2).to("cupy")
    y = to_numpy(layer.forward(to_device(np.array([[4, 7], [-1, 0]]), "cupy")))
    np.testing.assert_array_equal(np.isnan(y).all(axis=2), [[False, True], [True, False]])
    np.testing.assert_array_equal(y[0, 0], to_numpy(layer.weight.value)[4])
