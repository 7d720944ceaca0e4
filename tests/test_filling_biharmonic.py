"""The thin plate: its equation, a case worked out by hand, and the solver beside a dense one."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan import masks
from npgan.filling import biharmonic_fill
from npgan.filling.biharmonic import thin_plate
from npgan.filling.least_energy import least_energy_fill, near_hole


def laplacian(u):
    """Sum over the neighbours that lie inside of u[q] - u[p], from the definition: (H, W) -> (H, W)."""
    h, w = u.shape
    result = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            for qy, qx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= qy < h and 0 <= qx < w:
                    result[y, x] += u[qy, qx] - u[y, x]
    return result


def hole(h, w, rows, columns):
    missing = np.zeros((h, w), bool)
    missing[rows, columns] = True
    return missing


@given(
    kind=st.sampled_from(sorted(masks.KINDS)),
    h=st.integers(4, 20),
    w=st.integers(4, 20),
    channels=st.sampled_from([1, 3]),
    seed=seeds,
)
def test_the_equation_holds_at_every_missing_pixel(kind, h, w, channels, seed):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, (h, w, channels))
    missing = masks.make(kind, 1, h, w, rng)[0, :, :, 0] == 1
    u = thin_plate(image, missing)
    assert np.array_equal(u[~missing], image[~missing])
    for c in range(channels):
        residual = laplacian(laplacian(u[..., c]))[missing]
        assert np.abs(residual).max() < 1e-9


@pytest.mark.parametrize(
    "missing",
    [
        hole(90, 70, slice(20, 60), slice(15, 55)),
        hole(90, 70, slice(None), slice(0, 35)),  # at three borders
        hole(70, 90, slice(0, 35), slice(None)),
        ~hole(40, 50, 17, 31),  # one known pixel
        ~hole(40, 50, slice(None, None, 39), slice(None, None, 49)),  # the four corners
    ],
    ids=["square", "left half", "upper half", "one known pixel", "known corners"],
)
def test_the_equation_holds_in_holes_on_which_iterations_are_slow(missing):
    rng = np.random.default_rng(0)
    u = thin_plate(rng.uniform(-1, 1, (*missing.shape, 1)), missing)[..., 0]
    assert np.abs(laplacian(laplacian(u))[missing]).max() < 1e-6 * max(1, np.abs(u).max())


def test_a_line_of_missing_pixels_by_hand():
    # On a single row, and away from its ends, the equation is u[-2] - 4 u[-1] + 6 u[0] - 4 u[1] + u[2] = 0.
    row = np.array([1, 0, 1, 99, 0, 1, 0], float)[None, :, None]
    u = thin_plate(row / 10, hole(1, 7, 0, 3))
    assert u[0, 3, 0] == pytest.approx((4 * (1 + 0) - (0 + 1)) / 6 / 10)


def test_slopes_and_bends_go_on():
    y, x = np.indices((30, 34)) / 34 - 0.4
    image = np.stack([y, x - y, x**3 - 3 * x * y**2, 2 * x * y], axis=2)[None]  # all have L u = 0, or nearly
    holes = hole(30, 34, slice(8, 20), slice(9, 25))[None, :, :, None].astype(np.float32)
    assert np.allclose(biharmonic_fill(np.where(holes == 1, np.nan, image), holes), image, atol=1e-9)


def test_no_colour_beyond_the_known_ones():
    image = np.zeros((1, 20, 30, 1), np.float32)
    image[:, :, :5], image[:, :, 5:8] = -0.5, 0.5  # the slope at the hole leads up
    image[:, :, 22:] = 0.5
    image[:, :, 7] = 0.6
    holes = hole(20, 30, slice(None), slice(8, 22))[None, :, :, None].astype(np.float32)
    assert thin_plate(image[0], holes[0, :, :, 0] == 1).max() > 0.7
    assert biharmonic_fill(image, holes).max() == image.max()


@given(h=st.integers(1, 7), w=st.integers(1, 7), stencils=st.integers(1, 3), seed=seeds)
def test_the_solver_beside_a_dense_one(h, w, stencils, seed):
    """Stencils of their own at each pixel: the least squares of one dense matrix."""
    rng = np.random.default_rng(seed)
    image, missing = rng.uniform(-1, 1, (h, w, 2)), rng.random((h, w)) < 0.6
    missing[rng.integers(h), rng.integers(w)] = False
    place = list(zip(*near_hole(missing)))
    weights = rng.standard_normal((len(place), stencils, 9))
    # Small multiples of each pixel itself keep the problem from having two solutions.
    own = np.zeros((len(place), 1, 9))
    own[:, :, 4] = 0.3
    weights = np.concatenate([weights, own], axis=1)
    matrix = np.zeros((*weights.shape[:2], h, w))
    for p, (y, x) in enumerate(place):
        for a in range(9):
            seen = min(max(y + a // 3 - 1, 0), h - 1), min(max(x + a % 3 - 1, 0), w - 1)
            matrix[p, :, seen[0], seen[1]] += weights[p, :, a]
    wanted = image.copy()
    if missing.any():
        columns = matrix[:, :, missing].reshape(-1, missing.sum())
        known = matrix[:, :, ~missing].reshape(len(columns), -1) @ image[~missing]
        wanted[missing] = np.linalg.lstsq(columns, -known, rcond=None)[0]
    assert np.allclose(least_energy_fill(image, missing, weights), wanted, atol=1e-8)


def test_images_by_themselves_and_together():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (3, 12, 11, 3)).astype(np.float32)
    holes = masks.make("strokes", 3, 12, 11, rng)
    together = biharmonic_fill(images, holes)
    for k in range(3):
        assert np.array_equal(biharmonic_fill(images[k : k + 1], holes[k : k + 1]), together[k : k + 1])
    shared = biharmonic_fill(images, holes[:1])
    assert np.array_equal(shared, biharmonic_fill(images, holes[:1].repeat(3, axis=0)))


@pytest.mark.skipif(not importlib.util.find_spec("skimage"), reason="scikit-image is not installed")
def test_beside_scikit_image():
    from skimage.restoration import inpaint_biharmonic

    rng = np.random.default_rng(2)
    image = rng.uniform(-1, 1, (24, 21, 3))
    for kind in masks.KINDS:
        holes = masks.make(kind, 1, 24, 21, rng)
        theirs = inpaint_biharmonic(image, holes[0, :, :, 0] == 1, channel_axis=-1)
        assert np.allclose(biharmonic_fill(image[None], holes)[0], theirs, atol=1e-9)
