"""Captions of one word: the class of an image."""

import numpy as np
import pytest
from PIL import Image

from npgan.data import DataError, Images, load
from npgan.data.named import Names, named

NAMES = Names(("cat", "a", "Sea horse", "dog", "Cafe\u0301", "two  spaces", "stra\u00dfe"))  # an e, an accent


@pytest.mark.parametrize(
    "caption, row",
    [
        *[("a cat", 1), ("cat", 1), ("A CAT", 1), ("a", 2), ("a a", 2), ("a sea  horse", 3), ("an dog", 4)],
        *[("a caf\u00e9", 5), ("CAFE\u0301", 5), ("two spaces", 6), ("a STRASSE", 7)],
    ],
)
def test_a_caption_names_a_class_with_an_article_or_without(caption, row):
    np.testing.assert_array_equal(NAMES.read(caption), [row])


@pytest.mark.parametrize("caption", ["", "an", "a bird", "the cat", "cat dog"])
def test_what_names_no_class_is_one_line(caption):
    with pytest.raises(DataError, match="names no class; known are cat, a, Sea horse, dog, ") as error:
        NAMES.read(caption)
    assert "\n" not in str(error.value)


def test_what_is_written_is_read():
    for row in range(1, 1 + len(NAMES.words["class"])):
        row = [row]
        np.testing.assert_array_equal(NAMES.read(NAMES.write(np.array(row))), row)
    assert NAMES.write(np.array([0])) == "anything"


@pytest.fixture
def source(rng):
    classes = np.repeat([0, 2, 3], [30, 20, 10])  # of class 1 there is none
    pixels = np.broadcast_to((20 * classes)[:, None, None, None], (60, 8, 8, 1)).astype(np.uint8)
    return named(Images(pixels, {"class": classes}), "these")


def test_images_are_of_the_class_that_is_said(source, rng):
    images, rows = source.draw(50, rng, copies=2)
    assert images.shape == (100, *source.shape) and set(rows[:, 0]) == {1, 3, 4}
    np.testing.assert_array_equal(rows[::2], rows[1::2])
    np.testing.assert_allclose((images[:, 0, 0, 0] + 1) * 127.5, 20 * (rows[:, 0] - 1), atol=1e-3)
    assert (rows == 1).mean() > (rows == 4).mean()  # as often as it comes


def test_wrong_classes_are_wrong_and_there(source, rng):
    _, rows = source.draw(200, rng)
    wrong = source.wrong(rows, rng)
    assert wrong.shape == rows.shape and (wrong != rows).all() and set(wrong[:, 0]) == {1, 3, 4}


def test_what_is_left_out_is_drawn_by_lot(source, rng):
    rows = np.array([[3], [0]] * 40)
    filled = source.fill(rows, rng)
    assert (filled[::2] == 3).all() and set(filled[1::2, 0]) == {1, 3, 4}


def test_a_class_without_an_image_is_one_line(source, rng):
    with pytest.raises(DataError, match="^caption 'a 1': no image of this set is of that class$"):
        source.fill(np.array([[1], [2]]), rng)


def test_ink_is_white_on_black(source):
    np.testing.assert_array_equal(source.colours(np.array([[1], [3]])), [[[1], [-1]]] * 2)


@pytest.mark.parametrize("labels, why", [({}, "have none"), ({"class": np.zeros(4, int)}, "are all of one")])
def test_without_classes_there_is_nothing_to_say(labels, why):
    with pytest.raises(DataError, match=f"^my: these images {why}; wanted classes"):
        named(Images(np.zeros((4, 8, 8, 1), np.uint8), labels), "my")


def test_a_folder_of_folders_has_names(tmp_path):
    for name in ("tea pot", "Cup"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (16, 16), 40 * number).save(tmp_path / name / f"{number}.png")
    images = load(tmp_path)
    assert (
        images.names == ("Cup", "tea pot")
        and images.split(2, np.random.default_rng(0))[1].names == images.names
    )
    grammar = named(images, "these").grammar
    assert grammar.write(grammar.read("a TEA pot")) == "a tea pot"
