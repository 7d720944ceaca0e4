"""K-means and DBSCAN beside scikit-learn's: the same partitions of 50 drawn data sets, and the times.

    pip install scikit-learn
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/bench_clustering.py     # --quick: seconds

K-means starts from the same centres in both. Both number DBSCAN's clusters by their first core points; partitions are
compared up to the numbers all the same. A border point that two clusters reach may go to either, so core points and
noise must agree, and border points that do not are counted. Times: the ratio of the medians of runs that take turns.
"""

import argparse
import importlib.util
import time

import numpy as np
from timing import machine, markdown

from npgan.backend import Status
from npgan.clustering import dbscan, k_means, neighbour_distance, spread_start

SIZES = ((10_000, 2), (2_000, 64))


def draw(seed: int) -> np.ndarray:
    """Points (n, d): 1 to 12 blobs of different widths, on every third set a ring around them, and noise."""
    rng = np.random.default_rng(seed)
    n, d, blobs = int(rng.integers(30, 1500)), int(rng.choice([1, 2, 3, 5, 16, 64])), int(rng.integers(1, 13))
    share = rng.dirichlet(np.ones(blobs))
    which = rng.choice(blobs, n, p=share)
    width = rng.uniform(0.2, 1.5, blobs)
    x = rng.uniform(-6, 6, (blobs, d))[which] + width[which, None] * rng.standard_normal((n, d))
    if seed % 3 == 0 and d > 1:
        angle = rng.uniform(0, 2 * np.pi, n // 4)
        x[: n // 4] = 0.1 * rng.standard_normal((n // 4, d))
        x[: n // 4, :2] += 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[: n // 20] = rng.uniform(-12, 12, (n // 20, d))
    return x


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two sets of numbers (n,) divide the points alike."""
    both = len(np.unique(np.stack([a, b]), axis=1).T)
    return both == len(np.unique(a)) == len(np.unique(b))


def settings(x: np.ndarray, seed: int) -> tuple[float, int]:
    """DBSCAN's (radius, least) for points: `least` of 3 to 10, the radius from the distances to neighbours."""
    rng = np.random.default_rng(seed)
    least = int(rng.integers(3, 11))
    return float(np.quantile(neighbour_distance(x, least), rng.uniform(0.3, 0.95)) ** 0.5), least


def their_k_means(x, start):
    from sklearn.cluster import KMeans

    return KMeans(len(start), init=start, n_init=1, tol=0, max_iter=300, algorithm="lloyd").fit(x)


def their_dbscan(x, radius, least):
    from sklearn.cluster import DBSCAN

    return DBSCAN(eps=radius, min_samples=least).fit(x)


def compare(sets: int) -> list[list[str]]:
    """Cluster drawn sets with both; lines of a table."""
    alike = {"K-means": 0, "DBSCAN": 0}
    points = borders = other_borders = other_numbers = 0
    for seed in range(sets):
        x = draw(seed)
        start = spread_start(x, min(len(x), 2 + seed % 19), np.random.default_rng(seed))
        alike["K-means"] += same_partition(k_means(x, start).cluster, their_k_means(x, start).labels_)
        radius, least = settings(x, seed)
        ours, theirs = dbscan(x, radius, least), their_dbscan(x, radius, least)
        core = np.zeros(len(x), bool)
        core[theirs.core_sample_indices_] = True
        noise = theirs.labels_ == -1
        alike["DBSCAN"] += same_partition(ours[core], theirs.labels_[core]) and ((ours == -1) == noise).all()
        points += len(x)
        borders += int((~core & ~noise).sum())
        other_borders += int((ours != theirs.labels_)[~core & ~noise].sum())
        other_numbers += int((ours != theirs.labels_)[core].sum())
    print(
        f"{sets} sets, {points} points; {borders} border points of DBSCAN, {other_borders} in another cluster;"
    )
    print(f"core points with another number: {other_numbers}")
    return [[name, f"{count} of {sets}"] for name, count in alike.items()]


def clock(ours, theirs, arguments: tuple, turns: int) -> tuple[float, float]:
    """Median seconds of both functions, taking turns; the first turn is a warm-up."""
    times = []
    for _ in range(turns + 1):
        marks = [time.perf_counter()]
        for function in (ours, theirs):
            function(*arguments)
            marks.append(time.perf_counter())
        times.append(np.diff(marks))
    return tuple(np.median(times[1:], axis=0))


def race(turns: int) -> tuple[list[list[str]], float]:
    """Time both on blobs of each size; lines of a table, and the largest ratio."""
    rows, ratios = [], []
    for n, d in SIZES:
        rng = np.random.default_rng(n)
        x = rng.uniform(-6, 6, (20, d))[rng.integers(20, size=n)] + 0.7 * rng.standard_normal((n, d))
        for k in (8, 20, 50):
            start = spread_start(x, k, np.random.default_rng(0))
            theirs = their_k_means(x, start)
            pair = clock(k_means, their_k_means, (x, start), turns)
            rows.append([f"K-means, {n} x {d}", f"k = {k}, {theirs.n_iter_} rounds", *pair])
        for quantile in (0.5, 0.9):
            radius = float(np.quantile(neighbour_distance(x, 8), quantile) ** 0.5)
            clusters = int(dbscan(x, radius, 8).max()) + 1
            pair = clock(dbscan, their_dbscan, (x, radius, 8), turns)
            rows.append([f"DBSCAN, {n} x {d}", f"radius {radius:.2f}, {clusters} clusters", *pair])
    for row in rows:
        ours, theirs = row[2:]
        ratios.append(ours / theirs)
        row[2:] = [f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{ours / theirs:.2f}"]
    return rows, max(ratios)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 sets, 2 turns")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("sklearn") is None:
        raise SystemExit("scikit-learn is not installed: pip install scikit-learn")
    print(machine(Status(False, "not asked for")))
    agreed = compare(5 if args.quick else 50)
    print(markdown(["", "the same partition"], agreed))
    rows, worst = race(2 if args.quick else 9)
    print(markdown(["", "", "npgan, ms", "scikit-learn, ms", "ratio"], rows))
    if any(count.split()[0] != count.split()[-1] for _, count in agreed):
        raise SystemExit("partitions differ")
    if worst > 2 and not args.quick:
        raise SystemExit("more than twice scikit-learn's time")


if __name__ == "__main__":
    main()
