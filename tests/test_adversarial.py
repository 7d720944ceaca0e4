"""The two steps of the game: what is run in which order, and who learns when."""

import numpy as np
import pytest

from npgan.adversarial import (
    discriminator_step,
    generator_step,
    judge,
    relativistic_discriminator_step,
    relativistic_generator_step,
)
from npgan.gradcheck import check_gradient
from npgan.layers import BatchNormalization, Dense, LeakyReLU, Sequential, Tanh
from npgan.losses import (
    binary_cross_entropy,
    generator_saturating,
    hinge,
    least_squares,
    relativistic,
    wasserstein,
)
from npgan.optim import SGD, Adam


class Game:
    """A small game in float64 whose networks and optimisers write down what is done with them."""

    def __init__(self, rng):
        self.log = []
        self.generator = Sequential(
            [Dense(2, 4, bias=False, rng=rng), BatchNormalization(4), Tanh(), Dense(4, 3, rng=rng)]
        ).astype("float64")
        self.discriminator = Sequential(
            [Dense(3, 4, rng=rng), LeakyReLU(), BatchNormalization(4), Dense(4, 1, rng=rng)]
        ).astype("float64")
        self.g_optimizer = Adam(self.generator.parameters(), 0.01)
        self.d_optimizer = Adam(self.discriminator.parameters(), 0.01)
        self.noise = rng.standard_normal((6, 2))
        self.real = rng.standard_normal((6, 3))
        for name, thing, methods in [
            ("G", self.generator, ("forward", "backward_parameters", "zero_grad")),
            ("D", self.discriminator, ("forward", "backward", "backward_parameters", "zero_grad", "held")),
            ("G", self.g_optimizer, ("step",)),
            ("D", self.d_optimizer, ("step",)),
        ]:
            for method in methods:
                setattr(thing, method, self.logged(f"{name}.{method}", getattr(thing, method)))

    def logged(self, name, method):
        def call(*args, **kwargs):
            self.log.append((name, args))
            return method(*args, **kwargs)

        return call

    def calls(self):
        return [name for name, _ in self.log]

    def arguments(self, wanted):
        return [args[0] for name, args in self.log if name == wanted]

    def discriminator_step(self, fake):
        return discriminator_step(self.discriminator, self.real, fake, self.d_optimizer)

    def generator_step(self, fake, **settings):
        return generator_step(self.generator, self.discriminator, fake, self.g_optimizer, **settings)


@pytest.fixture
def game(rng):
    return Game(rng)


def gradients(network):
    return {name: parameter.grad.copy() for name, parameter in network.named_parameters().items()}


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


def moved(before, network):
    """The names of the parameters and statistics that are no longer what they were."""
    return {name for name, array in network.state().items() if not np.array_equal(array, before[name])}


# Order ---------------------------------------------------------------------------------------------------


def test_discriminator_step_runs_real_then_fake_each_with_its_backward_then_the_optimiser(game):
    fake = game.generator.forward(game.noise)
    game.log.clear()
    game.discriminator_step(fake)
    once = ["D.forward", "D.backward_parameters"]
    assert game.calls() == ["D.zero_grad", *once, *once, "D.step"]
    real, generated = game.arguments("D.forward")
    assert real is game.real and generated is fake


def test_generator_step_holds_the_judge_and_only_then_asks_it(game):
    fake = game.generator.forward(game.noise)
    game.log.clear()
    game.generator_step(fake)
    asked = ["D.held", "D.forward", "D.backward"]
    assert game.calls() == [*asked, "G.zero_grad", "G.backward_parameters", "G.step"]
    (judged,) = game.arguments("D.forward")
    assert judged is fake


def test_one_round_runs_the_generator_forward_once(game):
    for _ in range(3):
        game.log.clear()
        fake = game.generator.forward(game.noise)
        game.discriminator_step(fake)
        game.generator_step(fake)
        assert game.calls().count("G.forward") == game.calls().count("G.backward_parameters") == 1


