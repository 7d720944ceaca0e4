"""Mixtures of Gaussians in the plane: data whose every mode can be counted."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equally likely round Gaussians: `centres` (modes, 2), each with standard deviation `sigma`.

    Ring and grid and their numbers: Srivastava et al. 2017 (VEEGAN); Lin et al. 2018 (PacGAN), sec. 4.1.
    """

    centres: np.ndarray
    sigma: float

    @classmethod
    def ring(cls, *, modes: int = 8, radius: float = 1.0, sigma: float = 0.01) -> "Mixture":
        """`modes` Gaussians, evenly spaced on a circle around the origin."""
        angle = 2 * np.pi * np.arange(modes) / modes
        return cls(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), sigma)

    @classmethod
    def grid(cls, *, side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> "Mixture":
        """`side` x `side` Gaussians on a square grid around the origin."""
        ticks = spacing * (np.arange(side) - (side - 1) / 2)
        x, y = np.meshgrid(ticks, ticks)
        return cls(np.stack([x.ravel(), y.ravel()], axis=1), sigma)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` points, float32 (count, 2)."""
        mode = rng.integers(len(self.centres), size=count)
        points = self.centres[mode] + self.sigma * rng.standard_normal((count, 2))
        return points.astype(np.float32)
