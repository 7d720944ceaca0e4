"""Modes of a mixture: how many a set of samples reaches, and how many of the samples lie on one."""

import numpy as np

from npgan.backend import Array, to_numpy


def samples_per_mode(samples: Array, centres: Array, sigma: float) -> np.ndarray:
    """How many high-quality samples each mode has: whole numbers (modes,).

    samples (n, d), centres (modes, d). A sample is of high quality if it lies within 3 sigma of a mode's centre; it
    counts for the nearest one. In the plane 98.9% of a round Gaussian's own samples do, 1 - exp(-9 / 2).
    """
    samples, centres = to_numpy(samples), to_numpy(centres)
    if (
        samples.ndim != 2
        or centres.ndim != 2
        or samples.shape[1] != centres.shape[1]
        or 0 in samples.shape + centres.shape
    ):
        raise ValueError(
            "samples_per_mode: wanted samples (n, d) and centres (modes, d) with n of at least 1, got shapes "
            f"{samples.shape} and {centres.shape}"
        )
    if not sigma > 0:
        raise ValueError(f"samples_per_mode: sigma must be above 0, got {sigma!r}")
    distance = np.linalg.norm(samples[:, None] - centres, axis=2)  # n, modes
    near = distance.min(axis=1) <= 3 * sigma  # n
    return np.bincount(distance.argmin(axis=1)[near], minlength=len(centres))


def count_modes(samples: Array, centres: Array, sigma: float) -> tuple[int, float]:
    """(modes found, share of high-quality samples in 0..1).

    A mode is found if at least one high-quality sample lies on it, so the count depends on the number of samples:
    2,500 are usual (Lin et al. 2018, PacGAN, section 4.1).
    """
    counts = samples_per_mode(samples, centres, sigma)
    return int((counts > 0).sum()), float(counts.sum() / len(samples))
