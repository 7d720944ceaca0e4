"""Feature-based filling, with direction: edges and lines run on through the hole."""

import numpy as np

from npgan.filling.biharmonic import clip_to_known, thin_plate
from npgan.filling.least_energy import least_energy_fill, near_hole
from npgan.filling.mean import known_somewhere
from npgan.masks import blend

SCALES = (4, 2, 1)  # coarse pictures first: there a wide hole is narrow, and its edges are near each other
ROUNDS = 2  # at each scale: directions from the repair, the repair from these directions
FINE, BROAD = 1.0, 3.0  # pixels: blur ahead of the gradient, and of the structure tensor
FLAT = 1e-4  # a gradient squared that says nothing
TENSION = 0.03  # the plate is pulled tight too: less overshoot
STRAIGHT = 3.0  # no change along an edge, beside: no bend
FREE = 0.98  # of the bending across an edge, so much costs nothing
REACH = 5.0  # pixels into the hole, over which an edge is believed in
RING = 3  # pixels around a hole that are hidden, too, to see which fill finds them again
NEAR = 24.0  # pixels: the blur that carries what was seen there into the hole
PLATE = 0.85  # of what takes over deep in a hole, so much is a thin plate, where this does well
DOUBTFUL = 1.5  # times the harmonic fill's squared error on the ring: the plate counts half of that
OVERSHOOT = 0.3  # how far, in [-1, 1], the plate may lead away from the harmonic fill if both do equally well

# Derivatives on a neighbourhood of 3 x 3, row by row: u_yy, u_xy, u_xx, u_y, u_x
DERIVATIVES = np.array(
    [
        [0, 1, 0, 0, -2, 0, 0, 1, 0],
        [0.25, 0, -0.25, 0, 0, 0, -0.25, 0, 0.25],
        [0, 0, 0, 1, -2, 1, 0, 0, 0],
        [0, -0.5, 0, 0, 0, 0, 0, 0.5, 0],
        [0, 0, 0, -0.5, 0, 0.5, 0, 0, 0],
    ]
)
DIFFERENCES = np.array([[0, 0, 0, 0, -1, 0, 0, 1, 0], [0, 0, 0, 0, -1, 1, 0, 0, 0]], float)  # least: harmonic


