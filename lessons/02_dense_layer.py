# %% [markdown]
# # 2. A dense layer, its backward, and the check that proves it
#
# A dense layer is one line forward and three lines backward. This lesson works one out by hand, derives the three
# lines, and then does what the rest of the package rests on: it *proves* them, by finite differences, and shows
# that the proof catches the usual mistakes. At the end two dense layers learn a curve, with plain gradient descent.
#
# Symbols: N rows in a batch, I inputs, O outputs. x (N, I), weight (I, O), bias (O), y (N, O).
# `dy` always means "the gradient of the loss by y": an array of y's shape.

# %%
import numpy as np
from matplotlib.figure import Figure

from npgan.gradcheck import GradientError, check_gradient, check_layer
from npgan.layers import Dense, Sequential, Tanh
from npgan.lesson import Lesson
from npgan.losses import mean_squared_error
from npgan.show import curves

lesson = Lesson("02_dense_layer", "A dense layer, its backward, and the check that proves it")

# %% [markdown]
# ## Forward, by hand
#
#     y[n, o] = sum over i of x[n, i] * weight[i, o]  +  bias[o]
#
# Two rows, two inputs, three outputs. First row, first output: 1*1 + 2*2 + 10 = 15.

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
# The loss depends on x, weight and bias only through y. If x[n, i] grows by a little h, then y[n, o] grows by
# h * weight[i, o], for every o, and the loss by h * dy[n, o] * weight[i, o] through each of them. Adding up:
#
#     dx[n, i]      = sum over o of  dy[n, o] * weight[i, o]
#     dweight[i, o] = sum over n of  dy[n, o] * x[n, i]
#     dbias[o]      = sum over n of  dy[n, o]
#
# As matrices: dx = dy @ weight.T, dweight = x.T @ dy, dbias = dy.sum(axis=0). The shapes leave no other choice.
# Weight and bias serve every row of the batch, so their gradients are *sums over the batch*. Each row of x is used
# once, so dx has none.

# %%
lesson.step("Backward, by hand")

dy = np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])  # (2, 3), chosen freely
dx = dy @ weight.T  # (2, 2)
dweight = x.T @ dy  # (2, 3)
dbias = dy.sum(axis=0)  # (3,)
print("dx =", dx.tolist(), " dweight =", dweight.tolist(), " dbias =", dbias.tolist())

layer = Dense(2, 3, rng=lesson.rng).astype("float64")
layer.weight.value[...], layer.bias.value[...] = weight, bias
y_layer = layer.forward(x)
dx_layer = layer.backward(dy)

# %% [markdown]
# ## The check
#
# A gradient says how the loss changes for a small step. So take the step, in a random direction v, both ways:
#
#     (f(x + eps v) - f(x - eps v)) / (2 eps)  =  <gradient, v>  +  error of order eps**2
#
# The left side needs no derivative, so it cannot share a mistake with `backward`. How small should eps be? Too
# large, and the curve of f shows. Too small, and the difference drowns in rounding: the rounding of f, about
# 1e-16 in float64 and 6e-8 in float32, is divided by eps. The picture shows both, for a small network.

# %%
lesson.step("How small should the step be?")

network = Sequential([Dense(5, 8, rng=lesson.rng), Tanh(), Dense(8, 3, rng=lesson.rng)])
inputs, dy_network, v = (lesson.rng.standard_normal(shape) for shape in ((4, 5), (4, 3), (4, 5)))


def finite_difference_error(dtype, eps):
    """Relative difference between <dx, v> and the finite difference along v."""
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
# ## Does the check catch mistakes?
#
# A check that never fails proves nothing. Five wrong dense layers, each with a mistake found in real code. The
# square weight (6, 6) lets the forgotten transpose pass all shape checks. `check_layer` weights the output with a
# random dy, starts from gradients that are not zero, and compares three random directions as one vector.

# %%
lesson.step("Planted mistakes")


