"""Layers that keep sizes in bounds: of a pixel's features, and of weights; and one that measures a batch's spread.

PixelNormalization                  divides the features of a pixel by their root mean square
MinibatchStandardDeviation          shows a discriminator how much the samples of a batch differ
SpectralNormalization(layer)        computes with the layer's weight divided by its largest singular value
EqualizedLearningRate(layer)        computes with the layer's weight times a constant, sqrt(2 / fan_in)
"""

import math

import numpy as np

from npgan import backend
from npgan.backend import Array, array_module
from npgan.layers.base import Layer, Parameter, positive
from npgan.layers.conv import Conv2D, Conv2DTranspose
from npgan.layers.dense import Dense


def at_least_float32(x: Array) -> Array:
    """x itself, or float16 turned into float32: squares and an epsilon of 1e-8 leave the range of float16."""
    return x.astype(array_module(x).promote_types(x.dtype, np.float32), copy=False)


def check_epsilon(layer: Layer, epsilon: float) -> float:
    """Return `epsilon` as a Python number; raise a ValueError that names the layer where it is not above 0."""
    if not epsilon > 0:
        raise ValueError(f"{type(layer).__name__}: epsilon must be above 0, got {epsilon!r}")
    return float(epsilon)


class PixelNormalization(Layer):
    """y = x / sqrt(mean(x**2) + epsilon), the mean over the channels of a pixel (Karras et al. 2018, section 4.2).

    x has shape (..., channels). It keeps a generator's features from growing in its contest with the discriminator.
    Nothing is trained, and samples do not mix.

    Backward. Write r = 1 / sqrt(mean(x**2) + epsilon), so that y = r * x. Every x of a pixel moves its r, by
    -r**3 * x / channels, which adds the second term:

        dx = r * (dy - y * mean(dy * y))
    """

    def __init__(self, epsilon: float = 1e-8):
        self.epsilon = check_epsilon(self, epsilon)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        self.check_input(x, last_axis=x.shape[-1])  # at least two axes
        wide = at_least_float32(x)
        mean_square = (wide * wide).mean(axis=-1, keepdims=True)  # ..., 1
        r = 1 / array_module(x).sqrt(mean_square + self.epsilon)
        y = (r * wide).astype(x.dtype, copy=False)
        return self.remember(train, y, y, r)

    def backward(self, dy: Array) -> Array:
        y, r = self.recall(dy)
        dx = r * (dy - y * (dy * y).mean(axis=-1, keepdims=True))
        return dx.astype(dy.dtype, copy=False)


