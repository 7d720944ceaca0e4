"""Optimisers against loops over one number; schedules; states; the moving average."""

import math
import re

import numpy as np
import pytest
import reference
from hypothesis import given
from strategies import seeds

from npgan.layers import BatchNormalization, Dense, Layer, Parameter, Sequential
from npgan.optim import SGD, Adam, MovingAverage, cosine_decay, linear_decay, step_decay

STEPS = 50

# name -> (make(parameters, rate), reference(value, gradients, rates))
OPTIMISERS = {
    "SGD": (SGD, reference.sgd),
    "SGD-with-momentum": (
        lambda ps, rate: SGD(ps, rate, momentum=0.9),
        lambda value, gradients, rates: reference.momentum(value, gradients, rates, 0.9),
    ),
    "SGD-with-Nesterov": (
        lambda ps, rate: SGD(ps, rate, momentum=0.8, nesterov=True),
        lambda value, gradients, rates: reference.nesterov(value, gradients, rates, 0.8),
    ),
    "Adam": (
        Adam,
        lambda value, gradients, rates: reference.adam(value, gradients, rates, 0.5, 0.999, 1e-8),
    ),
    "Adam-of-the-paper": (
        lambda ps, rate: Adam(ps, rate, beta_1=0.9, beta_2=0.99, epsilon=1e-3),
        lambda value, gradients, rates: reference.adam(value, gradients, rates, 0.9, 0.99, 1e-3),
    ),
}
every_optimiser = pytest.mark.parametrize("name", OPTIMISERS)
RATES = {"constant": 0.05, "scheduled": linear_decay(0.1, 0.01, STEPS)}


def parameters(rng, dtype="float64"):
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((2, 3), (4,))]


def feed(optimiser, gradients):
    """One step for each list of gradients."""
    for step in gradients:
        for parameter, gradient in zip(optimiser.parameters.values(), step):
            parameter.grad[...] = gradient
        optimiser.step()


def draw_gradients(rng, ps, steps=STEPS):
    return [[rng.standard_normal(p.value.shape) * 10 ** rng.uniform(-2, 1) for p in ps] for _ in range(steps)]


@every_optimiser
@pytest.mark.parametrize("rate", RATES)
@given(seed=seeds)
def test_fifty_steps_agree_with_loops_over_one_number(name, rate, seed):
    rng = np.random.default_rng(seed)
    make, loop = OPTIMISERS[name]
    ps = parameters(rng)
    starts = [p.value.copy() for p in ps]
    gradients = draw_gradients(rng, ps)
    rate = RATES[rate]
    rates = [rate(step) if callable(rate) else rate for step in range(STEPS)]
    feed(make(ps, rate), gradients)
    for index, (p, start) in enumerate(zip(ps, starts)):
        for place in np.ndindex(start.shape):
            wanted = loop(float(start[place]), [float(step[index][place]) for step in gradients], rates)
            assert p.value[place] == pytest.approx(wanted, rel=1e-10, abs=1e-10)


def test_first_step_of_adam_is_the_rate_whatever_the_size_of_the_gradient():
    p = Parameter(np.array([1.0, 1.0, 1.0]))
    feed(Adam([p], 0.1), [[[1e-3, -5.0, 1e4]]])
    np.testing.assert_allclose(p.value, [0.9, 1.1, 0.9], rtol=1e-5)


def test_three_steps_of_momentum_and_nesterov_are_worked_out_by_hand():
    p = Parameter(np.array([1.0]))
    feed(SGD([p], 0.5, momentum=0.5), [[[1.0]], [[1.0]], [[-2.0]]])  # velocities 1, 1.5, -1.25
    np.testing.assert_allclose(p.value, [1 - 0.5 * (1 + 1.5 - 1.25)], rtol=1e-15)
    p = Parameter(np.array([1.0]))
    feed(SGD([p], 0.5, momentum=0.5, nesterov=True), [[[1.0]], [[1.0]]])  # 1 + 0.5 * 1, 1 + 0.5 * 1.5
    np.testing.assert_allclose(p.value, [1 - 0.5 * (1.5 + 1.75)], rtol=1e-15)


def test_defaults_of_adam_are_those_of_dcgan():
    adam = Adam([Parameter(np.zeros(1))])
    assert (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon) == (2e-4, 0.5, 0.999, 1e-8)


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_stay_in_their_arrays_and_dtypes_and_gradients_are_not_touched(name, dtype, rng):
    ps = parameters(rng, dtype)
    values = [p.value for p in ps]
    optimiser = OPTIMISERS[name][0](ps, np.float64(0.1))
    gradients = [rng.standard_normal(p.value.shape).astype(dtype) for p in ps]
    before = [p.value.copy() for p in ps]
    feed(optimiser, [gradients])
    for p, value, old, gradient in zip(ps, values, before, gradients):
        assert p.value is value and p.value.dtype == dtype
        assert (p.value != old).all()
        np.testing.assert_array_equal(p.grad, gradient)
    assert all(a.dtype == dtype for memory in optimiser.memory.values() for a in memory.values())


