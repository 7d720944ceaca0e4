"""Feature-based filling, its smooth form: the colours at the edge of the hole flow into it."""

import numpy as np

from npgan.filling.mean import known_somewhere
from npgan.masks import blend, damage


def harmonic_fill(images: np.ndarray, masks: np.ndarray, *, tolerance: float = 1e-7) -> np.ndarray:
    """Fill the hole so that every missing pixel is the mean of its neighbours: Laplace's equation.

        sum over the neighbours q of p of (u[p] - u[q]) = 0   for every missing pixel p

    with the known pixels as boundary values. A pixel has four neighbours; at the border of the image those that
    lie inside (no flow across it: Neumann's condition). Of all fillings this one has the least sum of squared
    differences between neighbours, hence no new edge and no texture. It is the steady state of the heat equation,
    the simplest of the methods that carry on features of the surrounding (Bertalmio et al. 2000, section 3;
    Chan and Shen 2002).

    Solved by conjugate gradients (Hestenes and Stiefel 1952), a chunk of images side by side, until each equation
    holds to `tolerance`.
    """
    missing = known_somewhere(images, masks)
    n, h, w, c = images.shape
    filled = damage(images, masks, "mean").astype(np.float64)  # the first guess
    chunk = max(1, 2**15 // (h * w * c))  # images at a time: what is worked on stays in cache
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        rows, columns = (_span(missing[part].any(axis=axes)) for axes in ((0, 2, 3), (0, 1, 3)))
        _relax(filled[part, rows, columns], missing[part, rows, columns], tolerance)
    return blend(images, filled, masks)


def _relax(u: np.ndarray, missing: np.ndarray, tolerance: float) -> None:
    """Solve for the missing pixels of u (N, H, W, C), in place; conjugate gradients, each image by itself.

    The matrix of the equations is symmetric and positive definite as long as something is known. It is never
    written down: `_imbalance` multiplies by it, and also gives the residual of u itself.
    """
    residual = -_imbalance(u, missing)
    direction = residual.copy()
    square = _dot(residual, residual)  # N, 1, 1, C
    for _ in range(u.shape[1] * u.shape[2]):  # in exact arithmetic at most one step an unknown
        if np.abs(residual).max(initial=0.0) <= tolerance:
            break
        change = _imbalance(direction, missing)
        curvature = _dot(direction, change)
        step = square / np.where(curvature > 0, curvature, 1.0)  # 0 / 0 in an image that is done
        u += step * direction
        residual -= step * change
        square, before = _dot(residual, residual), square
        direction *= square / np.where(before > 0, before, 1.0)
        direction += residual


def _imbalance(u: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Sum of u[p] - u[q] over the neighbours q of each missing pixel p; 0 at known pixels. (N, H, W, C)"""
    total = np.zeros_like(u)
    down, right = u[:, 1:] - u[:, :-1], u[:, :, 1:] - u[:, :, :-1]
    total[:, 1:] += down
    total[:, :-1] -= down
    total[:, :, 1:] += right
    total[:, :, :-1] -= right
    total *= missing
    return total


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nhwc,nhwc->nc", a, b)[:, None, None, :]


def _span(used: np.ndarray) -> slice:
    """From the first True to the last, and one pixel more on both sides, where there is one."""
    places = np.flatnonzero(used)
    return slice(max(0, places[0] - 1), places[-1] + 2) if len(places) else slice(0, 0)
