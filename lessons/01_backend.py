# %% [markdown]
# # 1. One code, two array libraries
#
# NumPy computes on the processor. CuPy offers the same functions on a GPU. This package is written once for both:
# the arrays that come in decide where the code runs. The lesson shows
#
# - how a function finds its array library, and how arrays are moved on purpose, never by accident;
# - why random numbers are drawn on the host (the processor's side) and then moved;
# - how to time a GPU honestly, and how large the difference between two right answers is.
#
# `--device numpy`, `--device cupy` or `--device auto` (the default) chooses. Everything runs without a GPU too.

# %%
import time

import numpy as np
from matplotlib.figure import Figure

from npgan import backend, losses
from npgan.layers import Dense, LeakyReLU, Sequential
from npgan.lesson import Lesson

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("01_backend", "One code, two array libraries", FLAGS, device=True)
device = lesson.args.device  # "numpy" or "cupy"; the line above the title says which, and why

# %% [markdown]
# ## Arrays decide
#
# A function asks `array_module(x)` for the library that x belongs to, and calls everything through that name.
# By custom the name is `xp`. There is no global switch to forget, and no device argument to pass down.

# %%
lesson.step("One function for both libraries")


def softplus(x):
    """log(1 + exp(x)), a smooth max(x, 0), without overflow. The losses of lesson 6 are made of it."""
    xp = backend.array_module(x)  # the module numpy or the module cupy
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


x_host = np.array([-100.0, -1.0, 0.0, 1.0, 100.0], np.float32)  # (5,)
x = backend.to_device(x_host, device)
y = softplus(x)
print("x is", backend.describe(x))
print("y is", backend.describe(y))
print("softplus(x) =", backend.to_numpy(y))

# %% [markdown]
# ## Moving is explicit
#
# `to_device(x, device)` and `to_numpy(x)` are the only two doors. A GPU has its own memory, and a copy between
# the two memories is slow: so no function here copies silently. Where an array is already on the right side, both
# doors return it as it is.
#
# Whatever does not fit is an error that names both sides: a list, an integer image, float64 data for float32
# weights, and a NumPy array that meets a CuPy array.

# %%
lesson.step("Arrays that do not fit are errors")

layer = Dense(4, 2, rng=lesson.rng).to(device)


def refusal(function):
    """The message of the error that `function` raises."""
    try:
        function()
    except (TypeError, ValueError) as error:
        return str(error)
    raise AssertionError("this should have been refused")


def on_device(array):
    return backend.to_device(array, device)


refusals = [
    refusal(lambda: layer.forward([[1.0, 2.0, 3.0, 4.0]])),
    refusal(lambda: layer.forward(on_device(np.ones((1, 4), np.uint8)))),
    refusal(lambda: layer.forward(on_device(np.ones((1, 4), np.float64)))),
    refusal(lambda: layer.forward(on_device(np.ones((1, 3), np.float32)))),
]
if device == "cupy":
    refusals.append(refusal(lambda: layer.forward(np.ones((1, 4), np.float32))))
    refusals.append(refusal(lambda: backend.array_module(x, x_host)))
for message in refusals:
    print("-", message)
if device == "numpy":
    print("(a NumPy array that meets a CuPy array needs a GPU to be shown)")

# %% [markdown]
# ## Random numbers are drawn on the host
#
# Random numbers in a program are computed, by a recipe that turns one inner state into the next. The *seed* sets
# the first state. So a seed fixes the numbers of one recipe, not of all. NumPy's default recipe has the name PCG64,
# CuPy's has the name XORWOW. With the same seed they give different weights, different noise and so a different
# training run. npgan draws everything with an explicit `numpy.random.Generator` and then moves it. The same seed
# then gives the same run on both devices, up to rounding. Below, without a GPU, another recipe of NumPy's, Philox,
# plays the other part.

# %%
lesson.step("One seed, two generators")