def transposed(a):
    return np.ascontiguousarray(a.T).T


def every_other(a):
    return np.repeat(a, 2, axis=0)[::2]


def turned_round(a):
    return a[::-1].copy()[::-1]


def axes_swapped(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, 0)), 0, 1)


@every_optimiser
@pytest.mark.parametrize("order", [transposed, every_other, turned_round, axes_swapped])
@pytest.mark.parametrize("of", ["value", "grad", "both"])
@pytest.mark.parametrize("cache", [2**21, 64])
def test_the_order_of_the_numbers_in_memory_changes_no_bit(name, order, of, cache, rng, monkeypatch):
    monkeypatch.setattr("npgan.fast.parallel.CACHE", cache)
    start = rng.standard_normal((6, 4, 3))
    plain, other = Parameter(start.copy()), Parameter(start.copy())
    if of != "grad":
        other.value = order(start)
    if of == "both":
        other = Parameter(other.value)
    if of == "grad":
        other.grad = order(0 * start)
    assert not (other.value.flags.c_contiguous and other.grad.flags.c_contiguous)
    gradients = [[rng.standard_normal(start.shape)] for _ in range(3)]
    for parameter in (plain, other):
        optimiser = OPTIMISERS[name][0]([parameter], 0.1)
        kept = parameter.value
        feed(optimiser, gradients)
        assert parameter.value is kept
    assert (plain.value != start).all()
    np.testing.assert_array_equal(other.value, plain.value)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1)])
@every_optimiser
def test_a_parameter_of_any_shape_is_changed(name, shape):
    p = Parameter(np.ones(shape))
    feed(OPTIMISERS[name][0]([p], 0.1), [[np.ones(shape)]] * 2)
    assert p.value.shape == shape and (p.value < 1).all()


def test_a_layer_whose_weight_is_a_transposed_array_learns(rng):
    dense, plain = Dense(3, 2, rng=rng), Dense(3, 2, rng=rng)
    start = rng.standard_normal((3, 2)).astype(np.float32)
    dense.weight, plain.weight = Parameter(start.T.copy().T), Parameter(start.copy())
    x, dy = rng.standard_normal((5, 3), np.float32), rng.standard_normal((5, 2), np.float32)
    for layer in (dense, plain):
        adam = Adam(layer.parameters(), 0.1)
        for _ in range(3):
            layer.forward(x)
            layer.backward(dy)
            adam.step()
    assert np.abs(dense.weight.value - start).min() > 0
    np.testing.assert_allclose(dense.weight.value, plain.weight.value, rtol=1e-5)


@every_optimiser
def test_every_optimiser_comes_to_the_minimum_of_a_bowl(name):
    p = Parameter(np.array([3.0, -2.0]))
    optimiser = OPTIMISERS[name][0]([p], linear_decay(0.1, 0.0, 500))
    for _ in range(500):
        p.grad[...] = (p.value - [1.0, 1.0]) * [1.0, 3.0]
        optimiser.step()
    np.testing.assert_allclose(p.value, [1, 1], atol=1e-2)


# State ---------------------------------------------------------------------------------------------------


@every_optimiser
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_lets_another_optimiser_go_on_to_the_bit(name, dtype, rng):
    make = OPTIMISERS[name][0]
    rate = cosine_decay(0.1, 0.0, 40)
    ps = parameters(rng, dtype)
    gradients = draw_gradients(rng, ps, 20)
    optimiser = make(ps, rate)
    feed(optimiser, gradients[:7])
    copies = [Parameter(p.value.copy()) for p in ps]
    other = make(copies, rate)
    other.load_state(optimiser.state())
    assert other.steps == 7
    feed(optimiser, gradients[7:])
    feed(other, gradients[7:])
    for p, copy in zip(ps, copies):
        np.testing.assert_array_equal(p.value, copy.value)


