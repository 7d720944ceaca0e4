"""Masks: 1 is missing; every kind, mask files, damage and blend."""

import struct
import zlib

import numpy as np
import pytest
import strict_cupy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from npgan import masks
from npgan.errors import DataError

SIZES = st.integers(4, 24)
SEEDS = st.integers(0, 2**32 - 1)


def photo_and_mask(rng, n=3, h=8, w=6, channels=3):
    images = rng.uniform(-1, 1, (n, h, w, channels)).astype(np.float32)
    return images, masks.make("rectangles", n, h, w, rng)


# What a mask means. Turned around, each of these fails.


def test_one_is_missing_by_hand():
    mask = masks.make("centre", 1, 4, 4, np.random.default_rng(0))[0, :, :, 0]
    assert mask.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_damage_replaces_where_the_mask_is_one():
    images = np.array([[0.5, -0.5, 0.1, 0.3]], np.float32).reshape(1, 1, 4, 1)
    mask = np.array([1, 0, 0, 0], np.float32).reshape(1, 1, 4, 1)
    assert masks.damage(images, mask, "zero").ravel().tolist() == pytest.approx([0, -0.5, 0.1, 0.3])
    assert masks.damage(images, mask, "mean").ravel().tolist() == pytest.approx([-0.1 / 3, -0.5, 0.1, 0.3])


def test_blend_takes_the_repair_where_the_mask_is_one():
    images, repaired = np.full((1, 1, 2, 1), -1.0), np.full((1, 1, 2, 1), 1.0)
    mask = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    assert masks.blend(images, repaired, mask).ravel().tolist() == [1, -1]


def test_white_in_a_file_is_missing(tmp_path):
    path = save(tmp_path, np.array([[255, 128, 127, 0]] * 4, np.uint8))
    assert masks.load_mask(path, 4)[0, :, :, 0].tolist() == [[1, 1, 0, 0]] * 4


# The kinds


@given(kind=st.sampled_from(sorted(masks.KINDS)), count=st.integers(1, 5), h=SIZES, w=SIZES, seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_every_mask_has_missing_and_known_pixels(kind, count, h, w, seed):
    drawn = masks.make(kind, count, h, w, np.random.default_rng(seed))
    assert drawn.shape == (count, h, w, 1) and drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {0, 1}
    assert ((drawn.mean(axis=(1, 2, 3)) > 0) & (drawn.mean(axis=(1, 2, 3)) < 1)).all()
    again = masks.make(kind, count, h, w, np.random.default_rng(seed))
    assert np.array_equal(drawn, again)


@pytest.mark.parametrize(
    "kind, low, high",
    [
        ("centre", 0.25, 0.25),
        ("rectangle", 1 / 16, 1 / 4),
        ("rectangles", 1 / 64, 4 / 9),
        ("strokes", 0.1, 0.4),
        ("pixels", 0.5, 0.5),
        ("half", 0.5, 0.5),
    ],
)
def test_missing_area(kind, low, high):
    area = masks.make(kind, 200, 32, 32, np.random.default_rng(0)).mean(axis=(1, 2, 3))
    assert low <= area.min() and area.max() <= high
    assert (
        kind == "centre"
        or len(np.unique(masks.make(kind, 200, 32, 32, np.random.default_rng(0)), axis=0)) > 3
    )


def test_rectangles_reach_every_border():
    missing = masks.make("rectangle", 500, 8, 12, np.random.default_rng(0))[..., 0]
    assert missing[:, 0].any() and missing[:, -1].any() and missing[:, :, 0].any() and missing[:, :, -1].any()


def test_half_takes_all_four_halves():
    four = np.unique(masks.make("half", 100, 4, 6, np.random.default_rng(0))[..., 0], axis=0)
    assert len(four) == 4
    rows = [m[0].all() and not m[-1].any() or m[-1].all() and not m[0].any() for m in four]
    columns = [m[:, 0].all() and not m[:, -1].any() or m[:, -1].all() and not m[:, 0].any() for m in four]
    assert sum(rows) == 2 and sum(columns) == 2


def test_a_stroke_has_the_brush_round_its_ends():
    start, end, radius = np.array([[5.0, 3.0]]), np.array([[5.0, 8.0]]), np.array([2.0])
    missing = masks._near_segment(11, 12, start, end, radius)[0]
    for y in range(11):
        for x in range(12):
            nearest_x = min(max(x, 3), 8)
            assert missing[y, x] == ((y - 5) ** 2 + (x - nearest_x) ** 2 <= 4)


@pytest.mark.parametrize("bad", [dict(count=0), dict(height=3), dict(width=3), dict(count=1.5)])
def test_bad_sizes(bad):
    arguments = dict(count=1, height=8, width=8) | bad
    with pytest.raises(ValueError, match=next(iter(bad))):
        masks.make("centre", **arguments, rng=np.random.default_rng(0))


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(ValueError, match="centre, rectangle, rectangles, strokes, pixels, half.*'center'"):
        masks.make("center", 1, 8, 8, np.random.default_rng(0))


# Files


def save(folder, pixels, name="mask.png", mode=None):
    image = Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    image.save(folder / name)
    return folder / name


def drawing():
    pixels = np.zeros((6, 8), np.uint8)
    pixels[1:4, 2:7] = 255
    return pixels


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_modes_of_png(tmp_path, mode):
    if mode == "I;16":
        path = save(tmp_path, drawing().astype(np.uint16) * 257)
    else:
        path = save(tmp_path, drawing(), mode=mode)
    mask = masks.load_mask(path, (6, 8))
    assert mask.dtype == np.float32 and mask.shape == (1, 6, 8, 1)
    assert np.array_equal(mask[0, :, :, 0], drawing() / 255)
    assert np.array_equal(masks.make(str(path), 3, 6, 8, np.random.default_rng(0)), mask.repeat(3, axis=0))
    assert np.array_equal(masks.make(path, 1, 6, 8, np.random.default_rng(0)), mask)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    pixels = np.where(drawing() == 255, 0x9000, 0x4000).astype(np.uint16)
    assert np.array_equal(masks.load_mask(save(tmp_path, pixels), (6, 8))[0, :, :, 0], drawing() / 255)


def test_transparent_is_known(tmp_path):
    white = np.full((6, 8, 4), 255, np.uint8)
    white[..., 3] = drawing()
    assert np.array_equal(masks.load_mask(save(tmp_path, white), (6, 8))[0, :, :, 0], drawing() / 255)


def test_files_that_cannot_be_used_are_named(tmp_path):
    def refused(path, match, size=(6, 8)):
        with pytest.raises(DataError, match=match) as error:
            masks.load_mask(path, size)
        assert str(path) in str(error.value)

    refused(save(tmp_path, drawing()), "wanted a mask of 6 x 8 pixels.*got 8 x 6", size=(8, 6))
    refused(save(tmp_path, drawing()), "wanted a mask of 8 x 8 pixels.*got 8 x 6", size=8)
    refused(save(tmp_path, np.zeros((6, 8), np.uint8)), "no pixel is white")
    refused(save(tmp_path, np.full((6, 8), 200, np.uint8)), "no pixel is black")
    refused(tmp_path / "none.png", "cannot be read")
    refused(tmp_path, "cannot be read")
    (tmp_path / "text.png").write_text("not a picture")
    refused(tmp_path / "text.png", "cannot be read")
    whole = save(tmp_path, np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 40])
    refused(tmp_path / "cut.png", "cannot be read")


