"""Answers for lesson 6: least squares, softplus as an activation, smoothed labels."""

import numpy as np
from answers import Answers

from npgan import losses
from npgan.gradcheck import check_layer, check_loss
from npgan.layers import Layer
from npgan.layers.activations import sigmoid
from npgan.losses import binary_cross_entropy, softplus

answers = Answers("06_activations_and_losses")
rng = np.random.default_rng(0)

answers.exercise(1, "Least squares")


def mine(logits, target):
    return ((logits - target) ** 2).mean(), 2 * (logits - target) / logits.size


logits = rng.standard_normal((6, 1))
answers.below("relative error", check_loss(lambda x: mine(x, 1.0), logits, rng), 1e-6)
ratio = float(mine(logits, 1.0)[0] / losses.least_squares(logits, 1.0)[0])
answers.between("mine, divided by npgan's", ratio, 2 - 1e-9, 2 + 1e-9)
at_one, at_ten = (np.array([[v]]) for v in (1.0, 10.0))
answers.same("its gradient at logit 1", float(mine(at_one, 1.0)[1][0, 0]), 0.0)
answers.between(
    "the cross-entropy's at logit 10", float(binary_cross_entropy(at_ten, 1.0)[1][0, 0]), -4.6e-5, -4.5e-5
)
# The latter vanishes at no logit: it is -sigmoid(-logit), smaller and smaller.

answers.exercise(2, "Softplus as an activation")


class Softplus(Layer):
    """y = log(1 + exp(x)); it smooths ReLU."""

    def forward(self, x, train=True):
        return self.remember(train, softplus(x), x)  # max(x, 0) + log(1 + exp(-|x|)): nothing overflows

    def backward(self, dy):
        (x,) = self.recall(dy)
        return sigmoid(x) * dy


answers.below("relative error", check_layer(Softplus(), rng.standard_normal((4, 5)), rng=rng)["input"], 1e-6)
layer, normal = Softplus(), rng.standard_normal(100_000)
layer.forward(normal)
answers.between("mean slope", float(layer.backward(np.ones_like(normal)).mean()), 0.498, 0.502)
answers.same("of 1,000", float(layer.forward(np.array([1000.0]))[0]), 1000.0)

answers.exercise(3, "One-sided label smoothing")
# The gradient is sigmoid(logit) - 0.9: zero where the probability is 0.9, at the logit log(0.9 / 0.1) = log 9.
at = np.log(9.0)
answers.between("logit", at, 2.1972, 2.1973)
answers.below(
    "size of the gradient there", abs(float(binary_cross_entropy(np.array([[at]]), 0.9)[1][0, 0])), 1e-12
)