seed = lesson.args.seed
ours = np.random.Generator(np.random.PCG64(seed)).standard_normal(3)
if device == "cupy":
    xp = backend.array_module(x)  # x is on the device, so this is CuPy
    other_name = "CuPy's default"
    other = backend.to_numpy(xp.random.default_rng(seed).standard_normal(3))
else:
    other_name, other = "NumPy's Philox", np.random.Generator(np.random.Philox(seed)).standard_normal(3)
print(f"seed {seed}, NumPy's PCG64:", ours.round(3))
print(f"seed {seed}, {other_name}:", other.round(3))

# %% [markdown]
# ## Two right answers differ by rounding
#
# A float32 number has 24 bits, so *one* operation is right to about 6e-8 of its size. A sum of 784 products rounds
# 784 times: if every rounding went the same way they would add up to `784 * 6e-8 = 5e-5`; since they go up and down,
# it is a few times 6e-8. And a sum in another order rounds elsewhere. So results of two devices are compared with a
# tolerance, never with `==`.
#
# The network below is run forward, which turns images into predictions, and backward, which turns the derivative
# of the loss by the predictions into its derivative by every weight, the gradient (lesson 2 derives it). The
# *loss* is one number that says how wrong the predictions are, here their mean squared error. All this is done on
# the chosen device, and once more on NumPy in float64 as the reference. The largest difference, as a fraction of
# the largest value, is what "the same up to rounding" means.

# %%
lesson.step("The same network on the chosen device and in float64 on NumPy")


def gradients(device, dtype):
    """Loss and weight gradients of one small network; weights and data are always the same draws."""
    rng = np.random.default_rng(seed)
    network = Sequential([Dense(784, 128, rng=rng), LeakyReLU(0.2), Dense(128, 1, rng=rng)])
    network.astype(dtype).to(device)
    images = rng.uniform(-1, 1, (64, 784)).astype(np.float32).astype(dtype)  # (64, 784)
    predictions = network.forward(backend.to_device(images, device))  # (64, 1)
    wanted = backend.to_device(np.ones((64, 1), dtype), device)  # (64, 1)
    loss, dpredictions = losses.mean_squared_error(predictions, wanted)
    network.backward(dpredictions)
    return [float(loss)] + [backend.to_numpy(p.grad) for p in network.parameters()]


reference = gradients("numpy", "float64")
measured = {"NumPy, float32": gradients("numpy", "float32")}
if device == "cupy":
    measured["CuPy, float32"] = gradients("cupy", "float32")
    measured["CuPy, float64"] = gradients("cupy", "float64")


def largest_error(got):
    return max(np.abs(g - r).max() / np.abs(r).max() for g, r in zip(got, reference))


errors = {name: float(largest_error(got)) for name, got in measured.items()}
for name, error in errors.items():
    print(f"{name} against NumPy, float64: largest relative difference {error:.1e}")

# %% [markdown]
# ## Honest timing
#
# Three rules.
#
# 1. **Warm up.** The first call allocates, and on a GPU it also compiles and loads libraries.
# 2. **Wait.** A GPU call returns when the work has been *ordered*, not when it is done. `synchronize` waits.
# 3. **Repeat**, and take the best: other programs only ever add time.
#
# A product of two n x n matrices takes `n**3` multiplications and as many additions: `2 * n**3` operations. Nearly
# all the time of a GAN is spent in such products. The numbers are this machine's, so no check below depends on
# them.

# %%
lesson.step("Time of a matrix product")


def seconds(function, device, patience=0.1):
    """Best time of a call, after a warm-up, of all that fit into `patience` seconds (3 at least)."""
    function()
    best, calls, end = float("inf"), 0, time.perf_counter() + patience
    while calls < 3 or time.perf_counter() < end:
        backend.synchronize(device)  # nothing ordered before may be counted
        start = time.perf_counter()
        function()
        backend.synchronize(device)
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best


