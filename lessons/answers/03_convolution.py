"""Answers for lesson 3: pooling by patches, stride turned into channels, and examples that teach slowly."""

import numpy as np
from answers import Answers

from npgan.gradcheck import check_layer
from npgan.layers import Layer
from npgan.layers.conv import correlate, patches

answers = Answers("03_convolution")
rng = np.random.default_rng(0)

answers.exercise(1, "Average pooling")


class AveragePooling(Layer):
    """The mean of each block of 2 x 2 pixels: (N, H, W, C) -> (N, H/2, W/2, C)."""

    def forward(self, x, train=True):
        blocks = patches(x, (2, 2), (2, 2), (0, 0))  # N, H/2, W/2, 2, 2, C
        return self.remember(train, blocks.mean(axis=(3, 4)))

    def backward(self, dy):
        self.recall(dy)
        return (dy / 4).repeat(2, axis=1).repeat(2, axis=2)


errors = check_layer(AveragePooling(), rng.standard_normal((2, 6, 4, 3)), rng=rng)
answers.below("relative error of the input's gradient", errors["input"], 1e-6)

answers.exercise(2, "A stride of 2 turned into channels")
x = rng.standard_normal((2, 8, 6, 3))
weight = rng.standard_normal((4, 4, 3, 5))
blocks = x.reshape(2, 4, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4, 5)  # N, H/2, W/2, row, column in the block, C
smaller = weight.reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5)  # kh/2, kw/2, row, column, C, D
direct = correlate(x, weight, (2, 2), (0, 0))
by_channels = correlate(blocks.reshape(2, 4, 3, 12), smaller.reshape(2, 2, 12, 5), (1, 1), (0, 0))
answers.below("largest difference", np.abs(direct - by_channels).max(), 1e-12)

answers.exercise(3, "A kernel learned from a photograph")
photograph = {'EXAMPLES = "noise"': 'EXAMPLES = "photograph"'}
names = answers.lesson(photograph)
slowest = names["eigenvalues"][0]
answers.between("smallest eigenvalue", slowest, 0.0057, 0.0058)
steps = round(np.log(0.1) / np.log(1 - 0.2 * slowest))
answers.between("steps for a tenth of the error", steps, 1985, 2005)
names = answers.lesson(photograph | {"LEARNING_STEPS = 41": f"LEARNING_STEPS = {steps}"})
answers.between("left after so many steps", names["shrunk"], 0.098, 0.102)
print(f"the eigenvector:\n{names['eigenvectors'][:, 0].reshape(3, 3).round(1)}")
# A pattern that changes sign from pixel to pixel, like a checkerboard. Photographs are smooth, so they hardly contain
# it, and the examples hardly say what the kernel should answer to it.
