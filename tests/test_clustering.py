"""K-means and DBSCAN: cases by hand, searches through all there is, and what must not change them."""

import itertools
import re
import tracemalloc

import numpy as np
import pytest
import reference
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import seeds

from npgan import clustering
from npgan.clustering import dbscan, k_means, neighbour_distance, spread_start
from npgan.data import Mixture


def column(*values):
    return np.array(values, float)[:, None]


def draw(seed, n, d, dtype=np.float64):
    """A few blobs, with points between them."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-3, 3, (3, d))
    x = places[rng.integers(3, size=n)] + 0.5 * rng.standard_normal((n, d))
    x[: n // 5] = rng.uniform(-4, 4, (n // 5, d))
    return x.astype(dtype)


# K-means -------------------------------------------------------------------------------------------------------


def test_k_means_on_a_line():
    """0, 1, 2 | 10, 11 | 12 from the starts 0, 10, 12: then 11 and 12 are a pair, and nothing moves any more."""
    x = column(0, 1, 2, 10, 11, 12)
    found = k_means(x, column(0, 9, 13))
    np.testing.assert_allclose(found.centres, column(1, 10.5, 12), atol=1e-12)
    assert found.cluster.tolist() == [0, 0, 0, 1, 1, 2] and found.inertia == pytest.approx(2.5)


def test_an_empty_cluster_takes_the_point_that_lies_farthest():
    """Nobody is nearest to 100: it takes the 7, and the other keeps the rest."""
    x = column(0, 1, 2, 7)
    found = k_means(x, column(1, 100))
    np.testing.assert_allclose(found.centres, column(1, 7), atol=1e-12)
    assert found.cluster.tolist() == [0, 0, 0, 1]


def test_several_empty_clusters_take_a_point_each_and_none_is_robbed_of_its_only_one():
    x = column(0, 1, 5, 9)
    found = k_means(x, column(0, 50, 60, 70))
    assert sorted(found.cluster) == [0, 1, 2, 3] and found.inertia == pytest.approx(0)
    same = k_means(np.ones((4, 2)), np.ones((3, 2)))  # no point lies apart: centres stay
    assert same.cluster.tolist() == [0, 0, 0, 0] and np.array_equal(same.centres, np.ones((3, 2)))


def test_rounds_are_an_upper_limit_and_the_clusters_fit_the_centres():
    x = draw(0, 200, 2)
    start = x[:5]
    for rounds in (0, 1, 2, 50):
        found = k_means(x, start, rounds=rounds)
        distance = np.linalg.norm(x[:, None] - found.centres, axis=2)
        np.testing.assert_array_equal(found.cluster, distance.argmin(axis=1))
        assert found.inertia == pytest.approx((distance.min(axis=1) ** 2).sum())
    np.testing.assert_allclose(k_means(x, start, rounds=0).centres, start, atol=1e-12)


@given(n=st.integers(4, 40), d=st.integers(1, 4), k=st.integers(1, 6), seed=seeds)
def test_k_means_is_lloyds_loop(n, d, k, seed):
    x = draw(seed, n, d)
    start = spread_start(x, min(k, n), np.random.default_rng(seed))
    found = k_means(x, start)
    centres, cluster = reference.lloyd(x.tolist(), start.tolist())
    np.testing.assert_array_equal(found.cluster, cluster)
    np.testing.assert_allclose(found.centres, centres, atol=1e-9)


@example(n=4, seed=854)  # where no pair of points leads to the best
@given(n=st.integers(2, 7), seed=seeds)
def test_no_start_is_better_than_the_best_partition_where_k_means_stays(n, seed):
    """Two clusters of few points: every partition can be tried. Pairs of points need not lead to the best."""
    x = draw(seed, n, 2)
    splits = [np.array(s) for s in itertools.product([False, True], repeat=n) if 0 < sum(s) < n]
    centres = [np.stack([x[split].mean(axis=0), x[~split].mean(axis=0)]) for split in splits]
    inertia = [
        ((x[split] - c[0]) ** 2).sum() + ((x[~split] - c[1]) ** 2).sum() for split, c in zip(splits, centres)
    ]
    best = min(inertia)
    for pair in itertools.combinations(range(n), 2):
        assert k_means(x, x[list(pair)]).inertia >= best * (1 - 1e-9) - 1e-9
    assert k_means(x, centres[np.argmin(inertia)]).inertia == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(n=st.integers(5, 30), seed=seeds)
def test_far_from_zero_and_in_float32_the_clusters_are_the_same(n, seed):
    x = draw(seed, n, 3)
    start = spread_start(x, 3, np.random.default_rng(seed))
    plain = k_means(x, start).cluster
    np.testing.assert_array_equal(k_means(x + 1e6, start + 1e6).cluster, plain)
    single = k_means(x.astype(np.float32), start.astype(np.float32))
    assert single.centres.dtype == np.float32


@given(seed=seeds)
def test_starts_are_rows_far_apart(seed):
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.standard_normal((4, 2)), [1, 50, 50, 50], axis=0)
    start = spread_start(x, 4, rng)
    assert len(np.unique(start, axis=0)) == 4  # equal rows have the distance 0 from one that is chosen
    assert (spread_start(x, 6, rng)[:, None] == x).all(axis=2).any(axis=1).all()


def test_starts_come_with_the_squared_distance():
    """From 0, the points 1 and 3 come next with 1 to 9, if 0 came first."""
    rng, second = np.random.default_rng(0), []
    while len(second) < 2000:
        first, next_one = spread_start(column(0, 1, 3), 2, rng)[:, 0]
        if first == 0:
            second.append(next_one)
    assert np.mean(np.array(second) == 3) == pytest.approx(0.9, abs=0.03)


# DBSCAN --------------------------------------------------------------------------------------------------------


def test_dbscan_on_a_line():
    """Core points 1, 2 and 11, 12; their neighbours 0, 3, 10 and 13 are border points, 20 is noise."""
    x = column(20, 0, 1, 2, 3, 10, 11, 12, 13)
    assert dbscan(x, 1.0, 3).tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert dbscan(x, 0.9, 2).tolist() == [-1] * 9
    assert dbscan(x, 0.9, 1).tolist() == list(range(9))
    assert dbscan(x, 7.0, 2).tolist() == [0] * 9


def test_a_border_point_of_two_clusters_belongs_to_the_first():
    """3 is within reach of the core points 2 and 4, and has with them only three neighbours of the four."""
    x = column(6, 5, 4, 3, 2, 1, 0, 4.4, 1.6)
    assert dbscan(x, 1.0, 4).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 1]
    assert dbscan(x[::-1], 1.0, 4).tolist() == [0, 1, 0, 0, 0, 0, 1, 1, 1]


@given(
    n=st.integers(1, 60),
    d=st.integers(1, 5),
    radius=st.sampled_from([0.3, 0.8, 2.0, 20.0]),
    least=st.integers(1, 6),
    seed=seeds,
)
def test_dbscan_is_the_papers_loop(n, d, radius, least, seed):
    x = draw(seed, n, d)
    np.testing.assert_array_equal(dbscan(x, radius, least), reference.dbscan(x.tolist(), radius, least))


@given(d=st.integers(1, 3), seed=seeds)
def test_points_on_a_lattice_are_neighbours_just_at_the_radius(d, seed):
    x = np.random.default_rng(seed).integers(-3, 4, (40, d)).astype(float)
    for radius in (1.0, 2.0):
        np.testing.assert_array_equal(dbscan(x, radius, 3), reference.dbscan(x.tolist(), radius, 3))


@pytest.mark.parametrize("grid", [0, 3])
@pytest.mark.parametrize("piece", [1, 50, 2**16])
def test_grid_distances_pieces_and_memory_change_nothing(monkeypatch, grid, piece):
    x = draw(3, 150, 2)
    wanted = reference.dbscan(x.tolist(), 0.5, 5)
    monkeypatch.setattr(clustering, "GRID", grid)
    monkeypatch.setattr(clustering, "PIECE", piece)
    for kept in (0, 30, 2**23):
        monkeypatch.setattr(clustering, "KEPT", kept)
        np.testing.assert_array_equal(dbscan(x, 0.5, 5), wanted)
    start = x[:6]
    np.testing.assert_array_equal(k_means(x, start).cluster, reference.lloyd(x.tolist(), start.tolist())[1])


def test_a_long_chain_is_one_cluster():
    turn = np.linspace(2, 60, 4000)
    spiral = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1)
    assert (dbscan(spiral, 2.5, 3) == 0).all()
    order = np.random.default_rng(0).permutation(4000)
    assert (dbscan(spiral[order], 2.5, 3) == 0).all()


def test_cells_that_cannot_be_numbered_are_no_trouble():
    x = np.array([[0.0, 0, 0], [1e-9, 0, 0], [1e9, 1e9, 1e9], [-1e9, 1e9, 5]])
    assert dbscan(x, 1e-8, 2).tolist() == [0, 0, -1, -1]


def test_modes_are_counted_without_knowing_them(rng):
    for mixture, radius, modes in ((Mixture.ring(), 0.02, 8), (Mixture.grid(), 0.1, 25)):
        assert dbscan(mixture.sample(2500, rng), radius, 5).max() + 1 == modes


@pytest.mark.parametrize("d", [2, 6])
def test_no_matrix_of_all_distances_is_held(rng, d):
    x = rng.standard_normal((6000, d))  # 288 MB of distances
    tracemalloc.start()
    dbscan(x, 0.05, 5)
    k_means(x, x[:50])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


# Both ----------------------------------------------------------------------------------------------------------


@given(n=st.integers(3, 30), d=st.integers(1, 5), seed=seeds)
def test_the_distance_of_the_kth_neighbour(n, d, seed):
    x = draw(seed, n, d)
    distance = np.sort(((x[:, None] - x) ** 2).sum(axis=2), axis=1)
    for k in (1, n - 1):
        np.testing.assert_allclose(neighbour_distance(x, k), distance[:, k], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: k_means(x[:, :0], x[:3]), "k_means: x must be floating points (n, d), got shape (9, 0)"),
        (lambda x: k_means(x.astype(int), x[:3]), "k_means: x must be floating points (n, d), got shape (9, 2), int"),
        (lambda x: k_means(x * np.nan, x[:3]), "k_means: x has values that are NaN or infinite"),
        (lambda x: k_means(x, x[:0]), "k_means: k must be 1 to 9, the number of points, got 0"),
        (lambda x: k_means(x, np.zeros((3, 3))), "k_means: start must be (k, 2), got (3, 3)"),
        (lambda x: spread_start(x, 10, None), "spread_start: k must be 1 to 9, the number of points, got 10"),
        (lambda x: dbscan(x, 0.0, 3), "dbscan: radius must be above 0, got 0.0"),
        (lambda x: dbscan(x, 1.0, 0), "dbscan: least must be at least 1, got 0"),
        (lambda x: neighbour_distance(x, 9), "neighbour_distance: k must be 1 to 8, fewer than the points, got 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_clustered_is_refused_by_name(call, message, rng):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(rng.standard_normal((9, 2)))
