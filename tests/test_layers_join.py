"""Concatenate, Add and Pack: worked by hand, against loops and finite differences, and what they refuse."""

import re

import numpy as np
import pytest
import reference
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st
from parity import watched
from strategies import at_least, seeds

from npgan.backend import to_device, to_numpy
from npgan.gradcheck import check_gradient
from npgan.layers import Add, Concatenate, Dense, Flatten, LeakyReLU, Pack, Sequential

JOINS = pytest.mark.parametrize("join", [Add(), Concatenate()], ids=["Add", "Concatenate"])
shapes = st.lists(st.integers(1, 3), min_size=1, max_size=4)


# Add -----------------------------------------------------------------------------------------------------


def test_add_is_worked_out_by_hand():
    layer = Add()
    a, b, c = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]]), np.array([[100.0, 200.0]])
    assert layer.forward([a, b, c]).tolist() == [[111, 222]]
    dy = np.array([[3.0, 4.0]])
    assert [part.tolist() for part in layer.backward(dy)] == [[[3, 4]]] * 3
    assert (a.tolist(), b.tolist(), c.tolist()) == ([[1, 2]], [[10, 20]], [[100, 200]])


def test_gradients_of_add_are_copies_that_can_be_added_to(rng):
    layer = Add()
    x = rng.standard_normal((2, 3))
    layer.forward([x, x])
    dy = np.ones((2, 3))
    first, second = layer.backward(dy)
    first += 5
    assert (dy == 1).all() and (second == 1).all()


@JOINS
def test_one_part_alone_is_copied(join, rng):
    x = rng.standard_normal((2, 3))
    y = join.forward([x])
    y += 1
    assert not np.array_equal(y, x)
    assert len(join.backward(y)) == 1


@at_least(100)
@given(count=st.integers(1, 4), shape=shapes.filter(lambda s: len(s) > 1), seed=seeds)
def test_gradient_of_add_is_that_of_finite_differences(count, shape, seed):
    rng = np.random.default_rng(seed)
    parts, layer = list(rng.standard_normal((count, *shape))), Add()
    np.testing.assert_allclose(layer.forward(parts), np.sum(parts, axis=0), rtol=1e-12, atol=1e-12)
    dy = rng.standard_normal(shape)
    for part, gradient in zip(parts, layer.backward(dy)):
        check_gradient(lambda: layer.forward(parts), part, gradient, rng, dy=dy)


def test_block_with_a_skip_has_the_gradient_that_the_docstring_says(rng):
    f = Sequential([Dense(3, 3, rng=rng), LeakyReLU(), Dense(3, 3, rng=rng)]).astype("float64")
    add = Add()
    x, dy = rng.standard_normal((2, 4, 3))

    def block():
        return add.forward([x, f.forward(x)])

    block()
    dx, df = add.backward(dy)
    check_gradient(block, x, dx + f.backward(df), rng, dy=dy)


# Pack ----------------------------------------------------------------------------------------------------


def test_pack_is_worked_out_by_hand():
    layer = Pack(2)
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    assert layer.forward(x).tolist() == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]  # neighbours, the first one's channels first
    assert layer.backward(np.array([[1.0, 0, 0, 2], [3, 4, 5, 6]])).tolist() == [
        [1, 0],
        [0, 2],
        [3, 4],
        [5, 6],
    ]


@at_least(100)
@given(packs=st.integers(1, 3), m=st.integers(1, 4), rest=shapes, seed=seeds)
def test_pack_agrees_with_loops_and_backward_is_its_inverse(packs, m, rest, seed):
    x = np.random.default_rng(seed).standard_normal((packs * m, *rest))
    layer = Pack(m)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, reference.pack(x, m))
    np.testing.assert_array_equal(layer.backward(y), x)  # an order changed is changed back


def test_tangents_of_pack_and_add_are_the_layers_themselves(rng):
    a, b, c, d = rng.standard_normal((4, 6, 3))
    for layer, x, v in ((Pack(2), a, b), (Add(), [a, b], [c, d])):
        layer.forward(x)
        y = layer.tangent(v)
        layer.backward(y)  # the tangent pass remembers anew
        np.testing.assert_array_equal(y, layer.forward(v, train=False))


def test_packed_discriminator_judges_packs(rng):
    network = Sequential([Pack(3), Flatten(), Dense(3 * 8, 1, rng=rng)])
    x = rng.standard_normal((6, 2, 2, 2)).astype(np.float32)
    assert network.forward(x).shape == (2, 1)
    assert network.backward(np.ones((2, 1), np.float32)).shape == x.shape


# What is refused -----------------------------------------------------------------------------------------


@JOINS
@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        (np.zeros((2, 3)), TypeError, "input must be a list of arrays, got ndarray"),
        ([], TypeError, "input must be a list of arrays, got an empty list"),
        (None, TypeError, "input must be a list of arrays, got NoneType"),
        ([np.zeros((2, 3)), None], TypeError, "input: wanted a NumPy or a CuPy array, got NoneType"),
        ([np.zeros((2, 3)), np.zeros((3, 3))], ValueError, r"the parts must .*, got \["),
        ([np.zeros((2, 3)), np.zeros((2, 3, 1))], ValueError, r"the parts must .*, got \["),
        ([np.zeros((2, 3)), np.zeros((2, 3), np.float32)], TypeError, "the parts are float64, float32"),
        ([np.zeros((2, 3), int)], TypeError, "input is int64, wanted a floating type"),
    ],
    ids=["array", "nothing", "None", "no array", "batch", "axes", "dtypes", "whole numbers"],
)
def test_join_says_what_does_not_fit(join, parts, error, words):
    with pytest.raises(error, match=f"^{type(join).__name__}: {words}"):
        join.forward(parts)


def test_add_refuses_to_broadcast():
    with pytest.raises(
        ValueError, match=re.escape("Add: the parts must have one shape, got [(2, 3), (2, 1)]")
    ):
        Add().forward([np.zeros((2, 3)), np.zeros((2, 1))])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Pack(0), "Pack: m must be a whole number of at least 1, got 0"),
        (lambda: Pack(2.0), "Pack: m must be a whole number of at least 1, got 2.0"),
        (lambda: Pack(4).forward(np.ones((6, 2))), "Pack: packs of 4 do not divide a batch of 6"),
        (lambda: Pack(4).forward(np.ones((2, 2))), "Pack: packs of 4 do not divide a batch of 2"),
        (lambda: Pack(2).forward(np.ones(4)), "Pack: input has 1 axes, wanted at least 2 (shape (4,))"),
    ],
)
def test_pack_refuses_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


# On the device -------------------------------------------------------------------------------------------


@JOINS
def test_join_gives_the_numbers_of_numpy_and_nothing_crosses(cupy, join, rng):
    parts = list(rng.standard_normal((3, 4, 2)).astype(np.float32))
    y, gradients = join.forward(parts), join.backward(join.forward(parts))
    there, problems = [to_device(part, "cupy") for part in parts], []
    with watched(problems, "join"):
        y_there = join.forward(there)
        gradients_there = join.backward(y_there)
    assert problems == []
    np.testing.assert_allclose(to_numpy(y_there), y, rtol=1e-6)
    for ours, theirs in zip(gradients, gradients_there):
        np.testing.assert_allclose(to_numpy(theirs), ours, rtol=1e-6)
    strict_cupy.counters.reset()
    with pytest.raises(TypeError, match="NumPy and CuPy arrays in one computation"):
        join.forward([parts[0], there[1]])
