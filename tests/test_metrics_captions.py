"""The judge of captions: right on real pictures that it has not seen, and wrong words cost what they should."""

import numpy as np
import pytest

from npgan.data import glyphs
from npgan.data.captions import ALIKE, BACKGROUND, CHARACTER, FOREGROUND, CaptionedGlyphs, Grammar
from npgan.metrics.captions import Judge, pairwise_distance, word_scores

GRAMMAR = Grammar("0178")


@pytest.fixture(scope="module")
def judge():
    return Judge(glyphs(2000, size=32, characters="0178"), GRAMMAR, np.random.default_rng(0), steps=150)


@pytest.fixture(scope="module")
def real():
    ink = glyphs(400, size=32, characters="0178", seed=1)
    source = CaptionedGlyphs(ink, GRAMMAR, GRAMMAR.kinds() != ALIKE)
    return source.draw(400, np.random.default_rng(2))


def test_the_judge_is_right_on_real_pictures(judge, real):
    images, true = real
    scores = word_scores(true, judge.read(images), GRAMMAR)
    assert scores["foreground"] == scores["background"] == 1
    assert scores["character"] > 0.97 and scores["weight"] > 0.93  # 0.998, 0.970: steps are few
    assert scores["size"] > 0.85 and scores["slant"] > 0.8
    assert scores["main"] > 0.97 and scores["all"] <= scores["main"]


def test_the_judge_sees_a_wrong_colour_and_a_wrong_character(judge, real):
    images, true = real
    other = true.copy()
    other[:, FOREGROUND] = 1 + true[:, FOREGROUND] % 8
    assert word_scores(other, judge.read(images), GRAMMAR)["foreground"] == 0
    rolled = np.roll(images, 1, axis=0)
    seen = word_scores(true, judge.read(rolled), GRAMMAR)
    assert seen["character"] < 0.5 and seen["background"] < 0.4 and seen["main"] < 0.05


def test_the_judge_is_not_pleased_with_noise_or_with_a_blank(judge, rng):
    flat = np.broadcast_to(GRAMMAR.palette[2], (50, 32, 32, 3)).copy()
    fore, back = judge.colours(flat)
    assert (fore == 2).all() and (back == 2).all()  # no caption has both alike
    noise = rng.uniform(-1, 1, (200, 32, 32, 3)).astype(np.float32)
    said = np.zeros((200, 6), int)
    said[:, [FOREGROUND, CHARACTER, BACKGROUND]] = rng.integers(1, 5, (200, 3))
    assert word_scores(said, judge.read(noise), GRAMMAR)["main"] < 0.1


def test_a_border_is_what_most_of_it_is(judge):
    picture = np.broadcast_to(GRAMMAR.palette[1], (1, 32, 32, 3)).copy()  # white
    picture[0, 0] = GRAMMAR.palette[0]  # a quarter of its edge black
    picture[0, 12:20, 12:20] = GRAMMAR.palette[2]
    assert judge.colours(picture)[1][0] == 1


def test_scores_are_worked_out_by_hand():
    said = np.array([[1, 0, 0, 3, 4, 5], [0, 0, 2, 3, 0, 0]])
    seen = np.array([[2, 1, 1, 3, 4, 5], [1, 1, 2, 4, 9, 9]])
    scores = word_scores(said, seen, GRAMMAR)
    assert scores["weight"] == 0 and np.isnan(scores["size"]) and scores["slant"] == 1
    assert scores["foreground"] == 0.5 and scores["character"] == 1
    assert scores["main"] == 0.5 and scores["all"] == 0
    said[0, 0] = 2
    scores = word_scores(said, seen, GRAMMAR)  # size and slant of the first were not said
    assert scores["weight"] == 1 and scores["all"] == 0.5


def test_pairwise_distance_is_worked_out_by_hand():
    images = np.zeros((2, 3, 1, 2, 1))
    images[0, 1, 0] = [[3], [4]]  # 5 from each of the two others, which are 0 apart
    assert pairwise_distance(images) == pytest.approx((10 / 3 + 0) / 2)
    with pytest.raises(ValueError, match="at least 2 samples"):
        pairwise_distance(images[:, :1])
