"""The solver of the biharmonic and the guided fill: of all fillings of a hole, the one with the least energy."""

import numpy as np

AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]  # a pixel's neighbourhood, row by row


def near_hole(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels whose 3 x 3 neighbourhood has a missing pixel in it; missing: (H, W)."""
    h, w = missing.shape
    padded = np.pad(missing, 1)
    return np.nonzero(np.any([padded[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in AROUND], axis=0))


def least_energy_fill(image: np.ndarray, missing: np.ndarray, stencils: np.ndarray) -> np.ndarray:
    """Fill one picture (H, W, C), so that the squares of what the stencils give have the least sum.

        E(u) = sum over pixels p and stencils t of (sum over a of stencils[p, t, a] u[p + a])^2

    a runs over the 3 x 3 neighbourhood, row by row. Beyond the border stands the pixel at the border once more.
    stencils: (P, T, 9), for the P pixels of `near_hole(missing)` in that order, or (T, 9), the same everywhere:
    all others see no missing pixel. What stands in the hole is not looked at. Returns float64 (H, W, C).

    E is least where its derivative by each missing pixel is 0: a linear equation for each of them, in which only
    pixels less than three rows apart meet. So with two rows of missing pixels to a block the matrix is block
    tridiagonal, and elimination goes from one block to the next (Golub and Van Loan 2013, section 4.5):

        A[i] x[i] + B[i] x[i-1] + B[i+1]^T x[i+1] = b[i]
        down:  G = B[i] S[i-1]^-1,   S[i] = A[i] - G B[i]^T,   g[i] = b[i] - G g[i-1]
        up:    x[i] = S[i]^-1 g[i] - G[i+1]^T x[i+1]

    There is no iteration that could stop too early: thin plates are badly conditioned (a hole of n pixels across:
    n^4), and conjugate gradients need thousands of steps for half a photograph. The price is the cube of the
    missing pixels in two rows (or columns, where these have fewer), times the rows, and memory for the square.
    """
    h, w = missing.shape
    u = np.where(missing[..., None], 0.0, image.astype(np.float64))
    y, x = near_hole(missing)
    if len(y) == 0:
        return u
    stencils = np.broadcast_to(stencils, (len(y), *stencils.shape[-2:]))
    used = stencils.any(axis=(0, 1))  # A of the 9 pixels
    stencils, offsets = stencils[:, :, used], np.array(AROUND)[used].T
    seen = tuple(np.clip(p[:, None] + a, 0, side - 1) for p, a, side in zip((y, x), offsets, (h, w)))  # P, A

    axis = _fewer_in_a_line(missing)
    order = np.argsort(np.nonzero(missing)[axis], kind="stable")
    missing_at = tuple(place[order] for place in np.nonzero(missing))
    number = np.full((h, w), -1)
    number[missing_at] = np.arange(len(order))
    by_line = np.argsort((y, x)[axis], kind="stable")
    u[missing_at] = _eliminate(
        stencils[by_line],
        number[seen][by_line],
        (stencils @ u[seen])[by_line],  # P, T, C: what the stencils give of the known pixels alone
        (y, x)[axis][by_line],
        missing_at[axis],
    )
    return u


def _fewer_in_a_line(missing: np.ndarray) -> int:
    """0 to go row by row, 1 to go column by column: what is less work."""
    return min((0, 1), key=lambda axis: (missing.sum(axis=1 - axis).astype(float) ** 3).sum())


def _eliminate(
    stencils: np.ndarray,
    unknown: np.ndarray,
    known_part: np.ndarray,
    stencil_lines: np.ndarray,
    lines: np.ndarray,
) -> np.ndarray:
    """The unknowns (M, C) that make |stencils unknowns + known_part|^2 least, by block elimination.

    stencils: (P, T, A), on the unknowns numbered in `unknown` (P, A), -1 where a pixel is known; known_part:
    (P, T, C). stencil_lines (P,) and lines (M,): the rows (or columns) of their pixels, in ascending order.
    """
    pull = -(stencils.swapaxes(1, 2) @ known_part)  # P, A, C
    slots, count = unknown.ravel() + 1, len(lines) + 1  # the first slot gathers what is known, and is dropped
    b = np.stack([np.bincount(slots, part.ravel(), count)[1:] for part in np.moveaxis(pull, 2, 0)], axis=1)

    bounds = np.searchsorted(lines, np.arange(0, lines[-1] + 3, 2))  # two lines to a block
    links, solution = [], np.empty_like(b)
    inverse, before = np.zeros((0, 0)), 0
    for block, (start, end) in enumerate(zip(bounds[:-1], bounds[1:])):
        near = slice(*np.searchsorted(stencil_lines, (2 * block - 1, 2 * block + 3)))
        equations = _normal_equations(stencils[near], unknown[near], before, start, end)
        down, a = equations[:, : start - before], equations[:, start - before :]
        link = down @ inverse  # G
        inverse = np.linalg.inv(a - link @ down.T)
        b[start:end] -= link @ b[before:start]
        solution[start:end] = inverse @ b[start:end]
        links.append((before, start, end, link))
        before = start
    for before, start, end, link in reversed(links):
        solution[before:start] -= link.T @ solution[start:end]
    return solution


def _normal_equations(
    stencils: np.ndarray, unknown: np.ndarray, before: int, start: int, end: int
) -> np.ndarray:
    """Rows `start` to `end` of the matrix, from column `before` on: (end - start, end - before).

    A pixel's stencils add (stencil^T stencil)[a, b] where its neighbours a and b are missing.
    """
    squares = stencils.swapaxes(1, 2) @ stencils  # P, A, A
    row, column = np.broadcast_arrays(unknown[:, :, None] - start, unknown[:, None, :] - before)
    inside = (row >= 0) & (row < end - start) & (column >= 0) & (column < end - before)
    width = end - before
    matrix = np.bincount(row[inside] * width + column[inside], squares[inside], (end - start) * width)
    return matrix.reshape(end - start, width)