def unsynchronized_seconds(function):
    """The classic mistake on a GPU: this is the time to give the order."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


sizes = [8, 16, 32, 64, 128, 256, 512] + ([] if lesson.args.quick else [1024])
speed = {}  # (device, dtype) -> GFLOP/s for each size
for place in dict.fromkeys(["numpy", device]):
    for dtype in ("float32", "float64"):
        rates = []
        for n in sizes:
            a = backend.to_device(lesson.rng.standard_normal((n, n)).astype(dtype), place)  # (n, n)
            rates.append(2 * n**3 / seconds(lambda a=a: a @ a, place) / 1e9)
        speed[place, dtype] = rates
        print(f"{place}, {dtype}: " + "  ".join(f"n={n}: {r:.3g}" for n, r in zip(sizes, rates)), "GFLOP/s")
if device == "cupy":
    print(
        f"without synchronize, the last product seems to take {unsynchronized_seconds(lambda: a @ a):.1e} s"
    )

figure = Figure(figsize=(7, 4))
axes = figure.add_subplot(title="Speed of a product of two n x n matrices", xlabel="n", ylabel="GFLOP/s")
for (place, dtype), rates in speed.items():
    axes.loglog(sizes, rates, "o-" if dtype == "float32" else "s--", label=f"{place}, {dtype}", base=10)
axes.set_xticks(sizes, [str(n) for n in sizes])
axes.minorticks_off()
axes.grid(alpha=0.3)
axes.legend()
lesson.picture(figure, "matmul_speed.png")

# %% [markdown]
# Small products are slow everywhere: the call itself costs more than the arithmetic. That is why a convolution is
# worth rewriting as *one* large product (lesson 3), and why a GPU helps little with small networks. float32 is
# about twice as fast as float64 on a processor, and needs half the memory. On most GPUs the gap is far larger.
# So npgan trains in float32, and checks its gradients in float64 (lesson 2).
#
# If the curve drops in the middle, look at what else is running: NumPy's BLAS shares a larger product among all
# cores, and on a busy machine its threads wait for each other. `OPENBLAS_NUM_THREADS=1 python lessons/...` then
# is faster.

# %% [markdown]
# ## Checks
#
# Beside each bound stands what was measured, and why the bound is wider.

# %%
lesson.step("Checks")

assert backend.device_of(y) == device  # the result is where the input was
# From the definition, in more digits than float32 has: 7 agree.
assert np.allclose(backend.to_numpy(y), [0, 0.3132617, 0.6931472, 1.3132617, 100], rtol=1e-6)
assert np.shares_memory(backend.to_numpy(x_host), x_host)  # already on the right side: no copy
assert np.array_equal(backend.to_numpy(backend.to_device(x_host, device)), x_host)  # there and back
assert len(refusals) == (6 if device == "cupy" else 4)
assert np.abs(ours - other).max() > 1e-3  # a seed is not a stream: 0.9 to 2.6 apart over seeds 0 to 4
# 3e-7 to 4e-7 over seeds 0 to 4. The bound leaves room for other orders of the 784 terms, on other processors and
# GPUs; the worst order of all gives 5e-5.
assert all(0 < error < 1e-5 for name, error in errors.items() if "float32" in name)
assert all(error < 1e-12 for name, error in errors.items() if "float64" in name)  # 1e-16 for one operation
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write `leaky_relu(x, alpha)`, which is x where x > 0 and `alpha * x` elsewhere, and its slope with
#    `array_module`, so that both run on both libraries. Check the slope at the points `x = np.array([-2.0, -0.5,
#    0.5, 2.0])` with `check_gradient(lambda: leaky_relu(x, 0.2), x, slope(x, 0.2), lesson.rng)` of
#    `npgan.gradcheck`.
# 2. (Needs a GPU.) `np.exp(x)` of a CuPy array works, because NumPy hands the call on. Print `backend.describe` of
#    what comes back. Why does npgan write `xp.exp(x)` all the same? (Print what `np.asarray(x)` does.)
# 3. A product of two 256 x 256 matrices takes as many operations as 32,768 products of 8 x 8. Time both with
#    `seconds` above: `a @ a` with a of shape (256, 256), and `b @ b` with b of shape (32768, 8, 8), both float32.
#    Print the ratio of the two times. Which shape should a layer aim at?
