"""The checks of parity, themselves under test: a mistake planted in any layer is reported, and as what it is.

Always on the strict double, also with --device cupy: on a GPU most of these are silent.
"""

import re

import numpy as np
import pytest
import strict_cupy
from layer_table import LAYERS, make
from parity import layer_problems, watched

from npgan.backend import array_module, device_of, synchronize, to_device, to_numpy


@pytest.fixture(autouse=True)
def double(monkeypatch):
    return strict_cupy.install(monkeypatch)


def read_and_give_back(y):
    float(y.sum())
    return y


def wait_and_give_back(y):
    synchronize(device_of(y))
    return y


def scaled_in_place(y):
    y *= np.float64(1.0)
    return y


# Each takes an array that a layer has computed and returns as good a one, but on the device not as it should be.
MISTAKES = {
    "a NumPy call": (lambda y: np.multiply(y, 1), "TypeError"),
    "a NumPy reduction": (lambda y: y - 0 * np.sum(y), "TypeError"),
    "np.asarray": (lambda y: np.asarray(y), "TypeError"),
    "a host array as operand": (lambda y: y + np.zeros(y.shape, np.float32), "TypeError"),
    "a name that CuPy lacks": (lambda y: array_module(y).maximum.reduce(y[None], axis=0), "AttributeError"),
    "a float64 scalar": (lambda y: y * np.float64(1.0), "Float64Error"),
    "a float64 scalar in place": (scaled_in_place, "Float64Error"),
    "zeros without a dtype": (lambda y: y + array_module(y).zeros(y.shape), "Float64Error"),
    "an upload": (lambda y: y + to_device(np.zeros(y.shape, np.float32), device_of(y)), "1 uploads"),
    "a host index": (lambda y: y[np.arange(len(y))], "1 uploads"),
    "float()": (read_and_give_back, "1 synchronisations"),
    "an if": (lambda y: y if (y == y).all() else -y, "1 synchronisations"),
    "a wait": (wait_and_give_back, "1 synchronisations"),
    "there and back": (lambda y: to_device(to_numpy(y), device_of(y)), "1 uploads.*1 downloads"),
    "left on the host": (to_numpy, "is not on the device|dy is a NumPy array|1 downloads"),
    "other numbers": (lambda y: y if device_of(y) == "numpy" else 1.01 * y, "differs from NumPy's"),
}


def plant(mistake, method):
    """A function that hangs a mistake behind a method of one layer."""

    def alter(layer):
        right = getattr(layer, method)
        setattr(layer, method, lambda *args, **keywords: mistake(right(*args, **keywords)))

    return alter


@pytest.mark.parametrize("name", LAYERS)
def test_layer_without_a_mistake_is_reported_as_right(name):
    assert layer_problems(lambda: make(name)) == []


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", LAYERS)
def test_mistake_planted_in_a_layer_is_reported_as_what_it_is(name, mistake, method):
    wrong, expected = MISTAKES[mistake]
    problems = layer_problems(lambda: make(name), alter=plant(wrong, method))
    assert re.search(expected, " ".join(problems)), problems
    assert not [problem for problem in problems if problem.startswith("numpy")], "it must pass on NumPy"


@pytest.mark.parametrize("mistake", ["a NumPy call", "a float64 scalar", "an upload", "float()"])
def test_mistake_planted_deep_in_a_network_is_reported(mistake):
    wrong, expected = MISTAKES[mistake]

    def alter(network):
        plant(wrong, "backward")(network.layers[1].layers[0])

    assert re.search(expected, " ".join(layer_problems(lambda: make("Sequential"), alter=alter)))


def test_watched_counts_beyond_what_is_allowed():
    problems = []
    with watched(problems, "step", uploads=1):
        x = to_device(np.ones(3, np.float32), "cupy")
    assert problems == []
    with watched(problems, "step", uploads=1):
        to_device(np.ones(3, np.float32), "cupy")
        to_device(np.ones(3, np.float32), "cupy")
        float(x.sum())
    assert problems == ["step: 2 uploads, wanted 1", "step: 1 synchronisations, wanted 0"]
