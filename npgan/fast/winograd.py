"""Convolution by 9 products where there were 16: for kernels twice as large as their stride (Winograd 1980).

Taken in blocks of stride x stride pixels, with all their channels in one axis, such a convolution has a kernel of
2 x 2 blocks and a stride of one block. In one dimension, two neighbouring outputs of a kernel (g0, g1) take 4
products, or 3 by a detour:

    y0 = x0 g0 + x1 g1          m0 = (x0 - x1) g0          y0 = m0 + m1
    y1 = x1 g0 + x2 g1          m1 = x1 (g0 + g1)          y1 = m1 - m2
                                m2 = (x1 - x2) g1

Done for rows and for columns, it makes a tile of 2 x 2 outputs from 3 x 3 blocks by 9 products (Lavin and Gray 2016,
section 4). Differences and sums take time too: from 64 channels on, correlate and its adjoint take a tenth to a
third less time, and a training step of a wide DCGAN an eighth less. With fewer channels nothing is gained, nor
for the weight's gradient. All steps are linear, so the adjoint is the adjoint of each step, in the opposite
order.

Arrays have the blocks' rows and columns first and the images after them: so the inner loops are long.
"""

import numpy as np

from npgan.fast.parallel import CACHE, over_pieces

Pair = tuple[int, int]
CHANNELS, VALUES = 64, 2**17  # in inner layers, from here on it pays
TILES = 128  # of a piece: so each of the nine products has many rows


def pays(weight: np.ndarray, stride: Pair, pixels: int) -> bool:
    """Whether the kernel, (kh, kw, C, D), is twice as large as the stride, with channels and output pixels enough.

    Where there are few pixels, to prepare the kernels takes longer than the products that they save.
    """
    kh, kw, c, d = weight.shape
    twice = (kh, kw) == (2 * stride[0], 2 * stride[1])
    return twice and min(c, d) >= CHANNELS and pixels * min(c, d) >= VALUES


