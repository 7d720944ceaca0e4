"""Measures of repaired images: by hand, against loops, on the hole and on the whole image."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npgan import masks
from npgan.metrics.repair import l1, psnr, ssim

MEASURES = [l1, psnr, ssim]


def pair(seed=0, n=2, h=13, w=16, channels=1, noise=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (n, h, w, channels))
    repaired = np.clip(truth + rng.normal(0, noise, truth.shape), -1, 1)
    return repaired.astype(np.float32), truth.astype(np.float32), rng


def ssim_by_loops(a, b, hole=None):
    """Wang et al. 2004 for one channel (H, W) in [0, 2], pixel by pixel; mirrored at the border."""
    h, w = a.shape
    weight = {(i, j): math.exp(-(i * i + j * j) / (2 * 1.5**2)) for i in range(-5, 6) for j in range(-5, 6)}
    total = sum(weight.values())

    def mirrored(i, n):
        return -1 - i if i < 0 else 2 * n - 1 - i if i >= n else i

    values = []
    for y in range(h):
        for x in range(w):
            if hole is None and not (5 <= y < h - 5 and 5 <= x < w - 5):
                continue
            if hole is not None and not hole[y, x]:
                continue
            ma = mb = aa = bb = ab = 0.0
            for (i, j), g in weight.items():
                p, q = (
                    float(a[mirrored(y + i, h), mirrored(x + j, w)]),
                    float(b[mirrored(y + i, h), mirrored(x + j, w)]),
                )
                g /= total
                ma, mb = ma + g * p, mb + g * q
                aa, bb, ab = aa + g * p * p, bb + g * q * q, ab + g * p * q
            c1, c2 = 0.02**2, 0.06**2
            va, vb, vab = aa - ma * ma, bb - mb * mb, ab - ma * mb
            values.append((2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2)))
    return sum(values) / len(values)


def test_l1_and_psnr_by_hand():
    truth = np.zeros((1, 2, 2, 1), np.float32)
    repaired = np.array([0.5, 0, 0, -0.1], np.float32).reshape(1, 2, 2, 1)
    mask = np.array([1, 1, 0, 0], np.float32).reshape(1, 2, 2, 1)
    assert l1(repaired, truth) == pytest.approx([0.6 / 4])
    assert l1(repaired, truth, mask) == pytest.approx([0.25])  # 0.05 with a mask turned around
    assert psnr(repaired, truth) == pytest.approx([10 * math.log10(4 / (0.26 / 4))])
    assert psnr(repaired, truth, mask) == pytest.approx([10 * math.log10(4 / 0.125)])


def test_psnr_of_the_worst_image_is_zero():
    assert psnr(np.ones((1, 3, 3, 3)), -np.ones((1, 3, 3, 3))) == pytest.approx([0])


def test_identical_images():
    repaired, truth, rng = pair(n=3, channels=3)
    repaired[1] = truth[1]
    mask = masks.make("strokes", 3, 13, 16, rng)
    for m in (None, mask):
        assert l1(repaired, truth, m)[1] == 0 and (l1(repaired, truth, m)[[0, 2]] > 0).all()
        assert psnr(repaired, truth, m)[1] == np.inf and np.isfinite(psnr(repaired, truth, m)[[0, 2]]).all()
        assert ssim(repaired, truth, m)[1] == pytest.approx(1, abs=1e-12)
        assert (ssim(repaired, truth, m)[[0, 2]] < 0.999).all()


def test_ssim_against_loops():
    repaired, truth, rng = pair()
    mask = masks.make("half", 2, 13, 16, rng)
    whole, hole = ssim(repaired, truth), ssim(repaired, truth, mask)
    for i in range(2):
        a, b = repaired[i, :, :, 0] + 1.0, truth[i, :, :, 0] + 1.0
        assert whole[i] == pytest.approx(ssim_by_loops(a, b), abs=1e-6)
        assert hole[i] == pytest.approx(ssim_by_loops(a, b, mask[i, :, :, 0] == 1), abs=1e-6)


def test_ssim_of_two_flat_images_by_hand():
    # No variance: (2 a b + C1) / (a^2 + b^2 + C1) with a = 1.5, b = 0.5 counted from black.
    value = ssim(np.full((1, 11, 11, 1), 0.5), np.full((1, 11, 11, 1), -0.5))
    assert value == pytest.approx([(1.5 + 0.0004) / (2.5 + 0.0004)])


def test_ssim_averages_channels():
    repaired, truth, rng = pair(channels=3)
    mask = masks.make("centre", 1, 13, 16, rng)
    for m in (None, mask):
        each = [ssim(repaired[..., [c]], truth[..., [c]], m) for c in range(3)]
        assert np.allclose(ssim(repaired, truth, m), np.mean(each, axis=0))


@pytest.mark.parametrize("measure", MEASURES)
def test_each_image_by_itself_and_order_of_arguments(measure):
    repaired, truth, rng = pair(n=60, h=20, w=30, channels=3)  # more than one chunk
    mask = masks.make("rectangle", 60, 20, 30, rng)
    for m in (None, mask):
        values = measure(repaired, truth, m)
        assert values.shape == (60,) and values.dtype == np.float64
        alone = [measure(repaired[[i]], truth[[i]], None if m is None else m[[i]])[0] for i in (0, 31, 59)]
        assert np.allclose(values[[0, 31, 59]], alone)
        assert np.allclose(values, measure(truth, repaired, m))


@given(
    kind=st.sampled_from(sorted(masks.KINDS)),
    h=st.integers(11, 16),
    w=st.integers(11, 16),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_the_hole_alone_counts(kind, h, w, channels, seed):
    repaired, truth, rng = pair(seed, 2, h, w, channels)
    mask = masks.make(kind, 2, h, w, rng)
    missing = mask == 1
    elsewhere = np.where(missing, repaired, rng.uniform(-1, 1, repaired.shape).astype(np.float32))
    for measure in (l1, psnr):  # ssim's windows reach over the edge
        assert np.array_equal(measure(repaired, truth, mask), measure(elsewhere, truth, mask))
    blended = masks.blend(truth, repaired, mask)
    share = missing.mean(axis=(1, 2, 3))
    assert np.allclose(l1(blended, truth), share * l1(repaired, truth, mask))
    assert np.allclose(psnr(blended, truth), psnr(repaired, truth, mask) - 10 * np.log10(share))
    a, b = repaired[0, :, :, 0], truth[0, :, :, 0]
    differences = [abs(float(a[y, x]) - float(b[y, x])) for y, x in np.argwhere(missing[0, :, :, 0])]
    expected = sum(differences) / len(differences)
    assert l1(repaired[:1, :, :, :1], truth[:1, :, :, :1], mask[:1]) == pytest.approx([expected])


@pytest.mark.parametrize("measure", MEASURES)
def test_what_does_not_fit(measure):
    repaired, truth, _ = pair()
    with pytest.raises(ValueError, match="one shape"):
        measure(repaired[:1], truth)
    with pytest.raises(ValueError, match=r"\[-1, 1\], got uint8"):
        measure(np.zeros((1, 12, 12, 1), np.uint8), np.zeros((1, 12, 12, 1), np.uint8))
    with pytest.raises(ValueError, match="masks of shape"):
        measure(repaired, truth, np.ones((2, 13, 15, 1), np.float32))
    mask = np.ones((2, 13, 16, 1), np.float32)
    mask[1] = 0
    with pytest.raises(ValueError, match="nothing is missing in 1 images, the first is number 1"):
        measure(repaired, truth, mask)


def test_ssim_needs_a_whole_window():
    with pytest.raises(ValueError, match="11 x 11 pixels, got 10 x 12"):
        ssim(np.zeros((1, 10, 12, 1)), np.zeros((1, 10, 12, 1)))
