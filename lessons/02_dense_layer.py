# %% [markdown]
# # 2. A dense layer, its backward, and the check that proves it
#
# A dense layer is one line forward and three lines backward. This lesson works one out by hand, derives the three
# lines, makes a complete layer of them, and then does what the rest of the package rests on: it *proves* the
# layer, by finite differences, and shows that the proof catches the usual mistakes. At the end the layer learns a
# curve, in a network, with plain gradient descent.
#
# Symbols: N rows in a batch, I inputs, O outputs. x (N, I), weight (I, O), bias (O), y (N, O).
#
# Whatever a network is for, its training lowers one number, the *loss*, that is computed from its outputs. The
# *gradient of the loss by y*, in the code always `dy`, is an array of y's shape: where y[n, o] grows by a little
# h, the loss grows by `h * dy[n, o]`. In the same way dx, dweight and dbias belong to x, weight and bias. Nobody has
# to know how the loss comes out of y: whoever computes it hands dy back. *Forward* turns x into y, *backward* dy
# into the rest.

# %%
import numpy as np
from matplotlib.figure import Figure

from npgan.gradcheck import GradientError, check_gradient, check_layer
from npgan.layers import Dense, Layer, Parameter, Sequential, Tanh
from npgan.lesson import Lesson
from npgan.losses import mean_squared_error
from npgan.show import curves

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("02_dense_layer", "A dense layer, its backward, and the check that proves it", FLAGS)

# What the exercises change.
CHECKED_ROWS = 4  # rows of the batch on which the planted mistakes are checked
BETWEEN = Tanh  # the layer between the two dense ones that learn a curve

# %% [markdown]
# ## Forward, by hand
#
#     y[n, o] = sum over i of x[n, i] * weight[i, o]  +  bias[o]
#
# Two rows, two inputs, three outputs. First row, first output: `1 * 1 + 2 * 2 + 10 = 15`.

# %%
lesson.step("Forward, by hand")

x = np.array([[1.0, 2.0], [3.0, -1.0]])  # (2, 2)
weight = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.5]])  # (2, 3)
bias = np.array([10.0, 20.0, 30.0])  # (3,)
y = x @ weight + bias  # (2, 3)
print(y)

# %% [markdown]
# ## Backward, derived
#
# The loss depends on x, weight and bias only through y. Let one number grow by a little h, and look which outputs
# it reaches, how much each of them grows, and so how much the loss:
#
#     grows by h       outputs reached          each grows by       so the loss grows by, through each
#     x[n, i]          y[n, o] for every o      h * weight[i, o]    h * weight[i, o] * dy[n, o]
#     weight[i, o]     y[n, o] for every n      h * x[n, i]         h * x[n, i] * dy[n, o]
#     bias[o]          y[n, o] for every n      h                   h * dy[n, o]
#
# Divide by h, and add up over the outputs that are reached:
#
#     dx[n, i]      = sum over o of  dy[n, o] * weight[i, o]        dx      = dy @ weight.T
#     dweight[i, o] = sum over n of  x[n, i] * dy[n, o]             dweight = x.T @ dy
#     dbias[o]      = sum over n of  dy[n, o]                       dbias   = dy.sum(axis=0)
#
# Weight and bias serve every row of the batch, so their gradients are *sums over the batch*. Each row of x is used
# once, so dx has no such sum.

# %%
lesson.step("Backward, by hand")

dy = np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])  # (2, 3), chosen freely
dx = dy @ weight.T  # (2, 2)
dweight = x.T @ dy  # (2, 3)
dbias = dy.sum(axis=0)  # (3,)
print("dx =", dx.tolist(), " dweight =", dweight.tolist(), " dbias =", dbias.tolist())

# %% [markdown]
# ## A complete layer
#
# Three things turn these lines into a layer.
#
# - Backward needs x, which only forward has seen. `remember(train, y, x)` keeps x, where the pass is a training pass,
#   and returns y. `recall(dy)` hands x out again, once: the memory is then empty, and a second backward without a
#   forward of its own is an error, not a wrong gradient.
# - A `Parameter` is an array `value` with its gradient `grad`, of the same shape, which starts at zero. Backward
#   *adds* to `grad`: a layer that is used twice before a step of training gets the sum of both gradients, as the
#   derivative of a sum should be. `zero_grad()` starts anew.
# - A *frozen* layer passes dy on to x and gathers nothing for itself. The game of lesson 7 needs it.
#
# `Layer`, the base class, finds the Parameters by itself, and with them a layer can be saved, moved to a GPU
# and put in a network. The first weights are random, so that the outputs differ from each other, with a standard
# deviation of sqrt(2 / I). A sum of I terms then has about sqrt(2) times the size of one input: the 2 makes up for a
# ReLU behind the layer, which sets about half of the next layer's inputs to zero (He et al. 2015, section 2.2).
#
# Every layer also has `astype`, which changes the type of all its numbers (float64 for what is checked), `state()`,
# copies of all its arrays by name, and `load_state`, which takes them over from another layer of the same kind.


