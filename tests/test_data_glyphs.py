"""Glyphs and photographs: determinism, legibility, nothing on the border."""

import numpy as np
import pytest

from npgan.data import DIGITS, FONTS, LOWERCASE, UPPERCASE, glyphs, photo, photograph

LUMA = np.array([0.299, 0.587, 0.114])
ALL = DIGITS + UPPERCASE + LOWERCASE


@pytest.mark.parametrize("size", [8, 28, 32, 64, 1030])
@pytest.mark.parametrize("colour", [False, True])
def test_shape_and_labels(size, colour):
    images = glyphs(3, size=size, colour=colour, characters=ALL)
    assert len(images) == 3 and images.shape == (size, size, 3 if colour else 1)
    assert images.pixels.dtype == np.uint8
    assert images.labels["character"].max() < len(ALL) and images.labels["font"].max() < len(FONTS)
    assert set(images.labels) == {"character", "font", "weight", "slant", "height"} | (
        {"foreground", "background"} if colour else set()
    )


def test_same_seed_same_images_and_count_does_not_matter():
    few, many = glyphs(100, seed=3, colour=True), glyphs(3000, seed=3, colour=True)
    np.testing.assert_array_equal(few.pixels, many.pixels[:100])
    for key in few.labels:
        np.testing.assert_array_equal(few.labels[key], many.labels[key][:100])
    assert (few.pixels != glyphs(100, seed=4, colour=True).pixels).any()


@pytest.mark.parametrize("size", [8, 28, 64])
def test_ink_everywhere_but_on_the_border(size):
    pixels = glyphs(3000, size=size, characters=ALL).pixels[..., 0]
    for edge in (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]):
        assert edge.max() == 0
    assert pixels.max(axis=(1, 2)).min() > 60  # no empty image, and no neighbour's ink in it
    assert ((0 < pixels) & (pixels < 255)).any()  # antialiased


def test_every_font_draws_every_character_differently():
    for font in FONTS:
        pixels = glyphs(1000, size=16, characters=DIGITS, fonts=[font], seed=1)
        means = [pixels[pixels.labels["character"] == k].mean(axis=0) for k in range(10)]
        assert min(np.abs(a - b).mean() for i, a in enumerate(means) for b in means[:i]) > 0.02, font


def test_digits_are_legible_to_the_nearest_mean():
    images = glyphs(6000, seed=0)
    x, y = images[:].reshape(len(images), -1), images.labels["character"]
    means = np.stack([x[:5000][y[:5000] == k].mean(axis=0) for k in range(10)])
    distance = ((x[5000:, None] - means) ** 2).sum(axis=2)
    assert (distance.argmin(axis=1) == y[5000:]).mean() > 0.75


def test_a_capital_is_as_high_as_stated():
    ink = glyphs(200, size=64, characters="H", fonts=["DejaVuSans"]).pixels[..., 0] > 127
    height = ink.any(axis=2).sum(axis=1) / 64
    assert 0.53 < height.min() < 0.62 and 0.68 < height.max() < 0.85


def test_colours_are_those_of_the_labels_and_contrast():
    images = glyphs(500, colour=True, size=64)
    fore, back = (images.labels[key] for key in ("foreground", "background"))
    assert np.abs((fore.astype(float) - back) @ LUMA).min() > 0.39 * 255
    np.testing.assert_array_equal(images.pixels[:, 0, 0], back)
    solid = (images.pixels == fore[:, None, None]).all(axis=3).any(axis=(1, 2))
    assert solid.mean() > 0.95


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"count": 0}, "count"),
        ({"count": 1.5}, "count"),
        ({"size": 7}, "size"),
        ({"characters": ""}, "characters"),
        ({"characters": "a b"}, "characters"),
        ({"characters": "漢"}, "characters"),
        ({"fonts": ["Comic Sans"]}, "fonts"),
        ({"fonts": []}, "fonts"),
        ({"count": 10**9}, "limit"),
    ],
)
def test_glyphs_names_the_bad_argument(arguments, name):
    with pytest.raises(ValueError, match=name):
        glyphs(**{"count": 2, **arguments})


def test_photograph_is_whole():
    assert photograph().shape == (600, 512, 3) and photograph().dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 64, 700])
def test_photo(size, channels):
    images = photo(4, size=size, channels=channels, seed=1)
    assert images.shape == (size, size, channels) and len(images) == 4
    np.testing.assert_array_equal(images.pixels[:2], photo(2, size=size, channels=channels, seed=1).pixels)
    assert (images.pixels[0] != images.pixels[1]).any()
    with pytest.raises(ValueError, match="channels"):
        photo(2, channels=2)
