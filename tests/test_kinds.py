"""Kinds of images: found by K-means, told to both players of a game, kept in a checkpoint."""

import numpy as np
import pytest

import npgan.kinds
from npgan.adversarial import penalise, r1, wgan_gp
from npgan.data import Images, load
from npgan.gradcheck import check_gradient
from npgan.kinds import EACH, MOST, SIDE, Kinds, marked, small, told_apart
from npgan.layers import Dense, Flatten, LeakyReLU, Reshape, Sequential, Tanh
from npgan.losses import one_centred_penalty, zero_centred_penalty
from npgan.networks import ToldDiscriminator, ToldGenerator, dcgan_discriminator


@pytest.fixture(scope="module")
def digits():
    return load("glyphs", count=2000, seed=0)


def test_a_kind_is_the_nearest_centre_of_small_copies(digits, rng):
    kinds = Kinds(digits.shape).find(digits, rng)
    assert (kinds.shares > 0).sum() == 2000 // EACH
    told = kinds.tell(digits[:50])
    for image, row in zip(digits[:50], told):
        copy = [image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for i in range(14) for j in range(14)]
        far = [
            ((np.array(copy) - c) ** 2).sum() if s else np.inf for c, s in zip(kinds.centres, kinds.shares)
        ]
        assert row.argmax() == np.argmin(far) and row.sum() == 1 and row.max() == 1


def test_kinds_come_as_often_as_images_of_them(digits, rng):
    kinds = Kinds(digits.shape).find(digits, rng)
    drawn = kinds.draw(20_000, rng).mean(axis=0)
    told = kinds.tell(digits[:]).mean(axis=0)
    assert drawn.shape == told.shape == (MOST,)
    assert np.abs(drawn - kinds.shares).max() < 0.02  # 5 standard errors of the largest share, 0.25
    assert np.abs(told - kinds.shares).max() < 0.02  # the last of the rounds may have moved a few


def test_kinds_know_digits_that_nobody_named(digits, rng):
    told = Kinds(digits.shape).find(digits, rng).tell(digits[:]).argmax(axis=1)
    character = digits.labels["character"]
    same = sum(np.bincount(character[told == kind]).max() for kind in np.unique(told))
    assert same / len(digits) > 0.4  # 0.53 with 10 kinds; by chance about 0.13


def test_what_each_image_is_of_is_its_class_or_its_kind(digits, rng):
    assert (told_apart(digits, rng) == digits.labels["character"]).all()
    named = Images(digits.pixels, {"class": np.arange(2000) % 3})
    assert (told_apart(named, rng) == np.arange(2000) % 3).all()
    nameless = Images(digits.pixels)
    found = told_apart(nameless, np.random.default_rng(8))
    kinds = Kinds(digits.shape).find(nameless, np.random.default_rng(8))
    assert len(np.unique(found)) == 10 and (found == kinds.tell(digits[:]).argmax(axis=1)).all()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_images_have_one_kind(count, rng):
    images = Images(rng.integers(0, 256, (count, 9, 30, 3), dtype=np.uint8))
    kinds = Kinds(images.shape).find(images, rng)
    assert kinds.shares[0] == 1 and kinds.tell(images[:]).argmax(axis=1).tolist() == [0] * count
    assert kinds.draw(3, rng).argmax(axis=1).tolist() == [0, 0, 0]


def test_images_that_are_all_alike_have_kinds_too(rng):
    images = Images(np.full((500, 8, 8, 1), 7, np.uint8))
    kinds = Kinds(images.shape).find(images, rng, 5)
    assert np.isclose(kinds.shares.sum(), 1) and kinds.tell(images[:3]).sum() == 3


def test_no_more_kinds_than_images_and_than_the_most_of_all(rng):
    images = Images(rng.integers(0, 256, (150, 8, 8, 1), dtype=np.uint8))
    assert (Kinds(images.shape).find(images, rng, 200).shares > 0).sum() == MOST
    few = images.take(np.arange(7))
    assert (Kinds(images.shape).find(few, rng, 50).shares > 0).sum() == 7


def test_kinds_that_no_image_is_of_are_never_told_nor_drawn(rng):
    """Their centres lie nearest to each image here."""
    kinds, images = Kinds((8, 8, 1)), np.zeros((3, 8, 8, 1), np.float32)
    kinds.centres[[3, 90]] = [[1.0], [2.0]]
    kinds.shares[:] = 0
    kinds.shares[[3, 90]] = 0.5
    images[2] = 3
    assert kinds.tell(images).argmax(axis=1).tolist() == [3, 3, 90]
    assert set(kinds.draw(100, rng).argmax(axis=1)) == {3, 90}


def test_kinds_are_found_on_some_images_of_all_where_there_are_many(monkeypatch, rng):
    """Images in the order of their classes: the first hundred know of one class only."""
    monkeypatch.setattr(npgan.kinds, "SOME", 100)
    pixels = np.zeros((1000, 8, 8, 1), np.uint8)
    pixels[500:] = 255
    images = Images(pixels)
    kinds = Kinds(images.shape).find(images, rng, 2)
    told = kinds.tell(images[:]).argmax(axis=1)
    assert kinds.shares[:2].min() > 0.3
    assert (told[:500] == told[0]).all() and (told[500:] == 1 - told[0]).all()


