"""Penalties on gradients: the tangent pass against finite differences of the penalty itself."""

import numpy as np
import pytest
from hypothesis import given
from strategies import at_least, seeds

from npgan import losses
from npgan.adversarial import discriminator_step, penalise, r1, r1_and_r2, r2, wgan_gp
from npgan.gradcheck import GradientError, check_gradient
from npgan.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.optim import SGD

PENALTIES = {
    "zero-centred": lambda g: losses.zero_centred_penalty(g, 3.0),
    "one-centred": lambda g: losses.one_centred_penalty(g, 3.0),
}
SAMPLES = 8  # with more, some unit stands at its kink


def dense_network(rng):
    width = int(rng.integers(2, 9))
    layers = [Dense(5, width, rng=rng), LeakyReLU(0.2), Dense(width, 6, rng=rng), ReLU()]
    return Sequential([*layers, Dense(6, 1, rng=rng)]), (5,)


def conv_network(rng):
    channels, width = (int(n) for n in rng.integers(1, 4, 2))
    kernel, stride, padding = int(rng.integers(2, 5)), int(rng.integers(1, 3)), int(rng.integers(0, 2))
    size = 6
    inside = (size + 2 * padding - kernel) // stride + 1
    layers = [
        Conv2D(channels, width, kernel, stride=stride, padding=padding, rng=rng),
        LeakyReLU(float(rng.uniform(0, 1))),
        Flatten(),
        Reshape((inside, inside, width)),
        Conv2DTranspose(width, 2, kernel, stride=stride, padding=padding, rng=rng),
        LeakyReLU(0.2),
        Flatten(),
    ]
    outside = (inside - 1) * stride - 2 * padding + kernel
    return Sequential([*layers, Dense(2 * outside * outside, 1, rng=rng)]), (size, size, channels)


NETWORKS = {"dense": dense_network, "convolutions": conv_network}


def drawn(kind, seed, dtype="float64"):
    """A network with biases that are not zero, and samples for it."""
    rng = np.random.default_rng(seed)
    network, shape = NETWORKS[kind](rng)
    for parameter in network.parameters():
        if parameter.value.ndim == 1:
            parameter.value[...] = rng.standard_normal(parameter.value.shape)
    x = rng.standard_normal((SAMPLES, *shape))
    return rng, network.astype(dtype), x.astype(dtype)


def value_of(network, x, penalty):
    """The penalty by its definition alone: of the gradients that an ordinary backward pass gives."""
    with network.held():
        g = network.backward(np.ones_like(network.forward(x)))
    return penalty(g)[0]


def check(kind, name, seed):
    """The penalty's gradient by every weight against finite differences of the penalty; zero for every bias."""
    rng, network, x = drawn(kind, seed)
    penalty = PENALTIES[name]
    value = penalise(network, x, penalty)
    np.testing.assert_allclose(value, value_of(network, x, penalty), rtol=1e-13)
    for key, parameter in network.named_parameters().items():
        if key.endswith("bias"):
            assert not parameter.grad.any(), f"{key}: the penalty does not depend on it"
        else:
            check_gradient(
                lambda: value_of(network, x, penalty),
                parameter.value,
                parameter.grad,
                rng,
                name=key,
                eps=1e-7,
            )


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("kind", NETWORKS)
@at_least(50)
@given(seed=seeds)
def test_gradient_of_the_penalty_by_every_weight(kind, name, seed):
    check(kind, name, seed)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("kind", NETWORKS)
@given(seed=seeds)
def test_float32_agrees_with_float64(kind, name, seed):
    gradients = {}
    for dtype in ("float32", "float64"):
        _, network, x = drawn(kind, seed, "float32")
        network.astype(dtype)
        penalise(network, x.astype(dtype), PENALTIES[name])
        gradients[dtype] = np.concatenate([p.grad.ravel() for p in network.parameters()])
    error = np.linalg.norm(gradients["float32"] - gradients["float64"])
    assert error <= 1e-5 * np.linalg.norm(gradients["float64"])


@pytest.mark.parametrize("name", PENALTIES)
def test_what_is_told_beside_the_samples_is_constant_also_where_it_has_a_gradient(name, rng):
    layers = [Concatenate(), Dense(5, 6, rng=rng), LeakyReLU(0.2), Dense(6, 1, rng=rng)]
    network = Sequential(layers).astype("float64")
    x = [rng.standard_normal((SAMPLES, 3)), rng.standard_normal((SAMPLES, 2))]
    penalty = PENALTIES[name]

    def value():
        with network.held():
            g, _ = network.backward(np.ones_like(network.forward(x)))
        return penalty(g)[0]

    np.testing.assert_allclose(penalise(network, x, penalty), value(), rtol=1e-13)
    for key, parameter in network.named_parameters().items():
        if not key.endswith("bias"):
            check_gradient(value, parameter.value, parameter.grad, rng, name=key, eps=1e-7)


def test_zero_centred_penalty_of_one_dense_layer_is_worked_out_by_hand():
    """D(x) = x . w, so dD/dx = w for every sample: weight/2 |w|^2, with gradient weight * w."""
    network = Sequential([Dense(2, 1)]).astype("float64")
    weight = network.layers[0].weight
    weight.value[...] = [[3.0], [-4.0]]
    x = np.ones((5, 2))
    assert penalise(network, x, lambda g: losses.zero_centred_penalty(g, 10.0)) == pytest.approx(125)
    np.testing.assert_allclose(weight.grad, [[30.0], [-40.0]])


