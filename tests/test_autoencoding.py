"""Autoencoders and variational ones: cases by hand, integrals, derivatives, and the usual mistakes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan import autoencoding
from npgan.autoencoding import (
    autoencoder_loss,
    decoder,
    draw,
    encoder,
    halves,
    kl_divergence,
    reconstruction_loss,
    variational_loss,
)
from npgan.gradcheck import GradientError, check_gradient
from npgan.layers import Parameter
from npgan.optim import Adam

SHAPE = (4, 5, 2)


def networks(rng, outputs, latent):
    return [
        encoder(SHAPE, outputs, rng, hidden=(9, 7)).astype("float64"),
        decoder(SHAPE, latent, rng, hidden=(9, 7)).astype("float64"),
    ]


# The two terms -------------------------------------------------------------------------------------------------


def test_kl_by_hand():
    """Mean 2, variance 1: 2^2 / 2. Mean 0, variance e: (e - 2) / 2. Summed over the code, averaged over images."""
    mean, log_variance = np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]])
    value, dmean, dlog_variance = kl_divergence(mean, log_variance)
    assert value == pytest.approx((2 + (math.e - 2) / 2) / 2)
    np.testing.assert_allclose(dmean, [[1, 0], [0, 0]])
    np.testing.assert_allclose(dlog_variance, [[0, (math.e - 1) / 4], [0, 0]])


@given(mean=st.floats(-3, 3), log_variance=st.floats(-3, 2))
def test_kl_is_the_integral(mean, log_variance):
    """Of q log(q / p), q and p normal densities, by the trapezium rule."""
    deviation = math.exp(log_variance / 2)
    x = mean + deviation * np.linspace(-12, 12, 4001)
    log_q = -0.5 * ((x - mean) / deviation) ** 2 - log_variance / 2
    integral = np.trapezoid(np.exp(log_q) * (log_q + x**2 / 2), x) / math.sqrt(2 * math.pi)
    value, _, _ = kl_divergence(np.array([[mean]]), np.array([[log_variance]]))
    assert value == pytest.approx(integral, abs=1e-6)


def test_reconstruction_by_hand():
    """Logit 0 costs log 2 a pixel; a sure and right one nothing, a sure and wrong one its size."""
    white, black = np.ones((2, 1, 2, 1)), -np.ones((2, 1, 2, 1))
    assert reconstruction_loss(0 * white, white)[0] == pytest.approx(2 * math.log(2))
    assert reconstruction_loss(50 * white, white)[0] == pytest.approx(0, abs=1e-9)
    value, dlogits = reconstruction_loss(50 * white, black)
    assert value == pytest.approx(100) and dlogits == pytest.approx(np.full((2, 1, 2, 1), 0.5))


@pytest.mark.parametrize("images", [1, 3, 6])
@pytest.mark.parametrize("copies", [1, 2])
def test_terms_are_sums_over_an_image_and_means_over_images(rng, images, copies):
    """More pixels or a longer code cost more, in proportion; more images do not."""
    x, logits = rng.uniform(-1, 1, (1, 2, 3, 1)), rng.standard_normal((1, 2, 3, 1))
    one = reconstruction_loss(logits, x)[0]
    many = (np.tile(a, (images, copies, 1, 1)) for a in (logits, x))
    assert reconstruction_loss(*many)[0] == pytest.approx(copies * one)
    mean, log_variance = rng.standard_normal((2, 1, 3))
    one = kl_divergence(mean, log_variance)[0]
    many = (np.tile(a, (images, copies)) for a in (mean, log_variance))
    assert kl_divergence(*many)[0] == pytest.approx(copies * one)


def test_means_and_log_variances_are_different_halves():
    mean, log_variance = halves(np.arange(12.0).reshape(2, 6))
    assert mean.tolist() == [[0, 1, 2], [6, 7, 8]] and log_variance.tolist() == [[3, 4, 5], [9, 10, 11]]


# Derivatives ---------------------------------------------------------------------------------------------------


def check(loss, networks, rng):
    """All weights' gradients of loss() in float64; gradients add, so they start from something."""
    for network in networks:
        for parameter in network.parameters():
            parameter.grad[...] = 0
    loss()
    parameters = {
        f"{n}.{name}": p for n, each in enumerate(networks) for name, p in each.named_parameters().items()
    }
    gradients = {name: p.grad.copy() for name, p in parameters.items()}
    return max(
        check_gradient(lambda: np.asarray(loss()), p.value, gradients[name], rng, name=name)
        for name, p in parameters.items()
    )


@given(n=st.integers(1, 4), latent=st.integers(1, 5), beta=st.sampled_from([0.0, 1.0, 3.0]), seed=seeds)
def test_the_variational_loss_and_its_gradients(n, latent, beta, seed):
    rng = np.random.default_rng(seed)
    both = networks(rng, 2 * latent, latent)
    x, noise = rng.uniform(-1, 1, (n, *SHAPE)), rng.standard_normal((n, latent))

    def loss():
        reconstruction, kl = variational_loss(*both, x, noise, beta)
        return reconstruction + beta * kl

    assert check(loss, both, rng) < 1e-6