@every_optimiser
def test_state_is_a_copy(name, rng):
    ps = parameters(rng)
    optimiser = OPTIMISERS[name][0](ps, 0.1)
    gradients = draw_gradients(rng, ps, 2)
    feed(optimiser, gradients[:1])
    state = optimiser.state()
    kept = {key: array.copy() for key, array in state.items()}
    feed(optimiser, gradients[1:])
    assert state.keys() == kept.keys()
    assert all(np.array_equal(state[key], kept[key]) for key in kept)
    optimiser.load_state(state)
    feed(optimiser, gradients[1:])
    assert all(np.array_equal(state[key], kept[key]) for key in kept)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: SGD([Parameter(np.zeros(3)), Parameter(np.zeros(2))]),
            "state is of another Adam: 0.mean, 0.square, 0.velocity, 1.mean, 1.square, 1.velocity differ",
        ),
        (
            lambda: Adam([Parameter(np.zeros(3))]),
            "state is of another Adam: 1.mean, 1.square differ",
        ),
        (
            lambda: Adam([Parameter(np.zeros(3)), Parameter(np.zeros(5))]),
            "state is of another Adam: 1.mean, 1.square differ",
        ),
    ],
    ids=["other-optimiser", "fewer-parameters", "other-shape"],
)
def test_state_of_another_optimiser_is_refused_by_name_and_changes_nothing(build, message):
    adam = Adam([Parameter(np.zeros(3)), Parameter(np.zeros(2))])
    feed(adam, [[np.ones(3), np.ones(2)]])
    before = adam.state()
    with pytest.raises(ValueError, match=re.escape(message)):
        adam.load_state(build().state())
    assert adam.steps == 1
    assert all(np.array_equal(before[key], array) for key, array in adam.state().items())


def small_network(rng):
    return Sequential([Dense(3, 2, rng=rng), BatchNormalization(2)])


@every_optimiser
def test_memories_and_state_have_the_names_of_the_parameters(name, rng):
    make = OPTIMISERS[name][0]
    named = small_network(rng).named_parameters()
    optimiser = make(named, 0.1)
    assert optimiser.memory.keys() == optimiser.parameters.keys() == named.keys()
    wanted = {f"{key}.{slot}" for key in named for slot in optimiser.slots}
    assert optimiser.state().keys() == {"steps"} | wanted
    numbered = make(list(named.values()), 0.1)
    assert list(numbered.memory) == ["0", "1", "2", "3"]


@every_optimiser
def test_state_finds_its_parameters_by_name_in_any_order(name, rng):
    make = OPTIMISERS[name][0]
    named = {"first": Parameter(np.ones(2)), "second": Parameter(np.ones(2))}  # positions would fit too
    turned = {key: Parameter(named[key].value.copy()) for key in ("second", "first")}
    optimiser, other = make(named, 0.1), make(turned, 0.1)
    feed(optimiser, [[[1.0, 2.0], [-3.0, 4.0]]])
    other.load_state(optimiser.state())
    for key, memory in optimiser.memory.items():
        for slot, array in memory.items():
            np.testing.assert_array_equal(other.memory[key][slot], array)


def test_state_with_other_names_is_refused():
    adam = Adam({"body": Parameter(np.zeros(3))})
    with pytest.raises(
        ValueError, match="state is of another Adam: body.mean, .*, head.mean, head.square diff"
    ):
        adam.load_state(Adam({"head": Parameter(np.zeros(3))}).state())


# Schedules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (step_decay(1.0, 0.5, 10), {0: 1, 9: 1, 10: 0.5, 19: 0.5, 20: 0.25, 100: 0.5**10}),
        (linear_decay(1.0, 0.2, 100), {0: 1, 25: 0.8, 50: 0.6, 100: 0.2, 101: 0.2, 10**6: 0.2}),
        (linear_decay(1.0, 0.0, 100, begin=60), {0: 1, 60: 1, 61: 0.975, 80: 0.5, 100: 0, 200: 0}),
        (cosine_decay(1.0, 0.2, 100), {0: 1, 50: 0.6, 100: 0.2, 1000: 0.2}),
        (
            cosine_decay(2.0, 0.0, 90),
            {30: 1.5, 60: 0.5, 45: 1.0, 15: 1 + math.sqrt(3) / 2},
        ),
    ],
    ids=["step", "linear", "linear-with-begin", "cosine", "cosine-to-zero"],
)
def test_schedule_has_the_values_worked_out_by_hand_up_to_and_beyond_its_end(schedule, wanted):
    for step, rate in wanted.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_schedule_is_asked_with_the_number_of_steps_done():
    asked = []

    def schedule(step):
        asked.append(step)
        return 1.0 + step

    p = Parameter(np.zeros(1))
    optimiser = SGD([p], schedule)
    feed(optimiser, [[[1.0]]] * 3)
    assert asked == [0, 1, 2]
    assert p.value == -(1 + 2 + 3)
    assert optimiser.rate() == 4


