"""The layer that Layer's docstring shows, built from the docstring alone, does all that a layer of npgan does."""

import inspect
import textwrap

import numpy as np
import pytest

from npgan.gradcheck import check_layer
from npgan.layers import Dense, Layer, LeakyReLU, Parameter, Sequential
from npgan.losses import mean_squared_error
from npgan.optim import SGD, Adam


@pytest.fixture
def Scale():
    """The class in the docstring's code block, which stands from its `class` line to the next line of prose."""
    lines = inspect.cleandoc(Layer.__doc__).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    class "))
    block = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    code = textwrap.dedent("\n".join(block)).strip()
    assert len(code.splitlines()) <= 15
    scope = {"Layer": Layer, "Parameter": Parameter, "np": np}
    exec(code, scope)
    return scope["Scale"]


def network(scale, rng):
    """With the learner's layer first, where its backward_parameters is called, and once more inside."""
    return Sequential([scale(3), Dense(3, 4, rng=rng), LeakyReLU(), scale(4), Dense(4, 2, rng=rng)])


def test_gradients_are_those_of_finite_differences(Scale, rng):
    x = rng.uniform(0.5, 1.5, (5, 3))
    layer = Scale(3).astype("float64")
    layer.scale.value[...] = [0.5, -2, 3]
    assert check_layer(layer, x, rng=rng).keys() == {"input", "scale"}
    assert len(check_layer(network(Scale, rng).astype("float64"), x, rng=rng)) == 1 + 6


def test_backward_and_backward_parameters_gather_the_same(Scale, rng):
    net = network(Scale, rng)
    x = rng.standard_normal((5, 3)).astype(np.float32)
    dy = rng.standard_normal((5, 2)).astype(np.float32)
    net.forward(x)
    assert net.backward(dy).shape == x.shape
    with_dx = [p.grad.copy() for p in net.parameters()]
    assert all(grad.any() for grad in with_dx)
    net.zero_grad()
    net.forward(x)
    assert net.backward_parameters(dy) is None
    for parameter, grad in zip(net.parameters(), with_dx):
        np.testing.assert_array_equal(parameter.grad, grad)


@pytest.mark.parametrize("optimizer", [lambda ps: SGD(ps, 0.05), lambda ps: Adam(ps, 0.02)])
def test_it_learns(Scale, optimizer, rng):
    net = network(Scale, rng)
    x = rng.standard_normal((32, 3)).astype(np.float32)
    target = (x @ rng.standard_normal((3, 2))).astype(np.float32)
    optimizer = optimizer(net.parameters())
    before, losses = net.state(), []
    for _ in range(100):
        net.zero_grad()
        loss, dy = mean_squared_error(net.forward(x), target)
        net.backward_parameters(dy)
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
    assert all((net.state()[name] != before[name]).any() for name in ("0.Scale.scale", "3.Scale.scale"))


def test_it_is_held_and_let_go_as_it_was_found(Scale, rng):
    net = network(Scale, rng)
    net.layers[3].freeze()  # on purpose
    x, dy = rng.standard_normal((5, 3)).astype(np.float32), np.ones((5, 2), np.float32)
    with pytest.raises(KeyboardInterrupt):
        with net.held():
            net.forward(x)
            net.backward(dy)
            assert not any(p.grad.any() for p in net.parameters())
            raise KeyboardInterrupt
    net.forward(x)
    net.backward(dy)
    learned = {name: bool(p.grad.any()) for name, p in net.named_parameters().items()}
    assert [name for name, moved in learned.items() if not moved] == ["3.Scale.scale"]


def test_its_state_goes_round(Scale, rng):
    net, other = network(Scale, rng), network(Scale, rng)
    for parameter in net.parameters():
        parameter.value[...] = rng.standard_normal(parameter.value.shape)
    other.load_state(net.state())
    x = rng.standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(other.forward(x), net.forward(x))
    with pytest.raises(ValueError, match="state is of another network: 0.Scale.scale is"):
        Sequential([Scale(4)]).load_state({"0.Scale.scale": np.ones(3, np.float32)})


def test_its_memory_is_used_once(Scale, rng):
    layer = Scale(3)
    dy = layer.forward(np.ones((2, 3), np.float32))
    layer.backward(dy)
    with pytest.raises(RuntimeError, match="^Scale: backward without a memory"):
        layer.backward(dy)
    with pytest.raises(TypeError, match="^Scale: has no tangent pass"):
        layer.tangent(dy)