def test_a_huge_picture_is_refused_undecoded(tmp_path):
    # A PNG header that promises 20,000 x 20,000 pixels, and nothing behind it.
    header = struct.pack(">II5B", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(DataError, match="huge.png"):
        masks.load_mask(tmp_path / "huge.png", 64)


# A colour


def painted(colour, shape=(9, 11)):
    """A grey ramp, (H, W, 3), with one pixel of a colour at (4, 5)."""
    picture = np.repeat(np.arange(np.prod(shape), dtype=np.uint8).reshape(*shape, 1) + 60, 3, axis=2)
    picture[4, 5] = colour
    return picture


@pytest.mark.parametrize("name", ["red", "#ff0000", "Red", "#f00", "rgb(255, 0, 0)"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (239, 16, 16)])
def test_what_was_painted_over_is_missing_and_two_pixels_around(name, colour):
    mask = masks.of_picture(name, painted(colour))
    wanted = np.zeros((9, 11))
    wanted[2:7, 3:8] = 1
    assert mask.shape == (1, 9, 11, 1) and mask.dtype == np.float32
    assert np.array_equal(mask[0, ..., 0], wanted)


def test_a_colour_in_a_grey_picture_is_its_grey_and_near_is_not_far():
    picture = np.full((9, 11, 1), 200, np.uint8)
    picture[0, 0] = 76  # the grey of red
    assert np.argwhere(masks.of_picture("red", picture)[0, ..., 0]).tolist() == [
        [y, x] for y in range(3) for x in range(3)
    ]
    for channel in range(3):
        near = np.array([255, 0, 0])
        near[channel] = abs(near[channel] - 17)
        with pytest.raises(DataError, match="0 of 99 pixels are red, so none is missing"):
            masks.of_picture("red", painted(near))
    with pytest.raises(
        DataError, match="25 of 25 pixels are black: with 2 pixels around them nothing is left"
    ):
        masks.of_picture("black", np.zeros((5, 5, 3), np.uint8))


def test_a_file_goes_before_a_colour_and_what_is_neither_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, drawing()).rename("red")
    picture = np.zeros((6, 8, 3), np.uint8)
    assert np.array_equal(masks.of_picture("red", picture)[0, ..., 0], drawing() / 255)
    with pytest.raises(DataError, match="raed: cannot be read as a mask"):
        masks.of_picture("raed", picture)
    with pytest.raises(DataError, match="wanted a mask of 9 x 6"):
        masks.of_picture("red", np.zeros((6, 9, 3), np.uint8))


