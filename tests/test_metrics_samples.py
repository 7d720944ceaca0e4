"""The distance between two sets of images: answers known otherwise, and what must not change it."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan.metrics.samples import sliced_wasserstein


def distance(a, b, directions=64, seed=0):
    return sliced_wasserstein(a, b, np.random.default_rng(seed), directions)


def mean_of_one_coordinate(values):
    """The mean of |v_1| over unit vectors of so many values: Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
    return math.exp(math.lgamma(values / 2) - math.lgamma((values + 1) / 2)) / math.sqrt(math.pi)


def test_on_a_line_it_is_the_mean_way_worked_out_by_hand():
    a, b = np.array([[0.0], [1.0], [5.0]]), np.array([[6.0], [1.5], [-1.0]])  # 0 to -1, 1 to 1.5, 5 to 6
    assert distance(a, b, directions=3) == pytest.approx((1 + 0.5 + 1) / 3, rel=1e-14)


@pytest.mark.parametrize("values", [2, 3, 12, 300])
def test_one_vector_added_to_every_image_counts_its_length_times_a_known_number(values, rng):
    a, w = rng.standard_normal((5, values)), rng.standard_normal(values)
    wanted = np.linalg.norm(w) * mean_of_one_coordinate(values)
    assert distance(a, a + w, directions=100_000 // 4) == pytest.approx(wanted, rel=0.02)


def test_that_number_is_one_half_in_space_and_two_over_pi_in_the_plane():
    assert mean_of_one_coordinate(3) == pytest.approx(1 / 2)
    assert mean_of_one_coordinate(2) == pytest.approx(2 / math.pi)


def test_a_change_of_every_pixel_counts_four_fifths_of_it_whatever_the_size(rng):
    for shape in ((28, 28, 1), (8, 8, 3)):
        a = rng.uniform(-1, 1, (10, *shape)).astype(np.float32)
        assert distance(a, a + np.float32(0.1), directions=4096) == pytest.approx(0.08, rel=0.03)


def test_two_gaussians_of_other_spreads_lie_their_difference_apart(rng):
    """Along every line N(0, 1) and N(0, 4): the way is |q - 2 q| for a quantile q, of mean sqrt(2 / pi)."""
    a, b = rng.standard_normal((20_000, 6)), 2 * rng.standard_normal((20_000, 6))
    assert distance(a, b) == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)


@given(n=st.integers(1, 6), values=st.integers(1, 5), seed=seeds)
def test_what_must_not_change_it(n, values, seed):
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, n, values))
    d = distance(a, b)
    close = {"rel": 1e-9, "abs": 1e-12}
    assert distance(a, a) == 0 and distance(a, a[rng.permutation(n)]) == pytest.approx(0, abs=1e-12)
    assert d >= 0
    assert distance(b, a) == pytest.approx(d, **close)
    assert distance(a[rng.permutation(n)], b) == pytest.approx(d, **close)
    assert distance(a + 3, b + 3) == pytest.approx(d, rel=1e-6, abs=1e-9)
    assert distance(-2 * a, -2 * b) == pytest.approx(2 * d, **close)
    assert d <= distance(a, c) + distance(c, b) + 1e-12
    assert distance(np.repeat(a, 3, axis=0), np.repeat(b, 3, axis=0)) == pytest.approx(d, **close)
    assert distance(a.reshape(n, 1, values, 1), b.reshape(n, 1, values, 1)) == d


def test_a_rotation_of_both_sets_does_not_change_it(rng):
    a, b = rng.standard_normal((2, 50, 4))
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    d = distance(a, b, directions=20_000)
    assert distance(a @ turn, b @ turn, directions=20_000) == pytest.approx(d, rel=0.02)


def test_sets_are_not_written_to_and_float32_is_kept(rng):
    a, b = rng.standard_normal((2, 9, 4, 4, 3)).astype(np.float32)
    before = a.copy(), b.copy()
    d = distance(a, b)
    assert isinstance(d, float)
    assert d == pytest.approx(distance(a.astype(np.float64), b.astype(np.float64)), rel=1e-5)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


ONES, BYTES = np.ones((3, 2), np.float32), np.ones((3, 2), np.uint8)
WANTED = "wanted floating images (N, ...), at least one, got a NumPy array of shape"


@pytest.mark.parametrize(
    ("a", "b", "directions", "message"),
    [
        (ONES, ONES[:2], 1, "the sets must have one shape, got (3, 2) and (2, 2)"),
        (ONES, ONES.reshape(3, 1, 2), 1, "the sets must have one shape, got (3, 2) and (3, 1, 2)"),
        (BYTES, BYTES, 1, f"{WANTED} (3, 2), uint8 and a NumPy array of shape (3, 2), uint8"),
        (ONES, BYTES, 1, f"{WANTED} (3, 2), float32 and a NumPy array of shape (3, 2), uint8"),
        (ONES[:0], ONES[:0], 1, f"{WANTED} (0, 2), float32"),
        (ONES[0], ONES[0], 1, f"{WANTED} (2,), float32"),
        (ONES, ONES, 0, "directions must be at least 1, got 0"),
    ],
)
def test_wrong_argument_is_refused_by_name(a, b, directions, message):
    with pytest.raises(ValueError, match="^sliced_wasserstein: " + re.escape(message)):
        distance(a, b, directions)
