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

Each kernel is matrix products over patches. `patches` copies, for every output pixel, the window that it sees, so
that row (n, a, b) of an (N*OH*OW, kh*kw*C) matrix times the (kh*kw*C, D) weight is y[n, a, b]. The other two go
through the rows i of the kernel one by one, since a row of windows is then a row of the image. The batch is worked
through in pieces whose patches fit the cache (npgan/parallel.py). Lessons 3 and 4 show the plain forms, and tests
compare with them.
"""

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers import winograd
from npgan.layers.base import Layer, Parameter
from npgan.layers.dense import he_normal, positive
from npgan.parallel import CACHE, over_pieces, pieces
from npgan.products import channel_sums, tall_matmul, tall_matmul_transposed

Pair = tuple[int, int]


def correlate(x: Array, weight: Array, stride: Pair, padding: Pair, bias: Array | None = None) -> Array:
    """Slide the kernel over x: (N, H, W, C), (kh, kw, C, D) -> (N, OH, OW, D)."""
    kh, kw, c, d = weight.shape
    n = x.shape[0]
    oh, ow = output_size(x.shape[1:3], (kh, kw), stride, padding)
    if winograd.pays(weight, stride, n * oh * ow):
        y = winograd.correlate(x, weight, stride, padding, (oh, ow))
        add_bias(y, bias)
        return y
    y = array_module(x).empty((n, oh, ow, d), dtype=x.dtype)
    flat_weight = weight.reshape(-1, d)

    def work(part: slice) -> None:
        columns = patches(x[part], (kh, kw), stride, padding)
        tall_matmul(columns.reshape(-1, kh * kw * c), flat_weight, y[part].reshape(-1, d))
        add_bias(y[part], bias)

    taps = oh * ow * kh * kw * c
    over_pieces(work, x, n, taps * x.itemsize, taps * d)
    return y


def correlate_adjoint(
    dy: Array, weight: Array, stride: Pair, padding: Pair, size: Pair, bias: Array | None = None
) -> Array:
    """Spread each pixel of dy over the window it came from: (N, OH, OW, D) -> (N, H, W, C), (H, W) = `size`.

    The adjoint of `correlate`: <correlate(x), dy> = <x, correlate_adjoint(dy)> for all x and dy.

    Kernel row i lays row a of dy on image row a*s + i - p. In there, s pixels side by side hear the same
    U = ceil(kw / s) pixels of dy: one matrix product over patches of U pixels gives whole rows, which are added up.
    """
    n, oh, ow, d = dy.shape
    if winograd.pays(weight, stride, n * oh * ow):
        dx = winograd.correlate_adjoint(dy, weight, stride, padding, size)
        add_bias(dx, bias)
        return dx
    xp = array_module(dy)
    kh, kw, c, _ = weight.shape
    (sh, sw), (ph, pw), (h, w) = stride, padding, size
    u = -(-kw // sw)
    kernel = weight
    if kw < u * sw:
        kernel = xp.zeros((kh, u * sw, c, d), dtype=dy.dtype)
        kernel[:, :kw] = weight
    kernel = kernel.reshape(kh, u, sw, c, d)[:, ::-1]  # the first pixel of a patch meets the last taps
    kernel = kernel.transpose(0, 1, 4, 2, 3).reshape(kh, u * d, sw * c)
    wide = min(w, (ow + u - 1) * sw - pw)  # columns of the image that anything lies on
    dx = xp.empty((n, h, w * c), dtype=dy.dtype)

    def work(part: slice) -> None:
        image = dx[part]
        image[...] = 0
        columns = windows(pad(dy[part], (0, u - 1)), (1, u), (1, 1), (oh, ow + u - 1)).reshape(-1, u * d)
        rows = xp.empty((len(image), oh, (ow + u - 1) * sw * c), dtype=dy.dtype)
        for i in range(kh):
            tall_matmul(columns, kernel[i], rows.reshape(len(columns), -1))
            a, row = kernel_row(i, h, oh, sh, ph)
            image[:, row, : wide * c] += rows[:, a, pw * c : (pw + wide) * c]
        add_bias(image.reshape(-1, h, w, c), bias)

    pixels = oh * (ow + u - 1)
    over_pieces(work, dy, n, pixels * (u * d + sw * c) * dy.itemsize, pixels * kh * kw * c * d)
    return dx.reshape(n, h, w, c)


def correlate_weight_gradient(x: Array, dy: Array, kernel_size: Pair, stride: Pair, padding: Pair) -> Array:
    """Correlate x with dy at every tap: (N, H, W, C), (N, OH, OW, D) -> (kh, kw, C, D).

    Threads share the rows of the kernel: each sums over the whole batch by itself, piece by piece, so that no sum
    depends on their number.
    """
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    (n, h, _, c), (oh, ow, d) = x.shape, dy.shape[1:]
    dweight = array_module(x).zeros((kh, kw * c, d), dtype=x.dtype)

    def work(part: slice) -> None:
        for i in range(kh)[part]:
            a, row = kernel_row(i, h, oh, sh, ph)
            for some in pieces(x, n, oh * ow * kw * c * x.itemsize):
                seen = pad(x[some, row], (0, pw))
                columns = windows(seen, (1, kw), (1, sw), (seen.shape[1], ow)).reshape(-1, kw * c)
                dweight[i] += tall_matmul_transposed(columns, dy[some, a].reshape(-1, d))

    over_pieces(work, x, kh, CACHE, x.shape[0] * oh * ow * kw * c * d)
    return dweight.reshape(kh, kw, c, d)


def kernel_row(i: int, h: int, oh: int, stride: int, padding: int) -> tuple[slice, slice]:
    """The rows a of the output for which kernel row i is inside the image, and its rows there, a*s + i - p."""
    first = max(0, -((i - padding) // stride))
    last = max(first, min(oh, (h - 1 - i + padding) // stride + 1))
    start = first * stride + i - padding
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def add_bias(y: Array, bias: Array | None) -> None:
    """Add (C) numbers to all pixels of y, (N, H, W, C), in place: row by row, for NumPy is slow at short runs."""
    if bias is not None:
        rows = y.reshape(-1, y.shape[2] * y.shape[3])
        rows += array_module(y).tile(bias, y.shape[2])


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
        bias = None if self.bias is None else self.bias.value
        y = correlate(x, self.weight.value, self.stride, self.padding, bias)
        return self.remember(train, y, x)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(x, dy, self.kernel_size, self.stride, self.padding)
            if self.bias is not None:
                self.bias.grad += channel_sums(dy)
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
        bias = None if self.bias is None else self.bias.value
        y = correlate_adjoint(x, self.weight.value, self.stride, self.padding, size, bias)
        return self.remember(train, y, x)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += correlate_weight_gradient(dy, x, self.kernel_size, self.stride, self.padding)
            if self.bias is not None:
                self.bias.grad += channel_sums(dy)
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