# Damage and blend


@pytest.mark.parametrize("fill", masks.FILLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_damage_keeps_the_known_pixels(fill, dtype):
    rng = np.random.default_rng(0)
    images, holes = photo_and_mask(rng)
    images = images.astype(dtype)
    before = images.copy()
    damaged = masks.damage(images, holes, fill, rng)
    known = np.broadcast_to(holes == 0, images.shape)
    assert damaged.dtype == dtype
    assert damaged[known].tobytes() == images[known].tobytes()
    assert (damaged[~known] != images[~known]).all() and np.abs(damaged).max() <= 1
    assert images.tobytes() == before.tobytes()
    unseen = masks.damage(
        np.where(known, images, np.nan).astype(dtype), holes, fill, np.random.default_rng(1)
    )
    assert np.isfinite(unseen).all()  # what stood in the hole leaves no trace


def test_mean_is_each_images_own_colour():
    images, holes = photo_and_mask(np.random.default_rng(0))
    damaged = masks.damage(images, holes, "mean")
    for image, hole, result in zip(images, holes[..., 0] > 0.5, damaged):
        assert np.allclose(result[hole], image[~hole].mean(axis=0), atol=1e-6)


def test_noise_is_drawn_from_the_generator():
    images, holes = photo_and_mask(np.random.default_rng(0))
    one, same, other = (
        masks.damage(images, holes, "noise", np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    with pytest.raises(ValueError, match="needs rng"):
        masks.damage(images, holes, "noise")
    with pytest.raises(ValueError, match="mean, zero, noise, got 'black'"):
        masks.damage(images, holes, "black")


def test_blend_chooses_bit_for_bit():
    images, holes = photo_and_mask(np.random.default_rng(0))
    missing = np.broadcast_to(holes == 1, images.shape)
    repaired = np.where(missing, 0.25, np.nan)  # float64, and NaN where it must not be read
    blended = masks.blend(images, repaired, holes)
    assert blended.dtype == np.float32 and (blended[missing] == 0.25).all()
    assert blended[~missing].tobytes() == images[~missing].tobytes()
    broken = np.where(missing, np.nan, images)
    assert np.isfinite(masks.blend(broken, np.zeros_like(images), holes)).all()


def test_one_mask_serves_a_batch():
    images, holes = photo_and_mask(np.random.default_rng(0))
    for call in (
        lambda m: masks.damage(images, m, "mean"),
        lambda m: masks.blend(images, np.zeros_like(images), m),
    ):
        assert np.array_equal(call(holes[:1]), call(holes[:1].repeat(3, axis=0)))


@pytest.mark.parametrize("shape", [(2, 8, 6, 1), (3, 6, 8, 1), (3, 8, 6), (3, 8, 6, 3), (8, 6, 1)])
def test_masks_that_do_not_fit(shape):
    images, _ = photo_and_mask(np.random.default_rng(0))
    with pytest.raises(ValueError, match="wanted images of shape .* and masks of shape"):
        masks.damage(images, np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="masks of shape"):
        masks.blend(images, images, np.zeros(shape, np.float32))


def test_images_and_repairs_of_two_shapes():
    images, holes = photo_and_mask(np.random.default_rng(0))
    with pytest.raises(ValueError, match="wanted the same"):
        masks.blend(images, images[:1], holes)


def test_damage_and_blend_on_the_device(monkeypatch):
    images, holes = photo_and_mask(np.random.default_rng(0))
    host = {fill: masks.damage(images, holes, fill, np.random.default_rng(1)) for fill in masks.FILLS}
    cupy = strict_cupy.install(monkeypatch)
    x, m = cupy.asarray(images), cupy.asarray(holes)
    with strict_cupy.forbid_float64():
        for fill in masks.FILLS:
            damaged = masks.damage(x, m, fill, np.random.default_rng(1))
            assert np.allclose(cupy.asnumpy(damaged), host[fill], atol=1e-6)
        strict_cupy.counters.reset()
        blended = masks.blend(x, masks.damage(x, m, "mean"), m)
        assert strict_cupy.counters.uploads == strict_cupy.counters.synchronisations == 0
    assert np.allclose(cupy.asnumpy(blended), host["mean"], atol=1e-6)
    with pytest.raises(TypeError, match="NumPy and CuPy"):
        masks.blend(x, x, holes)