# Bad settings --------------------------------------------------------------------------------------------

P = [Parameter(np.zeros(1))]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SGD([]), "SGD: parameters is empty"),
        (lambda: Adam([]), "Adam: parameters is empty"),
        (lambda: SGD(P, 0.0), "SGD: learning_rate must be above 0, got 0.0"),
        (lambda: Adam(P, -1e-3), "Adam: learning_rate must be above 0, got -0.001"),
        (lambda: Adam(P, float("nan")), "Adam: learning_rate must be above 0, got nan"),
        (lambda: SGD(P, momentum=1.0), "SGD: momentum must be in [0, 1), got 1.0"),
        (lambda: SGD(P, momentum=-0.5), "SGD: momentum must be in [0, 1), got -0.5"),
        (lambda: SGD(P, nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda: Adam(P, beta_1=1.0), "Adam: beta_1 and beta_2 must be in [0, 1), got 1.0 and 0.999"),
        (lambda: Adam(P, beta_2=-0.1), "Adam: beta_1 and beta_2 must be in [0, 1), got 0.5 and -0.1"),
        (lambda: Adam(P, epsilon=0.0), "Adam: epsilon must be above 0, got 0.0"),
        (lambda: MovingAverage(Dense(1, 1), 1.0), "MovingAverage: decay must be in [0, 1), got 1.0"),
        (lambda: MovingAverage(Dense(1, 1), -0.1), "MovingAverage: decay must be in [0, 1), got -0.1"),
    ],
)
def test_bad_setting_is_refused_by_name(build, message):
    with pytest.raises(ValueError) as raised:
        build()
    assert str(raised.value) == message


# The moving average --------------------------------------------------------------------------------------


def test_moving_average_agrees_with_a_loop_over_one_number():
    dense = Dense(1, 1, bias=False).astype("float64")
    average = MovingAverage(dense, decay=0.7)
    wanted = float(dense.weight.value[0, 0])
    for step in range(40):
        dense.weight.value[...] = now = math.sin(step)
        decay = min(0.7, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * now
        average.update()
        assert average.layer.weight.value[0, 0] == pytest.approx(wanted, rel=1e-12)
    assert (1 + 39) / (10 + 39) > 0.7 > 1 / 10  # both branches of the minimum were walked


def test_moving_average_follows_running_statistics_too_and_leaves_the_network_alone(rng):
    network = Sequential([Dense(3, 2, rng=rng), BatchNormalization(2)])
    average = MovingAverage(network, decay=0.5)
    before = average.layer.state()
    network.forward(rng.standard_normal((8, 3), dtype=np.float32))
    for parameter in network.parameters():
        parameter.value += 1
    state = network.state()
    average.update()  # the first step keeps 1/10
    assert all(np.array_equal(state[key], array) for key, array in network.state().items())
    assert not np.array_equal(state["1.BatchNormalization.running_mean"], [0, 0])
    for key, array in average.layer.state().items():
        np.testing.assert_allclose(array, 0.1 * before[key] + 0.9 * state[key], rtol=1e-5, atol=1e-6)


class Pair(Layer):
    """Two layers with names, which may come in any order."""

    def __init__(self, **layers):
        vars(self).update(layers)


def test_moving_average_matches_names_whatever_their_order(rng):
    a, b = Dense(2, 2, bias=False, rng=rng), Dense(2, 2, bias=False, rng=rng)
    average = MovingAverage(Pair(a=a, b=b), decay=0.5)
    average.source = Pair(b=b, a=a)
    before = average.layer.state()
    a.weight.value += 1
    average.update()
    np.testing.assert_allclose(average.layer.a.weight.value, before["a.weight"] + 0.9, rtol=1e-5)
    np.testing.assert_array_equal(average.layer.b.weight.value, before["b.weight"])


def test_moving_average_of_a_network_that_has_grown_is_refused_and_changes_nothing(rng):
    pair = Pair(a=Dense(2, 2, rng=rng))
    average = MovingAverage(pair)
    before = average.layer.state()
    pair.a.weight.value += 1
    pair.b = Dense(2, 2, rng=rng)
    message = "MovingAverage: the network has changed since: b.bias, b.weight are in one of the two only"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        average.update()
    assert average.steps == 0
    assert all(np.array_equal(before[key], array) for key, array in average.layer.state().items())


def test_moving_average_of_a_network_at_rest_is_the_network(rng):
    network = Dense(3, 2, rng=rng)
    average = MovingAverage(network)
    for _ in range(5):
        average.update()
    np.testing.assert_array_equal(average.layer.weight.value, network.weight.value)