class ForgottenTranspose(Dense):
    def backward(self, dy):
        super().backward(dy)
        return dy @ self.weight.value


class ForgottenSum(Dense):  # the bias hears the first row of the batch only
    def backward(self, dy):
        self.bias.grad += dy[0] - dy.sum(axis=0)
        return super().backward(dy)


class MeanNotSum(Dense):  # right only if the loss has not divided by the batch already
    def backward(self, dy):
        (x,) = self.recall(dy)
        self.weight.grad += x.T @ dy / len(x)
        self.bias.grad += dy.mean(axis=0)
        return dy @ self.weight.value.T


class Overwrites(Dense):  # breaks a layer that is used twice before the step, as a discriminator is
    def backward(self, dy):
        self.zero_grad()
        return super().backward(dy)


class SlightlyWrong(Dense):
    def backward(self, dy):
        return 1.001 * super().backward(dy)


mistakes = (ForgottenTranspose, ForgottenSum, MeanNotSum, Overwrites, SlightlyWrong)
verdicts = {}
for kind in (Dense, *mistakes):
    x_check = lesson.rng.standard_normal((4, 6))
    try:
        worst = max(check_layer(kind(6, 6, rng=lesson.rng).astype("float64"), x_check, lesson.rng).values())
        verdicts[kind] = f"passes, largest relative error {worst:.0e}"
    except GradientError as error:
        verdicts[kind] = "caught: " + str(error).split(",")[1].strip()
    print(f"{kind.__name__:<20}{verdicts[kind]}")

# %% [markdown]
# ## Two layers learn a curve
#
# Plain gradient descent: value = value - rate * gradient, for every parameter. The curve is one wave of a
# sine. A single dense layer is a straight line, however long it trains. With a tanh between two dense layers the
# network is a sum of 32 soft steps, whose places and heights are learned.

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


line = Sequential([Dense(1, 1, rng=lesson.rng)])
bend = Sequential([Dense(1, 32, rng=lesson.rng), Tanh(), Dense(32, 1, rng=lesson.rng)])
training_steps = 2000 if lesson.args.quick else 8000
history = {"1 dense layer": train(line, training_steps), "2 with tanh between": train(bend, training_steps)}
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
axes.plot(x_curve, bend.forward(x_curve, train=False), linewidth=2, label="2 with tanh between")
axes.grid(alpha=0.3)
axes.legend()
lesson.picture(figure, "fit.png")

# %%
lesson.step("Checks")

assert y[0, 0] == 15 and np.array_equal(y, [[15, 22, 30], [11, 19, 26.5]])  # done with pencil and paper
assert np.array_equal(dx, [[-1, 3], [-1, -0.5]]) and np.array_equal(dbias, [1, -1, 3])
assert np.array_equal(y_layer, y) and np.array_equal(dx_layer, dx)
assert np.array_equal(layer.weight.grad, dweight) and np.array_equal(layer.bias.grad, dbias)
check_gradient(lambda: x @ weight + bias, weight, dweight, lesson.rng, dy=dy)

at_1e6 = int(np.argmin(np.abs(np.log10(steps) + 6)))
assert sweep["float64"][at_1e6] < 1e-7 < 1e-5 < sweep["float32"][at_1e6]
assert verdicts[Dense].startswith("passes")
assert all(verdicts[kind].startswith("caught") for kind in mistakes)

assert abs(history["1 dense layer"][-1] - best_line) < 1e-4  # the best line, and no better
assert history["2 with tanh between"][-1] < (0.2 if lesson.args.quick else 0.05) * best_line
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write a layer `Scale` with one parameter a number a feature, y = scale * x, and its backward. Prove it with
#    `check_layer`. What does its gradient sum over?
# 2. Which of the five mistakes would a check with a batch of a single row miss? Try it: `standard_normal((1, 6))`.
# 3. Replace the tanh by `LeakyReLU(0.2)` and draw the fit. How many kinks can the curve have with 32 units? Count
#    the sign changes of its second difference.
