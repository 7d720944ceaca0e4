"""BatchNormalization: give every channel mean zero and variance one over the batch, then scale and shift it."""

from collections.abc import Callable

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers.activations import elementwise
from npgan.layers.base import Layer, Parameter
from npgan.layers.dense import positive
from npgan.parallel import column_sums, over_pieces


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
        flat = x.reshape(-1, self.channels)  # M, C
        use_batch = train and not self.inference
        if use_batch:
            mean, variance = self._batch_statistics(flat, x.shape)
        else:  # copies: a later training pass changes them in place
            mean, variance = self.running_mean.copy(), self.running_variance.copy()
        inverse_std = 1 / array_module(x).sqrt(variance + self.epsilon)
        scale = self.gamma.value * inverse_std
        y = elementwise(lambda rows: (rows - mean) * scale + self.beta.value, flat).reshape(x.shape)
        return self.remember(train, y, flat, mean, inverse_std, use_batch)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array:
        x, mean, inverse_std, use_batch = self.recall(dy)
        flat = dy.reshape(-1, self.channels)  # M, C
        m = flat.shape[0]

        def u(part: slice) -> Array:
            return (x[part] - mean) * inverse_std

        dbeta = self._sum(lambda part: flat[part], flat)
        dgamma = self._sum(lambda part: flat[part] * u(part), flat)
        if not self.frozen:
            self.gamma.grad += dgamma
            self.beta.grad += dbeta
        scale = self.gamma.value * inverse_std
        dx = array_module(dy).empty(flat.shape, dtype=dy.dtype)

        def work(part: slice) -> None:
            if use_batch:
                dx[part] = scale * (flat[part] - dbeta / m - u(part) * (dgamma / m))
            else:  # the running statistics do not depend on x
                dx[part] = scale * flat[part]

        over_pieces(work, dy, m, flat.nbytes // m)
        return dx.reshape(dy.shape)

    def _batch_statistics(self, flat: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Mean and variance of each channel; moves the running ones, unless frozen."""
        m = flat.shape[0]
        if m < 2:
            raise ValueError(
                f"BatchNormalization: one value a channel has no variance (shape {tuple(shape)}); "
                "train on a larger batch"
            )
        mean = self._sum(lambda part: flat[part], flat) / m
        variance = self._sum(lambda part: (flat[part] - mean) ** 2, flat) / m
        if not self.frozen:
            for running, batch in ((self.running_mean, mean), (self.running_variance, variance)):
                running *= self.momentum
                running += (1 - self.momentum) * batch
        return mean, variance

    def _sum(self, values: Callable[[slice], Array], like: Array) -> Array:
        """The sum over all rows of values(rows), channel by channel, piece by piece."""
        m = like.shape[0]
        sums = over_pieces(lambda part: column_sums(values(part)), like, m, like.nbytes // m)
        return sum(sums[1:], sums[0])
