import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npgan.data import Mixture
from npgan.metrics.modes import count_modes, samples_per_mode, score_modes

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_a_case_by_hand():
    samples = np.array(
        [
            [0.0, 0.0],  # on the first mode
            [0.2, 0.2],  # 0.283 away from it, within 3 sigma
            [0.3, 0.3],  # 0.424 away: of no mode
            [1.0, -0.25],  # the second mode
            [0.5, 0.5],  # between all of them
        ],
        np.float32,
    )
    assert samples_per_mode(samples, CENTRES, 0.1).tolist() == [2, 1, 0]
    assert count_modes(samples, CENTRES, 0.1) == (2, 3 / 5)


def test_nothing_found():
    assert count_modes(np.full((4, 2), 9.0), CENTRES, 0.1) == (0, 0.0)


def test_overlapping_modes_share_no_sample():
    samples = np.array([[0.4, 0.0], [0.6, 0.0]])
    assert samples_per_mode(samples, CENTRES, 1.0).tolist() == [1, 1, 0]


@pytest.mark.parametrize("mixture", [Mixture.ring(), Mixture.grid()], ids=["ring", "grid"])
def test_the_data_find_all_modes(mixture):
    found, share = count_modes(mixture.sample(2500, np.random.default_rng(0)), mixture.centres, mixture.sigma)
    assert found == len(mixture.centres)
    assert share == pytest.approx(1 - np.exp(-4.5), abs=0.01)  # a round Gaussian's mass within 3 sigma


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_against_a_loop(count, modes, dimensions, seed):
    rng = np.random.default_rng(seed)
    samples, centres = rng.normal(size=(count, dimensions)), rng.normal(size=(modes, dimensions))
    expected = [0] * modes
    for sample in samples:
        distances = [float(np.sqrt(((sample - centre) ** 2).sum())) for centre in centres]
        if min(distances) <= 3 * 0.2:
            expected[distances.index(min(distances))] += 1
    assert samples_per_mode(samples, centres, 0.2).tolist() == expected
    found, share = count_modes(samples, centres, 0.2)
    assert found == sum(n > 0 for n in expected)
    assert share == pytest.approx(sum(expected) / count)


@pytest.mark.parametrize(
    "samples, centres, sigma",
    [
        (np.zeros((0, 2)), CENTRES, 0.1),
        (np.zeros(2), CENTRES, 0.1),
        (np.zeros((4, 3)), CENTRES, 0.1),
        (np.zeros((4, 2)), np.zeros((0, 2)), 0.1),
        (np.zeros((4, 2)), CENTRES, 0.0),
    ],
)
def test_what_is_refused(samples, centres, sigma):
    with pytest.raises(ValueError, match="samples_per_mode"):
        count_modes(samples, centres, sigma)


def test_the_scores_of_modes_by_hand():
    centres, sigma = Mixture.grid().centres, Mixture.grid().sigma
    beside = np.repeat(centres[:1] + [sigma, 0], 6, axis=0)
    points = np.concatenate([beside, centres[1:3], [[99.0, 0.3], [99, 9]]])  # 8 of 10 on a mode
    modes, quality, kl, width = score_modes(points, centres, sigma)
    assert modes == 3 and quality == 0.8
    n = len(centres)
    assert kl == pytest.approx(0.75 * np.log(0.75 * n) + 2 * 0.125 * np.log(0.125 * n))
    assert width == pytest.approx(np.sqrt(6 / 8 / 2))


def test_the_scores_of_modes_that_nothing_hits():
    assert score_modes(np.full((5, 2), 99.0), np.eye(2), 0.1) == (0, 0.0, np.inf, 0.0)


def test_real_points_score_their_floor():
    mixture = Mixture.ring()
    modes, quality, kl, width = score_modes(
        mixture.sample(20_000, np.random.default_rng(0)), mixture.centres, mixture.sigma
    )
    assert modes == 8 and quality == pytest.approx(1 - np.exp(-4.5), abs=0.003) and kl < 0.001
    assert width == pytest.approx(0.97, abs=0.01)  # of a Gaussian cut at 3 sigma
