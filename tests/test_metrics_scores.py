"""Scores of sets of features: cases by hand, loops, what must not change them, and the mistakes that others made."""

import math
import re
import tracemalloc

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npgan import clustering
from npgan.data import Images
from npgan.metrics import scores

BOTH = [
    scores.frechet,
    scores.kernel,
    scores.precision_recall,
    scores.density_coverage,
    scores.different_bins,
]


def column(*values):
    return np.array(values, float)[:, None]


# By hand -------------------------------------------------------------------------------------------------------


def test_frechet_on_a_line():
    """Means 1 and 5, variances 2 and 8: 4^2 + (sqrt 8 - sqrt 2)^2."""
    assert scores.frechet(real=column(0, 2), generated=column(3, 7)) == pytest.approx(18, rel=1e-12)


def test_frechet_of_covariances_that_do_not_commute(rng):
    """With S1 = diag(4, 1) and S2 = 1/2 [[5, 3], [3, 5]], whose product has the trace 12.5 and determinant 16."""
    white = rng.standard_normal((50, 2))
    white -= white.mean(axis=0)
    white = np.linalg.solve(
        np.linalg.cholesky(np.cov(white, rowvar=False)), white.T
    ).T  # covariance 1, exactly
    real = white @ np.diag([2.0, 1.0])
    generated = white @ np.linalg.cholesky(np.array([[2.5, 1.5], [1.5, 2.5]])).T + [3.0, 4.0]
    roots = math.sqrt(12.5 + 2 * math.sqrt(16))  # sqrt(a) + sqrt(b), of a + b and a b
    assert scores.frechet(real=real, generated=generated) == pytest.approx(25 + 5 + 5 - 2 * roots, rel=1e-12)


def test_kernel_of_two_and_two():
    """Similarities (x y + 1)^3: 1 within, 27 within, (1 + 1 + 8 + 27) / 4 between."""
    assert scores.kernel(real=column(0, 1), generated=column(1, 2)) == pytest.approx(1 + 27 - 2 * 9.25)


def test_shares_in_balls():
    """The balls reach 1, 1, 1, 8 around real images; 2, 3, 2, 26.5 around generated ones."""
    sets = {"real": column(0, 1, 2, 10), "generated": column(0.5, 3.5, -1.5, 30)}
    assert scores.precision_recall(**sets, k=1) == (0.5, 1.0)
    assert scores.density_coverage(**sets, k=1) == (0.75, 0.75)


def test_bins_that_hold_another_share():
    real = column(*[0] * 100, *[10] * 100)
    for zeros, different in ((100, 0), (119, 0), (120, 1), (200, 1)):  # 1.96 errors of 0.05: 19.6 images
        generated = column(*[0] * zeros, *[10] * (200 - zeros))
        assert scores.different_bins(real=real, generated=generated, bins=2) == different


def test_chance_makes_one_bin_in_twenty_different(rng):
    share = [
        scores.different_bins(real=rng.standard_normal((1000, 3)), generated=rng.standard_normal((1000, 3)))
        for _ in range(8)
    ]
    assert 0.02 < np.mean(share) < 0.1


def copying(train, real, generated):
    return scores.copying(real=scores.nearest(train, real)[0], generated=scores.nearest(train, generated)[0])


def test_copies_are_nearer_than_unseen_images():
    assert copying(column(0), column(1, 3), column(2, -0.5)) == 0.75
    assert copying(column(0, 5), column(1, 4, 6), column(5, 0, 0, 5)) == 1
    assert copying(column(0), column(1, 3), column(50)) == 0
    assert copying(column(0), column(1, 3), column(-1, 3)) == 0.5
    with pytest.raises(
        ValueError, match=re.escape("copying: generated must be distances (n,), got shape (0,)")
    ):
        scores.copying(real=np.ones(2), generated=np.ones(0))


