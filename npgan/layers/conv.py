"""Conv2D and Conv2DTranspose, and the three kernels that they share.

Symbols, all images NHWC: N images, H x W pixels, C channels in, D channels out, kernel kh x kw, stride s,
padding p; the output has OH x OW pixels with OH = floor((H + 2p - kh) / s) + 1, and OW likewise.

    y[n, a, b, d] = sum over i, j, c of  x[n, a*s + i - p, b*s + j - p, c] * weight[i, j, c, d]

This is linear in x and linear in the weight, so three kernels are all there is:

    correlate                   x, weight  ->  y                the sum above
    correlate_adjoint           dy, weight ->  dx               the same matrix, transposed
    correlate_weight_gradient   x, dy      ->  dweight

Conv2D runs the first forward, the second and third backward. Conv2DTranspose is Conv2D with forward and
backward exchanged: the second forward, the first and third backward (Dumoulin and Visin 2016, chapter 4).

With the window of every output pixel copied into a row (`patches`), y is one matrix product. Its adjoint is a
product with the transposed weight, whose rows go back where the windows came from, tap by tap, and add up there.
Lessons 3 and 4 take the kernels apart; npgan/fast computes the same without so many copies.
"""

import numpy as np

from npgan import fast
from npgan.backend import Array, array_module
from npgan.fast import faster
from npgan.layers.base import Layer, Pair, Parameter, he_normal, pair, positive


@faster(fast.correlate)
def correlate(x: Array, weight: Array, stride: Pair, padding: Pair, bias: Array | None = None) -> Array:
    """Slide the kernel over x: (N, H, W, C), (kh, kw, C, D) -> (N, OH, OW, D); add the bias (D)."""
    kh, kw, c, d = weight.shape
    columns = patches(x, (kh, kw), stride, padding)  # N, OH, OW, kh, kw, C
    y = columns.reshape(-1, kh * kw * c) @ weight.reshape(-1, d)  # N*OH*OW, D
    y = y.reshape(*columns.shape[:3], d)
    return y if bias is None else y + bias


@faster(fast.correlate_adjoint)
def correlate_adjoint(
    dy: Array, weight: Array, stride: Pair, padding: Pair, size: Pair, bias: Array | None = None
) -> Array:
    """Send each pixel of dy back to the window it came from: (N, OH, OW, D) -> (N, H, W, C), (H, W) = `size`.

    The adjoint of `correlate`: <correlate(x), dy> = <x, correlate_adjoint(dy)> for all x and dy. The bias (C) is
    added.
    """
    kh, kw, c, d = weight.shape
    dcolumns = dy.reshape(-1, d) @ weight.reshape(-1, d).T  # N*OH*OW, kh*kw*C
    dx = patches_adjoint(dcolumns.reshape(*dy.shape[:3], kh, kw, c), stride, padding, size)
    return dx if bias is None else dx + bias


@faster(fast.correlate_weight_gradient)
def correlate_weight_gradient(x: Array, dy: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """Correlate x with dy at every tap: (N, H, W, C), (N, OH, OW, D) -> (kh, kw, C, D)."""
    (kh, kw), c, d = kernel_size, x.shape[3], dy.shape[3]
    columns = patches(x, kernel_size, stride, padding)  # N, OH, OW, kh, kw, C
    dweight = columns.reshape(-1, kh * kw * c).T @ dy.reshape(-1, d)  # kh*kw*C, D
    return dweight.reshape(kh, kw, c, d)


def patches(x: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """Copy the window of every output pixel: (N, H, W, C) -> (N, OH, OW, kh, kw, C)."""
    xp = array_module(x)
    (kh, kw), (ph, pw) = kernel_size, padding
    oh, ow = output_size(x.shape[1:3], kernel_size, stride, padding)
    padded = xp.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    columns = xp.empty((len(x), oh, ow, kh, kw, x.shape[3]), dtype=x.dtype)
    for i in range(kh):
        for j in range(kw):
            columns[:, :, :, i, j] = padded[tap(i, j, stride, (oh, ow))]
    return columns


def patches_adjoint(dcolumns: Array, stride: Pair, padding: Pair, size: Pair) -> Array:
    """Add every window up where it came from: (N, OH, OW, kh, kw, C) -> (N, H, W, C), (H, W) = `size`."""
    n, oh, ow, kh, kw, c = dcolumns.shape
    (ph, pw), (h, w) = padding, size
    dpadded = array_module(dcolumns).zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=dcolumns.dtype)
    for i in range(kh):
        for j in range(kw):
            dpadded[tap(i, j, stride, (oh, ow))] += dcolumns[:, :, :, i, j]
    return dpadded[:, ph : ph + h, pw : pw + w].copy()


def tap(i: int, j: int, stride: Pair, size: Pair) -> tuple[slice, slice, slice]:
    """Where tap (i, j) of the kernel meets the padded image, for all output pixels: a*s + i, b*s + j."""
    (sh, sw), (oh, ow) = stride, size
    return slice(None), slice(i, i + (oh - 1) * sh + 1, sh), slice(j, j + (ow - 1) * sw + 1, sw)


@faster(fast.channel_sums)
def channel_sums(x: Array) -> Array:
    """Sum over all axes but the last: (..., C) -> (C)."""
    return x.sum(axis=tuple(range(x.ndim - 1)))


def output_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Pair) -> Pair:
    """Height and width of a convolution's output: floor((size + 2 padding - kernel) / stride) + 1."""
    height, width = ((a + 2 * p - k) // s + 1 for a, k, s, p in zip(size, kernel_size, stride, padding))
    return height, width


def transposed_output_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, extra: Pair) -> Pair:
    """Height and width of a transposed convolution's output: (size - 1) stride - 2 padding + kernel + extra."""
    height, width = (
        (a - 1) * s - 2 * p + k + e for a, k, s, p, e in zip(size, kernel_size, stride, padding, extra)
    )
    return height, width