def correlate(x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """What `correlate` computes: (N, H, W, C), (kh, kw, C, D) -> (N, OH, OW, D), (OH, OW) = `size`."""
    (n, h, w, c), d, (sh, sw), (ph, pw), (oh, ow) = x.shape, weight.shape[3], stride, padding, size
    th, tw = -(-oh // 2), -(-ow // 2)  # tiles
    bh, bw = 2 * th + 1, 2 * tw + 1  # blocks that they see
    kernels = transform(weight, stride)
    y = np.empty((n, oh, ow, d), dtype=x.dtype)

    def work(part: slice) -> None:
        m = len(y[part])
        padded = np.zeros((m, bh * sh, bw * sw, c), dtype=x.dtype)
        padded[:, ph : ph + h, pw : pw + w] = x[part, : bh * sh - ph, : bw * sw - pw]
        blocks = padded.reshape(m, bh, sh, bw, sw * c).transpose(1, 3, 0, 2, 4).reshape(bh, bw, -1)
        rows = np.empty((3, th, bw, blocks.shape[2]), dtype=x.dtype)
        differences(blocks[:-1:2], blocks[1::2], blocks[2::2], rows)
        tiles = np.empty((3, 3, th, tw, blocks.shape[2]), dtype=x.dtype)
        differences(rows[:, :, :-1:2], rows[:, :, 1::2], rows[:, :, 2::2], tiles)

        products = (tiles.reshape(9, -1, sh * sw * c) @ kernels).reshape(3, 3, th, tw, m * d)
        columns = np.empty((3, th, tw, 2, m * d), dtype=x.dtype)
        sums(products, columns[:, :, :, 0], columns[:, :, :, 1])
        out = np.empty((th, 2, tw, 2, m * d), dtype=x.dtype)
        sums(columns, out[:, 0], out[:, 1])
        y[part] = out.reshape(2 * th, 2 * tw, m, d)[:oh, :ow].transpose(2, 0, 1, 3)

    over_pieces(work, n, th * tw * CACHE // TILES, 9 * th * tw * sh * sw * c * d)
    return y


def correlate_adjoint(
    dy: np.ndarray, weight: np.ndarray, stride: Pair, padding: Pair, size: Pair
) -> np.ndarray:
    """What `correlate_adjoint` computes: (N, OH, OW, D), (kh, kw, C, D) -> (N, H, W, C), (H, W) = `size`."""
    (n, oh, ow, d), c, (sh, sw), (ph, pw), (h, w) = dy.shape, weight.shape[2], stride, padding, size
    th, tw = -(-oh // 2), -(-ow // 2)
    bh, bw = max(2 * th + 1, -(-(h + 2 * ph) // sh)), max(2 * tw + 1, -(-(w + 2 * pw) // sw))
    kernels = transform(weight, stride).swapaxes(1, 2)
    dx = np.empty((n, h, w, c), dtype=dy.dtype)

    def work(part: slice) -> None:
        m = len(dx[part])
        out = np.zeros((2 * th, 2 * tw, m, d), dtype=dy.dtype)
        out[:oh, :ow] = dy[part].transpose(1, 2, 0, 3)
        out = out.reshape(th, 2, tw, 2, m * d)
        columns = np.empty((3, th, tw, 2, m * d), dtype=dy.dtype)
        sums_adjoint(out[:, 0], out[:, 1], columns)
        products = np.empty((3, 3, th, tw, m * d), dtype=dy.dtype)
        sums_adjoint(columns[:, :, :, 0], columns[:, :, :, 1], products)

        tiles = (products.reshape(9, -1, d) @ kernels).reshape(3, 3, th, tw, -1)
        rows = np.zeros((3, th, bw, tiles.shape[4]), dtype=dy.dtype)
        differences_adjoint(
            tiles, rows[:, :, : 2 * tw : 2], rows[:, :, 1 : 2 * tw : 2], rows[:, :, 2 : 2 * tw + 1 : 2]
        )
        blocks = np.zeros((bh, bw, tiles.shape[4]), dtype=dy.dtype)
        differences_adjoint(rows, blocks[: 2 * th : 2], blocks[1 : 2 * th : 2], blocks[2 : 2 * th + 1 : 2])
        padded = (
            blocks.reshape(bh, bw, m, sh, sw * c).transpose(2, 0, 3, 1, 4).reshape(m, bh * sh, bw * sw, c)
        )
        dx[part] = padded[:, ph : ph + h, pw : pw + w]

    over_pieces(work, n, th * tw * CACHE // TILES, 9 * th * tw * sh * sw * c * d)
    return dx


def transform(weight: np.ndarray, stride: Pair) -> np.ndarray:
    """The kernels of the 9 products, (kh, kw, C, D) -> (9, sh*sw*C, D): g0, g0 + g1, g1 by columns and by rows."""
    (sh, sw), (c, d) = stride, weight.shape[2:]
    kernels = np.empty((3, 3, sh, sw, c, d), dtype=weight.dtype)

    def work(part: slice) -> None:
        g0, g1 = weight.reshape(2, sh, 2, sw, c, d)[..., part, :]
        for row, g in enumerate((g0, g0 + g1, g1)):  # sh, 2, sw, C, D
            kernels[0, row, :, :, part] = g[:, 0]
            np.add(g[:, 0], g[:, 1], out=kernels[1, row, :, :, part])
            kernels[2, row, :, :, part] = g[:, 1]

    over_pieces(work, c, 9 * sh * sw * d * weight.itemsize)
    return kernels.reshape(9, sh * sw * c, d)


def differences(x0: np.ndarray, x1: np.ndarray, x2: np.ndarray, out: np.ndarray) -> None:
    """x0 - x1, x1 and x1 - x2, to out[0], out[1] and out[2]."""
    np.subtract(x0, x1, out=out[0])
    out[1] = x1
    np.subtract(x1, x2, out=out[2])


def differences_adjoint(d: np.ndarray, dx0: np.ndarray, dx1: np.ndarray, dx2: np.ndarray) -> None:
    """Add to dx0, dx1 and dx2 what d makes of them; dx0 and dx2 share blocks, dx1 is zero so far."""
    np.subtract(d[1], d[0], out=dx1)
    dx1 += d[2]
    dx0 += d[0]
    dx2 -= d[2]


def sums(m: np.ndarray, y0: np.ndarray, y1: np.ndarray) -> None:
    """m[0] + m[1] and m[1] - m[2], to y0 and y1."""
    np.add(m[0], m[1], out=y0)
    np.subtract(m[1], m[2], out=y1)


def sums_adjoint(dy0: np.ndarray, dy1: np.ndarray, dm: np.ndarray) -> None:
    """dy0, dy0 + dy1 and -dy1, to dm[0], dm[1] and dm[2]."""
    dm[0] = dy0
    np.add(dy0, dy1, out=dm[1])
    np.negative(dy1, out=dm[2])