def test_generator_gets_the_gradient_that_the_discriminator_hands_back(game):
    fake = game.generator.forward(game.noise)
    handed_back = []
    backward = game.discriminator.backward
    game.discriminator.backward = lambda dy: handed_back.append(backward(dy)) or handed_back[-1]
    game.generator_step(fake)
    (dfake,) = game.arguments("G.backward_parameters")
    assert dfake is handed_back[0]


# Who learns ----------------------------------------------------------------------------------------------


def test_discriminator_step_moves_all_of_the_discriminator_and_nothing_of_the_generator(game):
    fake = game.generator.forward(game.noise)
    g_before, d_before = game.generator.state(), game.discriminator.state()
    g_gradients = gradients(game.generator)
    game.discriminator_step(fake)
    assert moved(d_before, game.discriminator) == set(d_before)
    assert moved(g_before, game.generator) == set()
    assert same(gradients(game.generator), g_gradients)


def test_generator_step_moves_all_parameters_of_the_generator_and_nothing_of_the_discriminator(game):
    fake = game.generator.forward(game.noise)
    game.discriminator_step(fake)
    d_before, d_gradients = game.discriminator.state(), gradients(game.discriminator)
    g_before = game.generator.state()
    game.generator_step(fake)
    assert moved(d_before, game.discriminator) == set()  # running statistics neither
    assert same(gradients(game.discriminator), d_gradients)
    assert moved(g_before, game.generator) == set(game.generator.named_parameters())


def test_discriminator_can_learn_again_after_a_generator_step(game):
    game.generator_step(game.generator.forward(game.noise))
    assert not any(layer.frozen or layer.inference for layer in game.discriminator.walk())
    d_before = game.discriminator.state()
    game.discriminator_step(game.generator.forward(game.noise))
    assert moved(d_before, game.discriminator) == set(d_before)


def test_running_statistics_of_the_discriminator_have_seen_real_and_fake_apart(game):
    """Two batches, two updates: not one update with the statistics of a mixed batch."""
    fake = game.generator.forward(game.noise)
    head = Sequential(game.discriminator.layers[:2])
    real_mean, fake_mean = (head.forward(images, train=False).mean(axis=0) for images in (game.real, fake))
    game.discriminator_step(fake)
    running = game.discriminator.layers[2].running_mean
    np.testing.assert_allclose(running, 0.8 * 0.2 * real_mean + 0.2 * fake_mean, rtol=1e-12)


# Numbers -------------------------------------------------------------------------------------------------


def test_discriminator_gradients_are_the_sum_of_those_of_real_and_fake(game):
    fake = game.generator.forward(game.noise)
    parts = []
    for images, target in ((game.real, 1.0), (fake, 0.0)):
        game.discriminator.zero_grad()
        _, dlogits = binary_cross_entropy(game.discriminator.forward(images), target)
        game.discriminator.backward(dlogits)
        parts.append(gradients(game.discriminator))
    game.discriminator_step(fake)
    for name, gradient in gradients(game.discriminator).items():
        np.testing.assert_allclose(gradient, parts[0][name] + parts[1][name], rtol=1e-12, atol=1e-14)


def test_gradients_left_by_earlier_steps_are_forgotten(game):
    fake = game.generator.forward(game.noise)
    for parameter in game.discriminator.parameters() + game.generator.parameters():
        parameter.grad[...] = 1e6
    game.discriminator_step(fake)
    game.generator_step(fake)
    for network in (game.discriminator, game.generator):
        assert all(np.abs(gradient).max() < 1e3 for gradient in gradients(network).values())


def test_generator_is_judged_by_the_discriminator_that_has_just_learned(game):
    fake = game.generator.forward(game.noise)
    before = game.discriminator_step(fake).fake_logits
    state = game.discriminator.state()
    logits = game.generator_step(fake).logits
    game.discriminator.load_state(state)
    game.discriminator.freeze()
    np.testing.assert_array_equal(logits, game.discriminator.forward(fake))
    assert np.abs(logits - before).min() > 1e-6