class MinibatchStandardDeviation(Layer):
    """(N, ..., C) -> (N, ..., C + 1): one channel more, which holds how much the samples differ.

    The standard deviation of every feature over a group of samples, averaged to one number a group, which fills the
    new channel of all its samples (Karras et al. 2018, section 3; groups of 4 as in their code). A discriminator
    sees by it that a generator makes the same again and again.

    A group is `group` neighbours in the batch: samples 0 to 3, 4 to 7, and so on. Where real and generated samples
    are joined to one batch, or classes stand in order, each group is of one kind. (Karras et al. take every
    (N / group)-th sample; in a shuffled batch this is the same.) A batch smaller than `group` is one group.

    Backward. With d = x - mean over the G samples of the group, std = sqrt(mean(d**2) + epsilon), F features and
    s = sum(std) / F, the gradient ds is the sum of all dy in the group's new channel, and since mean(d) = 0

        dx = dy of the old channels + ds * d / (G * F * std)

    epsilon keeps this finite where all samples are equal. s is a curved function of the features, so a penalty on
    the gradient takes it for a constant (npgan.adversarial.penalise): held with `inference`, the layer sends no
    gradient through s, and in a tangent pass the new channel is 0.
    """

    def __init__(self, group: int = 4, epsilon: float = 1e-8):
        self.group = positive("MinibatchStandardDeviation: group", group)
        self.epsilon = check_epsilon(self, epsilon)

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        self.check_input(x, last_axis=x.shape[-1])  # at least two axes
        n, group = len(x), min(self.group, len(x))
        if n % group:
            raise ValueError(f"MinibatchStandardDeviation: groups of {group} do not divide a batch of {n}")
        xp = array_module(x)
        groups = at_least_float32(x).reshape(n // group, group, *x.shape[1:])  # n/group, group, ..., C
        d = groups - groups.mean(axis=1, keepdims=True)
        std = xp.sqrt((d * d).mean(axis=1, keepdims=True) + self.epsilon)  # n/group, 1, ..., C
        s = std.reshape(n // group, -1).mean(axis=1).astype(x.dtype, copy=False)  # n/group
        channel = s.repeat(group).reshape(n, *[1] * (x.ndim - 1))  # each number `group` times in a row
        y = xp.concatenate([x, xp.broadcast_to(channel, (*x.shape[:-1], 1))], axis=-1)
        return self.remember(train, y, d, std)

    def backward(self, dy: Array) -> Array:
        d, std = self.recall(dy)
        if self.inference or d is None:  # s is a constant
            return dy[..., :-1].copy()
        ds = at_least_float32(dy[..., -1]).reshape(len(d), -1).sum(axis=1)  # n/group
        slope = d / (std * (d.size // len(d)))  # d / (G * F * std)
        through_s = slope * ds.reshape(-1, *[1] * (d.ndim - 1))  # n/group, group, ..., C
        dx = dy[..., :-1] + through_s.reshape(*dy.shape[:-1], -1)
        return dx.astype(dy.dtype, copy=False)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        nothing = array_module(v).zeros((*v.shape[:-1], 1), v.dtype)
        return self.remember(True, array_module(v).concatenate([v, nothing], axis=-1), None, None)


# Layers around a layer -------------------------------------------------------------------------------------


class ComputedWeight:
    """What stands in a layer in the place of its weight: a value and room for a gradient, as a Parameter has.

    It is none, so it is neither trained nor saved.
    """

    def __init__(self, value: Array):
        self.value = value
        self.grad = array_module(value).zeros_like(value)


class Reweighted(Layer):
    """A layer around a Dense, Conv2D or Conv2DTranspose: it computes with a function of the weight that is trained.

    That weight is a Parameter of this layer. In each forward pass the layer inside gets a ComputedWeight for its
    own, goes forward and backward with it as ever, and gathers the gradient by it; what is left to do is to turn
    this into the gradient by the trained weight. A subclass writes `compute` and `gradient`.
    """

    def __init__(self, layer: Layer):
        if not isinstance(layer, Dense | Conv2D | Conv2DTranspose) or not isinstance(layer.weight, Parameter):
            raise TypeError(
                f"{type(self).__name__}: layer must be a Dense, Conv2D or Conv2DTranspose with a weight of its "
                f"own, got {type(layer).__name__}"
            )
        self.layer, self.weight = layer, layer.weight
        layer.weight = None  # until the first forward pass

    def compute(self, train: bool) -> tuple[Array, ...]:
        """The weight to compute with, and whatever else `gradient` needs."""
        raise NotImplementedError

    def gradient(self, dcomputed: Array, *needed: Array) -> Array:
        """The gradient by the trained weight, from the one by the computed weight."""
        raise NotImplementedError

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x)
        computed, *needed = self.compute(train)
        self.layer.weight = ComputedWeight(computed)
        return self.remember(train, self.layer.forward(x, train), *needed)

    def backward(self, dy: Array) -> Array:
        needed = self.recall(dy)
        dx = self.layer.backward(dy)
        self._gather(needed)
        return dx

    def backward_parameters(self, dy: Array) -> None:
        needed = self.recall(dy)
        self.layer.backward_parameters(dy)
        self._gather(needed)

    def _gather(self, needed: tuple[Array, ...]) -> None:
        if not self.frozen:
            self.weight.grad += self.gradient(self.layer.weight.grad, *needed)

    def tangent(self, v: Array) -> Array:
        needed = self.recall_for_tangent()
        return self.remember(True, self.layer.tangent(v), *needed)


class SpectralNormalization(Reweighted):
    """A layer around a layer, which computes with weight / sigma: sigma is its largest singular value.

        SpectralNormalization(Conv2D(3, 64, 4, stride=2, padding=1))

    Miyato et al. 2018, section 2.1 and appendix A. The weight is read as a matrix W with as many columns as its last
    axis is long: (kh*kw*in, out) for a Conv2D, and (kh*kw*out, in) for a Conv2DTranspose, as for the Conv2D that it
    is the adjoint of. Each forward pass takes one step of the power iteration, from the u of the last training pass:

        v = W @ u / |W @ u|        u = W.T @ v / |W.T @ v|        sigma = v @ W @ u = |W.T @ v|

    A training pass keeps the new u, in the state: while the weight moves slowly, step after step comes as close to
    sigma as many steps at once. Frozen, and with train=False, u stays as it is.

    Backward. With u and v held constant sigma is linear in W, and its gradient is the matrix of all v[i] * u[j]. So
    from G, the gradient by W / sigma,

        dW = (G - <G, W / sigma> outer(v, u)) / sigma

    with <A, B> the sum of all A * B. A longer W gives the same W / sigma, and indeed <dW, W> = 0.

    In a product with W / sigma no vector grows, and so none grows in a Dense. What is bounded is this matrix, not a
    convolution: windows overlap, each pixel is in up to ceil(kh / sh) * ceil(kw / sw) of them, and an image may grow
    by the root of that. `rng` draws the first u.
    """

    buffers = ("u",)
    epsilon = 1e-12  # so that a weight of zeros gives zeros

    def __init__(self, layer: Layer, *, rng: np.random.Generator | None = None):
        super().__init__(layer)
        rng = np.random.default_rng() if rng is None else rng
        value = self.weight.value
        u = rng.standard_normal(value.shape[-1]).astype(value.dtype)
        self.u = backend.to_device(u, backend.device_of(value))

    def power_iteration(self) -> tuple[Array, Array, Array]:
        """One step from the u that is kept: (sigma, v, u)."""
        xp, w = array_module(self.u), self.weight.value.reshape(-1, self.u.size)
        v = w @ self.u
        v = v / (xp.sqrt((v * v).sum()) + self.epsilon)
        u = w.T @ v
        sigma = xp.sqrt((u * u).sum())
        return sigma + self.epsilon, v, u / (sigma + self.epsilon)

    def compute(self, train: bool) -> tuple[Array, ...]:
        sigma, v, u = self.power_iteration()
        if train and not self.frozen:
            self.u[...] = array_module(u).where(u.any(), u, self.u)  # no step can be taken from zeros
        return self.weight.value / sigma, sigma, v, u

    def gradient(self, dcomputed: Array, sigma: Array, v: Array, u: Array) -> Array:
        along = (dcomputed * self.layer.weight.value).sum()  # <G, W / sigma>
        return (dcomputed - along * (v[:, None] * u).reshape(dcomputed.shape)) / sigma


class EqualizedLearningRate(Reweighted):
    """A layer around a layer, which computes with weight * scale, scale = sqrt(2 / fan_in), the weight from N(0, 1).

        EqualizedLearningRate(Conv2D(3, 64, 3, padding=1))

    Karras et al. 2018, section 4.1. At first the layer computes just what it would without this one, whose weight
    is drawn from N(0, 2 / fan_in). But an optimiser such as Adam changes all numbers by about as much, whatever
    their size: weights that are all of size one then learn equally fast in layers of few inputs and of many.
    Backward: dweight = scale * the gradient by (weight * scale).
    """

    def __init__(self, layer: Layer):
        super().__init__(layer)
        self.scale = math.sqrt(2 / layer.fan_in)
        self.weight.value /= self.scale

    def compute(self, train: bool) -> tuple[Array, ...]:
        return (self.weight.value * self.scale,)

    def gradient(self, dcomputed: Array) -> Array:
        return dcomputed * self.scale
