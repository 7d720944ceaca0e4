"""Answers for lesson 1: functions for both libraries, and the shape that a product should have."""

import numpy as np
from answers import Answers

from npgan import backend
from npgan.gradcheck import check_gradient

answers = Answers("01_backend")
rng = np.random.default_rng(0)

answers.exercise(1, "LeakyReLU and its slope, on both libraries")


def leaky_relu(x, alpha):
    return backend.array_module(x).where(x > 0, x, alpha * x)


def slope(x, alpha):
    xp = backend.array_module(x)
    return xp.where(x > 0, xp.ones_like(x), alpha * xp.ones_like(x))


x = np.array([-2.0, -0.5, 0.5, 2.0])
answers.same("slopes", slope(x, 0.2).tolist(), [0.2, 0.2, 1.0, 1.0])
error = check_gradient(lambda: leaky_relu(x, 0.2), x, slope(x, 0.2), rng)
answers.below("relative error against finite differences", error, 1e-6)

answers.exercise(2, "np.exp of a CuPy array")
device, line = backend.choose_device("auto")
if device == "cupy":
    on_gpu = backend.to_device(x, device)
    answers.same("np.exp gives", backend.describe(np.exp(on_gpu)), backend.describe(on_gpu))
    try:
        np.asarray(on_gpu)
        refused = False
    except TypeError:
        refused = True
    answers.same("np.asarray is refused", refused, True)
else:
    print(f"left out: {line}")
# NumPy hands its own functions on to CuPy, but not everything is one: np.asarray, np.array and a function that makes
# an array from nothing (np.zeros, np.random) stay NumPy's. `xp` says which library is meant, everywhere.

answers.exercise(3, "One large product, or many small ones")
names = answers.lesson({})
a = rng.standard_normal((256, 256)).astype(np.float32)
b = rng.standard_normal((32768, 8, 8)).astype(np.float32)
answers.same("operations in both", 2 * 256**3, 2 * 32768 * 8**3)
large, small = (names["seconds"](lambda m=m: m @ m, "numpy", patience=1.0) for m in (a, b))
answers.between("times as long for the small ones", small / large, 3, 1000)
# A layer should aim at one large product. The range is wide, for the ratio depends on the machine; and each is tried
# for a second, since a product that two threads share waits for both, on a busy machine for long.
