"""A mixture of Gaussians, fitted by expectation and maximisation: soft K-means, which can be drawn from."""

from typing import NamedTuple

import numpy as np

from npgan.clustering import check_points, k_means


class GaussianMixture(NamedTuple):
    """k Gaussians in d dimensions, each with its share of the points."""

    shares: np.ndarray  # (k,), their sum is 1
    means: np.ndarray  # (k, d)
    roots: np.ndarray  # (k, d, d): lower triangles L, L L^T the covariances

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        """log(share * density) of each Gaussian at each row of x (n, d), in nats: (n, k)."""
        found = np.empty((len(x), len(self.means)))
        for number, (share, mean, root) in enumerate(zip(*self)):
            white = (x - mean) @ np.linalg.inv(root).T  # n, d
            size = np.log(np.diag(root)).sum() + x.shape[1] / 2 * np.log(2 * np.pi)
            found[:, number] = (np.log(share) if share else -np.inf) - size - (white * white).sum(axis=1) / 2
        return found

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """log of the mixture's density at each row of x (n, d), in nats: (n,)."""
        return _log_sum(self.log_densities(x))

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` points (count, d)."""
        which = rng.choice(len(self.shares), count, p=self.shares)
        z = rng.standard_normal((count, self.means.shape[1]))
        return self.means[which] + np.einsum("nij,nj->ni", self.roots[which], z)


def fit_mixture(
    x: np.ndarray, start: np.ndarray, *, rounds: int = 50, floor: float = 1e-3
) -> tuple[GaussianMixture, list[float]]:
    """Fit one Gaussian for each row of start (k, d) to the rows of x (n, d) (Dempster, Laird and Rubin 1977).

    Expectation: with which probability r does each point come from each Gaussian? Maximisation: the weighted shares,
    means and covariances of the points, with weights r. Returns the mixture and the mean log density after each
    round, which without a floor never falls. floor: this part of the mean variance of x is added to each variance, or
    a Gaussian could shrink on one point, which is a ValueError. The first r are 0 and 1, by K-means from the start.
    """
    check_points("fit_mixture", x, len(start))
    if rounds < 1:
        raise ValueError(f"fit_mixture: rounds must be at least 1, got {rounds!r}")
    x = x.astype(np.float64)
    d = x.shape[1]
    extra = floor * x.var(axis=0).mean() * np.eye(d)
    cluster = k_means(x, start.astype(np.float64)).cluster
    r = (cluster[:, None] == np.arange(len(start))).astype(np.float64)  # n, k
    history = []
    for _ in range(rounds):
        weight = np.maximum(r.sum(axis=0), 1e-12)
        means = r.T @ x / weight[:, None]
        roots = np.empty((len(start), d, d))
        for number, mean in enumerate(means):
            off = x - mean
            covariance = (r[:, number, None] * off).T @ off / weight[number]
            try:
                roots[number] = np.linalg.cholesky(covariance + extra)
            except np.linalg.LinAlgError:
                raise ValueError(
                    f"fit_mixture: floor {floor} leaves Gaussian {number} of x without width in some direction"
                ) from None
        mixture = GaussianMixture(weight / weight.sum(), means, roots)
        joint = mixture.log_densities(x)
        total = _log_sum(joint)
        history.append(float(total.mean()))
        r = np.exp(joint - total[:, None])
    return mixture, history


def _log_sum(x: np.ndarray) -> np.ndarray:
    """log of the sum of exp over the last axis, without overflow."""
    top = x.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(x - top).sum(axis=-1))
