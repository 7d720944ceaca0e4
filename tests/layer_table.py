"""One table of all layers: name -> function(rng, geometry) that gives (layer, input).

Both are float32, on NumPy. Every parameter and running statistic is drawn, none is left at its initial zero or
one, which would hide a forgotten factor. Inputs lie off the kinks of LeakyReLU and ReLU by construction.
"""

from dataclasses import dataclass

import numpy as np

from npgan import layers


@dataclass(frozen=True)
class Geometry:
    """Sizes for any layer; each takes those that it needs. The default is as unsymmetrical as it gets."""

    batch: int = 3
    size: tuple[int, int] = (5, 6)
    in_channels: int = 3
    out_channels: int = 2
    kernel_size: tuple[int, int] = (3, 2)
    stride: tuple[int, int] = (2, 3)
    padding: tuple[int, int] = (1, 0)
    output_padding: tuple[int, int] = (1, 2)


def off_zero(rng, shape, low=0.1, high=2.0):
    """Values of both signs with low <= |value| <= high, in float32."""
    return (rng.choice([-1.0, 1.0], shape) * rng.uniform(low, high, shape)).astype(np.float32)


def spread(rng, shape):
    """Values that are spread out in every channel, so that no batch variance is small, in float32."""
    *rest, channels = shape
    count = int(np.prod(rest))
    steps = rng.permuted(np.tile(np.arange(count), (channels, 1)), axis=1) + rng.uniform(
        -0.3, 0.3, (channels, count)
    )
    values = 4 * steps / count - 2 + rng.uniform(-1, 1, (channels, 1))
    return values.T.reshape(shape).astype(np.float32)


def drawn(layer, rng):
    """Draw all that the layer holds."""
    for parameter in layer.parameters():
        parameter.value[...] = off_zero(rng, parameter.value.shape, 0.2, 1.0)
    for name in layer.buffers:
        getattr(layer, name)[...] = rng.uniform(0.5, 1.5, getattr(layer, name).shape)
    return layer


def dense(rng, g, bias=True):
    layer = layers.Dense(g.in_channels, g.out_channels, bias=bias, rng=rng)
    return drawn(layer, rng), off_zero(rng, (g.batch + 1, g.in_channels))


def conv2d(rng, g, bias=True):
    layer = layers.Conv2D(
        g.in_channels, g.out_channels, g.kernel_size, stride=g.stride, padding=g.padding, bias=bias, rng=rng
    )
    return drawn(layer, rng), off_zero(rng, (g.batch, *g.size, g.in_channels))


def conv2d_transpose(rng, g, bias=True):
    layer = layers.Conv2DTranspose(
        g.in_channels,
        g.out_channels,
        g.kernel_size,
        stride=g.stride,
        padding=g.padding,
        output_padding=g.output_padding,
        bias=bias,
        rng=rng,
    )
    return drawn(layer, rng), off_zero(rng, (g.batch, *g.size, g.in_channels))


def batch_normalization_of_images(rng, g):
    layer = layers.BatchNormalization(g.out_channels, momentum=0.7, epsilon=1e-3)
    return drawn(layer, rng), spread(rng, (g.batch + 3, *g.size, g.out_channels))


def batch_normalization_of_features(rng, g):
    layer = layers.BatchNormalization(g.out_channels)
    return drawn(layer, rng), spread(rng, (g.batch + 3, g.out_channels))


def activation(make):
    return lambda rng, g: (make(), off_zero(rng, (g.batch, *g.size, g.in_channels)))


def reshape(rng, g):
    shape = (g.size[1], g.in_channels, g.size[0])
    return layers.Reshape(shape), off_zero(rng, (g.batch, *g.size, g.in_channels))


def sequential(rng, g):
    inputs = g.size[0] * g.size[1] * g.in_channels
    inside = layers.Sequential([layers.Dense(inputs, 5, rng=rng), layers.Tanh()])
    outside = layers.Sequential(
        [layers.Flatten(), inside, layers.BatchNormalization(5), layers.Dense(5, 2, rng=rng)]
    )
    return outside, off_zero(rng, (g.batch + 3, *g.size, g.in_channels), high=0.5)


