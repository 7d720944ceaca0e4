"""Captions of glyphs: what they say, what they refuse, and that every word is true of what is painted."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import at_least, seeds

from npgan.data import DIGITS, LOWERCASE, UPPERCASE, DataError, glyphs
from npgan.data.captions import (
    ALIKE,
    CHARACTER,
    HELD_OUT,
    HELD_OUT_PAIR,
    PALETTE,
    PLACES,
    SEEN,
    CaptionedGlyphs,
    Grammar,
)

GRAMMAR = Grammar(DIGITS + UPPERCASE + LOWERCASE)
FEW = Grammar()


@pytest.fixture(scope="module")
def ink():
    return glyphs(2000, size=32, seed=3)


def test_a_caption_is_read_word_by_word():
    weight, size, slant, fore, character, back = FEW.read("a bold small slanted red 7 on blue")
    assert (weight, size, slant) == (1, 1, 1)
    assert list(PALETTE)[fore - 1] == "red" and list(PALETTE)[back - 1] == "blue" and character == 8


@pytest.mark.parametrize(
    "caption, wanted",
    [
        ("7", {"character": "7"}),
        ("on blue", {"background": "blue"}),
        ("an upright character", {"slant": "upright"}),
        ("Red BOLD 7", {"character": "7", "foreground": "red", "weight": "bold"}),
        ("red red 7", {"character": "7", "foreground": "red"}),
        ("a a", {"character": "a"}),
        ("a", {"character": "a"}),
        ("a on red", {"character": "a", "background": "red"}),
        ("A", {"character": "A"}),
        ("A red", {"character": "A", "foreground": "red"}),
        ("a red A on pink", {"character": "A", "foreground": "red", "background": "pink"}),
        ("a character", {}),
    ],
)
def test_words_may_be_left_out_and_change_places(caption, wanted):
    row = GRAMMAR.read(caption)
    assert {name: GRAMMAR.words[name][k - 1] for name, k in zip(PLACES, row) if k} == wanted


@pytest.mark.parametrize(
    "caption, same",
    [
        ("A bold 7 on red", "bold 7 on red"),
        ("AN upright 7", "upright 7"),
        ("a", "a character"),
        ("A on red", "on red"),
    ],
)
def test_where_there_is_no_such_letter_an_a_is_an_article(caption, same):
    np.testing.assert_array_equal(FEW.read(caption), FEW.read(same))


@at_least(200)
@given(choice=st.tuples(*[st.integers(0, len(words)) for words in GRAMMAR.words.values()]), seed=seeds)
def test_what_is_written_is_read(choice, seed):
    row = np.array(choice)
    if row[3] and row[3] == row[5]:
        row[5] = 0
    caption = GRAMMAR.write(row)
    np.testing.assert_array_equal(GRAMMAR.read(caption), row)
    article, *words = caption.split()
    before = words[: words.index("on")] if "on" in words else words
    shuffled = list(np.random.default_rng(seed).permutation(before)) + words[len(before) :]
    np.testing.assert_array_equal(GRAMMAR.read(" ".join([article, *shuffled])), row)


@pytest.mark.parametrize(
    "caption, message",
    [
        ("", "it is empty"),
        ("  \t\n", "it is empty"),
        ("a purple 7", "'purple' is no word of the grammar; known are a, on, character, bold, thin, small"),
        ("a 7 on mauve", "wanted one colour after 'on'"),
        ("a 7 on", "wanted one colour after 'on'"),
        ("a 7 on red blue", "wanted one colour after 'on'"),
        ("a 7 on red on blue", "wanted one colour after 'on'"),
        ("on", "wanted one colour after 'on'"),
        ("red blue 7", "'red' and 'blue' contradict each other"),
        ("bold thin 7", "'bold' and 'thin' contradict each other"),
        ("a 7 8", "'7' and '8' contradict each other"),
        ("red 7 on red", "two different ones"),
        ("a 7\x1b[31m", "is no word of the grammar"),
        ("x", "0123456789"),
    ],
)
def test_what_cannot_be_understood_is_one_clear_line(caption, message):
    with pytest.raises(DataError, match=re.escape(message)) as error:
        FEW.read(caption)
    assert "\n" not in str(error.value) and str(error.value).isprintable()


def test_an_upright_has_its_own_article():
    assert FEW.write(FEW.read("upright 7")) == "an upright 7"
    assert FEW.write(FEW.read("bold upright 7")) == "a bold upright 7"


def test_tokens_are_numbers_of_their_own():
    rows = [np.zeros(6, int)]
    for place, words in enumerate(FEW.words.values()):
        rows += [np.eye(6, dtype=int)[place] * k for k in range(1, 1 + len(words))]
    tokens = FEW.tokens(np.array(rows))
    assert set(tokens.ravel()) == set(range(FEW.count))
    for place in range(6):
        others = np.delete(tokens, place, axis=1)
        assert not set(tokens[:, place]) & set(others.ravel())


def test_no_two_colours_of_the_palette_are_alike():
    colours = np.array(list(PALETTE.values()), float)
    distance = np.sqrt(((colours[:, None] - colours) ** 2).sum(axis=2))
    assert len(PALETTE) >= 8 and (distance + 1000 * np.eye(len(colours))).min() > 0.4 * 255


@pytest.mark.parametrize("grammar", [FEW, GRAMMAR])
def test_what_is_held_out(grammar):
    kinds = grammar.kinds()
    np.testing.assert_array_equal(kinds, grammar.kinds())
    assert (kinds != grammar.kinds(seed=1)).any()
    alike, pair = kinds == ALIKE, kinds == HELD_OUT_PAIR
    assert alike.sum() == len(kinds) * len(PALETTE)
    whole = (pair | alike).all(axis=2)  # characters, foregrounds
    assert (whole.sum(axis=1) == 1).all() and pair.sum() == whole.sum() * (len(PALETTE) - 1)
    assert whole.any(axis=0).all()  # each colour is that of some character
    rest = (kinds == HELD_OUT) | (kinds == SEEN)
    assert 0.15 < (kinds == HELD_OUT).sum() / rest.sum() < 0.25
    seen = kinds == SEEN  # every word is seen, and each two colours together
    assert seen.any(axis=(1, 2)).all() and seen.any(axis=(0, 2)).all() and seen.any(axis=(0, 1)).all()


@pytest.mark.parametrize("characters", [DIGITS, DIGITS + UPPERCASE, DIGITS + UPPERCASE + LOWERCASE])
def test_each_combination_that_is_seen_has_another_beside_it(characters):
    for seed in range(20):
        seen = Grammar(characters).kinds(seed) == SEEN
        for axis in range(3):
            assert 1 not in seen.sum(axis=axis)


def test_every_word_is_true_of_what_is_painted(ink, rng):
    kinds = FEW.kinds()
    source = CaptionedGlyphs(ink, FEW, kinds == SEEN)
    images, rows = source.draw(300, rng)
    assert images.shape == (300, *source.shape) == (300, 32, 32, 3) and images.dtype == np.float32
    for image, row in zip(images, rows):
        if row[5]:
            np.testing.assert_allclose(image[0], np.tile(FEW.palette[row[5] - 1], (32, 1)), atol=1e-6)
        if row[3]:  # a stroke of one pixel is mixed with what is behind it, but never with more than half
            assert (np.abs(image - FEW.palette[row[3] - 1]).max(axis=2) < 1).any()
    three = rows - 1
    assert (rows[:, [0, 3, 4, 5]] > 0).all() and 0.1 < (
        rows[:, 1] == 0
    ).mean() < 0.5  # neither small nor large
    assert (kinds[three[:, 4], three[:, 3], three[:, 5]] == SEEN).all()
    assert len(np.unique(three[:, 3:], axis=0)) > 100  # of the combinations, no few are drawn again and again
    assert len(np.unique(rows[:, :3], axis=0)) > 15  # nor of the glyphs: 18 kinds of weight, size and slant


def test_labels_say_which_words_are_true():
    for font, weight, slant in (
        ("DejaVuSans", 2, 0.0),
        ("DejaVuSans-BoldOblique", 1, 0.194),
        ("STIXGeneralItalic", 2, 0.293),
    ):
        ink = glyphs(400, size=32, fonts=[font])
        source = CaptionedGlyphs(ink, FEW, FEW.kinds() != ALIKE)
        assert (source.true[:, 0] == weight).all()
        np.testing.assert_allclose(ink.labels["slant"].mean(), slant, atol=0.03)
        assert ((source.true[:, 2] == 1) == (ink.labels["slant"] > 0.15)).all()
        wide = ink.pixels[..., 0].max(axis=2) > 127  # rows with ink
        height = wide.sum(axis=1) / 32
        assert height[source.true[:, 1] == 2].mean() > height[source.true[:, 1] == 1].mean() + 0.08


@pytest.mark.parametrize(
    "caption", ["a bold small slanted red 7 on blue", "a 7", "on white", "a large character", "a character"]
)
def test_images_of_a_caption_are_as_it_says_and_vary_in_the_rest(ink, rng, caption):
    row = FEW.read(caption)
    source = CaptionedGlyphs(ink, FEW, FEW.kinds() != ALIKE)
    true = source.fill(np.repeat(row[None], 60, axis=0), rng)
    images = source.paint(true, rng)
    assert images.shape == (60, 32, 32, 3)
    assert (true[:, row > 0] == row[row > 0]).all()
    for place in np.flatnonzero(row == 0):
        assert len(set(true[:, place])) > 1, PLACES[place]
    assert images.std(axis=0).max() > 0.1


def test_a_caption_of_nothing_in_the_set_says_so(rng):
    source = CaptionedGlyphs(glyphs(50, size=32, fonts=["DejaVuSans"]), FEW, FEW.kinds() == SEEN)
    with pytest.raises(DataError, match="'a bold 7'.*no glyph of this set is like that"):
        source.fill(FEW.read("a bold 7")[None], rng)


@at_least(30)
@given(seed=seeds)
def test_wrong_captions_are_wrong_in_one_word_each(ink, seed):
    rng = np.random.default_rng(seed)
    kinds = FEW.kinds()
    source = CaptionedGlyphs(ink, FEW, kinds == SEEN)
    _, rows = source.draw(64, rng)
    before = rows.copy()
    wrong = source.wrong(rows, rng).reshape(6, 64, 6)
    np.testing.assert_array_equal(rows, before)
    for place in range(6):
        changed = np.zeros(6, bool)
        changed[place] = True
        assert ((wrong[place] != rows) == changed).all()
    assert (wrong[np.arange(6), :, np.arange(6)] > 0).all()  # it says something
    three = wrong.reshape(-1, 6) - 1
    assert (kinds[three[:, 4], three[:, 3], three[:, 5]] == SEEN).all()
    for row in wrong.reshape(-1, 6):
        np.testing.assert_array_equal(FEW.read(FEW.write(row)), row)  # it could be said
    for place in (3, 4, 5):  # all that may be wrong is
        assert len(np.unique(wrong[place, :, place])) > 2


def test_where_neither_word_is_true_either_may_be_the_wrong_one(ink, rng):
    source = CaptionedGlyphs(ink, FEW, FEW.kinds() == SEEN)
    _, rows = source.draw(300, rng)
    wrong = source.wrong(rows, rng).reshape(6, 300, 6)
    for place in (1, 2):
        assert set(wrong[place, rows[:, place] == 0, place]) == {1, 2}


def test_a_set_in_which_a_word_has_no_other_is_refused(ink):
    alone = np.zeros_like(FEW.kinds() == SEEN)
    alone[0, 1, 2] = alone[0, 1, 3] = True
    source = CaptionedGlyphs(ink, FEW, alone)
    _, rows = source.draw(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no other beside it in its foreground"):
        source.wrong(rows, np.random.default_rng(0))


def test_the_same_generator_gives_the_same_batches(ink):
    source = CaptionedGlyphs(ink, FEW, FEW.kinds() == SEEN)
    first, second = (source.draw(20, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert set(ink.labels["character"]) == {k - 1 for k in source.true[:, CHARACTER]}


def test_images_of_one_caption_stand_side_by_side(ink, rng):
    source = CaptionedGlyphs(ink, FEW, FEW.kinds() == SEEN)
    images, rows = source.draw(40, rng, copies=2)
    assert images.shape == (80, 32, 32, 3)
    np.testing.assert_array_equal(rows[::2], rows[1::2])
    assert (np.abs(images[::2] - images[1::2]).max(axis=(1, 2, 3)) > 0.1).mean() > 0.8


def test_a_combination_that_is_not_drawn_says_so(ink, rng):
    kinds = FEW.kinds()
    character, fore, back = np.argwhere(kinds == HELD_OUT)[0]
    source = CaptionedGlyphs(ink, FEW, kinds == SEEN)
    with pytest.raises(DataError, match="no glyph of this set is like that"):
        source.fill(np.array([[0, 0, 0, fore + 1, character + 1, back + 1]]), rng)