def test_nearest_takes_images_of_any_shape_a_chunk_at_a_time(rng, monkeypatch):
    pixels = rng.integers(256, size=(20, 12, 12, 3), dtype=np.uint8)
    images, x = Images(pixels), rng.uniform(-1, 1, (7, 12, 12, 3)).astype(np.float32)
    each = np.linalg.norm((images[:][None] - x[:, None]).reshape(7, 20, -1).astype(float), axis=2)
    for chunk in (2048, 6):
        monkeypatch.setattr(scores, "CHUNK", chunk)
        distance, index = scores.nearest(images, x)
        np.testing.assert_allclose(distance, each.min(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(index, each.argmin(axis=1))


# Loops, and what must not change them --------------------------------------------------------------------------

sizes = {"n": st.integers(7, 12), "d": st.integers(1, 5), "seed": seeds}


@given(**sizes)
def test_loops_from_the_definitions_agree(n, d, seed):
    rng = np.random.default_rng(seed)
    real, generated = rng.standard_normal((n, d)), 0.7 * rng.standard_normal((n, d)) + 0.4
    sets, close = {"real": real, "generated": generated}, {"rel": 1e-6, "abs": 1e-9}
    assert scores.frechet(**sets) == pytest.approx(reference.frechet_distance(real, generated), **close)
    assert scores.kernel(**sets) == pytest.approx(reference.kernel_distance(real, generated), **close)
    for k in (1, 3, 6):
        assert scores.precision_recall(**sets, k=k) == reference.precision_recall(real, generated, k)
        assert scores.density_coverage(**sets, k=k) == pytest.approx(
            reference.density_coverage(real, generated, k)
        )
    train = rng.standard_normal((n + 3, d))
    assert copying(train, **sets) == pytest.approx(reference.copying(train, real, generated))


@given(**sizes)
def test_order_place_and_turns_do_not_matter_and_units_only_to_distances(n, d, seed):
    rng = np.random.default_rng(seed)
    real, generated = rng.standard_normal((2, n, d))
    turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
    close = {"rel": 1e-6, "abs": 1e-9}
    for measure in (scores.frechet, scores.precision_recall, scores.density_coverage):
        plain = measure(real=real, generated=generated)
        shuffled = measure(real=real[rng.permutation(n)], generated=generated[rng.permutation(n)])
        assert shuffled == pytest.approx(plain, **close)
        moved = measure(real=real @ turn + 3, generated=generated @ turn + 3)
        assert moved == pytest.approx(plain, **close)
        doubled = measure(real=2 * real, generated=2 * generated)
        assert doubled == pytest.approx(np.multiply(plain, 4 if measure is scores.frechet else 1), **close)
    plain = scores.kernel(real=real, generated=generated)
    turned = scores.kernel(real=real[::-1] @ turn, generated=generated[::-1] @ turn)
    assert turned == pytest.approx(plain, **close)
    assert scores.frechet(real=generated, generated=real) == pytest.approx(
        scores.frechet(real=real, generated=generated), **close
    )


@given(**sizes)
def test_a_set_against_itself(n, d, seed):
    x = np.random.default_rng(seed).standard_normal((n, d))
    same = {"real": x, "generated": x.copy()}
    assert scores.frechet(**same) == pytest.approx(0, abs=1e-6)
    assert scores.kernel(**same) < 0  # an image and itself are a pair between the sets, not within one
    assert scores.precision_recall(**same) == (1, 1)
    density, coverage = scores.density_coverage(**same)
    assert coverage == 1 and density == pytest.approx(6 / 5)  # k neighbours, and the centre itself
    assert scores.different_bins(**same, bins=3) == 0


def test_kernel_is_zero_in_the_mean_however_few_images_and_the_frechet_distance_is_not(rng):
    few = [rng.standard_normal((2, 8, 3)) for _ in range(400)]
    kernels = [scores.kernel(real=a, generated=b) for a, b in few]
    assert abs(np.mean(kernels)) < 3 * np.std(kernels) / 20
    at = {
        n: np.mean(
            [
                scores.frechet(real=rng.standard_normal((n, 3)), generated=rng.standard_normal((n, 3)))
                for _ in range(50)
            ]
        )
        for n in (8, 80, 800)
    }
    assert at[8] > 5 * at[80] > 25 * at[800] > 0


@pytest.mark.parametrize("piece", [1, 7, 50])
def test_pieces_change_nothing(rng, monkeypatch, piece):
    real, generated = rng.standard_normal((2, 30, 4))
    whole = scores.score(real=real, generated=generated)
    copied = copying(real, generated[:9], generated)
    monkeypatch.setattr(clustering, "PIECE", piece)
    assert scores.score(real=real, generated=generated) == pytest.approx(whole, rel=1e-9)
    assert copying(real, generated[:9], generated) == copied


def test_a_large_matrix_of_distances_is_never_held_at_once(rng):
    real, generated = rng.standard_normal((2, 2500, 2))  # 50 MB
    tracemalloc.start()
    scores.precision_recall(real=real, generated=generated)
    scores.kernel(real=real, generated=generated)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


# Mistakes that others have made --------------------------------------------------------------------------------


def by_the_general_root(real, generated):
    """The Frechet distance as it is often written, by a root of S1 S2: NaN or complex where one is singular."""
    s1, s2 = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(np.linalg.eigvals(s1 @ s2))
    gap = real.mean(axis=0) - generated.mean(axis=0)
    return gap @ gap + np.trace(s1) + np.trace(s2) - 2 * roots.sum()


def collapsed(rng):
    """A generator that varies in two directions of 16 only."""
    plane = rng.standard_normal((2, 16))
    return rng.standard_normal((40, 16)), rng.standard_normal((40, 2)) @ plane, plane


def test_a_collapsed_generator_has_a_real_finite_distance(rng):
    real, generated, plane = collapsed(rng)
    found = scores.frechet(real=real, generated=generated)
    s1, s2 = (np.cov(x, rowvar=False) for x in (real, generated))
    # The product's eigenvalues, but for zeros, are those of a 2 x 2 matrix: S2 = plane' C plane.
    inner = plane @ s1 @ plane.T @ np.cov(np.linalg.lstsq(plane.T, generated.T, rcond=None)[0])
    gap = real.mean(axis=0) - generated.mean(axis=0)
    roots = np.sqrt(np.linalg.eigvals(inner)).sum()
    assert found == pytest.approx(gap @ gap + np.trace(s1) + np.trace(s2) - 2 * roots, rel=1e-6)
    wrong = by_the_general_root(real, generated)
    assert np.isnan(wrong) or abs(np.imag(wrong)) > 0 or np.iscomplexobj(wrong)


@pytest.mark.parametrize("measure", BOTH)
def test_arguments_are_keywords(measure, rng):
    with pytest.raises(TypeError, match="positional"):
        measure(*rng.standard_normal((2, 20, 3)))


def test_swapped_arguments_are_seen_in_the_figures(rng):
    """One mode of two: good, and half of the kinds. Swapped it would be half good, and of all kinds."""
    both = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 50])
    one = rng.standard_normal((200, 2))
    precision, recall = scores.precision_recall(real=both, generated=one)
    assert precision > 0.9 and 0.4 < recall < 0.55
    density, coverage = scores.density_coverage(real=both, generated=one)
    assert density > 0.8 and 0.4 < coverage < 0.55
    assert scores.precision_recall(real=one, generated=both) == (recall, precision)