def resize(make):
    """A layer whose blocks are the geometry's strides, of images that hold whole blocks."""

    def build(rng, g):
        size = (g.size[0] * g.stride[0], g.size[1] * g.stride[1])
        return make(g.stride), off_zero(rng, (g.batch, *size, g.in_channels))

    return build


def pack(rng, g):
    return layers.Pack(3), off_zero(rng, (3 * g.batch, *g.size, g.in_channels))


def minibatch_of_images(rng, g):
    return layers.MinibatchStandardDeviation(3), spread(rng, (3 * g.batch, *g.size, g.in_channels))


def minibatch_of_features(rng, g):
    return layers.MinibatchStandardDeviation(), spread(rng, (4 * g.batch, g.in_channels))


def equalized(build):
    """The layer of another entry inside an EqualizedLearningRate."""

    def around(rng, g):
        layer, x = build(rng, g)
        return drawn(layers.EqualizedLearningRate(layer), rng), x

    return around


def spectral(build):
    """The layer of another entry inside a SpectralNormalization whose u has settled, as after many passes.

    The weight is close to an outer product: one singular value lies far above the others, so that u settles in a few
    passes, and stays while a gradient check moves the weight.
    """

    def around(rng, g):
        layer, x = build(rng, g)
        layer = layers.SpectralNormalization(layer, rng=rng)
        *rest, columns = layer.weight.value.shape
        outer = off_zero(rng, (*rest, 1), 0.2, 1.0) * off_zero(rng, (columns,), 0.2, 1.0)
        layer.weight.value[...] = outer + 0.01 * off_zero(rng, outer.shape)
        return settled(layer, x), x

    return around


def settled(layer, x):
    """The layer; if it is a SpectralNormalization, after passes of x that moved its u to where it stays."""
    if isinstance(layer, layers.SpectralNormalization):
        for _ in range(20):
            layer.forward(x)
        layer.forward(x, train=False)
    return layer


LAYERS = {
    "Dense": dense,
    "Dense-without-bias": lambda rng, g: dense(rng, g, bias=False),
    "Conv2D": conv2d,
    "Conv2D-without-bias": lambda rng, g: conv2d(rng, g, bias=False),
    "Conv2DTranspose": conv2d_transpose,
    "Conv2DTranspose-without-bias": lambda rng, g: conv2d_transpose(rng, g, bias=False),
    "BatchNormalization-of-images": batch_normalization_of_images,
    "BatchNormalization-of-features": batch_normalization_of_features,
    "LeakyReLU": activation(layers.LeakyReLU),
    "LeakyReLU-of-slope-zero": activation(lambda: layers.LeakyReLU(0.0)),
    "ReLU": activation(layers.ReLU),
    "Tanh": activation(layers.Tanh),
    "Sigmoid": activation(layers.Sigmoid),
    "Flatten": activation(layers.Flatten),
    "Reshape": reshape,
    "UpSampling2D": resize(layers.UpSampling2D),
    "AveragePooling2D": resize(layers.AveragePooling2D),
    "Pack": pack,
    "PixelNormalization": activation(lambda: layers.PixelNormalization(0.1)),
    "MinibatchStandardDeviation-of-images": minibatch_of_images,
    "MinibatchStandardDeviation-of-features": minibatch_of_features,
    "SpectralNormalization-of-Dense": spectral(dense),
    "SpectralNormalization-of-Conv2D": spectral(conv2d),
    "SpectralNormalization-of-Conv2DTranspose": spectral(conv2d_transpose),
    "EqualizedLearningRate-of-Dense": equalized(dense),
    "EqualizedLearningRate-of-Conv2D": equalized(conv2d),
    "EqualizedLearningRate-of-Conv2DTranspose": equalized(conv2d_transpose),
    "Sequential": sequential,
}

# Layers whose output for one sample depends on the others of its batch.
MIXING = {
    "BatchNormalization-of-images",
    "BatchNormalization-of-features",
    "Pack",
    "MinibatchStandardDeviation-of-images",
    "MinibatchStandardDeviation-of-features",
}


def make(name, seed=0, geometry=None, dtype="float32"):
    """Build one entry of the table: (rng, layer, input), in `dtype`."""
    rng = np.random.default_rng(seed)
    layer, x = LAYERS[name](rng, Geometry() if geometry is None else geometry)
    x = x.astype(dtype)
    return rng, settled(layer.astype(dtype), x), x