class Conv2D(Layer):
    """Convolution: (N, H, W, in_channels) -> (N, OH, OW, out_channels); the formula stands at the top of the file.

    weight (kh, kw, in_channels, out_channels) is drawn from N(0, 2 / fan_in) with fan_in = kh*kw*in_channels
    (He et al. 2015); bias (out_channels) starts at zero. kernel_size, stride and padding are in pixels, one
    number or a (height, width) pair; padding adds zeros on both sides. As in most libraries the kernel is not
    flipped (mathematics calls this a cross-correlation).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ):
        self.in_channels = positive("Conv2D: in_channels", in_channels)
        self.out_channels = positive("Conv2D: out_channels", out_channels)
        self.kernel_size = pair("Conv2D: kernel_size", kernel_size, at_least=1)
        self.stride = pair("Conv2D: stride", stride, at_least=1)
        self.padding = pair("Conv2D: padding", padding, at_least=0)
        self.fan_in = self.kernel_size[0] * self.kernel_size[1] * in_channels  # products in each output
        self.weight = Parameter(he_normal((*self.kernel_size, in_channels, out_channels), self.fan_in, rng))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4, last_axis=self.in_channels)
        if min(output_size(x.shape[1:3], self.kernel_size, self.stride, self.padding)) < 1:
            raise ValueError(
                f"Conv2D: kernel_size {self.kernel_size} does not fit into an input of {x.shape[1:3]} pixels "
                f"with padding {self.padding}"
            )
        bias = None if self.bias is None else self.bias.value
        y = correlate(x, self.weight.value, self.stride, self.padding, bias)
        return self.remember(train, y, x, self.bias)

    def backward(self, dy: Array) -> Array:
        size = self._gather(dy)
        return correlate_adjoint(dy, self.weight.value, self.stride, self.padding, size)

    def backward_parameters(self, dy: Array) -> None:
        self._gather(dy)

    def _gather(self, dy: Array) -> Pair:
        """Add to the gradients of weight and bias; return the height and width of the input."""
        x, bias = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(x, dy, self.kernel_size, self.stride, self.padding)
            if bias is not None:
                bias.grad += channel_sums(dy)
        return x.shape[1:3]

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.remember(True, correlate(v, self.weight.value, self.stride, self.padding), v, None)


class Conv2DTranspose(Layer):
    """Transposed convolution: (N, H, W, in_channels) -> (N, OH, OW, out_channels), larger by the stride.

    OH = (H - 1) stride - 2 padding + kh + output_padding, and OW likewise. It is the adjoint of the Conv2D that
    leads from OH x OW back to H x W, and holds the very weight that this one would: (kh, kw, out_channels,
    in_channels). So its forward is that layer's backward, and its backward is that layer's forward.

    A stride s > 1 maps s output sizes to one input size; output_padding (less than the stride) chooses among
    them. Each output pixel adds up in_channels*kh*kw / (sh*sw) products; that is the fan_in of the initial
    N(0, 2 / fan_in). kernel_size should be divisible by stride, or a checkerboard shows (Odena et al. 2016).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ):
        self.in_channels = positive("Conv2DTranspose: in_channels", in_channels)
        self.out_channels = positive("Conv2DTranspose: out_channels", out_channels)
        self.kernel_size = pair("Conv2DTranspose: kernel_size", kernel_size, at_least=1)
        self.stride = pair("Conv2DTranspose: stride", stride, at_least=1)
        self.padding = pair("Conv2DTranspose: padding", padding, at_least=0)
        self.output_padding = pair("Conv2DTranspose: output_padding", output_padding, at_least=0)
        if self.output_padding[0] >= self.stride[0] or self.output_padding[1] >= self.stride[1]:
            raise ValueError(
                f"Conv2DTranspose: output_padding {self.output_padding} must be less than stride {self.stride}"
            )
        (kh, kw), (sh, sw) = self.kernel_size, self.stride
        self.fan_in = max(1.0, in_channels * kh * kw / (sh * sw))  # products in each output, on average
        self.weight = Parameter(he_normal((kh, kw, out_channels, in_channels), self.fan_in, rng))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4, last_axis=self.in_channels)
        size = self._output_size(x)
        if min(size) < 1:
            raise ValueError(
                f"Conv2DTranspose: padding {self.padding} leaves no output for an input of {x.shape[1:3]} pixels"
            )
        bias = None if self.bias is None else self.bias.value
        y = correlate_adjoint(x, self.weight.value, self.stride, self.padding, size, bias)
        return self.remember(train, y, x, self.bias)

    def backward(self, dy: Array) -> Array:
        self.backward_parameters(dy)
        return correlate(dy, self.weight.value, self.stride, self.padding)

    def backward_parameters(self, dy: Array) -> None:
        x, bias = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(dy, x, self.kernel_size, self.stride, self.padding)
            if bias is not None:
                bias.grad += channel_sums(dy)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        size = self._output_size(v)
        y = correlate_adjoint(v, self.weight.value, self.stride, self.padding, size)
        return self.remember(True, y, v, None)

    def _output_size(self, x: Array) -> Pair:
        return transposed_output_size(
            x.shape[1:3], self.kernel_size, self.stride, self.padding, self.output_padding
        )
