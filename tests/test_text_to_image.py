"""What the scripts of lesson 16 share: who learns from which images, captions from a file, scores."""

import numpy as np
import pytest

from npgan import text_to_image
from npgan.data import DataError
from npgan.data.captions import HELD_OUT, HELD_OUT_PAIR, SEEN, Grammar
from npgan.metrics.captions import pairwise_distance
from npgan.text_to_image import judged, part_of_real, read_captions, varieties

SETTINGS = {"data": "glyphs", "size": None, "channels": None, "seed": 3, "quick": True}
GRAMMAR = Grammar()


@pytest.fixture(scope="module")
def problem():
    return text_to_image.load(SETTINGS)


def test_what_is_held_out_is_never_drawn_in_training(problem, rng):
    kinds = GRAMMAR.kinds()
    for source, kind in (
        (problem.train, SEEN),
        (problem.unseen["seen"], SEEN),
        (problem.unseen["held-out"], HELD_OUT),
        (problem.unseen["held-out pairs"], HELD_OUT_PAIR),
    ):
        three = source.draw(300, rng)[1] - 1
        assert (kinds[three[:, 4], three[:, 3], three[:, 5]] == kind).all()
    three = problem.everything.draw(600, rng)[1] - 1  # what is left out of a caption may be any
    assert set(kinds[three[:, 4], three[:, 3], three[:, 5]]) == {SEEN, HELD_OUT, HELD_OUT_PAIR}


def test_unseen_glyphs_are_others_than_those_that_are_learned_from(problem):
    learned = {image.tobytes() for image in problem.train.ink.pixels}
    assert len(learned) > 1400 and problem.images is problem.train.ink
    for source in problem.unseen.values():
        assert not learned & {image.tobytes() for image in source.ink.pixels}
    again = text_to_image.load(SETTINGS | {"seed": 4})  # nor do two seeds share them
    assert not learned & {image.tobytes() for image in again.unseen["seen"].ink.pixels}


def save_classes(path, classes, rng):
    pixels = rng.integers(0, 256, (len(classes), 32, 32)).astype(np.uint8)
    np.savez(path, images=pixels, labels=np.array(classes))
    return SETTINGS | {"data": str(path)}


def test_unseen_images_of_one_s_own_are_others_but_of_no_class_that_was_not_learned(tmp_path, rng):
    settings = save_classes(tmp_path / "a.npz", [0] * 20 + [1] * 20 + [2], rng)
    met = set()
    for seed in range(12):
        problem = text_to_image.load(settings | {"seed": seed})
        learned, unseen = problem.train.images, problem.unseen["unseen"].images
        assert not {i.tobytes() for i in learned[:]} & {i.tobytes() for i in unseen[:]}
        assert set(unseen.classes) <= set(learned.classes)
        assert len(learned) == 35 and len(unseen) == 6 - (2 not in learned.classes)
        met.add(2 in learned.classes)
    assert met == {True, False}


def test_too_few_images_are_one_line(tmp_path, rng):
    with pytest.raises(DataError, match="1 to learn from: these images are all of one"):
        text_to_image.load(save_classes(tmp_path / "two.npz", [0, 1], rng))
    settings = save_classes(tmp_path / "three.npz", [0, 1, 2], rng)
    with pytest.raises(DataError, match="3 images are too few: of no class is one left to be unseen"):
        text_to_image.load(settings)


def test_other_classes_than_those_that_were_learned_are_refused(tmp_path, rng):
    settings = save_classes(tmp_path / "a.npz", [0, 1] * 10, rng)
    assert text_to_image.load(settings | {"classes": ["0", "1"]}).train.grammar.count == 3
    with pytest.raises(DataError, match="learned were the classes .'0', '2'., here are .'0', '1'."):
        text_to_image.load(settings | {"classes": ["0", "2"]})


# Captions --------------------------------------------------------------------------------------------------------


