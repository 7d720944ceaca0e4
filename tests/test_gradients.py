"""Every gradient against finite differences: each layer, each loss, whole networks, both steps of the game."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from layer_table import LAYERS, off_zero
from strategies import at_least, geometries, seeds

from npgan import losses
from npgan.adversarial import discriminator_step, generator_step
from npgan.gradcheck import check_gradient, check_layer, check_loss
from npgan.layers import (
    BatchNormalization,
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

TOLERANCE = 1e-6
CASES = 200


@pytest.mark.parametrize("name", LAYERS)
@at_least(CASES)
@given(geometry=geometries(), seed=seeds)
def test_layer_gradients_are_those_of_finite_differences(name, geometry, seed):
    rng = np.random.default_rng(seed)
    layer, x = LAYERS[name](rng, geometry)
    errors = check_layer(layer.astype("float64"), x.astype("float64"), rng=rng, tolerance=TOLERANCE)
    assert errors.keys() == {"input", *layer.named_parameters()}


@at_least(CASES)
@given(geometry=geometries(), seed=seeds)
def test_gradient_of_batch_normalization_in_inference_is_that_of_finite_differences(geometry, seed):
    rng = np.random.default_rng(seed)
    layer, x = LAYERS["BatchNormalization-of-images"](rng, geometry)
    layer.astype("float64").freeze(inference=True)
    x = x.astype("float64")
    dy = rng.standard_normal(x.shape)
    layer.forward(x)
    dx = layer.backward(dy)
    check_gradient(lambda: layer.forward(x), x, dx, rng, dy=dy, tolerance=TOLERANCE)


def zeros_and_ones(rng, prediction):
    return rng.integers(0, 2, prediction.shape).astype("float64")


def labels(rng, prediction):
    return rng.integers(0, prediction.shape[1], len(prediction))


def away(rng, prediction):
    """Off the prediction by at least 0.1 everywhere: the absolute error has its kink where they meet."""
    return prediction + off_zero(rng, prediction.shape, high=1.0)


# name -> (loss, its further arguments, each a value or a function that draws it)
LOSSES = {
    "binary_cross_entropy-real": (losses.binary_cross_entropy, 1.0),
    "binary_cross_entropy-fake": (losses.binary_cross_entropy, 0.0),
    "binary_cross_entropy-smooth": (losses.binary_cross_entropy, 0.9),
    "binary_cross_entropy-array": (losses.binary_cross_entropy, zeros_and_ones),
    "generator_saturating": (losses.generator_saturating,),
    "least_squares": (losses.least_squares, 1.0),
    "hinge": (losses.hinge, 0.0),
    "wasserstein": (losses.wasserstein, 1.0),
    "zero_centred_penalty": (losses.zero_centred_penalty, 3.0),
    "one_centred_penalty": (losses.one_centred_penalty, 3.0),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, labels),
    "mean_squared_error": (losses.mean_squared_error, away),
    "mean_absolute_error": (losses.mean_absolute_error, away),
}


@pytest.mark.parametrize("name", LOSSES)
@at_least(CASES)
@given(rows=st.integers(1, 5), columns=st.integers(2, 4), seed=seeds)
def test_loss_gradients_are_those_of_finite_differences(name, rows, columns, seed):
    rng = np.random.default_rng(seed)
    prediction = off_zero(rng, (rows, columns), high=3.0).astype("float64")
    loss, *targets = LOSSES[name]
    targets = [target(rng, prediction) if callable(target) else target for target in targets]
    check_loss(lambda p: loss(p, *targets), prediction, rng, tolerance=TOLERANCE)


# Whole networks: a DCGAN in small. A bias before BatchNormalization would have the gradient zero, so there is none.


def small_generator(rng):
    return Sequential(
        [
            Dense(3, 2 * 2 * 4, bias=False, rng=rng),
            Reshape((2, 2, 4)),
            BatchNormalization(4),
            ReLU(),
            Conv2DTranspose(4, 3, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(3),
            ReLU(),
            Conv2DTranspose(3, 2, 4, stride=2, padding=1, rng=rng),
            Tanh(),
        ]
    ).astype("float64")  # (N, 3) -> (N, 8, 8, 2)


def small_discriminator(rng):
    return Sequential(
        [
            Conv2D(2, 3, 4, stride=2, padding=1, rng=rng),
            LeakyReLU(0.2),
            Conv2D(3, 4, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(4),
            LeakyReLU(0.2),
            Flatten(),
            Dense(2 * 2 * 4, 1, rng=rng),
        ]
    ).astype("float64")  # (N, 8, 8, 2) -> (N, 1)


def distance_to_kink(network, x):
    """The smallest |pre-activation| of any LeakyReLU or ReLU that x meets on its way; and the output."""
    distance = math.inf
    for layer in network.layers:
        if isinstance(layer, LeakyReLU | ReLU):
            distance = min(distance, float(np.abs(x).min()))
        x = layer.forward(x)
    return distance, x


def smooth_cases(draw, count=CASES):
    """The first `count` seeds' draws where no pre-activation comes within 1e-4 of a kink.

    draw(rng) returns (distance to the nearest kink, case).
    """
    found, seed = 0, 0
    while found < count:
        rng = np.random.default_rng(seed)
        distance, case = draw(rng)
        if distance > 1e-4:
            found += 1
            yield rng, *case
        seed += 1
        assert seed < 3 * count, "most draws come near a kink: the networks are too large for this check"


def test_gradients_of_a_whole_generator_are_those_of_finite_differences():
    def draw(rng):
        network, noise = small_generator(rng), rng.standard_normal((4, 3))
        return distance_to_kink(network, noise)[0], (network, noise)

    for rng, network, noise in smooth_cases(draw):
        errors = check_layer(network, noise, rng=rng, tolerance=TOLERANCE)
        assert len(errors) == 1 + 8


def test_gradients_of_a_whole_discriminator_are_those_of_finite_differences():
    def draw(rng):
        network, images = small_discriminator(rng), rng.standard_normal((3, 8, 8, 2))
        return distance_to_kink(network, images)[0], (network, images)

    for rng, network, images in smooth_cases(draw):
        errors = check_layer(network, images, rng=rng, tolerance=TOLERANCE)
        assert len(errors) == 1 + 7


class NoStep:
    """An optimiser that leaves everything as it is, so that the gradients of a step can be looked at."""

    def step(self):
        pass


def draw_game(rng):
    generator, discriminator = small_generator(rng), small_discriminator(rng)
    noise, real = rng.standard_normal((4, 3)), rng.uniform(-1, 1, (4, 8, 8, 2))
    to_g, fake = distance_to_kink(generator, noise)
    distance = min(to_g, distance_to_kink(discriminator, real)[0], distance_to_kink(discriminator, fake)[0])
    return distance, (generator, discriminator, noise, real)


def cross_entropy(discriminator, images, target):
    """By the definition, from probabilities, as the step's losses on logits are not."""
    logits = discriminator.forward(images).ravel()
    return np.float64(reference.binary_cross_entropy(logits, [target] * len(logits)))


