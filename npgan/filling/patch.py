"""Copy and paste of patches: exemplar-based inpainting (Criminisi, Perez and Toyama 2004)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npgan.data.images import check_whole
from npgan.filling.harmonic import harmonic_fill
from npgan.filling.mean import known_somewhere
from npgan.masks import blend

SOURCES = 100_000  # patches to copy from, at most: more are thinned out evenly
FEW = 30  # with fewer patches that are known throughout, patches with gaps serve as well
NEARLY = 0.3  # patches that differ by so much more than the best one, as a part, are as good
FLAT = 0.001  # added to the data term: where nothing has an edge, the confidence decides
SOBEL = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8


def patch_fill(images: np.ndarray, masks: np.ndarray, *, patch: int | None = None) -> np.ndarray:
    """Fill the hole with copies of patches of the same image, from its edge inwards, strong edges first.

    patch: height and width, odd, at least 3; None takes 9 as in the paper, or 5 in an image with a side below 64.

    Of all pixels p on the front of the hole the next is the one with the greatest priority (section III)

        P(p) = C(p) D(p),   C(p) = mean over its patch of the confidences (missing: 0)
                            D(p) = |isophote(p) . normal(p)| / 2

    Confidence is 1 at a known pixel, and what is copied gets C(p). The isophote is the steepest gradient in the
    patch, turned by 90 degrees; the normal is the front's; 2 is the range of the pixel values. Then the missing
    part of p's patch is copied from the patch whose known part differs least (sum of squares, in RGB where the
    paper takes Lab), among those of the image that miss nothing.

    One rule is added. Half a patch says little about its other half: all dark patches match, and some have something
    bright in them, which the next patches then continue. So of all patches that match within 30% of the best one,
    the one is taken whose copied part is nearest to the mean colour of the known part. (Anupam et al. 2010 settle
    ties by the least variance.) Even so a wrong patch stays, and is built upon: nothing is ever taken back.

    Where almost none is without a gap (scattered missing pixels), the patches around known pixels serve, their
    gaps filled by `harmonic_fill`.
    """
    missing = known_somewhere(images, masks)[..., 0]
    smallest = min(images.shape[1:3])
    if patch is None:
        patch = min(9 if smallest >= 64 else 5, smallest - 1 + smallest % 2)
    if check_whole("patch", patch, low=3, high=smallest) % 2 == 0:
        raise ValueError(f"patch: wanted an odd number, got {patch}")
    repaired = [_fill(image, hole, patch) for image, hole in zip(images, missing)]
    return blend(images, np.stack(repaired), masks)


def _fill(image: np.ndarray, hole: np.ndarray, size: int) -> np.ndarray:
    """Fill one image (H, W, C), whose missing pixels `hole` (H, W) marks."""
    r = size // 2
    sources = _sources(image, hole, size)  # S, size*size*C
    table = np.concatenate([sources * sources, sources], axis=1)  # one product gives all distances
    # Beyond the border pixels are neither known nor missing, so a patch there is just smaller.
    u = np.pad(np.where(hole[..., None], 0, image).astype(np.float32), ((r, r), (r, r), (0, 0)))
    missing, known = np.pad(hole, r), np.pad(~hole, r)
    confidence = known.astype(np.float64)
    while missing.any():
        y, x, new_confidence = _next(u, known, missing, confidence, size)
        window = slice(y - r, y + r + 1), slice(x - r, x + r + 1)
        k, new = known[window][..., None], missing[window]
        weight = np.broadcast_to(k, (*k.shape[:2], u.shape[2])).ravel()
        target = (u[window] * k).ravel()
        # The known part differs by sum k (s - t)^2 = sum k s^2 - 2 sum (k t) s + sum k t^2.
        differs = table @ np.concatenate([weight, -2 * target]).astype(np.float32) + target @ target
        least = differs.min()
        good = np.flatnonzero(differs <= least + NEARLY * abs(least) + 1e-3)  # 1e-3: rounding
        copies = sources[good].reshape(len(good), size, size, -1)[:, new]  # good, missing, C
        mean = u[window][k[..., 0]].mean(axis=0)
        calmest = ((copies - mean) ** 2).sum(axis=(1, 2)).argmin()
        u[window][new] = copies[calmest]
        confidence[window][new] = new_confidence
        known[window] |= new
        missing[window] = False
    return u[r:-r, r:-r]


def _sources(image: np.ndarray, hole: np.ndarray, size: int) -> np.ndarray:
    """The patches to copy from: (H, W, C) -> float32 (S, size*size*C)."""
    usable = ~sliding_window_view(hole, (size, size)).any(axis=(2, 3))
    if usable.sum() < FEW:
        image = harmonic_fill(image[None], hole[None, :, :, None], tolerance=1e-4)[0]
        r = size // 2
        known_centre = ~hole[r:-r, r:-r]
        usable = known_centre if known_centre.any() else np.ones_like(usable)
    places = np.flatnonzero(usable)
    places = places[:: -(-len(places) // SOURCES)]
    y, x = np.unravel_index(places, usable.shape)
    patches = sliding_window_view(image, (size, size), axis=(0, 1))[y, x]  # S, C, size, size
    return np.moveaxis(patches, 1, -1).reshape(len(places), -1).astype(np.float32)


def _next(
    u: np.ndarray, known: np.ndarray, missing: np.ndarray, confidence: np.ndarray, size: int
) -> tuple[int, int, float]:
    """The pixel on the front with the greatest priority: row, column and confidence term C."""
    beside = known[:-2, 1:-1] | known[2:, 1:-1] | known[1:-1, :-2] | known[1:-1, 2:]
    y, x = np.nonzero(missing[1:-1, 1:-1] & beside)  # one less than in the padded image
    near = sliding_window_view(missing, (3, 3))[y, x]  # F, 3, 3
    y, x = y + 1, x + 1
    normal_y, normal_x = (near * SOBEL).sum(axis=(1, 2)), (near * SOBEL.T).sum(axis=(1, 2))
    length = np.hypot(normal_y, normal_x)
    length[length == 0] = 1.0  # a single missing pixel has no direction

    def around(a: np.ndarray) -> np.ndarray:
        return sliding_window_view(a, (size, size))[y - size // 2, x - size // 2].reshape(len(y), -1)

    gradient_y, gradient_x = (around(g) for g in _gradient(u, known))  # F, size*size
    steepest = (gradient_y**2 + gradient_x**2).argmax(axis=1)[:, None]
    gradient_y, gradient_x = (np.take_along_axis(g, steepest, axis=1)[:, 0] for g in (gradient_y, gradient_x))
    # The isophote is (gradient_x, -gradient_y): at right angles to the gradient.
    data = np.abs(gradient_x * normal_y - gradient_y * normal_x) / length / 2
    trust = around(confidence).mean(axis=1)
    best = (trust * (data + FLAT)).argmax()
    return int(y[best]), int(x[best]), float(trust[best])


def _gradient(u: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of the grey image, down and to the right; 0 where a neighbour is not known."""
    grey = u.mean(axis=2)
    down, right = np.zeros_like(grey), np.zeros_like(grey)
    all_known = known[1:-1, 1:-1] & known[:-2, 1:-1] & known[2:, 1:-1] & known[1:-1, :-2] & known[1:-1, 2:]
    down[1:-1, 1:-1] = (grey[2:, 1:-1] - grey[:-2, 1:-1]) / 2 * all_known
    right[1:-1, 1:-1] = (grey[1:-1, 2:] - grey[1:-1, :-2]) / 2 * all_known
    return down, right
