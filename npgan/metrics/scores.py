"""How far apart are two sets of images, by their features? Distances, shares, and one table of them all.

Every function takes `real` and `generated`, (n, d) each, by keyword: nearly all of these scores change if the two are
swapped. Features come from `npgan.metrics.features`, or are any numbers that describe images. Both sets must be
equally large, since a smaller one lies farther from everything: a score means something only beside the score of
other real images, as many of them. All is computed in float64 on the host. Matrices of distances are cut in pieces.

None of these figures can be compared with published ones, which use the features of another network, Inception,
trained on photographs: other features are another ruler.
"""

from typing import NamedTuple

import numpy as np

from npgan.backend import Array, to_numpy
from npgan.clustering import k_means, neighbour_distance, pieces, squared_distances

CHUNK = 2048  # training images that are read at once


# Distances between distributions -------------------------------------------------------------------------------


def frechet(*, real: Array, generated: Array) -> float:
    """The Frechet distance of two Gaussians with the sets' means and covariances (Heusel et al. 2017, section 4).

        |m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2))

    In squared units of the features; 0 for equal means and covariances. S1 S2 is not symmetric, and a general
    matrix root of it comes out complex where rounding makes an eigenvalue negative. The symmetric S1^1/2 S2 S1^1/2
    has the same eigenvalues; they are real, and what rounding makes of a 0 is clipped. So nothing becomes complex.

    It falls as the sets grow, for real images too: with n images a covariance of d features is not known well. At
    least d + 1 are wanted, with fewer it is singular; ValueError.
    """
    real, generated = _checked("frechet", real, generated)
    n, d = real.shape
    if n <= d:
        raise ValueError(f"frechet: {n} images a set are too few for {d} features, wanted more than {d}")
    gap = real.mean(axis=0) - generated.mean(axis=0)
    s1, s2 = (np.cov(x, rowvar=False).reshape(d, d) for x in (real, generated))
    values, vectors = np.linalg.eigh(s1)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(root @ s2 @ root), 0, None))
    return max(0.0, float(gap @ gap + np.trace(s1) + np.trace(s2) - 2 * roots.sum()))


def kernel(*, real: Array, generated: Array) -> float:
    """The squared maximum mean discrepancy with the kernel (x y / d + 1)^3 (Binkowski et al. 2018, section 4).

        mean of k(x, x') over pairs of real images + the same of generated ones - 2 * mean of k(x, y)

    Pairs of an image with itself are left out, so the mean over many draws is right however few images there are:
    no bias. The price: two sets of one distribution give about 0, and as often a little less as a little more.
    """
    real, generated = _checked("kernel", real, generated)
    n, d = real.shape
    if n < 2:
        raise ValueError("kernel: wanted at least 2 images a set, got 1")

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        """Over all pairs; over those of two different images where both sets are one."""
        total = sum(((a[rows] @ b.T / d + 1) ** 3).sum() for rows in pieces(n, n))
        same = ((a * a).sum(axis=1) / d + 1) ** 3
        return float((total - same.sum()) / (n * (n - 1)) if a is b else total / (n * n))

    return mean(real, real) + mean(generated, generated) - 2 * mean(real, generated)


# Good images, and all kinds of them ----------------------------------------------------------------------------
#
# What is "near", in a space where nobody knows a unit? As near as the k-th nearest neighbour. Around each image of a
# set lies a ball that reaches to its k-th nearest neighbour in the set; together they cover where the set lives.


def precision_recall(*, real: Array, generated: Array, k: int = 3) -> tuple[float, float]:
    """(precision, recall), each 0 to 1 (Kynkaanniemi et al. 2019, section 2).

    Precision: the share of generated images in the ball of some real one: are they good? Recall: the share of real
    images in the ball of some generated one: are there all kinds? One far image has a large ball, so read density
    and coverage beside them. More than k images a set; ValueError.
    """
    real, generated = _checked("precision_recall", real, generated, k)
    precision = (_balls_around(real, generated, k)[0] > 0).mean()
    recall = (_balls_around(generated, real, k)[0] > 0).mean()
    return float(precision), float(recall)


def density_coverage(*, real: Array, generated: Array, k: int = 5) -> tuple[float, float]:
    """(density, coverage) (Naeem et al. 2020, section 3), which count with the balls of real images alone.

    Density: in how many balls a generated image lies, over k: about 1 for real images, and more where samples crowd
    in the middle. Coverage: the share of balls that hold a generated image, 0 to 1. More than k images a set;
    ValueError.
    """
    real, generated = _checked("density_coverage", real, generated, k)
    inside, reached = _balls_around(real, generated, k)
    return float(inside.mean() / k), float(reached.mean())


