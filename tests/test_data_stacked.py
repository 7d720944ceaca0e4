"""Stacked images: each channel is one of the grey images, the one that `rows` names."""

import numpy as np
import pytest

from npgan.data import Images, glyphs, stacked


def grey(count=7, size=(4, 5)):
    return Images(np.random.default_rng(3).integers(0, 256, (count, *size), dtype=np.uint8))


def test_each_channel_is_the_image_that_its_row_names():
    images = grey()
    x, rows = stacked(images, 11, np.random.default_rng(0))
    assert x.shape == (11, 4, 5, 3) and x.dtype == np.float32 and x.flags.c_contiguous
    assert rows.shape == (11, 3)
    for sample, three in zip(x, rows):
        for channel, row in enumerate(three):
            np.testing.assert_array_equal(sample[..., channel], images[int(row)][..., 0])


def test_the_channels_are_drawn_independently_and_the_same_rng_gives_the_same():
    images = glyphs(200, size=8, characters="01")
    x, rows = stacked(images, 4000, np.random.default_rng(0))
    modes = images.labels["character"][rows] @ [4, 2, 1]
    ones = images.labels["character"].mean()
    share = np.bincount(modes, minlength=8) / 4000
    wanted = [np.prod([ones if mode >> bit & 1 else 1 - ones for bit in range(3)]) for mode in range(8)]
    np.testing.assert_allclose(share, wanted, atol=0.03)
    again, _ = stacked(images, 4000, np.random.default_rng(0))
    np.testing.assert_array_equal(x, again)


def test_one_image_can_only_be_stacked_on_itself():
    x, rows = stacked(grey(1), 2, np.random.default_rng(0))
    assert (rows == 0).all() and (x == x[..., :1]).all()


def test_what_is_refused():
    colour = Images(np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^stacked: images must be grey, \(h, w, 1\), got \(4, 4, 3\)"):
        stacked(colour, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="^count: wanted a whole number, got 2.5"):
        stacked(grey(), 2.5, np.random.default_rng(0))