def test_test_captions_say_the_main_words_and_half_of_the_others(problem, rng):
    rows = text_to_image.test_captions(problem.unseen["held-out"], 400, rng)
    assert (rows[:, list(GRAMMAR.main)] > 0).all()
    assert 0.4 < (rows[:, 0] > 0).mean() < 0.6  # a weight is always true, so it is said as often as not
    kinds, three = GRAMMAR.kinds(), rows - 1
    assert (kinds[three[:, 4], three[:, 3], three[:, 5]] == HELD_OUT).all()


@pytest.mark.parametrize("start, ending", [(b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n"), (b"\n \n", b"\n\n")])
def test_a_file_of_captions_may_come_from_any_editor(tmp_path, start, ending):
    (tmp_path / "captions.txt").write_bytes(start + ending.join([b"a bold 7", b"  a red 3 ", b""]))
    captions, rows = read_captions([str(tmp_path / "captions.txt")], GRAMMAR)
    assert captions == ["a bold 7", "a red 3"]
    np.testing.assert_array_equal(rows, [GRAMMAR.read(caption) for caption in captions])


@pytest.mark.parametrize(
    "content, message",
    [(b"\n \n", "holds no caption"), (b"a 7\xff", "cannot be read"), (b"a 7\na puce 3", "'puce' is no word")],
)
def test_a_file_that_holds_no_captions_is_one_line(tmp_path, content, message):
    (tmp_path / "captions.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_captions([str(tmp_path / "captions.txt")], GRAMMAR)


def test_a_caption_too_long_for_the_name_of_a_file_is_read_as_a_caption():
    captions, rows = read_captions([200 * "red " + "7"], GRAMMAR)
    np.testing.assert_array_equal(rows, [GRAMMAR.read("red 7")])
    with pytest.raises(DataError, match="is no word of the grammar"):
        read_captions([300 * "x"], GRAMMAR)


# Scores ----------------------------------------------------------------------------------------------------------


class Reader:
    """A judge of pictures whose first pixel is the character."""

    def read(self, images):
        rows = np.zeros((len(images), 6), int)
        rows[:, 4] = images[:, 0, 0, 0]
        return rows


def test_samples_are_judged_by_their_own_captions(problem):
    rows = np.zeros((2, 6), int)
    rows[:, 4] = [3, 5]
    images = np.zeros((6, 2, 2, 3))
    images[:, 0, 0, 0] = [3, 3, 3, 5, 5, 1]  # three samples of the first, then three of the second
    scores, apart = judged(rows, images, Reader(), problem.train)
    assert scores["character"] == scores["main"] == 5 / 6
    assert apart == pytest.approx(pairwise_distance(images.reshape(2, 3, 2, 2, 3))) == pytest.approx(8 / 6)


def test_diversity_without_real_images_to_compare_with_is_no_number():
    assert part_of_real(1.0, 2.0) == 0.5 and np.isnan(part_of_real(1.0, 0.0))


def test_varieties_are_worked_out_by_hand():
    rows = np.array([[1, 0, 2], [0, 0, 2]])
    seen = np.array([[[1, 1, 2], [1, 2, 2], [1, 2, 1]], [[1, 4, 2], [2, 4, 2], [3, 4, 2]]])  # 2, 3 samples, 3
    found = varieties(rows, seen)
    assert found[0] == 3 and found[1] == 1.5 and np.isnan(found[2])


def test_pictures_come_in_the_order_of_their_captions(rng):
    grammar = GRAMMAR
    generator = text_to_image.make_generator((8, 8, 3), grammar, rng)
    tokens = grammar.tokens(np.stack([GRAMMAR.read("a bold red 7 on blue")] * 300))
    noise = text_to_image.draw_noise(300, rng)
    images = text_to_image.sample(generator, tokens, noise)
    for n in (0, 255, 256, 299):
        alone, _ = generator.forward([noise[[n]], tokens[[n]]], train=False)
        np.testing.assert_allclose(images[n], alone[0], atol=1e-5)
