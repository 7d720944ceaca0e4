"""Answers for lesson 4: repeating as a layer, which kernels it can replace, and stamps upon stamps."""

import numpy as np
from answers import Answers

from npgan.gradcheck import check_layer
from npgan.layers import Conv2D, Layer, Sequential

answers = Answers("04_transposed_convolution")
rng = np.random.default_rng(0)

answers.exercise(1, "Repeat every pixel")


class Repeat(Layer):
    """(N, H, W, C) -> (N, 2H, 2W, C). The adjoint of copying is adding: a pixel gets the sum of its four copies."""

    def forward(self, x, train=True):
        return self.remember(train, x.repeat(2, axis=1).repeat(2, axis=2), x.shape)

    def backward(self, dy):
        ((n, h, w, c),) = self.recall(dy)
        return dy.reshape(n, h, 2, w, 2, c).sum(axis=(2, 4))


x = rng.standard_normal((2, 4, 3, 2))
answers.below("relative error of the layer", check_layer(Repeat(), x, rng=rng)["input"], 1e-6)
both = Sequential([Repeat(), Conv2D(2, 3, 3, padding=1, rng=rng)]).astype("float64")
answers.below("largest of both together", max(check_layer(both, x, rng=rng).values()), 1e-6)

answers.exercise(2, "Which kernels of 4 it can replace")
names = answers.lesson({})
# Even pixels of the repeated line see u left of them, v and w on a pair of equal ones; odd pixels u and v, and w.
# So a b c d = w, v + w, u + v, u.
line = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # (a b c d) = line @ (u v w)
kernel3 = rng.standard_normal((3, 3)).astype(np.float32)
kernel4 = (line @ kernel3 @ line.T).astype(np.float32)  # the same along columns
image = rng.standard_normal((1, 7, 7, 1)).astype(np.float32)
repeated = names["enlarge_and_convolve"](image, kernel3[:, :, None, None])
stamped = names["stamp"](image, kernel4[:, :, None, None])
answers.below("largest difference", np.abs(repeated - stamped).max(), 1e-5)
answers.same("free numbers, of 16", int(np.linalg.matrix_rank(np.kron(line, line))), 9)
# All of them have a + c = b + d along each line: just those that draw no checkerboard on a flat image.

answers.exercise(3, "Stamps upon stamps")
ones = np.ones((3, 3, 1, 1), np.float32)


def twice(image, kernel):
    return names["stamp"](names["stamp"](image, kernel), kernel)


counts = sorted({int(count) for count in twice(names["flat"], ones)[0, 32:48, 32:48, 0].ravel()})
answers.same("counts", counts, [1, 2, 3, 4, 6, 9])
answers.between("share of the power", names["checkerboard_share"](twice, ones), 0.224, 0.226)
# The pattern now repeats after 4 pixels: a coarse checkerboard, and a fine one upon it.