# %%
class OurDense(Layer):
    """y = x @ weight + bias, (N, I) -> (N, O)."""

    def __init__(self, inputs, outputs, rng):
        weight = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
        self.weight = Parameter(weight.astype(np.float32))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x, train=True):
        y = x @ self.weight.value + self.bias.value  # N, O
        return self.remember(train, y, x)

    def backward(self, dy):
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += x.T @ dy  # I, O
            self.bias.grad += dy.sum(axis=0)  # O
        return dy @ self.weight.value.T  # N, I


lesson.step("A complete layer, against the numbers done by hand")

layer = OurDense(2, 3, lesson.rng).astype("float64")
layer.weight.value[...], layer.bias.value[...] = weight, bias
y_layer, dx_layer = layer.forward(x), layer.backward(dy)
dweight_layer = layer.weight.grad.copy()
print("the same numbers:", np.array_equal(y_layer, y) and np.array_equal(dx_layer, dx))
layer.forward(x)
layer.backward(dy)
print("dweight after a second pass, twice the first:", layer.weight.grad.tolist())
try:
    layer.backward(dy)
    third_backward = ""
except RuntimeError as error:
    third_backward = str(error)
print("a backward without a forward:", third_backward)

package = Dense(2, 3, rng=lesson.rng).astype("float64")  # the package's own: the same, and checks its input
package.load_state(layer.state())
y_package, dx_package = package.forward(x), package.backward(dy)

# %% [markdown]
# ## The check
#
# A gradient says how the loss changes for a small step. So take the step, in a random direction v of x's shape.
# Let `<a, b>` be the sum of the products of two arrays, number by number, and let `f(x) = <y, dy>`, whose gradient
# by y is dy. The gradient by x is what backward gives. Along v the loss grows by
#
#     f(x + eps v) = f(x) + eps <dx, v> + eps**2 A + eps**3 B + ...
#     f(x - eps v) = f(x) - eps <dx, v> + eps**2 A - eps**3 B + ...
#
# with A and B from higher derivatives. In the difference f(x) and A cancel:
#
#     (f(x + eps v) - f(x - eps v)) / (2 eps)  =  <dx, v>  +  eps**2 B
#
# The left side needs no derivative, so it cannot share a mistake with `backward`. How small should eps be? Too
# large, and the curve of f shows, as `eps**2 B`. Too small, and the difference drowns in rounding: the rounding of f,
# about 1e-16 in float64 and 6e-8 in float32, is divided by eps. The picture shows both, for a small network.
# (`Sequential` puts layers in a row: forward goes through them from first to last, backward from last to first.)

# %%
lesson.step("How small should the step be?")

network = Sequential([Dense(5, 8, rng=lesson.rng), Tanh(), Dense(8, 3, rng=lesson.rng)])
inputs, dy_network, v = (lesson.rng.standard_normal(shape) for shape in ((4, 5), (4, 3), (4, 5)))


def finite_difference_error(dtype, eps):
    """Relative difference between <dx, v> and the finite difference along v (weights and inputs are `dtype`)."""
    network.astype(dtype)
    a, b, d, dy = (z.astype(dtype) for z in (inputs + eps * v, inputs - eps * v, inputs, dy_network))
    numeric = float(((network.forward(a) - network.forward(b)) * dy).sum()) / (2 * eps)
    network.forward(d)
    analytic = float((network.backward(dy) * v.astype(dtype)).sum())
    return abs(numeric - analytic) / abs(analytic)


steps = 10.0 ** np.arange(-12, 0.5, 0.5)
sweep = {dtype: [finite_difference_error(dtype, eps) for eps in steps] for dtype in ("float32", "float64")}

figure = Figure(figsize=(7, 4))
axes = figure.add_subplot(
    title="Finite differences against backward", xlabel="step eps", ylabel="relative difference"
)
for dtype, marker in (("float32", "s--"), ("float64", "o-")):
    axes.loglog(steps, np.maximum(sweep[dtype], 1e-16), marker, label=dtype, markersize=4)
    best = steps[np.argmin(sweep[dtype])]
    print(f"{dtype}: best eps {best:.0e}, relative difference {min(sweep[dtype]):.0e}")
