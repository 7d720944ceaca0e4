"""BatchNormalization's passes over the data, in pieces that stay in the cache, and on long rows.

NumPy works row by row, and rows of few channels cost it more on the way to the next than in themselves: so pixels
are joined to rows of some hundred numbers, and the channels' numbers repeated to fit. Sums over rows are products
with a row of ones, which BLAS does fastest.
"""

import numpy as np

from npgan.fast.activations import elementwise
from npgan.fast.parallel import over_pieces
from npgan.fast.products import as_rows, row_sums


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = x.shape[-1]
    rows, _ = as_rows(x)

    def piece_moments(part: slice) -> tuple[int, np.ndarray, np.ndarray]:
        """How many values a channel has in the piece, their mean, and the squares of their distances from it."""
        piece = rows[part]
        count = piece.size // channels
        mean = row_sums(piece, channels) / count
        _, (centre,) = as_rows(x, mean)
        distances = piece - centre
        lost = row_sums(distances, channels) / count  # to rounding: much, where the mean is far from zero
        distances *= distances
        mean, lost = mean.astype(np.float64), lost.astype(np.float64)
        return count, mean + lost, np.maximum(row_sums(distances, channels) - count * lost**2, 0)

    found = over_pieces(piece_moments, len(rows), 2 * rows.shape[1] * x.itemsize)
    m = x.size // channels
    mean = sum(count * piece_mean for count, piece_mean, _ in found) / m
    # distances from the common mean are longer (Chan et al. 1979, equation 2.1, for any number of pieces)
    variance = sum(squares + count * (piece_mean - mean) ** 2 for count, piece_mean, squares in found) / m
    return mean.astype(x.dtype), variance.astype(x.dtype)


def scale_and_shift(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    rows, (mean, scale, shift) = as_rows(x, mean, scale, shift)

    def write(x, out):
        np.subtract(x, mean, out=out)
        out *= scale
        out += shift

    return elementwise(write, rows).reshape(x.shape)


def summed_gradients(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    channels = x.shape[-1]
    rows, (mean,) = as_rows(x, mean)
    dy_rows, _ = as_rows(dy)

    def sums(part: slice) -> np.ndarray:
        moved = rows[part] - mean
        moved *= dy_rows[part]
        return np.stack([row_sums(dy_rows[part], channels), row_sums(moved, channels)])

    dbeta, dgamma = sum(over_pieces(sums, len(rows), 3 * rows.shape[1] * x.itemsize))
    return dbeta, dgamma * inverse_std


def input_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    gamma: np.ndarray,
    dbeta: np.ndarray,
    dgamma: np.ndarray,
) -> np.ndarray:
    """As scale * (dy - mean(dy)) - slope * (x - mean), with slope = scale * inverse_std * mean(dy * u)."""
    m = x.size // x.shape[-1]
    scale = gamma * inverse_std
    rows, vectors = as_rows(x, mean, scale, dbeta / m, scale * inverse_std * (dgamma / m))
    mean, scale, mean_dy, slope = vectors
    dy_rows, _ = as_rows(dy)

    def write(x, dy, out):
        np.subtract(dy, mean_dy, out=out)
        out *= scale
        moved = x - mean
        moved *= slope
        out -= moved

    return elementwise(write, rows, dy_rows).reshape(dy.shape)
