"""BatchNormalization: give every channel mean zero and variance one over the batch, then scale and shift it."""

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers.activations import elementwise
from npgan.layers.base import Layer, Parameter
from npgan.layers.dense import positive
from npgan.parallel import over_pieces
from npgan.products import as_rows, row_sums


class BatchNormalization(Layer):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, channel by channel (Ioffe and Szegedy 2015).

    x has shape (..., channels); mean and variance are taken over all axes but the last, so M = x.size / channels
    values each. With train=False, or after freeze(inference=True), the running statistics stand in for them:

        running = momentum * running + (1 - momentum) * batch          (as in Keras; the variance divides by M)

    Backward. Write u = (x - mean) / sqrt(variance + epsilon), so that y = gamma * u + beta. The mean and the
    variance depend on every x, which adds two terms to the plain gamma * dy / sqrt(variance + epsilon):

        dx = gamma / sqrt(variance + epsilon) * (dy - mean(dy) - u * mean(dy * u))

    The first takes out of dy what only moves the mean, the second what only changes the variance: y does not
    notice either. dgamma = sum(dy * u), dbeta = sum(dy). gamma starts at one, beta at zero.
    """

    buffers = ("running_mean", "running_variance")

    def __init__(self, channels: int, *, momentum: float = 0.8, epsilon: float = 1e-5):
        if not 0 <= momentum < 1:
            raise ValueError(f"BatchNormalization: momentum must be in [0, 1), got {momentum!r}")
        if not epsilon > 0:
            raise ValueError(f"BatchNormalization: epsilon must be above 0, got {epsilon!r}")
        self.channels = positive("BatchNormalization: channels", channels)
        self.momentum, self.epsilon = momentum, epsilon
        self.gamma = Parameter(np.ones(channels, np.float32))
        self.beta = Parameter(np.zeros(channels, np.float32))
        self.running_mean = np.zeros(channels, np.float32)
        self.running_variance = np.ones(channels, np.float32)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, last_axis=self.channels)
        xp = array_module(x)
        use_batch = train and not self.inference
        if use_batch:
            mean, variance = self._batch_statistics(x)
        else:  # copies: a later training pass changes them in place
            mean, variance = self.running_mean.copy(), self.running_variance.copy()
        inverse_std = 1 / xp.sqrt(variance + self.epsilon)
        rows, (centre, scale, shift) = as_rows(x, mean, self.gamma.value * inverse_std, self.beta.value)

        def normalise(rows: Array, out: Array) -> None:
            xp.subtract(rows, centre, out=out)
            out *= scale
            out += shift

        y = elementwise(normalise, rows).reshape(x.shape)
        return self.remember(train, y, x, mean, inverse_std, use_batch)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        x, mean, inverse_std, use_batch = self.recall(dy)
        xp = array_module(dy)
        m = x.size // self.channels
        rows, (centre,) = as_rows(x, mean)
        dy_rows, _ = as_rows(dy)

        def sums(part: slice) -> Array:
            moved = rows[part] - centre
            moved *= dy_rows[part]
            return xp.stack([row_sums(dy_rows[part], self.channels), row_sums(moved, self.channels)])

        totals = over_pieces(sums, dy, len(rows), 3 * rows.shape[1] * x.itemsize)
        dbeta, dgamma = sum(totals[1:], totals[0])
        dgamma *= inverse_std
        if not self.frozen:
            self.gamma.grad += dgamma
            self.beta.grad += dbeta

        # dx = scale * (dy - mean(dy)) - slope * (x - mean), where slope holds all that comes before x - mean above
        scale = self.gamma.value * inverse_std
        _, (scale_row, shift, slope) = as_rows(x, scale, dbeta / m, scale * inverse_std * (dgamma / m))

        def gradient(x: Array, dy: Array, out: Array) -> None:
            if not use_batch:  # the running statistics do not depend on x
                xp.multiply(dy, scale_row, out=out)
                return
            xp.subtract(dy, shift, out=out)
            out *= scale_row
            moved = x - centre
            moved *= slope
            out -= moved

        return elementwise(gradient, rows, dy_rows).reshape(dy.shape)

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of each channel; moves the running ones, unless frozen."""
        m = x.size // self.channels
        if m < 2:
            raise ValueError(
                f"BatchNormalization: one value a channel has no variance (shape {tuple(x.shape)}); "
                "train on a larger batch"
            )
        rows, _ = as_rows(x)

        def moments(part: slice) -> tuple[int, Array, Array]:
            """How many values a channel has in the piece, their mean, and the squares of their distances from it."""
            piece = rows[part]
            count = piece.size // self.channels
            mean = row_sums(piece, self.channels) / count
            _, (centre,) = as_rows(x, mean)
            distances = piece - centre
            distances *= distances
            return count, mean, row_sums(distances, self.channels)

        found = over_pieces(moments, x, len(rows), 2 * rows.shape[1] * x.itemsize)
        mean = sum(count * piece_mean for count, piece_mean, _ in found) / m
        # distances from the common mean are longer (Chan et al. 1979, equation 2.1, for any number of pieces)
        variance = sum(squares + count * (piece_mean - mean) ** 2 for count, piece_mean, squares in found) / m
        if not self.frozen:
            for running, batch in ((self.running_mean, mean), (self.running_variance, variance)):
                running *= self.momentum
                running += (1 - self.momentum) * batch
        return mean, variance