axes.axvline(1e-6, color="grey", linewidth=1)
axes.text(1.3e-6, 10, "eps of npgan.gradcheck", color="grey")
axes.grid(alpha=0.3)
axes.legend(loc="lower left")
lesson.picture(figure, "eps.png")

# %% [markdown]
# In float32 even the best eps, which nobody knows beforehand, gives four or five right digits; a bad one gives none.
# In float64 with eps = 1e-6 eight or more agree, without any search. So gradients are checked in float64, and
# `npgan.gradcheck` refuses anything else.
#
# Above 1 the rounding outweighs the gradient itself: float32 rises to about 10 (seed 0) before it ends at 1 on the
# left. For eps below 1e-8 most numbers of x + eps v round to those of x, at 1e-10 and below all do. Both outputs are
# then the same, the difference is 0, and all of the gradient is missing.
#
# ## Does the check catch mistakes?
#
# A check that never fails proves nothing. Five wrong dense layers, each with one mistake found in real code. The
# square weight (6, 6) lets the forgotten transpose pass all shape checks. `check_layer` weights the output with a
# random dy, and starts from gradients that are not zero. For x, weight and bias in turn it draws three random
# directions v. The three finite differences make a vector of three numbers, the three `<gradient, v>` another. The
# relative error is the length of their difference divided by the longer of the two: below 1e-6 the layer passes. (One
# direction alone could have a `<gradient, v>` near zero by accident, and then a large relative error.)

# %%
lesson.step("Planted mistakes")


class ForgottenTranspose(OurDense):
    def backward(self, dy):
        super().backward(dy)
        return dy @ self.weight.value


class ForgottenSum(OurDense):  # the bias gets the gradient of the first row only
    def backward(self, dy):
        self.bias.grad += dy[0] - dy.sum(axis=0)
        return super().backward(dy)


class MeanNotSum(OurDense):  # right only if the loss has not divided by the batch already
    def backward(self, dy):
        (x,) = self.recall(dy)
        if not self.frozen:
            self.weight.grad += x.T @ dy / len(x)
            self.bias.grad += dy.mean(axis=0)
        return dy @ self.weight.value.T


class Overwrites(OurDense):  # breaks a layer that is used twice before the step, as a discriminator is
    def backward(self, dy):
        self.zero_grad()
        return super().backward(dy)


class SlightlyWrong(OurDense):
    def backward(self, dy):
        return 1.001 * super().backward(dy)


mistakes = (ForgottenTranspose, ForgottenSum, MeanNotSum, Overwrites, SlightlyWrong)
verdicts = {}
for kind in (OurDense, *mistakes):
    x_check = lesson.rng.standard_normal((CHECKED_ROWS, 6))
    try:
        errors = check_layer(kind(6, 6, rng=lesson.rng).astype("float64"), x_check, rng=lesson.rng)
        verdicts[kind] = f"passes, largest relative error {max(errors.values()):.0e}"
    except GradientError as error:
        verdicts[kind] = "caught: " + str(error).split(", wanted")[0].split(", ", 1)[-1]
    print(f"{kind.__name__:<20}{verdicts[kind]}")

# %% [markdown]
# ## Two layers learn a curve
#
# Plain gradient descent: `value = value - rate * gradient`, for every parameter. The curve is one wave of a
# sine. A single dense layer is a straight line, however long it trains. With a tanh between two dense layers the
# network is a sum of 32 soft steps, whose places and heights are learned. `mean_squared_error` returns two things, as
# all losses of the package do: the loss, and its gradient by the prediction, which is the dy of the last layer.

# %%
lesson.step("Two layers learn a curve")

x_curve = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]  # (64, 1)
target = np.sin(np.pi * x_curve)  # (64, 1)


def train(network, steps, rate=0.05):
    """Gradient descent on all 64 points at once; return the loss of every step."""
    history = []
    for _ in range(steps):
        network.zero_grad()
        prediction = network.forward(x_curve)
        loss, dprediction = mean_squared_error(prediction, target)
        network.backward(dprediction)
        for parameter in network.parameters():
            parameter.value -= rate * parameter.grad
        history.append(float(loss))
    return history


