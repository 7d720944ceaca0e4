"""BatchNormalization: give every channel mean zero and variance one over the batch, then scale and shift it."""

import numpy as np

from npgan import fast
from npgan.backend import Array, array_module
from npgan.distributed import Ranks
from npgan.fast import faster
from npgan.layers.base import Layer, Parameter, positive


@faster(fast.moments)
def moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each channel: (..., C) -> (C), (C).

    In float16 they are computed, and stay, in float32: sums of many values would leave its range.
    """
    precise = array_module(x).promote_types(x.dtype, np.float32)
    channels = x.reshape(-1, x.shape[-1]).T.copy()  # C, M: NumPy sums along a row in pairs, which rounds less
    mean = channels.mean(axis=1, dtype=precise)
    mean += (channels - mean[:, None]).mean(axis=1)  # what rounding took, where the mean is far from zero
    return mean, ((channels - mean[:, None]) ** 2).mean(axis=1)


@faster(fast.scale_and_shift)
def scale_and_shift(x: Array, mean: Array, scale: Array, shift: Array) -> Array:
    """scale * (x - mean) + shift, channel by channel."""
    return ((x - mean) * scale + shift).astype(x.dtype, copy=False)


@faster(fast.summed_gradients)
def summed_gradients(dy: Array, x: Array, mean: Array, inverse_std: Array) -> tuple[Array, Array]:
    """dbeta = sum(dy) and dgamma = sum(dy * u) of each channel, with u = (x - mean) * inverse_std."""
    axes = tuple(range(x.ndim - 1))
    u = (x - mean) * inverse_std
    return dy.sum(axis=axes, dtype=mean.dtype), (dy * u).sum(axis=axes)


@faster(fast.input_gradient)
def input_gradient(
    dy: Array, x: Array, mean: Array, inverse_std: Array, gamma: Array, dbeta: Array, dgamma: Array
) -> Array:
    """gamma * inverse_std * (dy - mean(dy) - u * mean(dy * u)), with u = (x - mean) * inverse_std."""
    m = x.size // x.shape[-1]
    u = (x - mean) * inverse_std
    dx = gamma * inverse_std * (dy - dbeta / m - u * (dgamma / m))
    return dx.astype(dy.dtype, copy=False)


def of_all_ranks(ranks: Ranks, mean: Array, variance: Array) -> tuple[Array, Array]:
    """The moments of a whole batch, from those of this rank's part: parts are equally large, so E is a mean of means.

    variance = E[x**2] - E[x]**2, where E[x**2] of a part is variance + mean**2. In float64, since both are large
    where the mean is far from zero.
    """
    xp, precise = array_module(mean), (mean.astype(np.float64), variance.astype(np.float64))
    first, second = ranks.mean(
        xp.stack([precise[0], precise[1] + precise[0] ** 2])
    )  # E[x], E[x**2]: (C), (C)
    return first.astype(mean.dtype), xp.maximum(second - first**2, 0).astype(mean.dtype)


class BatchNormalization(Layer):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, channel by channel (Ioffe and Szegedy 2015).

    x has shape (..., channels); mean and variance are taken over all axes but the last, so M = x.size / channels
    values each. With train=False, or after freeze(inference=True), the running statistics stand in for them:

        running = momentum * running + (1 - momentum) * batch          (as in Keras; the variance divides by M)

    Backward. Write u = (x - mean) / sqrt(variance + epsilon), so that y = gamma * u + beta. The mean and the
    variance depend on every x, which adds two terms to the plain gamma * dy / sqrt(variance + epsilon):

        dx = gamma / sqrt(variance + epsilon) * (dy - mean(dy) - u * mean(dy * u))

    The first takes out of dy what would only move the mean, the second what would only change the variance: neither
    changes y. dgamma = sum(dy * u), dbeta = sum(dy). gamma starts at one, beta at zero.

    ranks: processes that share each batch (npgan/distributed.py). All means above, forward and backward, are then
    over all of them; dgamma and dbeta stay those of this rank's part, as every other gradient.
    """

    buffers = ("running_mean", "running_variance")

    def __init__(
        self, channels: int, *, momentum: float = 0.8, epsilon: float = 1e-5, ranks: Ranks | None = None
    ):
        if not 0 <= momentum < 1:
            raise ValueError(f"BatchNormalization: momentum must be in [0, 1), got {momentum!r}")
        if not epsilon > 0:
            raise ValueError(f"BatchNormalization: epsilon must be above 0, got {epsilon!r}")
        self.channels = positive("BatchNormalization: channels", channels)
        self.momentum, self.epsilon, self.ranks = momentum, epsilon, ranks or Ranks()
        self.gamma = Parameter(np.ones(channels, np.float32))
        self.beta = Parameter(np.zeros(channels, np.float32))
        self.running_mean = np.zeros(channels, np.float32)
        self.running_variance = np.ones(channels, np.float32)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, last_axis=self.channels)
        use_batch = train and not self.inference
        if use_batch:
            mean, variance = self._batch_statistics(x)
        else:  # copies: a later training pass changes them in place
            mean, variance = self.running_mean.copy(), self.running_variance.copy()
        inverse_std = 1 / array_module(x).sqrt(variance + self.epsilon)
        y = scale_and_shift(x, mean, self.gamma.value * inverse_std, self.beta.value)
        return self.remember(train, y, x, mean, inverse_std, use_batch)

    def backward(self, dy: Array) -> Array:
        x, mean, inverse_std, use_batch = self.recall(dy)
        dbeta, dgamma = summed_gradients(dy, x, mean, inverse_std)
        if not self.frozen:
            self.gamma.grad += dgamma
            self.beta.grad += dbeta
        if not use_batch:  # the running statistics do not depend on x
            return (dy * (self.gamma.value * inverse_std)).astype(dy.dtype, copy=False)
        if self.ranks.size > 1:  # below they stand for two means, which are those of the whole batch
            dbeta, dgamma = self.ranks.mean(array_module(dy).stack([dbeta, dgamma]))
        return input_gradient(dy, x, mean, inverse_std, self.gamma.value, dbeta, dgamma)

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of each channel; moves the running ones, unless frozen."""
        if x.size // self.channels * self.ranks.size < 2:
            raise ValueError(
                f"BatchNormalization: one value a channel has no variance (shape {tuple(x.shape)}); "
                "train on a larger batch"
            )
        mean, variance = moments(x)
        if self.ranks.size > 1:
            mean, variance = of_all_ranks(self.ranks, mean, variance)
        if not self.frozen:
            for running, batch in ((self.running_mean, mean), (self.running_variance, variance)):
                running *= self.momentum
                running += (1 - self.momentum) * batch
        return mean, variance