def test_discriminator_step_returns_the_loss_and_logits_from_before_it_learned(game):
    fake = game.generator.forward(game.noise)
    state = game.discriminator.state()
    step = game.discriminator_step(fake)
    game.discriminator.load_state(state)
    real_logits, fake_logits = game.discriminator.forward(game.real), game.discriminator.forward(fake)
    np.testing.assert_array_equal(step.real_logits, real_logits)
    np.testing.assert_array_equal(step.fake_logits, fake_logits)
    d_real, d_fake = 1 / (1 + np.exp(-real_logits)), 1 / (1 + np.exp(-fake_logits))
    assert step.loss == pytest.approx(-np.log(d_real).mean() - np.log(1 - d_fake).mean(), rel=1e-12)


def test_steps_along_the_gradient_lower_the_loss_they_return(game):
    fake = game.generator.forward(game.noise)
    game.d_optimizer = SGD(game.discriminator.parameters(), 0.01)
    d_losses = [game.discriminator_step(fake).loss for _ in range(20)]
    assert all(later < earlier for earlier, later in zip(d_losses, d_losses[1:]))
    game.g_optimizer = SGD(game.generator.parameters(), 0.01)
    g_losses = [game.generator_step(game.generator.forward(game.noise)).loss for _ in range(20)]
    assert all(later < earlier for earlier, later in zip(g_losses, g_losses[1:]))


def test_generator_loss_can_be_the_saturating_one(game):
    fake = game.generator.forward(game.noise)
    step = game.generator_step(fake, loss=generator_saturating)
    d = 1 / (1 + np.exp(-step.logits))
    assert step.loss == pytest.approx(np.log(1 - d).mean(), rel=1e-12)
    assert step.loss < 0


def test_generator_step_without_a_forward_of_the_generator_is_an_error(game):
    fake = game.generator.forward(game.noise, train=False)
    before = game.generator.state()
    with pytest.raises(RuntimeError, match="^Dense: backward without a memory"):
        game.generator_step(fake)
    assert moved(before, game.generator) == set()


def test_fake_of_a_wrong_width_is_refused_by_the_discriminators_first_layer(game):
    with pytest.raises(ValueError, match="^Dense: input has 2 features, this layer takes 3"):
        game.discriminator_step(game.noise)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_round_keeps_the_dtype(rng, dtype):
    generator = Sequential([Dense(2, 3, rng=rng), Tanh()]).astype(dtype)
    discriminator = Sequential([Dense(3, 1, rng=rng)]).astype(dtype)
    real, noise = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal((4, 2)).astype(dtype)
    fake = generator.forward(noise)
    d = discriminator_step(discriminator, real, fake, Adam(discriminator.parameters()))
    g = generator_step(generator, discriminator, fake, Adam(generator.parameters()))
    assert {array.dtype for array in (*d[:3], *g)} == {np.dtype(dtype)}
    assert {array.dtype for array in generator.state().values()} == {np.dtype(dtype)}


# Other losses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [least_squares, hinge, wasserstein])
def test_both_steps_take_any_loss_of_the_game(game, loss):
    fake = game.generator.forward(game.noise)
    d = game.discriminator_step(fake)
    again = discriminator_step(game.discriminator, game.real, fake, game.d_optimizer, loss=loss)
    assert again.loss == loss(again.real_logits, 1.0)[0] + loss(again.fake_logits, 0.0)[0] != d.loss
    g = game.generator_step(fake, loss=loss)
    assert g.loss == loss(g.logits, 1.0)[0]


def test_a_judge_that_was_frozen_on_purpose_in_part_stays_so(game):
    first = game.discriminator.layers[0]
    first.freeze()
    fake = game.generator.forward(game.noise)
    game.generator_step(fake)
    before = game.discriminator.state()
    game.discriminator_step(fake)
    assert not any(name.startswith("0.Dense") for name in moved(before, game.discriminator))
    assert any(name.startswith("3.Dense") for name in moved(before, game.discriminator))


