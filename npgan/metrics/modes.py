"""Modes of a mixture: how many a set of samples reaches, and how many of the samples lie on one."""

from typing import NamedTuple

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


class ModeScores(NamedTuple):
    """Of samples of a mixture; each has a floor, the same for real samples."""

    modes: int  # found, as `count_modes` has it
    quality: float  # share of high-quality samples
    kl: float  # nats, sum of p log(p / q), p the good samples' share of a mode, q = 1 / modes; infinite without any
    width: float  # root mean square distance of good samples from their centre a coordinate, over sigma


def score_modes(samples: Array, centres: Array, sigma: float) -> ModeScores:
    """What `count_modes` says, and two figures that it does not see: uneven shares, and modes that are too narrow.

    samples (n, d), centres (modes, d), modes that are equally frequent.
    """
    samples, centres = to_numpy(samples), to_numpy(centres)
    modes, quality = count_modes(samples, centres, sigma)
    counts = samples_per_mode(samples, centres, sigma)
    if not counts.any():
        return ModeScores(modes, quality, np.inf, 0.0)
    share = counts[counts > 0] / counts.sum()
    distance = np.linalg.norm(samples[:, None] - centres, axis=2).min(axis=1)
    good = distance[distance <= 3 * sigma]
    width = np.sqrt((good**2).mean() / samples.shape[1]) / sigma
    return ModeScores(modes, quality, float((share * np.log(share * len(counts))).sum()), float(width))
