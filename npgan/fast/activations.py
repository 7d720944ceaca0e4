"""Activations piece by piece, written in place: no intermediate result leaves the cache.

`maximum` of two arrays is four times faster than of an array and a number. A slope is computed from the signs as
1 or 0, not chosen with `where`: a processor mispredicts every other sign of such data, which takes ten times as
long.
"""

from collections.abc import Callable

import numpy as np

from npgan.fast.parallel import over_pieces


def leaky_relu(x: np.ndarray, alpha: float) -> np.ndarray:
    def write(x, out):
        if alpha == 0:
            out[...] = 0
        else:
            np.multiply(x, alpha, out=out)
        np.maximum(x, out, out=out)

    return elementwise(write, x)


def leaky_relu_gradient(y: np.ndarray, dy: np.ndarray, alpha: float) -> np.ndarray:
    def write(y, dy, out):
        out[...] = y > 0
        if alpha != 0:
            out *= 1 - alpha
            out += alpha
        out *= dy

    return elementwise(write, y, dy)


def tanh(x: np.ndarray) -> np.ndarray:
    return elementwise(np.tanh, x)


def tanh_gradient(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    def write(y, dy, out):
        np.multiply(y, y, out=out)
        np.subtract(1, out, out=out)
        out *= dy

    return elementwise(write, y, dy)


def elementwise(write: Callable[..., object], *arrays: np.ndarray) -> np.ndarray:
    """Let write(*arrays, out) write a result of their shape and dtype, piece by piece along the first axis."""
    first = arrays[0]
    result = np.empty(first.shape, dtype=first.dtype)

    def work(part: slice) -> None:
        write(*(array[part] for array in arrays), result[part])

    over_pieces(work, len(first), (len(arrays) + 1) * first.nbytes // max(1, len(first)))
    return result
