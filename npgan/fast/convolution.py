"""The three kernels of the convolutions in pieces that fit the cache, spread over the cores; the symbols are those of
npgan/layers/conv.py.

`correlate` is the plain form piece by piece. The other two go through the rows i of the kernel one by one, since
a row of windows is then a row of the image: its patches are kh times smaller. Wide inner layers take fewer
products still (winograd.py).
"""

import numpy as np

from npgan.fast import winograd
from npgan.fast.parallel import CACHE, over_pieces, pieces
from npgan.fast.products import tall_matmul, tall_matmul_transposed

Pair = tuple[int, int]


def correlate(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Pair, bias: np.ndarray | None = None
) -> np.ndarray:
    (n, h, w, c), (kh, kw, _, d), (sh, sw), (ph, pw) = x.shape, weight.shape, stride, padding
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    if winograd.pays(weight, stride, n * oh * ow):
        y = winograd.correlate(x, weight, stride, padding, (oh, ow))
        add_bias(y, bias)
        return y
    y = np.empty((n, oh, ow, d), dtype=x.dtype)
    flat_weight = weight.reshape(-1, d)

    def work(part: slice) -> None:
        columns = windows(pad(x[part], padding), (kh, kw), stride, (oh, ow))
        tall_matmul(columns.reshape(-1, kh * kw * c), flat_weight, y[part].reshape(-1, d))
        add_bias(y[part], bias)

    taps = oh * ow * kh * kw * c
    over_pieces(work, n, taps * x.itemsize, taps * d)
    return y


def correlate_adjoint(
    dy: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    size: Pair,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Kernel row i lays row a of dy on image row a*s + i - p.

    In there, s neighbouring pixels depend on the same U = ceil(kw / s) pixels of dy: one matrix product over
    patches of U pixels gives whole rows, which are added up.
    """
    n, oh, ow, d = dy.shape
    if winograd.pays(weight, stride, n * oh * ow):
        dx = winograd.correlate_adjoint(dy, weight, stride, padding, size)
        add_bias(dx, bias)
        return dx
    kh, kw, c, _ = weight.shape
    (sh, sw), (ph, pw), (h, w) = stride, padding, size
    u = -(-kw // sw)
    kernel = weight
    if kw < u * sw:
        kernel = np.zeros((kh, u * sw, c, d), dtype=dy.dtype)
        kernel[:, :kw] = weight
    kernel = kernel.reshape(kh, u, sw, c, d)[:, ::-1]  # the first pixel of a patch meets the last taps
    kernel = kernel.transpose(0, 1, 4, 2, 3).reshape(kh, u * d, sw * c)
    wide = min(w, (ow + u - 1) * sw - pw)  # columns of the image that anything lies on
    dx = np.empty((n, h, w * c), dtype=dy.dtype)

    def work(part: slice) -> None:
        image = dx[part]
        image[...] = 0
        columns = windows(pad(dy[part], (0, u - 1)), (1, u), (1, 1), (oh, ow + u - 1)).reshape(-1, u * d)
        rows = np.empty((len(image), oh, (ow + u - 1) * sw * c), dtype=dy.dtype)
        for i in range(kh):
            tall_matmul(columns, kernel[i], rows.reshape(len(columns), -1))
            a, row = kernel_row(i, h, oh, sh, ph)
            image[:, row, : wide * c] += rows[:, a, pw * c : (pw + wide) * c]
        add_bias(image.reshape(-1, h, w, c), bias)

    pixels = oh * (ow + u - 1)
    over_pieces(work, n, pixels * (u * d + sw * c) * dy.itemsize, pixels * kh * kw * c * d)
    return dx.reshape(n, h, w, c)


def correlate_weight_gradient(
    x: np.ndarray, dy: np.ndarray, kernel_size: Pair, stride: Pair, padding: Pair
) -> np.ndarray:
    """Correlate x with dy at every tap: (N, H, W, C), (N, OH, OW, D) -> (kh, kw, C, D).

    Threads share the rows of the kernel: each sums over the whole batch by itself, piece by piece, so that no sum
    depends on their number.
    """
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    (n, h, _, c), (oh, ow, d) = x.shape, dy.shape[1:]
    dweight = np.zeros((kh, kw * c, d), dtype=x.dtype)

    def work(part: slice) -> None:
        for i in range(kh)[part]:
            a, row = kernel_row(i, h, oh, sh, ph)
            for some in pieces(n, oh * ow * kw * c * x.itemsize):
                seen = pad(x[some, row], (0, pw))
                columns = windows(seen, (1, kw), (1, sw), (seen.shape[1], ow)).reshape(-1, kw * c)
                dweight[i] += tall_matmul_transposed(columns, dy[some, a].reshape(-1, d))

    over_pieces(work, kh, CACHE, x.shape[0] * oh * ow * kw * c * d)
    return dweight.reshape(kh, kw, c, d)


def kernel_row(i: int, h: int, oh: int, stride: int, padding: int) -> tuple[slice, slice]:
    """The rows a of the output for which kernel row i is inside the image, and its rows there, a*s + i - p."""
    first = max(0, -((i - padding) // stride))
    last = max(first, min(oh, (h - 1 - i + padding) // stride + 1))
    start = first * stride + i - padding
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def add_bias(y: np.ndarray, bias: np.ndarray | None) -> None:
    """Add (C) numbers to all pixels of y, (N, H, W, C), in place: row by row, for NumPy is slow at short runs."""
    if bias is not None:
        rows = y.reshape(-1, y.shape[2] * y.shape[3])
        rows += np.tile(bias, y.shape[2])


def pad(x: np.ndarray, padding: Pair) -> np.ndarray:
    """Put zeros around x: (N, H, W, C) -> (N, H + 2 ph, W + 2 pw, C), contiguous."""
    n, h, w, c = x.shape
    ph, pw = padding
    if not (ph or pw):
        return np.ascontiguousarray(x)
    padded = np.zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = x
    return padded


def windows(padded: np.ndarray, kernel_size: Pair, stride: Pair, size: Pair) -> np.ndarray:
    """A view of the window of every output pixel: (N, HP, WP, C) -> (N, OH, OW, kh, kw*C), (OH, OW) = `size`.

    Nothing is copied: the same number appears in every window that sees it. The kw taps of a row lie side by
    side in memory, with their channels, so they make one long axis.
    """
    n, hp, wp, c = padded.shape
    (kh, kw), (sh, sw) = kernel_size, stride
    pixel = c * padded.itemsize
    row = wp * pixel
    return np.lib.stride_tricks.as_strided(
        padded, (n, *size, kh, kw * c), (hp * row, sh * row, sw * pixel, row, padded.itemsize)
    )