def test_small_copies_are_means_of_squares(rng):
    images = rng.standard_normal((2, 2 * SIDE, 3 * SIDE, 3)).astype(np.float32)
    copies = small(images).reshape(2, SIDE, 3 * SIDE // 2, 3)
    assert np.allclose(copies[1, 3, 4, 2], images[1, 6:8, 8:10, 2].mean(), atol=1e-6)


def test_a_state_is_taken_over_or_refused_with_nothing_changed(digits, rng):
    kinds, other = Kinds(digits.shape).find(digits, rng), Kinds(digits.shape)
    other.load_state(kinds.state())
    assert (other.tell(digits[:20]) == kinds.tell(digits[:20])).all() and (other.shares == kinds.shares).all()
    state = kinds.state()
    for array in other.state().values():
        array[:] = 7  # copies
    assert (other.shares == kinds.shares).all() and (other.centres == kinds.centres).all()
    for name, bad in (
        ("centres", state["centres"][:, 1:]),
        ("centres", np.full_like(state["centres"], np.nan)),
        ("shares", -state["shares"]),
        ("shares", state["shares"] / 2),
        ("shares", state["shares"] * (1 + 1e-7)),  # as `draw` would refuse
        ("shares", state["shares"] + np.eye(MOST)[1] - np.eye(MOST)[98]),  # 1 in all, but a negative one
    ):
        with pytest.raises(ValueError, match=name):
            other.load_state(state | {name: bad})
        assert (other.shares == kinds.shares).all()


def test_both_players_gradients(rng):
    body = [Dense(5 + MOST, 12, rng=rng), Tanh(), Reshape((2, 2, 3))]
    generator = ToldGenerator(Sequential(body), MOST).astype("float64")
    kinds = marked(np.array([3, 0, 3, 99])).astype(np.float64)
    told = np.concatenate([rng.standard_normal((4, 5)), kinds], axis=1)
    images, same = generator.forward(told)
    assert (same == kinds).all()
    dy = rng.standard_normal(images.shape)
    generator.zero_grad()
    dtold = generator.backward([dy, None])
    check_gradient(lambda: generator.forward(told)[0], told, dtold, rng, dy=dy)

    judge = Sequential([Flatten(), Dense(12, 9, rng=rng), Tanh(), Dense(9, MOST, rng=rng)])
    judge = ToldDiscriminator(judge).astype("float64")
    logits = judge.forward([images, kinds])
    assert logits.shape == (4, 1)
    whole = judge.body.forward(images)
    assert logits[:, 0].tolist() == [whole[0, 3], whole[1, 0], whole[2, 3], whole[3, 99]]
    dlogits = rng.standard_normal((4, 1))
    judge.forward([images, kinds])
    judge.zero_grad()
    dimages, nothing = judge.backward(dlogits)
    assert nothing is None
    check_gradient(lambda: judge.forward([images, kinds]), images, dimages, rng, dy=dlogits)
    for name, parameter in judge.named_parameters().items():
        check_gradient(
            lambda: judge.forward([images, kinds]),
            parameter.value,
            parameter.grad,
            rng,
            dy=dlogits,
            name=name,
        )


def test_the_discriminator_has_a_logit_for_each_kind(rng):
    judge = ToldDiscriminator(dcgan_discriminator((28, 28, 1), rng, outputs=MOST))
    images = rng.standard_normal((2, 28, 28, 1)).astype(np.float32)
    assert judge.body.forward(images).shape == (2, MOST)
    assert judge.forward([images, marked(np.array([1, 2]))]).shape == (2, 1)


def judge_of_dense(rng):
    layers = [Flatten(), Dense(192, 6, rng=rng), LeakyReLU(0.2), Dense(6, 5, rng=rng)]
    return ToldDiscriminator(Sequential(layers)).astype("float64")


@pytest.mark.parametrize("penalty", [zero_centred_penalty, one_centred_penalty])
def test_the_penalty_of_a_judge_that_is_told_kinds_has_the_gradients_of_finite_differences(penalty, rng):
    judge = judge_of_dense(rng)
    told = [rng.standard_normal((4, 8, 8, 3)), np.eye(5)[[3, 0, 3, 4]]]

    def value():
        with judge.held():
            g, _ = judge.backward(np.ones_like(judge.forward(told)))
        return np.reshape(penalty(g, 2.0)[0], 1)

    judge.zero_grad()
    assert penalise(judge, told, lambda g: penalty(g, 2.0)) == pytest.approx(float(value()[0]))
    for name, parameter in judge.named_parameters().items():
        if name.endswith("bias"):
            assert not parameter.grad.any()  # g does not depend on it
        else:
            check_gradient(value, parameter.value, parameter.grad.copy(), rng, name=name)


def test_penalties_take_images_and_kinds(rng):
    judge = judge_of_dense(rng)
    x, y, kinds = (
        rng.standard_normal((4, 8, 8, 3)),
        rng.standard_normal((4, 8, 8, 3)),
        np.eye(5)[[1, 0, 3, 1]],
    )
    found = r1(2.0)(judge, [x, kinds], [y, kinds])
    assert found == pytest.approx(penalise(judge, [x, kinds], lambda g: zero_centred_penalty(g, 2.0)))
    found = wgan_gp(10.0, np.random.default_rng(5))(judge, [x, kinds], [y, kinds])
    share = np.random.default_rng(5).random((4, 1, 1, 1), dtype=np.float32)
    between = [share * x + (1 - share) * y, kinds]
    assert found == pytest.approx(penalise(judge, between, lambda g: one_centred_penalty(g, 10.0)))