line = Sequential([OurDense(1, 1, lesson.rng)])
bend = Sequential([OurDense(1, 32, lesson.rng), BETWEEN(), OurDense(32, 1, lesson.rng)])
proof = check_layer(bend.astype("float64"), lesson.rng.standard_normal((4, 1)), rng=lesson.rng)
print(
    "the network proved, relative errors:", ", ".join(f"{name} {error:.0e}" for name, error in proof.items())
)
bend.astype("float32")
training_steps = 2000 if lesson.args.quick else 8000
BENT = f"2 with {BETWEEN.__name__} between"
history = {"1 dense layer": train(line, training_steps), BENT: train(bend, training_steps)}
slope, intercept = np.polyfit(x_curve[:, 0], target[:, 0], 1)
best_line = float(((slope * x_curve + intercept - target) ** 2).mean())
for name, losses in history.items():
    print(f"{name}: loss {losses[0]:.3f} at first, {losses[-1]:.5f} after {training_steps} steps")
print(f"the best straight line there is, by least squares: {best_line:.5f}")

figure = curves(history, title="Mean squared error", ylabel="loss")
figure.axes[0].set_yscale("log")
lesson.picture(figure, "loss.png")

# %%
lesson.step("The fit")

figure = Figure(figsize=(7, 3.6))
axes = figure.add_subplot(title=f"After {training_steps} steps", xlabel="x", ylabel="y")
axes.plot(x_curve, target, ".", color="grey", label="data")
axes.plot(x_curve, line.forward(x_curve, train=False), label="1 dense layer")
axes.plot(x_curve, bend.forward(x_curve, train=False), linewidth=2, label=BENT)
axes.grid(alpha=0.3)
axes.legend()
lesson.picture(figure, "fit.png")

# %% [markdown]
# ## Checks
#
# What was done with pencil and paper is exact. Beside every other bound stands what was measured with seeds 0 to 4.
# The bounds leave room for other seeds, and for machines whose sums round differently.

# %%
lesson.step("Checks")

assert y[0, 0] == 15 and np.array_equal(y, [[15, 22, 30], [11, 19, 26.5]])
assert np.array_equal(dx, [[-1, 3], [-1, -0.5]]) and np.array_equal(dbias, [1, -1, 3])
assert np.array_equal(y_layer, y) and np.array_equal(dx_layer, dx) and np.array_equal(dweight_layer, dweight)
assert np.array_equal(layer.weight.grad, 2 * dweight) and np.array_equal(layer.bias.grad, 2 * dbias)
assert "without a memory" in third_backward
assert np.array_equal(y_package, y) and np.array_equal(dx_package, dx)
assert np.array_equal(package.weight.grad, dweight)
check_gradient(lambda: x @ weight + bias, weight, dweight, lesson.rng, dy=dy)

at_1e6 = int(np.argmin(np.abs(np.log10(steps) + 6)))
# 3e-12 to 2e-10 in float64, 0.01 to 0.08 in float32: the bounds stand between, far from both.
assert sweep["float64"][at_1e6] < 1e-7 < 1e-5 < sweep["float32"][at_1e6]
assert verdicts[OurDense].startswith("passes")
if CHECKED_ROWS > 1:  # with one row, some of the mistakes are none
    assert all(verdicts[kind].startswith("caught") for kind in mistakes)
assert max(proof.values()) < 1e-6  # 1e-10 to 5e-10; a gradient that is 0.1% wrong gives 1e-3, as above

assert (
    abs(history["1 dense layer"][-1] - best_line) < 1e-4
)  # the best line, and no better: 1e-8; room for rounding
# As a share of best_line: 0.006 to 0.014; with --quick 0.025 to 0.048
assert history[BENT][-1] < (0.2 if lesson.args.quick else 0.05) * best_line
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write a layer `Affine` with two parameters, a number for each of `features`: `y = scale * x + shift`. Take
#    `OurDense` as the pattern, and start scale with random numbers: with ones, a forgotten `scale *` in backward goes
#    unseen. Print what
#    `check_layer(Affine(6).astype("float64"), lesson.rng.standard_normal((4, 6)), rng=lesson.rng)` returns: three
#    errors below 1e-6. What do the gradients of scale and shift sum over?
# 2. Which of the five mistakes does a check with a batch of a single row miss, and why? Set `CHECKED_ROWS = 1`
#    above and read the verdicts.
# 3. Set `BETWEEN = LeakyReLU` (import it from `npgan.layers`) and look at fit.png. LeakyReLU(x) is x where x is above
#    0, and 0.2 x below, so the curve is now made of straight pieces. A unit of the first layer, that is one of its 32
#    outputs, bends the curve where it is 0: `weight * x + bias = 0`. How many of the 32 kinks lie between -1 and 1?
#    Print `np.sort(-bend.layers[0].bias.value / bend.layers[0].weight.value[0])` and count (expect 30 to 32). At the
#    start of the training, where were they all?
