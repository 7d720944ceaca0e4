"""What belongs together: K-means, and DBSCAN.

Points are rows, (n, d), floating point, on the host; distances are Euclidean. A matrix of distances is cut in pieces
of PIECE values, 512 KB in float64: beyond 256 points no (n, n) is ever held.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

PIECE = 2**16  # values of a matrix of distances that are held at once: they stay in cache
KEPT = 2**23  # pairs of neighbours that `dbscan` remembers, 128 MB; of more it computes all twice
GRID = 3  # axes at most: beyond, a grid has too many neighbouring cells, and a product of matrices is faster


# Distances -----------------------------------------------------------------------------------------------------


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cut a matrix (rows, columns) in pieces of at most PIECE values, of one row at least."""
    step = max(1, PIECE // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 a b for all pairs: (n, d), (m, d) -> (n, m); what rounding makes of a 0 is 0."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    return np.maximum(squares - 2 * a @ b.T, 0)


def neighbour_distance(x: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each row of x (n, d) from its k-th nearest other row, 1 <= k < n: (n,)."""
    check_points("neighbour_distance", x)
    if not 1 <= k < len(x):
        raise ValueError(f"neighbour_distance: k must be 1 to {len(x) - 1}, fewer than the points, got {k!r}")
    found = np.empty(len(x), x.dtype)
    for rows in pieces(len(x), len(x)):  # the nearest of all is the row itself
        found[rows] = np.partition(squared_distances(x[rows], x), k, axis=1)[:, k]
    return found


# K-means -------------------------------------------------------------------------------------------------------


class Clusters(NamedTuple):
    """What K-means has found."""

    centres: np.ndarray  # (k, d)
    cluster: np.ndarray  # (n,) whole numbers: the nearest centre of each point
    inertia: float  # sum of the squared distances to it, which K-means lowers


def spread_start(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k rows of x (n, d) to start from, far apart: k-means++ (Arthur and Vassilvitskii 2007, section 2.2).

    The first is drawn evenly, each further one with a probability in proportion to its squared distance from the
    nearest of those before. Rows may come twice only where x has fewer than k different ones.
    """
    check_points("spread_start", x, k)
    chosen = [rng.integers(len(x))]
    distance = np.full(len(x), np.inf)
    for _ in range(k - 1):
        last = x[chosen[-1]]
        distance = np.minimum(distance, ((x - last) ** 2).sum(axis=1))
        total = distance.sum()
        chosen.append(rng.choice(len(x), p=distance / total if total > 0 else None))
    return x[chosen]


def k_means(x: np.ndarray, start: np.ndarray, *, rounds: int = 300) -> Clusters:
    """Move each centre to the mean of the points nearest to it, again and again (Lloyd 1982).

    x (n, d), start (k, d) of the same dtype. Both steps lower the inertia, so it ends: when no point changes its
    cluster, or after `rounds` moves. A centre to which no point is nearest takes the point that lies farthest from
    its own centre, unless that is alone there.
    """
    check_points("k_means", x, len(start))
    if start.shape[1:] != x.shape[1:]:
        raise ValueError(f"k_means: start must be (k, {x.shape[1]}), got {start.shape}")
    middle = x.mean(axis=0)
    x, centres = x - middle, start - middle  # else far from 0 the squares would drown the differences
    n, k = len(x), len(centres)
    ones = np.concatenate([x, np.ones((n, 1), x.dtype)], axis=1)  # n, d + 1
    columns, square, numbers = np.ascontiguousarray(ones.T), (x * x).sum(axis=1), np.arange(k, dtype=x.dtype)
    cluster, least = np.full(n, -1), np.empty(n, x.dtype)
    for moves in range(rounds + 1):
        before, cluster = cluster, np.empty_like(cluster)
        sums = np.zeros((k, ones.shape[1]), x.dtype)  # of the points, and how many they are
        # |x - c|^2 without |x|^2, which changes no order, is one product of matrices; so are the sums.
        weights = np.concatenate([-2 * centres, (centres * centres).sum(axis=1, keepdims=True)], axis=1)
        for part in pieces(n, k):
            distance = weights @ columns[:, part]  # k, part
            least[part] = distance.min(axis=0)
            member = (distance == least[part]).astype(x.dtype)
            if member.sum() > member.shape[1]:  # two centres are equally near: the first
                member *= np.cumsum(member, axis=0) == 1
            cluster[part] = numbers @ member
            sums += member @ ones[part]
        if moves == rounds or np.array_equal(cluster, before):
            break
        _mend(sums, ones, cluster, least + square)
        centres = np.where(sums[:, -1:] > 0, sums[:, :-1] / np.maximum(sums[:, -1:], 1), centres)
    return Clusters(centres + middle, cluster, float(np.maximum(least + square, 0).sum()))


def _mend(sums: np.ndarray, ones: np.ndarray, cluster: np.ndarray, distance: np.ndarray) -> None:
    """Give each empty cluster the point farthest from its centre: moves rows of `ones` from sum to sum, in place."""
    empty = np.flatnonzero(sums[:, -1] == 0)
    far = iter(np.argsort(-distance) if len(empty) else ())
    for number in empty:
        point = next((i for i in far if sums[cluster[i], -1] > 1), None)
        if point is None or distance[point] <= 0:
            return
        sums[cluster[point]] -= ones[point]
        sums[number] = ones[point]


# DBSCAN --------------------------------------------------------------------------------------------------------


def dbscan(x: np.ndarray, radius: float, least: int) -> np.ndarray:
    """Clusters of any shape, by density; whole numbers (n,), -1 for noise (Ester et al. 1996, section 3).

    A point with `least` points within the radius, itself among them, is a core point. Core points within the radius
    of each other are of one cluster. A point that is none belongs to the cluster of a core point within the radius:
    to the first, where there are several; where there is none it is noise. Clusters are numbered in the order of
    their first core points.

    Neighbours are found in a grid of cells of the radius's size, up to GRID axes; with more axes by all distances, a
    piece at a time.
    """
    check_points("dbscan", x)
    if not radius > 0:
        raise ValueError(f"dbscan: radius must be above 0, got {radius!r}")
    if not least >= 1:
        raise ValueError(f"dbscan: least must be at least 1, got {least!r}")
    n, kept, pairs = len(x), [], 0
    x = x.astype(np.float64)
    neighbours = np.ones(n, int)
    for i, j in _close_pairs(x, radius):  # each pair once
        neighbours += np.bincount(i, minlength=n) + np.bincount(j, minlength=n)
        pairs += len(i)
        if pairs <= KEPT:
            kept.append((i, j))
    core = neighbours >= least

    first, border = np.arange(n), []  # the first core point of each one's cluster, as far as is known
    for i, j in kept if pairs <= KEPT else _close_pairs(x, radius):
        both = core[i] & core[j]
        _join(first, i[both], j[both])
        one = core[i] ^ core[j]
        border.append(np.where(core[i[one]], (i[one], j[one]), (j[one], i[one])))  # core point, the other
    owner = np.where(core, first, n)
    for inner, outer in border:
        np.minimum.at(owner, outer, first[inner])
    found = np.full(n, -1)
    found[owner < n] = np.unique(owner[owner < n], return_inverse=True)[1]
    return found


def _join(first: np.ndarray, i: np.ndarray, j: np.ndarray) -> None:
    """Unite the clusters of points i and j, pair by pair. `first` names each one's first point; changed in place."""
    while len(i):
        a, b = first[i], first[j]
        apart = a != b
        i, j, a, b = i[apart], j[apart], a[apart], b[apart]
        np.minimum.at(first, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(first, up := first[first]):
            first[...] = up


def _close_pairs(x: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows of x (n, d) no farther apart than the radius, each once: arrays i, j, a piece at a time."""
    n, d = x.shape
    places = (x - x.min(axis=0)) / radius
    if d > GRID or np.prod(places.max(axis=0) + 3) > 2.0**62:  # the cells could not be numbered
        x = x - x.mean(axis=0)  # far from 0 the squares would drown the differences
        half = (x * x).sum(axis=1, keepdims=True) / 2
        one = np.ones_like(half)
        left, right = np.concatenate([x, half, one], axis=1), np.concatenate([x, -one, -half], axis=1).T
        for rows in pieces(n, n):  # -|a - b|^2 / 2 as one product of matrices
            near = left[rows] @ right[:, rows.start :] >= -(radius**2) / 2
            i, j = np.divmod(np.flatnonzero(near), near.shape[1])
            once = j > i
            yield i[once] + rows.start, j[once] + rows.start
        return
    cell = np.floor(places).astype(int) + 1  # an empty row around: no number of a neighbour wraps
    strides = np.cumprod([1, *(cell.max(axis=0)[:0:-1] + 2)])[::-1]
    order = np.argsort(cell @ strides, kind="stable")
    number, columns = (cell @ strides)[order], np.ascontiguousarray(x[order].T)  # n; d, n
    for offset in product((-1, 0, 1), repeat=d - 1):  # three neighbouring cells of the last axis are one run
        shift = int(np.dot(offset, strides[:-1]))
        if shift < 0:
            continue  # the pair comes from the other side
        run = np.searchsorted(number, number + shift - 1) if shift else np.arange(1, n + 1)
        length = np.searchsorted(number, number + shift + 1, side="right") - run
        ends = np.cumsum(length)
        start = 0
        while start < n:
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + PIECE, side="right")))
            some = slice(start, stop)
            i = np.repeat(np.arange(start, stop), length[some])
            j = np.arange(len(i)) - np.repeat(ends[some] - length[some] - done - run[some], length[some])
            near = sum((column[i] - column[j]) ** 2 for column in columns) <= radius**2
            yield order[i[near]], order[j[near]]
            start = stop


def check_points(function: str, x: np.ndarray, k: int = 1) -> None:
    if x.ndim != 2 or x.size == 0 or x.dtype.kind != "f":
        raise ValueError(f"{function}: x must be floating points (n, d), got shape {x.shape}, {x.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"{function}: x has values that are NaN or infinite")
    if not 1 <= k <= len(x):
        raise ValueError(f"{function}: k must be 1 to {len(x)}, the number of points, got {k!r}")
