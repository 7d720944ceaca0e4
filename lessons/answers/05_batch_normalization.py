"""Answers for lesson 5: layer normalization, what the sum of squares checks, and small batches."""

import numpy as np
from answers import Answers

from npgan.gradcheck import check_layer
from npgan.layers import Layer, Parameter

answers = Answers("05_batch_normalization")
rng = np.random.default_rng(0)

answers.exercise(1, "Layer normalization")


class LayerNormalization(Layer):
    """y = gamma * u + beta, u with mean 0 and variance 1 over the channels of each sample: (N, C) -> (N, C)."""

    def __init__(self, channels, epsilon=1e-5):
        self.gamma = Parameter(rng.uniform(0.5, 1.5, channels).astype(np.float32))
        self.beta = Parameter(np.zeros(channels, np.float32))
        self.epsilon = epsilon

    def forward(self, x, train=True):
        r = np.sqrt(x.var(axis=1, keepdims=True) + self.epsilon)  # N, 1
        u = (x - x.mean(axis=1, keepdims=True)) / r  # N, C
        return self.remember(train, self.gamma.value * u + self.beta.value, u, r)

    def backward(self, dy):
        u, r = self.recall(dy)
        if not self.frozen:
            self.gamma.grad += (dy * u).sum(axis=0)
            self.beta.grad += dy.sum(axis=0)
        du = (
            self.gamma.value * dy
        )  # gamma differs within a mean, so it stands inside: on dy, before both means
        mean, along = du.mean(axis=1, keepdims=True), (du * u).mean(axis=1, keepdims=True)
        return (du - mean - u * along) / r


errors = check_layer(LayerNormalization(6).astype("float64"), rng.standard_normal((4, 6)), rng=rng)
answers.below("largest relative error", max(errors.values()), 1e-6)

answers.exercise(2, "The sum of squares as a test")
# Each channel of y has mean 0 and variance v / (v + epsilon): the sum is M for each channel, nearly, whatever x is.
NO_MEAN = '"without the mean term": lambda dy: gamma / r * (dy - u * (dy * u).mean(axis=0))'
GAMMA_AND_BETA = "lesson.rng.uniform(0.5, 1.5, 3), lesson.rng.standard_normal(3)"
names = answers.lesson(
    {
        f"gamma, beta = {GAMMA_AND_BETA}": "gamma, beta = np.ones(3), np.zeros(3)",
        '"dy random": random_dy}': '"dy random": random_dy, "dy = 2 y": 2 * y}',
        '"wrong sign": wrong_sign}': f'"wrong sign": wrong_sign, {NO_MEAN}}}',
    }
)
differences = {name: value for (kind, name), value in names["differences"].items() if kind == "dy = 2 y"}
answers.below("right", differences["right"], 1e-6)
answers.between("without the variance term", differences["without the variance term"], 0.1, 100)
answers.between("wrong sign", differences["wrong sign"], 0.1, 100)
answers.below("without the mean term, wrong and let pass", differences["without the mean term"], 1e-6)
answers.between("the same, dy = 1", names["differences"]["dy = 1", "without the mean term"], 0.1, 100)
# dy = 2 y has a part along u, so the variance term is tested; its mean is 0, so the mean term is not. dy = 1 is the
# other way round. A random dy tests both.

answers.exercise(3, "Batches of 4")
names = answers.lesson({"RUNNING_BATCH = 64": "RUNNING_BATCH = 4"})
# The variance of 4 normal numbers has the standard deviation 6.75 * (2 / 3)**0.5 = 5.5; the mean over 500 batches has
# 5.5 / 500**0.5 = 0.25. Measured 6.30; three and a half times 0.25 are allowed on both sides of 6.75.
answers.between("running variance", np.mean(names["variances"][0.8][500:]), 5.9, 7.6)
answers.between("9 times 3/4", 9 * 3 / 4, 6.75, 6.75)
# The deviations are taken from the batch's own mean, which lies in the middle of just these M values. On average that
# takes 1 / M of the variance away: (M - 1) / M is left, 3/4 for 4 values, 63/64 for 64.
