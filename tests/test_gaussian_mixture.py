"""The mixture of Gaussians: densities by hand, expectation and maximisation by loops, what must hold."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from strategies import seeds

from npgan.clustering import spread_start
from npgan.gaussian_mixture import GaussianMixture, fit_mixture


def test_density_by_hand():
    """A quarter N(0, 1) and three quarters N(2, 4) on the line."""
    mixture = GaussianMixture(np.array([0.25, 0.75]), np.array([[0.0], [2.0]]), np.array([[[1.0]], [[2.0]]]))
    for x in (-1.0, 0.0, 3.5):
        wanted = 0.25 * math.exp(-(x**2) / 2) + 0.75 / 2 * math.exp(-((x - 2) ** 2) / 8)
        found = mixture.log_density(np.array([[x]]))
        assert found == pytest.approx([math.log(wanted / math.sqrt(2 * math.pi))])


def test_one_gaussian_is_the_mean_and_the_covariance(rng):
    x = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 3)) + 5
    mixture, history = fit_mixture(x, x[:1], rounds=2, floor=0.0)
    np.testing.assert_allclose(mixture.means[0], x.mean(axis=0))
    covariance = np.cov(x, rowvar=False, bias=True)
    np.testing.assert_allclose(mixture.roots[0] @ mixture.roots[0].T, covariance)
    sign, size = np.linalg.slogdet(covariance)
    assert history[0] == pytest.approx(-(3 * math.log(2 * math.pi) + size + 3) / 2)


def test_the_density_is_in_logs_so_far_points_and_gaussians_without_a_share_do_no_harm():
    roots = np.array([[[1.0]], [[1.0]]])
    mixture = GaussianMixture(np.array([1.0, 0.0]), np.array([[0.0], [5.0]]), roots)
    wanted = -(np.array([0.0, 1e3, 5.0]) ** 2) / 2 - math.log(2 * math.pi) / 2
    assert mixture.log_density(np.array([[0.0], [1e3], [5.0]])) == pytest.approx(wanted)


def test_the_history_is_of_the_mixtures_after_each_round(rng):
    x = rng.standard_normal((60, 2)).astype(np.float32)  # computed in float64
    mixture, history = fit_mixture(x, x[:3], rounds=4)
    assert len(history) == 4 and history[-1] == mixture.log_density(x.astype(np.float64)).mean()
    assert history[:2] == fit_mixture(x.astype(np.float64), x[:3], rounds=2)[1]


@given(n=st.integers(10, 40), k=st.integers(1, 3), seed=seeds)
def test_a_round_is_the_definitions_loop(n, k, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)) + 3 * rng.integers(2, size=(n, 1))
    start = spread_start(x, k, rng)
    (one, _), (two, _) = (fit_mixture(x, start, rounds=rounds, floor=0.05) for rounds in (1, 2))
    extra = 0.05 * x.var(axis=0).mean() * np.eye(2)
    r = np.zeros((n, k))
    for i in range(n):
        for j in range(k):
            covariance = one.roots[j] @ one.roots[j].T
            off = x[i] - one.means[j]
            height = math.exp(-off @ np.linalg.solve(covariance, off) / 2)
            r[i, j] = one.shares[j] * height / (2 * math.pi * math.sqrt(np.linalg.det(covariance)))
        r[i] /= r[i].sum()
    for j in range(k):
        mean = sum(r[i, j] * x[i] for i in range(n)) / r[:, j].sum()
        spread = sum(r[i, j] * np.outer(x[i] - mean, x[i] - mean) for i in range(n)) / r[:, j].sum()
        np.testing.assert_allclose(two.shares[j], r[:, j].mean(), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(two.means[j], mean, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(two.roots[j] @ two.roots[j].T, spread + extra, rtol=1e-6, atol=1e-9)


@example(k=4, seed=109422674)  # K-means begins with a cluster of one point
@given(k=st.integers(1, 4), seed=seeds)
def test_without_a_floor_the_density_never_falls_unless_a_gaussian_shrinks_to_nothing(k, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((120, 2)) * [1, 3] + 4 * rng.integers(2, size=(120, 2))
    start = spread_start(x, k, rng)
    try:
        _, history = fit_mixture(x, start, rounds=15, floor=0.0)
    except ValueError as error:
        assert "fit_mixture: floor 0.0 leaves Gaussian" in str(error)
        fit_mixture(x, start, rounds=15)
        reject()
    assert len(history) == 15 and (np.diff(history) > -1e-9).all()


def test_a_mixture_is_found_again_and_its_draws_have_its_moments(rng):
    true = GaussianMixture(
        np.array([0.3, 0.7]),
        np.array([[0.0, 0.0], [6.0, 1.0]]),
        np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.7, 0.0], [-0.6, 1.0]]]),
    )
    x = true.sample(6000, rng)
    found, _ = fit_mixture(x, spread_start(x, 2, rng), rounds=20)
    order = found.means[:, 0].argsort()
    np.testing.assert_allclose(found.shares[order], true.shares, atol=0.03)
    np.testing.assert_allclose(found.means[order], true.means, atol=0.1)
    for mine, theirs in zip(found.roots[order], true.roots):
        np.testing.assert_allclose(mine @ mine.T, theirs @ theirs.T, atol=0.15)
    drawn = found.sample(20_000, rng)
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), atol=0.4)


def test_points_that_lie_on_one_another_need_the_floor_and_have_it():
    x = np.repeat(np.eye(3), 5, axis=0)
    with pytest.raises(ValueError, match="fit_mixture: floor 0 leaves Gaussian 0 of x without width"):
        fit_mixture(x, np.eye(3), floor=0)
    for start in (np.eye(3), np.eye(3)[[0, 1, 2, 2]]):  # the fourth has no point
        mixture, history = fit_mixture(x, start)
        assert np.isfinite(history).all() and np.isfinite(mixture.log_density(x)).all()
        assert np.sort(mixture.shares)[-3:] == pytest.approx([1 / 3] * 3)


def test_what_cannot_be_fitted_is_refused_by_name(rng):
    with pytest.raises(
        ValueError, match=re.escape("fit_mixture: k must be 1 to 5, the number of points, got 6")
    ):
        fit_mixture(rng.standard_normal((5, 2)), np.zeros((6, 2)))
    with pytest.raises(ValueError, match="^fit_mixture: rounds must be at least 1, got 0$"):
        fit_mixture(rng.standard_normal((5, 2)), np.zeros((1, 2)), rounds=0)
