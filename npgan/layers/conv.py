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

Each kernel is one matrix product over patches: `patches` copies, for every output pixel, the window that it
sees, so that row (n, a, b) of an (N*OH*OW, kh*kw*C) matrix times the (kh*kw*C, D) weight is y[n, a, b]. The batch is
worked through in pieces whose patches fit the cache (npgan/parallel.py).
"""

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers.base import Layer, Parameter
from npgan.layers.dense import he_normal, positive
from npgan.parallel import CACHE, over_pieces

Pair = tuple[int, int]


def correlate(x: Array, weight: Array, stride: Pair, padding: Pair) -> Array:
    """Slide the kernel over x: (N, H, W, C), (kh, kw, C, D) -> (N, OH, OW, D)."""
    kh, kw, c, d = weight.shape
    n = x.shape[0]
    oh, ow = output_size(x.shape[1:3], (kh, kw), stride, padding)
    y = array_module(x).empty((n, oh, ow, d), dtype=x.dtype)
    flat_weight, flat_y = weight.reshape(-1, d), y.reshape(n, oh * ow, d)

    def work(part: slice) -> None:
        columns = patches(x[part], (kh, kw), stride, padding)
        product = columns.reshape(-1, kh * kw * c) @ flat_weight
        flat_y[part] = product.reshape(-1, oh * ow, d)

    over_pieces(work, x, n, oh * ow * kh * kw * c * x.itemsize)
    return y


def correlate_adjoint(dy: Array, weight: Array, stride: Pair, padding: Pair, size: Pair) -> Array:
    """Spread each pixel of dy over the window it came from: (N, OH, OW, D) -> (N, H, W, C), (H, W) = `size`.

    The adjoint of `correlate`: <correlate(x), dy> = <x, correlate_adjoint(dy)> for all x and dy.
    """
    kh, kw, c, d = weight.shape
    n, oh, ow = dy.shape[:3]
    dx = array_module(dy).empty((n, *size, c), dtype=dy.dtype)
    flat_weight = weight.reshape(-1, d).T

    def work(part: slice) -> None:
        columns = dy[part].reshape(-1, d) @ flat_weight
        dx[part] = patches_adjoint(columns.reshape(-1, oh, ow, kh, kw, c), stride, padding, size)

    over_pieces(work, dy, n, oh * ow * kh * kw * c * dy.itemsize)
    return dx


def correlate_weight_gradient(x: Array, dy: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """Correlate x with dy at every tap: (N, H, W, C), (N, OH, OW, D) -> (kh, kw, C, D).

    Pieces are rows of the kernel: each sums over the whole batch alone, so that no sum depends on the threads.
    """
    kh, kw = kernel_size
    c, d = x.shape[3], dy.shape[3]
    oh, ow = dy.shape[1:3]
    dweight = array_module(x).empty((kh, kw * c, d), dtype=x.dtype)
    flat_dy = dy.reshape(-1, d)
    padded = pad(x, padding)

    def work(part: slice) -> None:
        for i in range(kh)[part]:
            columns = windows(padded, (kh, kw), stride, (oh, ow))[:, :, :, i]  # N, OH, OW, kw*C
            dweight[i] = columns.reshape(-1, kw * c).T @ flat_dy

    over_pieces(work, x, kh, CACHE if kh > 1 else 0)
    return dweight.reshape(kh, kw, c, d)


def pad(x: Array, padding: Pair) -> Array:
    """Put zeros around x: (N, H, W, C) -> (N, H + 2 ph, W + 2 pw, C), contiguous."""
    xp = array_module(x)
    n, h, w, c = x.shape
    ph, pw = padding
    if not (ph or pw):
        return xp.ascontiguousarray(x)
    padded = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = x
    return padded


def windows(padded: Array, kernel_size: Pair, stride: Pair, size: Pair) -> Array:
    """A view of the window of every output pixel: (N, HP, WP, C) -> (N, OH, OW, kh, kw*C), (OH, OW) = `size`.

    Nothing is copied: the same number appears in every window that sees it. The kw taps of a row lie side by
    side in memory, with their channels, so they make one long axis.
    """
    n, hp, wp, c = padded.shape
    (kh, kw), (sh, sw) = kernel_size, stride
    pixel = c * padded.itemsize
    row = wp * pixel
    return array_module(padded).lib.stride_tricks.as_strided(
        padded, (n, *size, kh, kw * c), (hp * row, sh * row, sw * pixel, row, padded.itemsize)
    )


def patches(x: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """Copy the window of every output pixel: (N, H, W, C) -> (N, OH, OW, kh, kw, C)."""
    size = output_size(x.shape[1:3], kernel_size, stride, padding)
    columns = windows(pad(x, padding), kernel_size, stride, size)
    return columns.reshape(*columns.shape[:4], kernel_size[1], x.shape[3])


def patches_adjoint(columns: Array, stride: Pair, padding: Pair, size: Pair) -> Array:
    """Add every window back to where it was cut: (N, OH, OW, kh, kw, C) -> (N, H, W, C).

    Taps within one stride of each other never meet at a pixel, so they are added all at once: for a 4x4 kernel
    with a stride of 2 these are four additions instead of sixteen.
    """
    xp = array_module(columns)
    n, oh, ow, kh, kw, c = columns.shape
    (sh, sw), (ph, pw), (h, w) = stride, padding, size
    rows = oh - 1 + -(-kh // sh)  # in blocks of stride x stride pixels
    cols = ow - 1 + -(-kw // sw)
    rows, cols = max(rows, -(-(h + 2 * ph) // sh)), max(cols, -(-(w + 2 * pw) // sw))
    padded = xp.zeros((n, rows * sh, cols * sw, c), dtype=columns.dtype)
    blocks = padded.reshape(n, rows, sh, cols, sw * c)
    columns = columns.reshape(n, oh, ow, kh, kw * c)
    for a, i in enumerate(range(0, kh, sh)):
        for b, j in enumerate(range(0, kw, sw)):
            taps = columns[:, :, :, i : i + sh, j * c : (j + sw) * c]  # N, OH, OW, <= sh, <= sw*C
            high, wide = taps.shape[3:]
            blocks[:, a : a + oh, :high, b : b + ow, :wide] += taps.transpose(0, 1, 3, 2, 4)
    return padded[:, ph : ph + h, pw : pw + w]


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
        fan_in = self.kernel_size[0] * self.kernel_size[1] * in_channels
        self.weight = Parameter(he_normal((*self.kernel_size, in_channels, out_channels), fan_in, rng))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4, last_axis=self.in_channels)
        if min(output_size(x.shape[1:3], self.kernel_size, self.stride, self.padding)) < 1:
            raise ValueError(
                f"Conv2D: kernel_size {self.kernel_size} does not fit into an input of {x.shape[1:3]} pixels "
                f"with padding {self.padding}"
            )
        y = correlate(x, self.weight.value, self.stride, self.padding)
        if self.bias is not None:
            y += self.bias.value
        return self.remember(train, y, x)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(x, dy, self.kernel_size, self.stride, self.padding)
            if self.bias is not None:
                self.bias.grad += dy.sum(axis=(0, 1, 2))
        if not input_gradient:
            return None
        return correlate_adjoint(dy, self.weight.value, self.stride, self.padding, x.shape[1:3])


class Conv2DTranspose(Layer):
    """Transposed convolution: (N, H, W, in_channels) -> (N, OH, OW, out_channels), larger by the stride.

    OH = (H - 1) stride - 2 padding + kh + output_padding, and OW likewise. It is the adjoint of the Conv2D that
    leads from OH x OW back to H x W, and holds the very weight that this one would: (kh, kw, out_channels,
    in_channels). So its forward is that layer's backward, and its backward is that layer's forward.

    A stride s > 1 maps s output sizes to one input size; output_padding (less than the stride) chooses among
    them. Each output pixel hears in_channels*kh*kw / (sh*sw) products; that is the fan_in of the initial
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
        fan_in = max(1.0, in_channels * kh * kw / (sh * sw))
        self.weight = Parameter(he_normal((kh, kw, out_channels, in_channels), fan_in, rng))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Array, train: bool = True) -> Array:
        self.check_input(x, ndim=4, last_axis=self.in_channels)
        size = transposed_output_size(
            x.shape[1:3], self.kernel_size, self.stride, self.padding, self.output_padding
        )
        if min(size) < 1:
            raise ValueError(
                f"Conv2DTranspose: padding {self.padding} leaves no output for an input of {x.shape[1:3]} pixels"
            )
        y = correlate_adjoint(x, self.weight.value, self.stride, self.padding, size)
        if self.bias is not None:
            y += self.bias.value
        return self.remember(train, y, x)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(dy, x, self.kernel_size, self.stride, self.padding)
            if self.bias is not None:
                self.bias.grad += dy.sum(axis=(0, 1, 2))
        return correlate(dy, self.weight.value, self.stride, self.padding) if input_gradient else None


def pair(name: str, value: int | Pair, at_least: int) -> Pair:
    """Turn a number or a (height, width) pair into a pair; raise a ValueError that names it where it is neither."""
    values = (value, value) if isinstance(value, int | np.integer) else value
    if (
        not isinstance(values, tuple | list)
        or len(values) != 2
        or any(not isinstance(v, int | np.integer) or isinstance(v, bool) or v < at_least for v in values)
    ):
        raise ValueError(
            f"{name} must be a whole number of at least {at_least} or a pair of them, got {value!r}"
        )
    return int(values[0]), int(values[1])
