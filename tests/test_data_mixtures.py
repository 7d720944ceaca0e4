"""Mixtures: the centres and the spread are those of the papers."""

import numpy as np
import pytest

from npgan.data import Mixture


def test_ring_and_grid_centres():
    ring = Mixture.ring()
    assert ring.centres.shape == (8, 2) and ring.sigma == 0.01
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 1)
    np.testing.assert_allclose(ring.centres[[0, 2]], [[1, 0], [0, 1]], atol=1e-15)
    grid = Mixture.grid()
    assert grid.sigma == 0.05
    wanted = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(centre) for centre in grid.centres} == wanted


@pytest.mark.parametrize(
    "mixture", [Mixture.ring(), Mixture.grid(), Mixture.grid(side=2, spacing=1, sigma=0.1)]
)
def test_sample(mixture):
    points = mixture.sample(20_000, np.random.default_rng(0))
    assert points.shape == (20_000, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points, mixture.sample(20_000, np.random.default_rng(0)))
    offset = points[:, None] - mixture.centres
    nearest = np.linalg.norm(offset, axis=2).argmin(axis=1)
    share = np.bincount(nearest, minlength=len(mixture.centres)) / len(points)
    np.testing.assert_allclose(share, 1 / len(mixture.centres), rtol=0.2)
    np.testing.assert_allclose(offset[np.arange(20_000), nearest].std(axis=0), mixture.sigma, rtol=0.05)
