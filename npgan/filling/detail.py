"""Detail for a repair that is right but soft: its patches are replaced by their nearest in the known part."""

import numpy as np

from npgan.masks import blend, missing_pixels

SOURCES = 20_000  # windows of the known part that are looked through at most


def patch_detail(
    images: np.ndarray, masks: np.ndarray, repaired: np.ndarray, *, patch: int = 17, rounds: int = 3
) -> np.ndarray:
    """Give the holes of `repaired` the edges and the grain of the known pixels (Kwatra et al. 2005, section 3).

    Windows of patch x patch pixels, overlapping by two thirds, cover the hole. Each is replaced by the most
    similar window without a missing pixel; where they overlap, their mean counts, weighted toward their centres.
    After `rounds` rounds the hole is made of the picture's own pieces, laid where the repair said.

    images, repaired: float (N, H, W, C) in [-1, 1]; masks: (N, H, W, 1), 1 = missing. Known pixels come back
    bit for bit, and a picture in which no whole window is known comes back as `repaired`.
    """
    missing = np.broadcast_to(missing_pixels(images, masks)[..., 0], images.shape[:3])
    patch = min(patch, max(3, min(images.shape[1:3]) // 4))
    result = blend(images, repaired, masks)
    for picture, hole in zip(result, missing):
        touches = _windows(hole, patch).any(axis=(2, 3))  # H - patch + 1, W - patch + 1
        known = np.argwhere(~touches)
        if len(known) == 0 or not hole.any():
            continue
        known = known[:: -(-len(known) // SOURCES)]
        sources = _cut(picture, known, patch)
        places = np.argwhere(touches)
        step = max(1, patch // 3)
        rows, columns = touches.shape
        on_grid = [(p % step == 0) | (p == last) for p, last in zip(places.T, (rows - 1, columns - 1))]
        places = places[on_grid[0] & on_grid[1]]
        for _ in range(rounds):
            picture[hole] = _recompose(picture, places, sources, patch)[hole]
    return blend(images, result, masks)


def _recompose(picture: np.ndarray, places: np.ndarray, sources: np.ndarray, patch: int) -> np.ndarray:
    """The picture from the sources that are nearest to its windows at `places`; as it was where none lies."""
    norms = (sources**2).sum(axis=1)
    offset = (np.arange(patch) - (patch - 1) / 2) / (patch / 4)
    weight = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2))[..., None].astype(picture.dtype)
    total, weights = np.zeros_like(picture), np.zeros_like(picture[..., :1])
    for start in range(0, len(places), 200):
        some = places[start : start + 200]
        # |query - source|**2 without the part that is the same for all sources
        nearest = (norms - 2 * _cut(picture, some, patch) @ sources.T).argmin(axis=1)
        for (y, x), source in zip(some, sources[nearest]):
            total[y : y + patch, x : x + patch] += weight * source.reshape(patch, patch, -1)
            weights[y : y + patch, x : x + patch] += weight
    return np.where(weights > 0, total / np.maximum(weights, 1e-12), picture)


def _cut(picture: np.ndarray, places: np.ndarray, patch: int) -> np.ndarray:
    """The windows whose upper left corners are at `places`, one a row: (M, patch*patch*C)."""
    windows = _windows(picture, patch)[places[:, 0], places[:, 1]]  # M, C, patch, patch
    return np.moveaxis(windows, 1, 3).reshape(len(places), -1)


def _windows(array: np.ndarray, patch: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(array, (patch, patch), axis=(0, 1))
