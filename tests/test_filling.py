"""Filling without training: what each method promises, and what all of them do."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npgan import data, masks
from npgan.filling import (
    biharmonic_fill,
    guided_fill,
    harmonic_fill,
    mean_fill,
    nearest_image_fill,
    patch_fill,
    segment_fill,
)
from npgan.filling import patch as patch_module
from npgan.filling import segment as segment_module
from npgan.metrics.repair import psnr


def nearest_of_noise(images, holes):
    rng = np.random.default_rng(5)
    return nearest_image_fill(images, holes, rng.uniform(-1, 1, (7, *images.shape[1:])).astype(np.float32))


METHODS = {
    "mean": mean_fill,
    "harmonic": harmonic_fill,
    "biharmonic": biharmonic_fill,
    "guided": guided_fill,
    "segment": functools.partial(segment_fill, regions=4),
    "patch": patch_fill,
    "nearest": nearest_of_noise,
}


def centre(h, w=None):
    return masks.make("centre", 1, h, w or h, np.random.default_rng(0))


# All methods, all masks


@given(
    method=st.sampled_from(sorted(METHODS)),
    kind=st.sampled_from(sorted(masks.KINDS)),
    n=st.integers(1, 3),
    h=st.integers(4, 13),
    w=st.integers(4, 13),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_known_pixels_bit_for_bit_and_the_hole_unseen(method, kind, n, h, w, channels, dtype, seed):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (n, h, w, channels)).astype(dtype)
    holes = masks.make(kind, n, h, w, rng)
    known = np.broadcast_to(holes == 0, images.shape)
    before = images.tobytes()
    repaired = METHODS[method](images, holes)
    assert repaired.shape == images.shape and repaired.dtype == dtype
    assert images.tobytes() == before
    assert repaired[known].tobytes() == images[known].tobytes()
    assert np.abs(repaired).max() <= 1 + 1e-6
    unseen = METHODS[method](np.where(known, images, np.nan).astype(dtype), holes)
    assert unseen.tobytes() == repaired.tobytes()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_one_colour_stays_one_colour(method):
    images = np.broadcast_to(np.float32([0.3, -0.6, 0.1]), (2, 12, 12, 3)).copy()
    for kind in masks.KINDS:
        holes = masks.make(kind, 2, 12, 12, np.random.default_rng(1))
        fill = METHODS[method]
        if method == "nearest":
            fill = functools.partial(nearest_image_fill, training_images=images[:1])
        assert np.allclose(fill(images, holes), images, atol=1e-5)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_nothing_missing_and_everything_missing(method):
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    holes = np.zeros((3, 8, 8, 1), np.float32)
    assert METHODS[method](images, holes).tobytes() == images.tobytes()
    holes[2] = 1
    with pytest.raises(ValueError, match="every pixel is missing in 1 images, the first is number 2"):
        METHODS[method](images, holes)
    with pytest.raises(ValueError, match="masks of shape"):
        METHODS[method](images, holes[..., 0])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_one_mask_serves_a_batch(method):
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    one = METHODS[method](images, centre(8))
    assert np.array_equal(one, METHODS[method](images, centre(8).repeat(3, axis=0)))


# Harmonic


def ramp(h, w):
    y, x = np.indices((h, w))
    return (0.05 * y - 0.03 * x - 0.1).astype(np.float32)[None, :, :, None]


@pytest.mark.parametrize("kind", ["centre", "strokes", "pixels"])
def test_harmonic_fill_reproduces_a_ramp(kind):
    image = ramp(16, 20)
    hole = masks.make(kind, 1, 16, 20, np.random.default_rng(3))
    hole[:, [0, -1]] = hole[:, :, [0, -1]] = 0  # at the border a ramp is not harmonic: its flow ends there
    repaired = harmonic_fill(np.where(hole == 1, 1, image), hole)
    assert np.abs(repaired - image).max() < 1e-5


def test_a_half_image_takes_each_rows_last_known_pixel():
    # Nothing flows across the border. So a half whose rows are alike takes the colour at its edge, everywhere.
    image = np.broadcast_to(np.linspace(-1, 1, 10, dtype=np.float32)[None, None, :, None], (1, 6, 10, 1))
    hole = np.zeros((1, 6, 10, 1), np.float32)
    hole[:, :, 5:] = 1
    assert np.allclose(harmonic_fill(image, hole)[:, :, 5:], image[:, :, 4:5], atol=1e-5)


@given(
    kind=st.sampled_from(sorted(masks.KINDS)),
    h=st.integers(4, 9),
    w=st.integers(4, 9),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_harmonic_fill_against_a_dense_solver(kind, h, w, seed):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (3, h, w, 2))
    holes = masks.make(kind, 3, h, w, rng)
    repaired = harmonic_fill(images, holes)
    for image, hole, result in zip(images, holes[..., 0] == 1, repaired):
        matrix, right = np.eye(h * w), image.reshape(h * w, -1).copy()
        for y, x in np.argwhere(hole):
            p = y * w + x
            neighbours = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [b * w + a for b, a in neighbours if 0 <= b < h and 0 <= a < w]
            matrix[p, p], right[p] = len(inside), 0
            matrix[p, inside] = -1
        assert np.allclose(np.linalg.solve(matrix, right).reshape(image.shape), result, atol=1e-5)


def test_harmonic_fill_in_chunks_and_large():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (90, 28, 28, 1)).astype(np.float32)
    holes = masks.make("rectangle", 90, 28, 28, rng)
    repaired = harmonic_fill(images, holes)
    alone = np.concatenate([harmonic_fill(images[[i]], holes[[i]]) for i in (0, 45, 89)])
    assert np.allclose(repaired[[0, 45, 89]], alone, atol=1e-5)
    large = rng.uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    half = np.zeros((1, 96, 96, 1), np.float32)
    half[:, :64] = 1
    u = harmonic_fill(large, half)[0].astype(np.float64)
    inner = u[1:63, 1:-1] - (u[:62, 1:-1] + u[2:64, 1:-1] + u[1:63, :-2] + u[1:63, 2:]) / 4
    assert np.abs(inner).max() < 1e-6


# Patches


@pytest.mark.parametrize("kind", ["centre", "rectangle", "strokes"])
@pytest.mark.parametrize("slope", [(0, 1), (1, 0), (1, 1)])
def test_patch_fill_continues_stripes(slope, kind):
    y, x = np.indices((28, 28))
    stripes = np.where((slope[0] * y + slope[1] * x) % 4 < 2, 1, -1).astype(np.float32)[None, :, :, None]
    hole = masks.make(kind, 1, 28, 28, np.random.default_rng(0))
    assert np.array_equal(patch_fill(np.where(hole == 1, 0, stripes), hole), stripes)


def test_patch_fill_on_a_coloured_texture_and_a_hole_at_the_border():
    tile = np.random.default_rng(0).uniform(-1, 1, (4, 5, 3)).astype(np.float32)
    texture = np.tile(tile, (8, 7, 1))[None]  # 1, 32, 35, 3
    hole = np.zeros((1, 32, 35, 1), np.float32)
    hole[:, 12:, 20:30] = 1
    assert np.array_equal(patch_fill(texture, hole), texture)
    assert np.array_equal(patch_fill(texture, hole, patch=7), texture)


def first_patch(image, hole):
    """Row, column and confidence of the pixel where a patch of 5 x 5 is laid first."""
    u = np.pad(np.where(hole[..., None], 0, image), ((2, 2), (2, 2), (0, 0)))
    known = np.pad(~hole, 2)
    y, x, trust = patch_module._next(u, known, np.pad(hole, 2), known.astype(float), 5)
    return y - 2, x - 2, trust


def test_patch_fill_starts_where_an_edge_runs_into_the_hole():
    image = np.full((28, 28, 1), -1, np.float32)
    image[14:] = 1
    y, x, trust = first_patch(image, centre(28)[0, :, :, 0] == 1)
    assert y in range(11, 17) and x in (7, 20)  # the edge is in the patch
    assert trust == pytest.approx(2 / 5)  # two of the patch's five columns are known


def test_patch_fill_prefers_a_weak_edge_into_the_hole_to_a_strong_one_along_it():
    image = np.full((28, 28, 1), -1, np.float32)
    image[:6] = 1  # runs along the upper front
    image[6:, 14:] = 0.5  # runs into the lower one
    hole = np.zeros((28, 28), bool)
    hole[7:21] = True
    image[6:8] = -1
    y, x, _ = first_patch(image, hole)
    assert y == 20 and x in range(11, 17)


def test_the_edge_of_the_hole_itself_is_no_edge():
    image = np.ones((28, 28, 1), np.float32)  # far from the 0 that stands in the hole
    image[14:] = 0.9
    y, x, _ = first_patch(image, centre(28)[0, :, :, 0] == 1)
    assert y in range(11, 17) and x in (7, 20)


def test_patch_fill_trusts_what_is_surrounded():
    image = np.zeros((28, 28, 1), np.float32)
    hole = centre(28)[0, :, :, 0] == 1
    hole[25, 25] = True
    assert first_patch(image, hole) == (25, 25, pytest.approx(24 / 25))


def test_what_is_copied_gets_the_confidence_of_its_patch(monkeypatch):
    seen, original = [], patch_module._next

    def spy(u, known, missing, confidence, size):
        seen.append((confidence.copy(), original(u, known, missing, confidence, size)))
        return seen[-1][1]

    monkeypatch.setattr(patch_module, "_next", spy)
    patch_fill(np.zeros((1, 28, 28, 1), np.float32), centre(28))
    (_, (y, x, trust)), (confidence, (_, _, second)) = seen[:2]
    assert trust == pytest.approx(16 / 25) and (y - 2, x - 2) == (7, 7)
    assert np.allclose(confidence[y : y + 3, x : x + 3], 16 / 25)
    assert second == pytest.approx(
        16 / 25
    )  # another corner: it has more confidence than the newly filled part
    assert seen[-1][1][2] < 0.5 and min(step[2] for _, step in seen) > 0


def test_patch_fill_starts_at_a_corner_where_nothing_has_an_edge():
    y, x, trust = first_patch(np.zeros((28, 28, 1), np.float32), centre(28)[0, :, :, 0] == 1)
    assert y in (7, 20) and x in (7, 20) and trust == pytest.approx(16 / 25)


def test_patch_fill_only_copies():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 20, 20, 1)).astype(np.float32)
    holes = centre(20)
    repaired = patch_fill(images, holes)
    for image, result in zip(images, repaired):
        assert np.isin(result[5:15, 5:15], image[holes[0] == 0]).all()


def test_patch_fill_takes_the_nearest_patch(monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)
    hole = np.zeros((1, 16, 16, 1), np.float32)
    hole[0, 8, 8] = 1
    known = np.ones((5, 5), bool)
    known[2, 2] = False
    mean = image[0, 6:11, 6:11][known].mean(axis=0)
    candidates = []
    for y in range(2, 14):
        for x in range(2, 14):
            if abs(y - 8) <= 2 and abs(x - 8) <= 2:
                continue  # its patch would miss the pixel itself
            difference = image[0, y - 2 : y + 3, x - 2 : x + 3] - image[0, 6:11, 6:11]
            candidates.append(((difference[known] ** 2).sum(), ((image[0, y, x] - mean) ** 2).sum(), (y, x)))
    least = min(candidates)[0]
    good = [(calm, place) for differs, calm, place in candidates if differs <= 1.3 * least]
    assert 1 < len(good) < len(candidates)
    assert np.array_equal(patch_fill(image, hole)[0, 8, 8], image[0][min(good)[1]])
    monkeypatch.setattr(patch_module, "NEARLY", 0.0)  # the paper's rule
    assert np.array_equal(patch_fill(image, hole)[0, 8, 8], image[0][min(candidates)[2]])
    monkeypatch.setattr(patch_module, "SOURCES", 20)
    assert len(patch_module._sources(image[0], hole[0, :, :, 0] == 1, 5)) <= 20


@pytest.mark.parametrize("patch", [1, 4, 9, 2.5])
def test_patches_of_bad_sizes(patch):
    with pytest.raises(ValueError, match="patch: wanted"):
        patch_fill(np.zeros((1, 8, 8, 1), np.float32), centre(8), patch=patch)


# Templates


def test_nearest_image_fill_finds_the_identical_image():
    rng = np.random.default_rng(0)
    training = rng.uniform(-1, 1, (5000, 8, 6, 3)).astype(np.float32)  # more than two chunks
    rows = np.array([0, 2047, 2048, 4999])
    for kind in masks.KINDS:
        holes = masks.make(kind, 4, 8, 6, rng)
        damaged = masks.damage(training[rows], holes, "noise", rng)
        assert np.array_equal(nearest_image_fill(damaged, holes, training), training[rows])


def test_nearest_image_fill_against_loops():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (5, 6, 6, 1)).astype(np.float32)
    training = rng.uniform(-1, 1, (40, 6, 6, 1)).astype(np.float32)
    holes = masks.make("strokes", 5, 6, 6, rng)
    repaired = nearest_image_fill(images, holes, training)
    for image, hole, result in zip(images, holes == 1, repaired):
        distance = [((image - t)[~hole] ** 2).sum() for t in training]
        assert np.array_equal(result[hole], training[int(np.argmin(distance))][hole])


def test_nearest_image_fill_takes_a_data_set():
    glyphs = data.glyphs(300, seed=0)
    damaged = masks.damage(glyphs[:5], centre(28), "zero")
    repaired = nearest_image_fill(damaged, centre(28), glyphs)
    assert np.array_equal(repaired, nearest_image_fill(damaged, centre(28), glyphs[:]))
    assert (psnr(repaired, glyphs[:5], centre(28)) > 30).sum() >= 4
    with pytest.raises(ValueError, match=r"\(8, 8, 1\), got \(28, 28, 1\)"):
        nearest_image_fill(np.zeros((1, 8, 8, 1), np.float32), centre(8), glyphs)


# Regions


def test_segment_fill_continues_two_regions():
    image = np.full((1, 20, 20, 3), -0.5, np.float32)
    image[:, :, 10:] = [0.5, 0.1, -0.9]
    hole = centre(20)
    assert np.allclose(segment_fill(np.where(hole == 1, 1, image), hole, regions=2), image, atol=1e-6)


def test_the_first_centres_are_known_pixels():
    # In place of what is missing stands 0, the colour farthest from both regions.
    image = np.full((1, 20, 20, 1), 0.9, np.float32)
    image[:, :, 10:] = 0.7
    hole = centre(20)
    assert np.allclose(segment_fill(image, hole, regions=2, position_weight=0.0), image, atol=1e-6)


def test_regions_are_also_apart_in_place():
    colour = np.zeros((1, 64, 1), np.float32)
    known = np.ones(64, bool)
    members = {
        weight: segment_module._regions(segment_module._features(colour, 8, 8, weight)[0], known, 2)
        for weight in (0.0, 0.5)
    }
    assert sorted(members[0.0].sum(axis=0)) == [0, 64]
    assert members[0.5].sum(axis=0).min() >= 20
    corners = members[0.5].reshape(8, 8, 2)[[0, -1], [0, -1]]
    assert not np.array_equal(corners[0], corners[1])


def test_segment_fill_paints_regions_in_their_mean_colour():
    rng = np.random.default_rng(0)
    image = np.full((1, 20, 20, 1), -0.5, np.float32)
    image[:, :, 10:] = 0.5
    image += rng.uniform(-0.1, 0.1, image.shape).astype(np.float32)
    hole = centre(20)
    known = hole[0, :, :, 0] == 0
    repaired = segment_fill(image, hole, regions=2)[0, :, :, 0]
    left, right = image[0, :, :10, 0][known[:, :10]].mean(), image[0, :, 10:, 0][known[:, 10:]].mean()
    assert np.allclose(repaired[5:15, 5:10], left, atol=1e-5)
    assert np.allclose(repaired[5:15, 10:15], right, atol=1e-5)


def test_segment_fill_with_too_many_regions_or_none():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4, 1)).astype(np.float32)
    assert np.isfinite(segment_fill(image, centre(4), regions=30)).all()
    with pytest.raises(ValueError, match="regions"):
        segment_fill(image, centre(4), regions=0)


# In order


def test_better_methods_repair_a_photograph_better():
    image = data.photograph()[20:276, 130:386].astype(np.float32)[None, 40:168, 64:192] / 127.5 - 1
    hole = np.zeros((1, 128, 128, 1), np.float32)
    hole[:, 52:76, 52:76] = 1
    score = {name: psnr(METHODS[name](image, hole), image, hole)[0] for name in ("mean", "harmonic", "patch")}
    assert score["mean"] + 3 < score["harmonic"] and score["mean"] + 3 < score["patch"]
