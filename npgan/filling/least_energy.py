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
    h, w, channels = image.shape
    u = np.where(missing[..., None], 0.0, image.astype(np.float64))
    y, x = near_hole(missing)
    if len(y) == 0:
        return u
    place, line, stencil_line = _order(missing, y, x)
    stencils = np.broadcast_to(stencils, (len(y), *stencils.shape[-2:]))[
        np.argsort(stencil_line, kind="stable")
    ]
    y, x = (axis[np.argsort(stencil_line, kind="stable")] for axis in (y, x))
    stencil_line = np.sort(stencil_line)

    used = stencils.any(axis=(0, 1))  # A of the 9 pixels
    stencils, offsets = stencils[:, :, used], np.array(AROUND)[used].T
    seen_y, seen_x = (
        np.clip(axis[:, None] + offset, 0, side - 1) for axis, offset, side in zip((y, x), offsets, (h, w))
    )  # P, A
    unknown = place[seen_y, seen_x]  # P, A: which unknown, or -1
    gives = stencils @ u[seen_y, seen_x]  # P, T, C: of the known pixels alone
    pull = -(stencils.swapaxes(1, 2) @ gives)  # P, A, C
    count = len(line)
    b = np.stack(
        [np.bincount(unknown.ravel() + 1, pull[..., c].ravel(), count + 1)[1:] for c in range(channels)],
        axis=1,
    )

    starts = np.searchsorted(
        line, np.arange(0, line[-1] + 3, 2)
    )  # where each block begins, and the last one ends
    from_above, solutions = [], []
    inverse, g = np.zeros((0, 0)), np.zeros((0, channels))
    for block, (start, end) in enumerate(zip(starts[:-1], starts[1:])):
        before = start - len(g)
        touching = slice(*np.searchsorted(stencil_line, (2 * block - 1, 2 * block + 3)))
        equations = _normal_equations(stencils[touching], unknown[touching], before, start, end)
        to_before, a = equations[:, : start - before], equations[:, start - before :]
        step = to_before @ inverse
        inverse = np.linalg.inv(a - step @ to_before.T)
        g = b[start:end] - step @ g
        from_above.append(step)
        solutions.append(inverse @ g)
    for block in range(len(solutions) - 1, 0, -1):
        solutions[block - 1] -= from_above[block].T @ solutions[block]
    found = np.concatenate(solutions)
    u[missing] = found[place[missing]]
    return u


def _order(missing: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the missing pixels row by row, or column by column where that is less work.

    Returns each pixel's number (H, W), -1 where it is known, and the lines of the unknowns and of pixels y, x.
    """
    along = min((0, 1), key=lambda axis: (np.sum(missing, axis=1 - axis).astype(float) ** 3).sum())
    places = np.nonzero(missing)
    order = np.argsort(places[along], kind="stable")
    number = np.full(missing.shape, -1)
    number[places[0][order], places[1][order]] = np.arange(len(order))
    return number, places[along][order], (y, x)[along]


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