def _balls_around(centres: np.ndarray, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """For each point, in how many balls it lies (n,); for each centre, whether its ball holds a point (n,)."""
    n = len(centres)
    radius = neighbour_distance(centres, k)  # squared
    inside, reached = np.empty(len(points), int), np.zeros(n, bool)
    for rows in pieces(len(points), n):
        within = squared_distances(points[rows], centres) <= radius  # rows, n
        inside[rows] = within.sum(axis=1)
        reached |= within.any(axis=0)
    return inside, reached


# Bins ----------------------------------------------------------------------------------------------------------


def different_bins(*, real: Array, generated: Array, bins: int | None = None, seed: int = 0) -> float:
    """The share of bins that hold another share of the generated images than of the real ones, 0 to 1.

    The bins are clusters of real images (Richardson and Weiss 2018, section 3: NDB/K). Two shares count as different
    where chance would make them so in one of 20 cases: |p - q| > 1.96 standard errors of the difference. So real
    images against real ones have about 0.05. bins: one for 20 images where not given. seed: of the first centres.
    """
    real, generated = _checked("different_bins", real, generated)
    n = len(real)
    bins = max(2, n // 20) if bins is None else bins
    if not 2 <= bins <= n:
        raise ValueError(f"different_bins: bins must be 2 to {n}, the images of a set, got {bins!r}")
    start = real[np.random.default_rng(seed).choice(n, bins, replace=False)]
    centres = k_means(real, start, rounds=20).centres
    p, q = (np.bincount(nearest(centres, x)[1], minlength=bins) / n for x in (real, generated))
    both = (p + q) / 2
    error = np.sqrt(both * (1 - both) * 2 / n)
    return float((np.abs(p - q) > 1.96 * error).mean())


# Copies --------------------------------------------------------------------------------------------------------


def nearest(candidates, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of x (n, ...) its distance to the nearest of the candidates (m, ...), and which that is.

    candidates: an array, or npgan.data.Images, of which CHUNK are read at a time.
    """
    x = x.reshape(len(x), -1).astype(np.float64)
    least, index = np.full(len(x), np.inf), np.zeros(len(x), int)
    for start in range(0, len(candidates), CHUNK):
        some = np.asarray(candidates[start : start + CHUNK])
        some = some.reshape(len(some), -1).astype(np.float64)
        for rows in pieces(len(x), len(some)):
            squared = squared_distances(x[rows], some)
            best = squared.argmin(axis=1)
            value = squared[np.arange(len(best)), best]
            index[rows] = np.where(value < least[rows], start + best, index[rows])
            least[rows] = np.minimum(value, least[rows])
    return np.sqrt(least), index


def copying(*, real: np.ndarray, generated: np.ndarray) -> float:
    """How often a generated image lies nearer to its nearest training image than a real, unseen one to its own.

    real, generated: these distances, (m,) and (n,), of `nearest`. Over all pairs; ties count half (Meehan, Chaudhuri
    and Dasgupta 2020, section 3). 1/2: as near as new real images. Near 1: copies. Below 1/2: farther off than real
    images, as bad images are. No other score here sees copies: they praise one who knows the training images by
    heart.
    """
    for name, distances in (("real", real), ("generated", generated)):
        if distances.ndim != 1 or distances.size == 0:
            raise ValueError(f"copying: {name} must be distances (n,), got shape {distances.shape}")
    theirs = np.sort(real)
    farther = len(theirs) - np.searchsorted(theirs, generated, side="right")
    same = len(theirs) - np.searchsorted(theirs, generated, side="left") - farther
    return float((farther + same / 2).mean() / len(theirs))


# All of them ---------------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    """Each score of one set of generated images, in the order of the table's columns."""

    frechet: float
    kernel: float
    precision: float
    recall: float
    density: float
    coverage: float
    bins: float


def score(*, real: Array, generated: Array) -> Scores:
    """All scores of a set of images, by its features and those of as many real ones, (n, d) each, n > d."""
    sets = {"real": real, "generated": generated}
    return Scores(
        frechet(**sets),
        kernel(**sets),
        *precision_recall(**sets),
        *density_coverage(**sets),
        different_bins(**sets),
    )


def table(scores: dict[str, Scores]) -> str:
    """Lines to print: a row for each set of images, best said of the real ones first, a column for each score."""
    width = max(len(name) for name in scores) + 2
    lines = [" " * width + "".join(f"{name:>10}" for name in Scores._fields)]
    for name, row in scores.items():
        lines.append(
            f"{name:<{width}}{row.frechet:10.2f}{row.kernel:10.3f}" + "".join(f"{v:10.2f}" for v in row[2:])
        )
    return "\n".join(lines)


# Shared --------------------------------------------------------------------------------------------------------


def _checked(name: str, real: Array, generated: Array, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in float64 on the host; ValueError where they do not fit each other or have no more than k images."""
    real, generated = _rows(name, "real", real), _rows(name, "generated", generated)
    if real.shape != generated.shape:
        raise ValueError(
            f"{name}: wanted real and generated of one shape, equally many, got {real.shape} and {generated.shape}"
        )
    if k and not 1 <= k < len(real):
        raise ValueError(f"{name}: k must be 1 to {len(real) - 1}, fewer than the images of a set, got {k!r}")
    return real, generated


def _rows(name: str, argument: str, x: Array) -> np.ndarray:
    x = to_numpy(x)
    if x.ndim != 2 or x.size == 0 or x.dtype.kind not in "iuf":
        raise ValueError(f"{name}: {argument} must be features (n, d), got shape {x.shape}, {x.dtype}")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: {argument} has values that are NaN or infinite")
    return x
