"""How good are repaired images? Each measure on the hole alone (with masks) or on the whole image (without).

Over the whole image every method looks good, because the known pixels are right by construction: with a hole
of a quarter of the area, PSNR over the image lies 10 log10(4) = 6.02 dB above PSNR over the hole. So give the
masks, and quote the hole.

Images are floating point (N, H, W, C) in [-1, 1], masks (N or 1, H, W, 1) with 1 = missing. Each function
computes in float64 on the host and returns one value an image, float64 (N,).
"""

import numpy as np

from npgan.backend import Array, to_numpy
from npgan.masks import missing_pixels

RANGE = 2.0  # of the pixel values: 1 - (-1)
RADIUS, SIGMA = 5, 1.5  # of SSIM's window, in pixels: 11 x 11
K1, K2 = 0.01, 0.03


def l1(repaired: Array, truth: Array, masks: Array | None = None) -> np.ndarray:
    """Mean absolute difference over pixels and channels; 0 is best, at most 2."""
    repaired, truth, missing = _checked(repaired, truth, masks)
    return _average(np.abs(repaired - truth), missing)


def psnr(repaired: Array, truth: Array, masks: Array | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio in decibels: 10 log10(2^2 / MSE), 2 being the range of the pixel values.

    MSE is the mean squared difference over pixels and channels. Identical images have MSE 0 and PSNR inf. One
    inf makes a mean infinite: where it can happen, give the median.
    """
    repaired, truth, missing = _checked(repaired, truth, masks)
    mse = _average((repaired - truth) ** 2, missing)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(RANGE**2 / mse)


def ssim(repaired: Array, truth: Array, masks: Array | None = None) -> np.ndarray:
    """Structural similarity (Wang et al. 2004), in [-1, 1]; 1 only for identical images.

    At each pixel, with means m, variances v and covariance v_ab of the two images under a Gaussian window
    (11 x 11, sigma 1.5, sum 1), L = 2, C1 = (0.01 L)^2 and C2 = (0.03 L)^2 (section III.B, equation 13):

        ssim = (2 m_a m_b + C1)(2 v_ab + C2) / ((m_a^2 + m_b^2 + C1)(v_a + v_b + C2))

    The pixels are first shifted to [0, 2]: SSIM compares brightnesses, which start at 0. So it is what the same
    images in 0..255 give with L = 255. Channels are averaged. Without masks: the mean over the pixels whose window
    lies inside the image, as in the paper. With masks: the mean over the missing pixels; there the image goes on
    mirrored beyond its border (c b a | a b c), and windows reach over the edge of the hole into known pixels.
    Both agree with scikit-image's structural_similarity(x + 1, y + 1, data_range=2, gaussian_weights=True,
    use_sample_covariance=False), the second with its map (full=True). ValueError below 11 x 11 pixels.
    """
    repaired, truth, missing = _checked(repaired, truth, masks)
    n, h, w, c = truth.shape
    if min(h, w) < 2 * RADIUS + 1:
        raise ValueError(f"ssim: wanted images of at least 11 x 11 pixels, got {h} x {w}")
    values = np.empty(n)
    chunk = max(1, 2**15 // (h * w * c))  # images at a time: what is worked on stays in cache
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        similarity = _ssim_map(repaired[part] + 1, truth[part] + 1)
        if missing is None:
            inner = slice(RADIUS, -RADIUS)
            values[part] = similarity[:, inner, inner].mean(axis=(1, 2, 3))
        else:
            values[part] = _average(similarity, missing[part])
    return values


def _ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM around every pixel of images in [0, RANGE]: (N, H, W, C) twice -> (N, H, W, C)."""
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a + b * b) - mean_a**2 - mean_b**2  # the sum of both is all that is needed
    covariance = blur(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return above / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))


def blur(x: np.ndarray) -> np.ndarray:
    """Gaussian mean around every pixel of (N, H, W, C), rows first, then columns; mirrored beyond the border."""
    distance = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-(distance**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    h, w = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (RADIUS, RADIUS), (0, 0), (0, 0)), mode="symmetric")
    x = sum(weight * padded[:, tap : tap + h] for tap, weight in enumerate(weights))
    padded = np.pad(x, ((0, 0), (0, 0), (RADIUS, RADIUS), (0, 0)), mode="symmetric")
    return sum(weight * padded[:, :, tap : tap + w] for tap, weight in enumerate(weights))


def _average(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    """Mean over pixels and channels, or over missing pixels and channels: (N, H, W, C) -> (N,)."""
    if missing is None:
        return values.mean(axis=(1, 2, 3))
    values = values.mean(axis=3)  # N, H, W
    return np.where(missing, values, 0.0).sum(axis=(1, 2)) / missing.sum(axis=(1, 2))


def _checked(
    repaired: Array, truth: Array, masks: Array | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Both images as float64 on the host, and booleans (N, H, W) or None; ValueError if they do not fit."""
    repaired, truth = to_numpy(repaired), to_numpy(truth)
    if repaired.shape != truth.shape or truth.ndim != 4 or truth.size == 0:
        raise ValueError(
            f"wanted two batches of one shape (N, H, W, C), got {repaired.shape} and {truth.shape}"
        )
    if repaired.dtype.kind != "f" or truth.dtype.kind != "f":
        raise ValueError(f"wanted floating point in [-1, 1], got {repaired.dtype} and {truth.dtype}")
    missing = None
    if masks is not None:
        missing = np.broadcast_to(missing_pixels(truth, to_numpy(masks)), (*truth.shape[:3], 1))[..., 0]
        whole = np.flatnonzero(~missing.any(axis=(1, 2)))
        if len(whole):
            raise ValueError(
                f"masks: nothing is missing in {len(whole)} images, the first is number {whole[0]}"
            )
    return repaired.astype(np.float64), truth.astype(np.float64), missing
