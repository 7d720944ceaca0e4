"""Adam's step piece by piece, with every intermediate result in one array that stays in the cache."""

import numpy as np

from npgan.fast.parallel import over_pieces


def adam_step(
    value: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    arrays = [value, grad, mean, square]
    if all(array.flags.c_contiguous for array in arrays):
        # Flat, the pieces need not be whole rows. Of another order in memory reshape makes a copy, and what is
        # written there is lost.
        arrays = [array.reshape(-1) for array in arrays]

    def work(part: slice) -> None:
        value, grad, mean, square = (array[part] for array in arrays)
        change = grad * (1 - beta_1)
        mean *= beta_1
        mean += change
        np.multiply(grad, grad, out=change)
        change *= 1 - beta_2
        square *= beta_2
        square += change
        np.sqrt(square, out=change)
        change += epsilon
        np.divide(mean, change, out=change)
        change *= rate
        value -= change

    rows = len(arrays[0])
    each = arrays[0].size // max(1, rows)  # numbers in a row
    over_pieces(work, rows, 5 * each * value.itemsize, 80 * each)  # a root takes as long as many products