@pytest.mark.parametrize("measure", BOTH)
def test_sets_of_other_sizes_or_features_are_refused(measure, rng):
    wanted = f"{measure.__name__}: wanted real and generated of one shape, equally many, got "
    for generated, shape in (
        (rng.standard_normal((21, 3)), "(21, 3)"),
        (rng.standard_normal((20, 4)), "(20, 4)"),
    ):
        with pytest.raises(ValueError, match=re.escape(wanted + f"(20, 3) and {shape}")):
            measure(real=rng.standard_normal((20, 3)), generated=generated)


def test_too_few_samples_are_refused(rng):
    few = {"real": rng.standard_normal((64, 64)), "generated": rng.standard_normal((64, 64))}
    with pytest.raises(
        ValueError, match="frechet: 64 images a set are too few for 64 features, wanted more than 64"
    ):
        scores.frechet(**few)
    with pytest.raises(ValueError, match="too few"):
        scores.score(**few)
    three = {"real": rng.standard_normal((3, 2)), "generated": rng.standard_normal((3, 2))}
    for measure in (scores.precision_recall, scores.density_coverage):
        with pytest.raises(
            ValueError, match=f"{measure.__name__}: k must be 1 to 2, fewer than the images of a set"
        ):
            measure(**three, k=3)
    with pytest.raises(ValueError, match="kernel: wanted at least 2 images a set, got 1"):
        scores.kernel(real=column(1), generated=column(2))
    with pytest.raises(ValueError, match="different_bins: bins must be 2 to 3, the images of a set, got 4"):
        scores.different_bins(**three, bins=4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((20, 3), np.nan), "generated has values that are NaN or infinite"),
        (np.zeros((20, 3, 1)), "generated must be features (n, d), got shape (20, 3, 1), float64"),
        (np.zeros((0, 3)), "generated must be features (n, d), got shape (0, 3), float64"),
    ],
)
def test_what_is_no_set_of_features_is_refused_by_name(bad, message, rng):
    for measure in BOTH:
        with pytest.raises(ValueError, match=re.escape(f"{measure.__name__}: {message}")):
            measure(real=rng.standard_normal((20, 3)), generated=bad)


def test_the_table_has_a_line_for_each_set_and_a_column_for_each_score(rng):
    real = rng.standard_normal((90, 4))
    found = {"real": scores.score(real=real, generated=rng.standard_normal((90, 4)))}
    head, row = scores.table(found | {}).splitlines()
    assert head.split() == list(scores.Scores._fields) and row.split()[0] == "real"
    assert [float(value) for value in row.split()[1:]] == pytest.approx(list(found["real"]), abs=0.006)