@given(n=st.integers(1, 4), seed=seeds)
def test_the_autoencoders_loss_and_its_gradients(n, seed):
    rng = np.random.default_rng(seed)
    both = networks(rng, 3, 3)
    x = rng.uniform(-1, 1, (n, *SHAPE))
    assert check(lambda: autoencoder_loss(*both, x), both, rng) < 1e-6


def test_the_draw_has_a_derivative_by_the_deviation(rng):
    """The reparameterisation: the mean of f(mean + deviation * noise) has the slopes that many draws show."""
    n, code = 400_000, Parameter(np.array([0.3, -0.4]))
    noise = rng.standard_normal(n)

    def mean_of(code):
        return ((code[0] + np.exp(code[1] / 2) * noise) ** 2).mean()

    z = code.value[0] + np.exp(code.value[1] / 2) * noise
    dz = 2 * z / n
    slopes = [dz.sum(), (dz * noise * np.exp(code.value[1] / 2) / 2).sum()]
    np.testing.assert_allclose(slopes, [2 * 0.3, np.exp(-0.4)], rtol=0.01)  # of mean^2 + variance
    h = 1e-6
    for axis in range(2):
        step = h * np.eye(2)[axis]
        finite = (mean_of(code.value + step) - mean_of(code.value - step)) / (2 * h)
        assert slopes[axis] == pytest.approx(finite, rel=1e-6)


# Mistakes that run without an error ----------------------------------------------------------------------------


def with_mistake(monkeypatch, rng, name, mistake):
    both = networks(rng, 6, 3)
    x, noise = rng.uniform(-1, 1, (3, *SHAPE)), rng.standard_normal((3, 3))
    monkeypatch.setattr(autoencoding, name, mistake)
    return both, lambda: sum(variational_loss(*both, x, noise))


def test_a_wrong_gradient_of_the_kl_is_found(monkeypatch, rng):
    def wrong(mean, log_variance):
        value, dmean, dlog_variance = kl_divergence(mean, log_variance)
        return value, dmean, dlog_variance * 1.001

    both, loss = with_mistake(monkeypatch, rng, "kl_divergence", wrong)
    with pytest.raises(GradientError):
        check(loss, both, rng)


def test_the_log_variance_read_from_the_means_half_is_found(monkeypatch, rng):
    """The second half gets no gradient through the draw any more, and the first two: finite differences disagree."""

    def wrong(code):
        latent = code.shape[1] // 2
        return code[:, :latent], code[:, :latent]

    both, loss = with_mistake(monkeypatch, rng, "halves", wrong)
    with pytest.raises(GradientError):
        check(loss, both, rng)


def learned(rng, beta, steps=400):
    """KL of each number of the code, in nats, after learning images that are 8 patterns with a little noise."""
    patterns = np.sign(rng.standard_normal((8, *SHAPE)))
    both = [
        encoder(SHAPE, 6, rng, hidden=(32,)).astype("float64"),
        decoder(SHAPE, 3, rng, hidden=(32,)).astype("float64"),
    ]
    optimizer = Adam([p for each in both for p in each.parameters()], 5e-3, beta_1=0.9)
    for _ in range(steps):
        x = patterns[rng.integers(8, size=32)]
        for each in both:
            each.zero_grad()
        variational_loss(*both, x, rng.standard_normal((32, 3)), beta)
        optimizer.step()
    mean, log_variance = halves(both[0].forward(patterns, train=False))
    return np.array([kl_divergence(mean[:, [i]], log_variance[:, [i]])[0] for i in range(3)])


def test_a_kl_that_weighs_too_much_collapses_and_one_that_weighs_too_little_is_large():
    """Reconstruction as a mean over 40 pixels beside the KL as a sum: as beta = 40. The reverse: beta = 1 / 3."""
    right, collapsed, light = (learned(np.random.default_rng(0), beta) for beta in (1, 40, 1 / 3))
    assert collapsed.sum() < 0.05 < 1.5 < right.sum() < light.sum()


def test_drawings_are_what_the_logits_say(rng):
    codes = rng.standard_normal((300, 3)).astype(np.float32)
    network = decoder(SHAPE, 3, rng)
    logits = network.forward(codes, train=False)
    np.testing.assert_allclose(draw(network, codes), 2 / (1 + np.exp(-logits)) - 1, atol=1e-6)


def test_on_the_device_the_loss_is_that_of_the_host(cupy, rng):
    both = [encoder(SHAPE, 6, rng), decoder(SHAPE, 3, rng)]
    x = rng.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    noise = rng.standard_normal((3, 3), dtype=np.float32)
    host = [float(value) for value in variational_loss(*both, x, noise)]
    for network in both:
        network.to("cupy")
    device = [float(value) for value in variational_loss(*both, cupy.asarray(x), cupy.asarray(noise))]
    assert device == pytest.approx(host, rel=1e-5)
