"""Segmentation and recombination: cut the image into regions, continue them into the hole, paint them."""

import numpy as np

from npgan.clustering import k_means
from npgan.data.images import check_whole
from npgan.filling.harmonic import harmonic_fill
from npgan.filling.mean import known_somewhere
from npgan.masks import blend

ROUNDS = 20  # of k-means


def segment_fill(
    images: np.ndarray, masks: np.ndarray, *, regions: int = 8, position_weight: float = 0.5
) -> np.ndarray:
    """Fill the hole with the mean colours of the image's regions, continued into it.

    1. Segment: k-means over the known pixels, on colour and position (both in [-1, 1]; `position_weight` says how
       much a distance in the image counts beside one in colour), as in Achanta et al. 2012 (SLIC), section 3.
    2. Continue: a missing pixel belongs to the region that a random walk from it meets first with the greatest
       probability. These probabilities solve Laplace's equation with 1 on the region and 0 on the others
       (Grady 2006, Random walks for image segmentation), so `harmonic_fill` finds them.
    3. Recombine: each missing pixel gets its region's mean colour.
    """
    missing = known_somewhere(images, masks)
    regions = check_whole("regions", regions)
    n, h, w, c = images.shape
    repaired = images.copy()
    chunk = max(1, 2**19 // (h * w * regions))
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        known = ~missing[part].reshape(-1, h * w, 1)  # N, H*W, 1
        colour = np.where(missing[part], 0, images[part]).reshape(-1, h * w, c).astype(np.float32)
        features = _features(colour, h, w, position_weight)
        member = np.stack([_regions(x, k[:, 0], regions) for x, k in zip(features, known)])  # N, H*W, K
        count = np.maximum(member.sum(axis=1)[..., None], 1)  # N, K, 1
        mean_colour = member.swapaxes(1, 2) @ colour / count  # N, K, C
        chance = harmonic_fill(member.reshape(-1, h, w, regions), missing[part], tolerance=1e-4)
        region = chance.reshape(-1, h * w, regions).argmax(axis=2)  # N, H*W
        painted = np.take_along_axis(mean_colour, region[..., None], axis=1)  # N, H*W, C
        repaired[part] = painted.reshape(-1, h, w, c)
    return blend(images, repaired, masks)


def _features(colour: np.ndarray, height: int, width: int, position_weight: float) -> np.ndarray:
    """Colour and position of each pixel: (N, H*W, C) -> (N, H*W, C + 2)."""
    longer = max(height, width)
    y, x = (
        position_weight * (2 * axis + 1 - side) / longer
        for axis, side in zip(np.indices((height, width)), (height, width))
    )
    place = np.stack([y.ravel(), x.ravel()], axis=1).astype(np.float32)
    return np.concatenate([colour, np.broadcast_to(place, (len(colour), *place.shape))], axis=2)


def _regions(x: np.ndarray, known: np.ndarray, regions: int) -> np.ndarray:
    """K-means over the known rows of x (P, F): one-hot float32 (P, regions), all 0 where unknown.

    The first centre is the known row nearest to the mean, each further one the row farthest from all centres so
    far (Gonzalez 1985): no chance in it.
    """
    rows = x[known]
    centres = [rows[((rows - rows.mean(axis=0)) ** 2).sum(axis=1).argmin()]]
    distance = np.full(len(rows), np.inf, np.float32)
    while len(centres) < min(regions, len(rows)):
        distance = np.minimum(distance, ((rows - centres[-1]) ** 2).sum(axis=1))
        centres.append(rows[distance.argmax()])
    member = np.zeros((len(x), regions), np.float32)
    member[np.flatnonzero(known), k_means(rows, np.stack(centres), rounds=ROUNDS).cluster] = 1
    return member