def test_gradients_that_a_discriminator_step_leaves_are_those_of_its_loss():
    for rng, generator, discriminator, noise, real in smooth_cases(draw_game):
        fake = generator.forward(noise)

        def loss(discriminator=discriminator, real=real, fake=fake):
            return cross_entropy(discriminator, real, 1) + cross_entropy(discriminator, fake, 0)

        measured = discriminator_step(discriminator, real, fake, NoStep())
        assert measured.loss == pytest.approx(loss(), rel=1e-12)
        for name, parameter in discriminator.named_parameters().items():
            check_gradient(
                loss, parameter.value, parameter.grad.copy(), rng, name=f"D, {name}", tolerance=TOLERANCE
            )


def minimax(logits):
    """log(1 - D), the saturating loss, from probabilities."""
    return -reference.binary_cross_entropy(logits, [0] * len(logits))


def non_saturating(logits):
    return reference.binary_cross_entropy(logits, [1] * len(logits))


@pytest.mark.parametrize(
    ("settings", "definition"),
    [({}, non_saturating), ({"loss": losses.generator_saturating}, minimax)],
    ids=["non-saturating", "saturating"],
)
def test_gradients_that_a_generator_step_leaves_are_those_of_its_loss(settings, definition):
    for rng, generator, discriminator, noise, _ in smooth_cases(draw_game):

        def loss(generator=generator, discriminator=discriminator, noise=noise):
            return np.float64(definition(discriminator.forward(generator.forward(noise)).ravel()))

        fake = generator.forward(noise)
        measured = generator_step(generator, discriminator, fake, NoStep(), **settings)
        assert measured.loss == pytest.approx(loss(), rel=1e-12)
        for name, parameter in generator.named_parameters().items():
            check_gradient(
                loss, parameter.value, parameter.grad.copy(), rng, name=f"G, {name}", tolerance=TOLERANCE
            )
