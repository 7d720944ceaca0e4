"""Distances at each scale: the pyramid by hand and by its sum, patches by loops, and what each level sees."""

import re

import numpy as np
import pytest

from npgan.layers.resize import repeat, sum_blocks
from npgan.metrics.pyramid import PATCHES, laplacian_pyramid, patches, pyramid_distances


def test_levels_by_hand():
    image = np.zeros((1, 32, 32, 1))
    image[0, 0, 0] = 4.0
    levels = laplacian_pyramid(image)
    assert [(height, level.shape) for height, level in levels.items()] == [
        (32, (1, 32, 32, 1)),
        (16, (1, 16, 16, 1)),
    ]
    np.testing.assert_array_equal(levels[32][0, :2, :2, 0], [[3, -1], [-1, -1]])
    assert levels[16][0, 0, 0, 0] == 1 and levels[32].sum() == 0


def test_levels_doubled_and_added_up_give_the_images(rng):
    images = rng.standard_normal((3, 64, 64, 3))
    levels = laplacian_pyramid(images)
    assert list(levels) == [64, 32, 16]
    total = levels[16]
    for height in (32, 64):
        total = repeat(total, (2, 2)) + levels[height]
    np.testing.assert_allclose(total, images, atol=1e-12)


@pytest.mark.parametrize(
    "shape, heights",
    [
        ((28, 28), [28, 14]),
        ((8, 8), [8]),
        ((30, 62), [30, 15]),
        ((17, 34), [17]),
        ((34, 17), [34]),
        ((16, 64), [16]),
        ((64, 16), [64]),
    ],
)
def test_levels_end_where_a_side_is_odd_or_small(shape, heights, rng):
    assert list(laplacian_pyramid(rng.standard_normal((2, *shape, 1)))) == heights


def test_patches_are_pieces_of_their_images(rng):
    level = rng.standard_normal((2, 9, 11, 3))
    found = patches(level, rng).reshape(2, PATCHES, 7, 7, 3)
    for image, some in zip(level, found):
        pieces = [image[i : i + 7, j : j + 7] for i in range(3) for j in range(5)]
        for patch in some:
            assert any(np.array_equal(patch, piece) for piece in pieces)
    assert patches(level[:, :5, :5], rng).shape == (2 * PATCHES, 75)
    assert patches(level[:, :, :5], rng).shape == (2 * PATCHES, 75)


def test_patches_come_from_every_place(rng):
    places = np.arange(9 * 11, dtype=float).reshape(1, 9, 11, 1)  # each pixel says where it is
    found = patches(np.repeat(places, 20, axis=0), rng)[:, 0]
    assert set(found) == {11 * i + j for i in range(3) for j in range(5)}


def smooth(n, rng):
    return repeat(rng.standard_normal((n, 4, 4, 3)), (8, 8)) + 0.05 * rng.standard_normal((n, 32, 32, 3))


@pytest.mark.parametrize(
    "change, worse, same",
    [
        (lambda x, rng: x + 0.3 * rng.standard_normal(x.shape), 32, 16),  # noise
        (lambda x, rng: repeat(sum_blocks(x, (2, 2)) / 4, (2, 2)), 32, 16),  # blur: no fine edges at all
        (lambda x, rng: x + 1.0, 16, 32),  # another colour
    ],
)
def test_each_mistake_shows_at_its_own_scale(change, worse, same, rng):
    real, others = smooth(100, rng), smooth(100, rng)
    floor = pyramid_distances(real=real, generated=others)
    found = pyramid_distances(real=real, generated=change(others, rng))
    assert found[worse] > 4 * floor[worse]
    assert found[same] < 2 * floor[same]


def test_equal_sets_have_no_distance_and_a_seed_gives_one_number(rng):
    real, others = smooth(20, rng), smooth(20, rng)
    assert set(pyramid_distances(real=real, generated=real).values()) == {0.0}
    first, again = (pyramid_distances(real=real, generated=others, seed=3) for _ in range(2))
    assert first == again != pyramid_distances(real=real, generated=others, seed=4)


def test_distances_are_in_units_of_the_real_images_own_spread(rng):
    """Faint edges count like strong ones; a level without any spread is no division by zero."""
    real, others = smooth(20, rng), smooth(20, rng)
    plain = pyramid_distances(real=real, generated=others)
    faint = pyramid_distances(real=0.01 * real, generated=0.01 * others)
    assert faint == pytest.approx(plain)
    flat = np.full((4, 32, 32, 1), 0.25)
    assert pyramid_distances(real=flat, generated=flat) == {32: 0.0, 16: 0.0}


@pytest.mark.parametrize(
    "real, generated",
    [
        (np.zeros((4, 32, 32, 1)), np.zeros((3, 32, 32, 1))),
        (np.zeros((4, 32, 32, 1)), np.zeros((4, 16, 16, 1))),
        (np.zeros((4, 32, 32)), np.zeros((4, 32, 32))),
        (np.zeros((4, 32, 32, 1), np.uint8), np.zeros((4, 32, 32, 1), np.uint8)),  # sums would run over
    ],
)
def test_sets_that_cannot_be_compared_are_refused_by_name(real, generated):
    message = "pyramid_distances: real and generated must be floating images (N, H, W, C) of one shape, got "
    with pytest.raises(ValueError, match=re.escape(message)):
        pyramid_distances(real=real, generated=generated)
