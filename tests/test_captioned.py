"""Networks that are told captions: gradients, penalties and whole steps against finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import DEVICES, differences, watched
from strategies import at_least, seeds

from npgan.adversarial import discriminator_step, generator_step, judge, penalise
from npgan.backend import to_device
from npgan.captioned import (
    CaptionedGenerator,
    Modulation,
    PairScore,
    Projection,
    captioned_r1,
    image_features,
    matching,
    text_encoder,
)
from npgan.gradcheck import check_gradient, check_layer
from npgan.layers import Dense, Flatten, Sequential
from npgan.losses import binary_cross_entropy, zero_centred_penalty
from npgan.optim import SGD, Adam

WORDS, PLACES, SHAPE = 9, 3, (8, 8, 3)


def make_discriminator(rng, features=5, pairs=False):
    encoder = text_encoder(WORDS, PLACES, features, rng)
    images = image_features(SHAPE, features, rng, width=2)
    score = PairScore(features, rng) if pairs else Dense(features, 1, rng=rng)
    return Projection(images, features, encoder, score)


def make_generator(rng, noise=4):
    encoder = text_encoder(WORDS, PLACES, 3, rng)
    return CaptionedGenerator(SHAPE, encoder, 3, rng, noise=noise, width=2)


def told(rng, count, times=1):
    return [rng.standard_normal((count, *SHAPE)), rng.integers(0, WORDS, (times * count, PLACES))]


def test_projection_is_worked_out_by_hand():
    encoder = text_encoder(2, 1, 2, np.random.default_rng(0))
    network = Projection(Sequential([Flatten(), Dense(1, 2)]), 2, encoder, Dense(2, 1)).astype("float64")
    network.features.layers[1].weight.value[...] = [[1, 2]]
    network.score.weight.value[...], network.score.bias.value[...] = [[10], [1]], 0.5
    codes = encoder.forward(np.array([[0], [1]]), train=False)
    y = network.forward([np.array([[3.0]]), np.array([[0], [1]])])  # one image, two captions
    f = np.array([3.0, 6.0])
    for logit, code in zip(y[:, 0], codes):
        assert logit == pytest.approx(36 + 0.5 + f @ code / np.sqrt(2))


@at_least(20)
@given(times=st.integers(1, 3), groups=st.integers(1, 3), pairs=st.booleans(), seed=seeds)
def test_projection_has_the_gradients_of_finite_differences(times, groups, pairs, seed):
    rng, count = np.random.default_rng(seed), groups * (1 + pairs)
    network = make_discriminator(rng, pairs=pairs).astype("float64")
    pair = told(rng, count, times)
    y = network.forward(pair)
    assert y.shape == (count * times, 1)
    dy = rng.standard_normal(y.shape)
    network.zero_grad()
    dimages, dwords = network.backward(dy)
    assert dwords is None
    check_gradient(lambda: network.forward(pair), pair[0], dimages, rng, dy=dy)
    gathered = {name: parameter.grad.copy() for name, parameter in network.named_parameters().items()}
    for name, parameter in network.named_parameters().items():
        check_gradient(lambda: network.forward(pair), parameter.value, gathered[name], rng, dy=dy, name=name)
    network.forward(pair)
    network.backward_parameters(dy)
    for name, parameter in network.named_parameters().items():
        np.testing.assert_allclose(parameter.grad, 2 * gathered[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_captions_of_an_image_are_judged_as_one_at_a_time(rng):
    network = make_discriminator(rng).astype("float64")
    images, words = told(rng, 4, 3)
    together = network.forward([images, words], train=False)
    alone = [network.forward([images, words[4 * k : 4 * k + 4]], train=False) for k in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-12)


def test_held_projection_gathers_nothing_and_passes_the_same_gradient(rng):
    network = make_discriminator(rng).astype("float64")
    pair = told(rng, 4)
    dy = rng.standard_normal(network.forward(pair).shape)
    free, _ = network.backward(dy)
    network.zero_grad()
    with network.held():
        network.forward(pair)
        held, _ = network.backward(dy)
    np.testing.assert_array_equal(held, free)
    assert not any(parameter.grad.any() for parameter in network.parameters())


@at_least(20)
@given(pairs=st.booleans(), seed=seeds)
def test_the_penalty_has_the_gradients_of_finite_differences(pairs, seed):
    rng = np.random.default_rng(seed)
    network = make_discriminator(rng, pairs=pairs).astype("float64")
    pair = told(rng, 2)

    def penalty(g):
        return zero_centred_penalty(g, 3.0)

    def value():
        with network.held():
            g, _ = network.backward(np.ones_like(network.forward(pair)))
        return np.reshape(penalty(g)[0], 1)

    network.zero_grad()
    assert penalise(network, pair, penalty) == pytest.approx(float(value()[0]))
    for name, parameter in network.named_parameters().items():
        if not name.startswith("encoder.") and name.endswith("bias"):
            assert not parameter.grad.any(), name  # g does not depend on it
        else:
            check_gradient(value, parameter.value, parameter.grad.copy(), rng, name=name)


def test_generator_has_the_gradients_of_finite_differences(rng):
    network = make_generator(rng).astype("float64")
    noise, words = rng.standard_normal((5, 4)), rng.integers(0, WORDS, (5, PLACES))

    def images():
        return network.forward([noise, words])[0]

    y, same = network.forward([noise, words])
    assert y.shape == (5, *SHAPE) and same is words
    dy = rng.standard_normal(y.shape)
    network.zero_grad()
    dnoise, dwords = network.backward([dy, None])
    assert dwords is None
    check_gradient(images, noise, dnoise, rng, dy=dy)
    for name, parameter in network.named_parameters().items():
        check_gradient(images, parameter.value, parameter.grad.copy(), rng, dy=dy, name=name, tolerance=1e-5)


@at_least(30)
@given(shape=st.tuples(*[st.integers(1, 4)] * 4), code=st.integers(1, 3), seed=seeds)
def test_modulation_has_the_gradients_of_finite_differences(shape, code, seed):
    rng = np.random.default_rng(seed)
    layer = Modulation(shape[3], code, rng).astype("float64")
    parts = [rng.standard_normal(shape), rng.standard_normal((shape[0], code))]
    y = layer.forward(parts, train=False)
    scale, shift = (parts[1] @ dense.weight.value + dense.bias.value for dense in (layer.scale, layer.shift))
    for n in range(shape[0]):
        np.testing.assert_allclose(y[n], (1 + scale[n]) * parts[0][n] + shift[n], rtol=1e-9, atol=1e-12)
    check_layer(layer, parts, rng=rng)


def test_a_modulation_changes_little_at_first(rng):
    x, code = (rng.standard_normal(shape, dtype=np.float32) for shape in ((64, 4, 4, 8), (64, 64)))
    changed = Modulation(8, 64, rng).forward([x, code], train=False) - x
    assert 0.2 < changed.std() < 0.8  # of 1; 2 with weights as Dense draws them


def test_a_pair_is_scored_with_the_features_of_both(rng):
    layer = PairScore(3, rng).astype("float64")
    f = rng.standard_normal((6, 3))
    y = layer.forward(f, train=False)
    beside = np.concatenate([f, f[[1, 0, 3, 2, 5, 4]]], axis=1)
    np.testing.assert_allclose(y, layer.body.forward(beside, train=False), rtol=1e-12)
    check_layer(layer, f, rng=rng)
    layer.forward(f)
    v = rng.standard_normal(f.shape)
    h = 1e-7
    numeric = (layer.forward(f + h * v, train=False) - layer.forward(f - h * v, train=False)) / (2 * h)
    layer.forward(f)
    np.testing.assert_allclose(layer.tangent(v), numeric, rtol=1e-6)


@pytest.mark.parametrize("shares", [(0.5,), (0.3, 0.2, 0.1)])
def test_matching_is_reed_s_sum(shares, rng):
    logits = rng.standard_normal((4 + 4 * len(shares), 1))
    both = matching(shares)
    value, gradient = both(logits, 1.0)
    right, *wrong = [
        binary_cross_entropy(part, 0.0 if k else 1.0) for k, part in enumerate(logits.reshape(-1, 4, 1))
    ]
    assert value == pytest.approx(right[0] + sum(share * w[0] for share, w in zip(shares, wrong)))
    np.testing.assert_allclose(gradient[4:8], shares[0] * wrong[0][1], rtol=1e-12)
    check_gradient(lambda: np.reshape(both(logits, 1.0)[0], 1), logits, gradient, rng)
    assert both(logits, 0.0)[0] == binary_cross_entropy(logits, 0.0)[0] / 2


def test_a_whole_step_of_each_player_follows_finite_differences(rng):
    """A step of SGD at rate 1 is minus the gradient of the whole loss: right, wrong and generated pairs."""
    generator, discriminator = (
        make_generator(rng).astype("float64"),
        make_discriminator(rng).astype("float64"),
    )
    real, noise, loss = told(rng, 4, 3), rng.standard_normal((4, 4)), matching((0.4, 0.1))
    words = real[1]
    fake = generator.forward([noise, words[:4]])

    def d_loss():
        logits = [discriminator.forward(pair, train=False) for pair in (real, fake)]
        return np.reshape(loss(logits[0], 1.0)[0] + loss(logits[1], 0.0)[0], 1)

    gradients = descent(
        discriminator, lambda optimizer: discriminator_step(discriminator, real, fake, optimizer, loss)
    )
    for name, parameter in discriminator.named_parameters().items():
        check_gradient(d_loss, parameter.value, gradients[name], rng, name=name)

    def g_loss():
        return np.reshape(judge(discriminator, generator.forward([noise, words[:4]]))[0], 1)

    fake = generator.forward([noise, words[:4]])
    gradients = descent(
        generator, lambda optimizer: generator_step(generator, discriminator, fake, optimizer)
    )
    for name, parameter in generator.named_parameters().items():
        check_gradient(g_loss, parameter.value, gradients[name], rng, name=name, tolerance=1e-5)


def descent(network, step):
    """How far a step of SGD at rate 1 goes down, which is the gradient, for each parameter; they are put back."""
    before = {name: p.value.copy() for name, p in network.named_parameters().items()}
    step(SGD(network.parameters(), 1.0))
    gradients = {name: before[name] - p.value for name, p in network.named_parameters().items()}
    for name, parameter in network.named_parameters().items():
        parameter.value[...] = before[name]
    return gradients


def test_the_penalty_sees_true_captions_alone(rng):
    network = make_discriminator(rng).astype("float64")
    images, words = told(rng, 4, 2)
    true = penalise(network, [images, words[:4]], lambda g: zero_centred_penalty(g, 2.0))
    network.zero_grad()
    assert captioned_r1(2.0)(network, [images, words], None) == pytest.approx(float(true))


def test_a_caption_can_be_learned(rng):
    """Images all of one value, which the caption names: the discriminator tells right from wrong after some steps."""
    network = make_discriminator(rng)
    optimizer = Adam(network.named_parameters(), 3e-3)
    for _ in range(150):
        which = rng.integers(0, 3, 16)
        images = np.broadcast_to((which - 1.0)[:, None, None, None], (16, *SHAPE)).astype(np.float32)
        words = np.repeat(which[:, None], PLACES, axis=1)
        wrong = np.repeat(((which + rng.integers(1, 3, 16)) % 3)[:, None], PLACES, axis=1)
        network.zero_grad()
        logits = network.forward([images, np.concatenate([words, wrong])])
        _, dlogits = matching((0.5,))(logits, 1.0)
        network.backward_parameters(dlogits)
        optimizer.step()
    assert (logits[:16] > 0).mean() > 0.9 and (logits[16:] < 0).mean() > 0.9


@pytest.mark.parametrize("pairs", [True, False])
def test_rounds_on_the_device_give_numpys_numbers(cupy, leeway, pairs):
    """Three uploads a round: images, noise, words."""
    problems, found = [], {}
    for device in DEVICES:
        rng = np.random.default_rng(1)
        generator, discriminator = (
            make_generator(rng).to(device),
            make_discriminator(rng, pairs=pairs).to(device),
        )
        g_optimizer, d_optimizer = (Adam(n.named_parameters(), 1e-3) for n in (generator, discriminator))
        for number in range(3):
            images, words = told(rng, 4, 2)
            noise = rng.standard_normal((4, 4), dtype=np.float32)
            with watched(problems, f"{device}, round {number}", uploads=3):
                words = to_device(words, device)
                real = [to_device(images.astype(np.float32), device), words]
                fake = generator.forward([to_device(noise, device), words[:4]])
                discriminator_step(
                    discriminator, real, fake, d_optimizer, matching((0.5,)), captioned_r1(0.1)
                )
                generator_step(generator, discriminator, fake, g_optimizer)
        networks = {"G": generator, "D": discriminator}
        found[device] = {
            f"{n} {key}": a for n, network in networks.items() for key, a in network.arrays().items()
        }
    assert problems + differences(found["numpy"], found["cupy"], leeway=leeway) == []