def test_gradients_of_the_penalty_add_to_those_that_are_there():
    _, network, x = drawn("convolutions", 1)
    penalise(network, x, PENALTIES["one-centred"])
    once = [parameter.grad.copy() for parameter in network.parameters()]
    penalise(network, x, PENALTIES["one-centred"])
    for parameter, grad in zip(network.parameters(), once):
        np.testing.assert_allclose(parameter.grad, 2 * grad, rtol=1e-12)


# Planted mistakes: each makes the check fail ---------------------------------------------------------------


def test_a_penalty_whose_gradient_is_left_out_fails(monkeypatch):
    monkeypatch.setattr(Sequential, "backward_parameters", lambda self, dy: None)
    with pytest.raises(GradientError, match="weight: the gradient is wrong"):
        check("dense", "zero-centred", 0)


def test_a_bias_gradient_that_is_kept_fails(monkeypatch):
    def tangent(self, v):
        self.recall_for_tangent()
        return self.remember(True, v @ self.weight.value, v, self.bias)

    monkeypatch.setattr(Dense, "tangent", tangent)
    with pytest.raises(AssertionError, match="bias: the penalty does not depend on it"):
        check("dense", "zero-centred", 0)


def test_a_tangent_pass_that_adds_the_bias_fails(monkeypatch):
    def tangent(self, v):
        self.recall_for_tangent()
        return self.remember(True, v @ self.weight.value + self.bias.value, v, None)

    monkeypatch.setattr(Dense, "tangent", tangent)
    with pytest.raises(GradientError):
        check("dense", "zero-centred", 0)


def test_a_tangent_pass_without_the_slopes_fails(monkeypatch):
    def tangent(self, v):
        (y,) = self.recall_for_tangent()
        return self.remember(True, v, y)

    monkeypatch.setattr(LeakyReLU, "tangent", tangent)
    with pytest.raises(GradientError):
        check("convolutions", "zero-centred", 0)


# In the game -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("penalty", "points"), [(r1(2.0), "real"), (r2(2.0), "fake")], ids=["R1", "R2"])
def test_the_step_adds_the_penalty_on_real_or_on_generated_samples(penalty, points, rng):
    _, network, real = drawn("convolutions", 3)
    fake = rng.standard_normal(real.shape)
    before = network.state()
    optimizer = SGD(network.parameters(), 1e-9)
    step = discriminator_step(network, real, fake, optimizer, penalty=penalty)
    found = [parameter.grad.copy() for parameter in network.parameters()]
    network.load_state(before)
    discriminator_step(network, real, fake, optimizer)
    network.load_state(before)
    x = real if points == "real" else fake
    value = penalise(network, x, lambda g: losses.zero_centred_penalty(g, 2.0))
    assert step.penalty == value
    for parameter, grad in zip(network.parameters(), found):
        np.testing.assert_allclose(parameter.grad, grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", NETWORKS)
def test_both_penalties_in_one_pass_are_the_sum_of_the_two(kind, rng):
    _, network, real = drawn(kind, 5)
    fake = rng.standard_normal(real.shape)
    value = r1(3.0)(network, real, fake) + r2(3.0)(network, real, fake)
    wanted = [parameter.grad.copy() for parameter in network.parameters()]
    network.zero_grad()
    assert r1_and_r2(3.0)(network, real, fake) == pytest.approx(value, rel=1e-12)
    assert value > 0
    for parameter, grad in zip(network.parameters(), wanted):
        np.testing.assert_allclose(parameter.grad, grad, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="^r1_and_r2: 8 real samples, but 7 generated ones"):
        r1_and_r2(3.0)(network, real, fake[:7])


def test_points_between_lie_on_the_line_of_their_pair_one_share_for_all_its_pixels(rng):
    seen = []

    class Looking(Sequential):
        def forward(self, x, train=True):
            seen.append(x.copy())
            return super().forward(x, train)

    _, network, real = drawn("convolutions", 4, "float32")
    looking = Looking(network.layers)
    fake = real + 1
    wgan_gp(10.0, rng)(looking, real, fake)
    share = seen[0] - real
    assert share.dtype == np.float32
    flat = share.reshape(SAMPLES, -1)
    np.testing.assert_allclose(flat, np.broadcast_to(flat[:, :1], flat.shape), atol=1e-6)
    assert 0 <= flat.min() and flat.max() <= 1 and flat[:, 0].std() > 0.05


@pytest.mark.parametrize("layer", [BatchNormalization(3), Tanh()])
def test_layers_that_are_not_linear_between_kinks_are_refused_and_nothing_changes(layer, rng):
    network = Sequential([Dense(2, 3, rng=rng), layer, Dense(3, 1, rng=rng)])
    before = network.state()
    with pytest.raises(TypeError, match=f"^{type(layer).__name__}: has no tangent pass"):
        penalise(network, rng.standard_normal((4, 2), dtype=np.float32), PENALTIES["one-centred"])
    assert not any(parameter.grad.any() for parameter in network.parameters())
    assert not any(inside.frozen for inside in network.walk())
    if isinstance(layer, Tanh):
        assert all((array == before[name]).all() for name, array in network.state().items())


def test_tangent_without_a_forward_pass_is_an_error():
    with pytest.raises(RuntimeError, match="^Dense: tangent without a memory"):
        Dense(2, 1).tangent(np.ones((1, 2), np.float32))
