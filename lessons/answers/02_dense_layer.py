"""Answers for lesson 2: a layer with two parameters, what one row hides, and the kinks of a network."""

import numpy as np
from answers import Answers

from npgan.gradcheck import check_layer
from npgan.layers import Layer, Parameter

answers = Answers("02_dense_layer")
rng = np.random.default_rng(0)

answers.exercise(1, "A layer with a scale and a shift")


class Affine(Layer):
    """y = scale * x + shift, (N, features) -> (N, features)."""

    def __init__(self, features):
        # Not ones: with them a backward that returns dy, without the scale, would pass the check.
        self.scale = Parameter(rng.standard_normal(features).astype(np.float32))
        self.shift = Parameter(np.zeros(features, np.float32))

    def forward(self, x, train=True):
        return self.remember(train, self.scale.value * x + self.shift.value, x)

    def backward(self, dy):
        (x,) = self.recall(dy)
        if not self.frozen:
            self.scale.grad += (dy * x).sum(axis=0)  # over the batch: one scale serves every row
            self.shift.grad += dy.sum(axis=0)
        return self.scale.value * dy


errors = check_layer(Affine(6).astype("float64"), rng.standard_normal((4, 6)), rng=rng)
answers.same("checked", sorted(errors), ["input", "scale", "shift"])
answers.below("largest relative error", max(errors.values()), 1e-6)

answers.exercise(2, "A batch of a single row")
names = answers.lesson({"CHECKED_ROWS = 4": "CHECKED_ROWS = 1"})
missed = [kind.__name__ for kind in names["mistakes"] if names["verdicts"][kind].startswith("passes")]
answers.same("missed", missed, ["ForgottenSum", "MeanNotSum"])
# Both are about the sum over the batch: with one row the sum, the mean and the first row are the same.

answers.exercise(3, "Kinks in place of bends")
names = answers.lesson(
    {
        "BETWEEN = Tanh ": "BETWEEN = LeakyReLU ",
        "Parameter, Sequential, Tanh\n": "Parameter, Sequential, LeakyReLU, Tanh\n",
    }
)
first = names["bend"].layers[0]
kinks = np.sort(-first.bias.value / first.weight.value[0])
answers.between("kinks between -1 and 1, of 32", int((abs(kinks) < 1).sum()), 30, 32, full=True)
# At the start every bias was 0, so all 32 kinks were at x = 0.