def guided_fill(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Fill the hole with a thin plate that bends easily across edges and hardly along them.

    1. Where do edges run? The structure tensor J = blur(sum over the channels of grad u grad u^T) has the normal n
       of an edge as its first eigenvector, its tangent t as the second one, and its eigenvalues tell how much of
       an edge it is: coherence c = (l1 - l2) / (l1 + l2 + .0001), 0 to 1 (Bigun and Granlund 1987).
    2. The repair makes the sum over all pixels least of

           u_tt^2 + 2 u_tn^2 + (1 - .98 c) u_nn^2     bending: a plate's, but across an edge it is nearly free
           + 3 c u_t^2                                the colour does not change along an edge
           + .03 (u_t^2 + u_n^2)                      tension: what is bent does not overshoot so far

       Where there is no edge (c = 0) it is `biharmonic_fill` with some tension. It belongs to the methods that
       carry level lines on (Bertalmio et al. 2000), put as least squares, so that no time steps are needed.
    3. J inside the hole is that of the repair, so 1 and 2 take turns, twice at each scale: at a quarter of the
       size, at half, in full. A scale begins with the repair of the one before, enlarged.
    4. Deep in a hole an edge is a guess, and a wrong one costs more than none. So at a distance d (pixels) from
       the known part the result is exp(-(d/5)^2) part of this repair. The rest stands between `harmonic_fill` and
       `biharmonic_fill`, which carries slopes on: the better guess in smooth shading, a blot where it overshoots.
       A rehearsal tells which. The three pixels around the hole are hidden, too; both fills are asked for them, and
       r is the plate's squared error over the harmonic fill's. Of the difference between the two fills, cut at
       +-.3/r, the share .85 / (1 + (r/1.5)^6) is taken.

    The weights of 1 to 3 were chosen on six photographs, those of 4 on squares in these, in eight more
    (benchmarks/bench_fills.py tells which, and tries others) and in 45 from elsewhere.
    """
    missing = known_somewhere(images, masks)[..., 0]  # N, H, W
    filled = np.stack([_fill(image, hole) for image, hole in zip(images, missing)])
    return blend(images, filled, masks)


def _fill(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Repair one picture (H, W, C): steps 1 to 4."""
    u = np.where(missing[..., None], 0.0, image.astype(np.float64))
    if not missing.any():
        return u
    depth = distance(missing, int(3 * REACH))
    trust = np.exp(-((depth / REACH) ** 2))[..., None]  # 1e-4 at 3 REACH
    return trust * edges_continued(u, missing) + (1 - trust) * _deep(u, missing, depth)


def _deep(u: np.ndarray, missing: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Step 4: what is put where no edge is believed in. Without a rehearsal (r = 1) where no hole is deep."""
    plate, membrane = _plate_and_membrane(u, missing)
    r = np.ones((*missing.shape, 1))
    beside = distance(depth <= REACH, int(3 * REACH)) < int(3 * REACH)  # a deep hole
    ring = ~missing & beside & (distance(~missing, RING + 1) <= RING)
    if ring.any() and not (missing | ring).all():
        errors = [((fill - u) ** 2).sum(axis=2) for fill in _plate_and_membrane(u, missing | ring)]
        of_plate, of_membrane = (_near(error, ring) for error in errors)
        r = (of_plate / of_membrane)[..., None]
    share = PLATE / (1 + (r / DOUBTFUL) ** 6)
    return membrane + share * np.clip(plate - membrane, -OVERSHOOT / r, OVERSHOOT / r)


def _plate_and_membrane(u: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The biharmonic and the harmonic fill of one picture (H, W, C)."""
    return clip_to_known(thin_plate(u, missing), ~missing), least_energy_fill(u, missing, DIFFERENCES)


def _near(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The errors that were seen (H, W), averaged near each pixel; far from all of them, over all. Above 0."""
    total = _blurred(np.where(seen, error, 0), NEAR)
    weight = _blurred(seen.astype(float), NEAR)
    return (total + 1e-6 * error[seen].mean() + 1e-9) / (weight + 1e-6)


def edges_continued(u: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Steps 1 to 3: the repair of one picture (H, W, C), float64, that believes in edges to any depth."""
    repair = None
    for scale in SCALES:
        small, hole = _reduced(u, missing, scale)
        if hole.all():  # too coarse for so little that is known
            continue
        if repair is None:
            repair = clip_to_known(thin_plate(small, hole), ~hole)
        else:
            h, w = hole.shape
            repair = np.where(hole[..., None], _doubled(repair)[:h, :w], small)
        for _ in range(ROUNDS):
            repair = clip_to_known(least_energy_fill(small, hole, _stencils(repair, hole)), ~hole)
    return repair


def structure(u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal (row and column part) and coherence of the edge at each pixel of u (H, W, C): three of (H, W)."""
    down, right = (_slope(_blurred(u, FINE), axis) for axis in (0, 1))
    jyy, jyx, jxx = (
        _blurred((a * b).sum(axis=2), BROAD) for a, b in ((down, down), (down, right), (right, right))
    )
    angle = 0.5 * np.arctan2(2 * jyx, jxx - jyy)  # of the eigenvector with the larger eigenvalue
    coherence = np.hypot(jxx - jyy, 2 * jyx) / (jxx + jyy + FLAT)
    return np.sin(angle), np.cos(angle), coherence


def _stencils(repair: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """What step 2 squares and adds up, each as weights on 3 x 3 pixels: (P, 5, 9) for the P pixels near the hole."""
    place = near_hole(missing)
    ny, nx, c = (a[place] for a in structure(repair))
    ty, tx = -nx, ny
    zero, one = np.zeros_like(c), np.ones_like(c)
    rows = [  # weight, and the parts of u_yy, u_xy, u_xx, u_y, u_x in u_tt, u_tn, u_nn, u_t, u_n
        (one, (ty * ty, 2 * ty * tx, tx * tx, zero, zero)),
        (2 * one, (ty * ny, ty * nx + tx * ny, tx * nx, zero, zero)),
        (1 - FREE * c, (ny * ny, 2 * ny * nx, nx * nx, zero, zero)),
        (STRAIGHT * c + TENSION, (zero, zero, zero, ty, tx)),
        (TENSION * one, (zero, zero, zero, ny, nx)),
    ]
    parts = np.stack([np.sqrt(weight)[:, None] * np.stack(part, axis=1) for weight, part in rows], axis=1)
    return parts @ DERIVATIVES  # P, 5, 9


def _reduced(u: np.ndarray, missing: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of scale x scale pixels; a block with a missing pixel is missing."""
    h, w, c = u.shape
    low, right = -h % scale, -w % scale
    u = np.pad(u, ((0, low), (0, right), (0, 0)), "edge")
    missing = np.pad(missing, ((0, low), (0, right)), "edge")
    rows, columns = u.shape[0] // scale, u.shape[1] // scale
    hole = missing.reshape(rows, scale, columns, scale).any(axis=(1, 3))
    return u.reshape(rows, scale, columns, scale, c).mean(axis=(1, 3)), hole


def _doubled(u: np.ndarray) -> np.ndarray:
    """Twice as high and wide, linear between the pixels' centres: (H, W, C) -> (2H, 2W, C)."""
    for axis in (0, 1):
        first, last = np.take(u, [0], axis), np.take(u, [-1], axis)
        before = np.concatenate([first, np.delete(u, -1, axis)], axis)
        after = np.concatenate([np.delete(u, 0, axis), last], axis)
        pairs = np.stack([0.75 * u + 0.25 * before, 0.75 * u + 0.25 * after], axis + 1)
        u = pairs.reshape([side * (2 if a == axis else 1) for a, side in enumerate(u.shape)])
    return u


def _slope(u: np.ndarray, axis: int) -> np.ndarray:
    """Central differences; beyond the border stands the pixel at the border once more."""
    u = np.pad(u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)], "edge")
    return (np.take(u, range(2, u.shape[axis]), axis) - np.take(u, range(u.shape[axis] - 2), axis)) / 2


def _blurred(u: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of the first two axes; the border is repeated."""
    radius = int(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        side = u.shape[axis]
        padded = np.pad(u, [(radius, radius) if a == axis else (0, 0) for a in range(u.ndim)], "edge")
        u = sum(weight * np.take(padded, range(k, k + side), axis) for k, weight in enumerate(weights))
    return u


def distance(inside: np.ndarray, limit: int) -> np.ndarray:
    """Distance from each pixel of `inside` (H, W) to the nearest one that is not; `limit` where it is farther."""
    square = np.where(inside, float(limit) ** 2, 0.0)
    for axis in (0, 1):
        side = inside.shape[axis]
        padded = np.pad(
            square,
            [(limit, limit) if a == axis else (0, 0) for a in (0, 1)],
            constant_values=float(limit) ** 2,
        )
        for k in range(-limit, limit + 1):
            moved = np.take(padded, range(limit + k, limit + k + side), axis)
            square = np.minimum(square, moved + k * k)
    return np.sqrt(square)
