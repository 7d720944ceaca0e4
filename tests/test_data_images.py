"""The class Images: what it accepts, what it gives, and other sizes and channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npgan.data import DataError, Images
from npgan.data.convert import LUMA, convert


def numbered(n: int, h: int = 2, w: int = 3) -> Images:
    """Image i is full of the value i."""
    pixels = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, h, w, 1))
    return Images(pixels, {"class": np.arange(n)}, name="numbered")


def values(x: np.ndarray) -> list[int]:
    return np.rint((x[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


@pytest.mark.parametrize(
    "given_, wanted",
    [
        (np.array([0, 51, 255], np.uint8), [-1, -0.6, 1]),
        (np.array([0, 51, 255], np.float64), [-1, -0.6, 1]),
        (np.array([0, 0.25, 1], np.float32), [-1, -0.5, 1]),
        (np.array([-1, 0.25, 0.5], np.float16), [-1, 0.25, 0.5]),
        (np.array([-1, 0.25, 1], ">f4"), [-1, 0.25, 1]),
        (np.array([0, 51, 255], np.int64), [-1, -0.6, 1]),
        (np.array([0, 51, 255], np.uint16), [-1, -0.6, 1]),
        (np.array([0, 1, 1], np.int8), [-1, 1, 1]),
        (np.array([-1, 0, 1], np.int32), [-1, 0, 1]),
        (np.array([False, True, True]), [-1, 1, 1]),
        (np.array([0, 0.25, 1.000001]), [-1, -0.5, 1]),  # rounding
        (np.array([-0.000001, 0.25, 1]), [-1, -0.5, 1]),
        (np.array([0, 51, 255.001]), [-1, -0.6, 1]),
        (np.array([-1.000001, 0.25, 1]), [-1, 0.25, 1]),
    ],
)
def test_ranges(given_, wanted):
    before = given_.copy()
    x = Images(given_.reshape(3, 1, 1, 1))[:]
    assert x.dtype == np.float32 and x.shape == (3, 1, 1, 1)
    np.testing.assert_allclose(x.ravel(), wanted, atol=1e-6)
    assert x.min() >= -1 and x.max() <= 1
    np.testing.assert_array_equal(given_, before)


def test_indexing_and_shape():
    images = numbered(10)
    assert len(images) == 10 and images.shape == (2, 3, 1)
    assert values(images[2:5]) == [2, 3, 4]
    assert values(images[np.array([7, 0, 7])]) == [7, 0, 7]
    assert images[-1].shape == (2, 3, 1) and values(images[-1][None]) == [9]
    part = images.take(np.array([9, 3, 5]))
    assert values(part[:]) == [9, 3, 5] and part.labels["class"].tolist() == [9, 3, 5]
    assert values(part.take(np.array([2]))[:]) == [5]
    assert Images(np.zeros((5, 8, 9), np.uint8)).shape == (8, 9, 1)


def test_a_part_keeps_the_range_of_the_whole():
    images = Images(np.array([-1, 0.5], np.float32).reshape(2, 1, 1, 1))
    assert images.take(np.array([1]))[:].item() == 0.5


@pytest.mark.parametrize(
    "pixels, message",
    [
        ([[1, 2]], "got list"),
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\)"),
        (np.zeros((2, 4, 4, 2), np.uint8), r"1 or 3.*got \(2, 4, 4, 2\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"transpose\(images, \(0, 2, 3, 1\)\)"),
        (np.zeros((2, 1, 8, 8), np.uint8), r"transpose"),
        (np.zeros((8, 8, 3), np.uint8), r"got \(8, 8, 3\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "empty"),
        (np.zeros((2, 8, 8, 3), complex), "dtype complex128"),
        (np.zeros((2, 8, 8, 3), object), "dtype object"),
        (np.full((2, 8, 8, 3), -3.0), r"\[-3, -3\]"),
        (np.full((2, 8, 8, 3), 256.0), r"\[256, 256\]$"),
        (np.arange(-300, 84).reshape(2, 8, 8, 3), r"\[-300, 83\]; .* save \(images - \(-300\)\) / 383"),
        (np.linspace(-1.1, 1, 384).reshape(2, 8, 8, 3), r"\[-1\.1, 1\]"),
    ],
)
def test_bad_arrays(pixels, message):
    with pytest.raises(DataError, match=f"^faces: .*{message}"):
        Images(pixels, name="faces")


@pytest.mark.parametrize("dtype", [np.int64, bool, np.uint16])
def test_other_numbers_are_converted(dtype):
    pixels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 256, (3, 6, 6, 3)).astype(dtype)
    images = Images(pixels)
    small = convert(images, size=3, channels=1)
    assert small.pixels.dtype == np.float32 and small[:].shape == (3, 3, 3, 1)
    wanted = images[:].reshape(3, 3, 2, 3, 2, 3).mean(axis=(2, 4)) @ LUMA
    assert np.abs(small[:].mean() - wanted.mean()) < 0.1 and small[:].std() > 0


def test_the_range_that_was_taken_is_told():
    assert (
        "values from 0 to 0.5, taken as those of the range [0, 1]"
        in Images(np.linspace(0, 0.5, 64).reshape(1, 8, 8)).notes[0]
    )
    assert Images(np.zeros((1, 8, 8), np.uint8)).notes == ()


def test_one_image_cannot_be_split():
    with pytest.raises(DataError, match="numbered: holds one image, wanted at least 2"):
        numbered(1).split(1, np.random.default_rng(0))


def test_conversions_are_told():
    rgb = Images(np.zeros((2, 24, 40, 3), np.uint8), name="faces")
    assert convert(rgb, 16, 1).notes == (
        "faces: images of 40x24 pixels: cut square and resized to 16x16; colour turned grey",
    )
    assert convert(convert(rgb, channels=1), channels=3).notes[1].endswith("grey given three equal channels")
    assert convert(rgb, channels=3).notes == ()


def test_nan_is_counted_and_located():
    pixels = np.zeros((600, 4, 4, 1), np.float32)
    pixels[300, 1, 2, 0], pixels[500, 0, 0, 0] = np.nan, np.inf
    with pytest.raises(DataError, match=r"2 values are NaN or infinite, the first at index \(300, 1, 2, 0\)"):
        Images(pixels)


def test_labels_must_fit():
    with pytest.raises(DataError, match="3 images, but labels 'class' have shape"):
        Images(np.zeros((3, 4, 4, 1), np.uint8), {"class": np.zeros(2)})


@given(n=st.integers(2, 40), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_split_is_a_partition(n, seed, data):
    count = data.draw(st.integers(1, n - 1))
    first, second = numbered(n).split(count, np.random.default_rng(seed))
    assert len(second) == count and sorted(values(first[:]) + values(second[:])) == list(range(n))
    assert values(second[:]) == second.labels["class"].tolist()


@given(n=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_batches_visit_each_image_once_an_epoch(n, seed, data):
    size = data.draw(st.integers(1, n))
    batches = numbered(n).batches(size, np.random.default_rng(seed))
    again = numbered(n).batches(size, np.random.default_rng(seed))
    for _ in range(2):
        epoch = [next(batches) for _ in range(n // size)]
        seen = [v for batch in epoch for v in values(batch)]
        assert len(set(seen)) == len(seen) == n // size * size
        for batch in epoch:
            np.testing.assert_array_equal(batch, next(again))
            np.testing.assert_array_equal(batch, again.images[again.rows])


def test_epochs_differ():
    batches = numbered(40).batches(40, np.random.default_rng(0))
    assert values(next(batches)) != values(next(batches))


def test_bad_arguments_are_named_at_once():
    images, rng = numbered(3), np.random.default_rng(0)
    with pytest.raises(DataError, match="3 images do not fill one batch of 4"):
        images.batches(4, rng)
    with pytest.raises(ValueError, match="batch_size"):
        images.batches(0, rng)
    for count in (0, 3, "2"):
        with pytest.raises(ValueError, match="count"):
            images.split(count, rng)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_convert(dtype):
    grey = Images(np.linspace(0, 255, 2 * 6 * 4).reshape(2, 6, 4, 1).astype(dtype))
    assert convert(grey) is grey and convert(grey, channels=1) is grey
    rgb = convert(grey, channels=3)
    assert rgb.shape == (6, 4, 3)
    np.testing.assert_array_equal(rgb[:][..., :1].repeat(3, axis=3), rgb[:])
    np.testing.assert_allclose(convert(rgb, channels=1)[:], grey[:], atol=1e-6)
    small = convert(grey, size=2)
    assert small.shape == (2, 2, 1)
    block = grey[:][:, 1:5].reshape(2, 2, 2, 2, 2).mean(axis=(2, 4))  # the centred square, by hand
    assert np.abs(small[:][..., 0] - block).max() < 0.15
    assert convert(grey, size=4).shape == (4, 4, 1)
    np.testing.assert_array_equal(convert(grey, size=4)[:], grey[:][:, 1:5])


def test_luma():
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert convert(Images(red), channels=1).pixels.ravel().tolist() == [76] * 4
