"""BatchNormalization: give every channel mean zero and variance one over the batch, then scale and shift it."""

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers.base import Layer, Parameter
from npgan.layers.dense import positive


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
        flat = x.reshape(-1, self.channels)  # M, C
        use_batch = train and not self.inference
        if use_batch:
            if flat.shape[0] < 2:
                raise ValueError(
                    f"BatchNormalization: one value a channel has no variance (shape {tuple(x.shape)}); "
                    "train on a larger batch"
                )
            mean = flat.mean(axis=0)
            u = flat - mean
            variance = (u * u).mean(axis=0)
            if not self.frozen:
                self._update(self.running_mean, mean)
                self._update(self.running_variance, variance)
        else:
            u = flat - self.running_mean
            variance = self.running_variance
        inverse_std = 1 / xp.sqrt(variance + self.epsilon)
        u *= inverse_std
        y = (u * self.gamma.value + self.beta.value).reshape(x.shape)
        return self.remember(train, y, u, inverse_std, use_batch)

    def backward(self, dy: Array) -> Array:
        u, inverse_std, use_batch = self.recall(dy)
        flat = dy.reshape(-1, self.channels)  # M, C
        dgamma = (flat * u).sum(axis=0)
        dbeta = flat.sum(axis=0)
        if not self.frozen:
            self.gamma.grad += dgamma
            self.beta.grad += dbeta
        if use_batch:
            m = flat.shape[0]
            dx = flat - dbeta / m - u * (dgamma / m)
        else:
            dx = flat.copy()  # the running statistics do not depend on x
        dx *= self.gamma.value * inverse_std
        return dx.reshape(dy.shape)

    def _update(self, running: Array, batch: Array) -> None:
        running *= self.momentum
        running += (1 - self.momentum) * batch