def test_judge_says_how_each_sample_should_change(game, rng):
    value, logits, dsamples = judge(game.discriminator, game.real, least_squares)
    assert not any(gradient.any() for gradient in gradients(game.discriminator).values())
    assert value == least_squares(logits, 1.0)[0]
    game.discriminator.freeze()
    check_gradient(
        lambda: least_squares(game.discriminator.forward(game.real), 1.0)[0], game.real, dsamples, rng
    )


def test_real_and_fake_may_be_lists_of_what_the_discriminator_takes(rng):
    class Captioned(Dense):
        def forward(self, inputs, train=True):
            image, caption = inputs
            return super().forward(np.concatenate([image, caption], axis=1), train)

    discriminator = Captioned(5, 1, rng=rng)
    real, fake = ([rng.standard_normal((4, n), dtype=np.float32) for n in (3, 2)] for _ in range(2))
    step = discriminator_step(discriminator, real, fake, SGD(discriminator.parameters(), 0.1))
    assert discriminator_step(discriminator, real, fake, SGD(discriminator.parameters())).loss < step.loss


# Relativistic pairs ----------------------------------------------------------------------------------------


@pytest.fixture
def pairs(rng):
    """G, D (without batch normalisation), real, noise; float64."""
    generator = Sequential([Dense(2, 3, rng=rng), Tanh()]).astype("float64")
    discriminator = Sequential([Dense(3, 4, rng=rng), LeakyReLU(), Dense(4, 1, rng=rng)]).astype("float64")
    return generator, discriminator, rng.standard_normal((6, 3)), rng.standard_normal((6, 2))


def test_relativistic_steps_have_the_gradients_of_their_losses(pairs, rng):
    generator, discriminator, real, noise = pairs
    fake = generator.forward(noise)
    logits = [discriminator.forward(x, train=False) for x in (real, fake)]
    step = relativistic_discriminator_step(discriminator, real, fake, SGD(discriminator.parameters(), 1e-12))
    assert step.loss == pytest.approx(np.log1p(np.exp(logits[1] - logits[0])).mean(), rel=1e-12)

    def d_loss():
        return relativistic(*(discriminator.forward(x, train=False) for x in (real, fake)))[0]

    for name, parameter in discriminator.named_parameters().items():
        if name != "2.Dense.bias":  # both logits have it; their difference does not
            check_gradient(d_loss, parameter.value, parameter.grad, rng, name=name)

    gathered = {name: parameter.grad.copy() for name, parameter in discriminator.named_parameters().items()}

    def pay(network, *samples):  # adds to the gradients before the optimiser takes them
        assert network is discriminator and samples[0] is real and samples[1] is fake
        for parameter in network.parameters():
            parameter.grad += 1
        return 7.0

    old = discriminator.state()
    optimizer = SGD(discriminator.named_parameters(), 1e-3)
    assert relativistic_discriminator_step(discriminator, real, fake, optimizer, penalty=pay).penalty == 7
    for name, parameter in discriminator.named_parameters().items():
        np.testing.assert_allclose(old[name] - parameter.value, 1e-3 * (gathered[name] + 1), rtol=1e-9)

    before = discriminator.state()
    step = relativistic_generator_step(
        generator, discriminator, real, fake, SGD(generator.parameters(), 1e-12)
    )
    assert moved(before, discriminator) == set()
    assert step.logits.shape == (6, 1)

    def g_loss():
        drawn = generator.forward(noise, train=False)
        return relativistic(*(discriminator.forward(x, train=False) for x in (drawn, real)))[0]

    assert step.loss == pytest.approx(g_loss(), rel=1e-9)
    for name, parameter in generator.named_parameters().items():
        check_gradient(g_loss, parameter.value, parameter.grad, rng, name=name)
