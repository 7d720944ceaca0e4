# %% [markdown]
# # 6, second part. Optimisers, schedules, averages
#
# A gradient says which way is down. How far to go, and what to keep of the steps before, is left to the *optimiser*.
# Most GANs are trained with Adam (Kingma and Ba 2015). Here it grows out of plain descent in four steps, each a few
# lines by hand that must give what `npgan.optim` gives. Then the rate is made to fall. Then two players are seen
# running in circles, which is why lessons 9 and 11 draw with an average of the generator's weights.
#
# Whether Adam is also why two losses of the generator tie in lesson 7 is asked there, in `07_adam_or_not.py`.

# %%
import numpy as np
from matplotlib.figure import Figure

from npgan import optim
from npgan.layers import Dense, Parameter
from npgan.lesson import Lesson

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("06_optimizers", "Optimisers, schedules, averages", FLAGS)
args, rng = lesson.args, lesson.rng

# What the exercises change.
DECAY = 0.99  # of the players' moving average

# %% [markdown]
# ## Plain descent in a valley
#
# A loss with one steep and one flat direction: `f(w) = (w1**2 + 30 * w2**2) / 2`. Its gradient is `(w1, 30 * w2)`.
#
#     w = w - rate * gradient
#
# multiplies w1 by 1 - rate and w2 by 1 - 30 rate in each step. Above a rate of 2 / 30 the steep w2 grows without end;
# at 0.06 it jumps from side to side, and the flat w1 still keeps 94% of itself each time. One rate must do for both.

# %%
CURVES, START, STEPS, RATE = np.array([1.0, 30.0]), np.array([1.0, 0.6]), 60, 0.06


def gradient(w):
    return CURVES * w


def descend(step):
    """The path of w, (STEPS + 1, 2), if step(gradient, t) is taken from it in the t-th step."""
    path = [START]
    for t in range(1, STEPS + 1):
        path.append(path[-1] - step(gradient(path[-1]), t))
    return np.array(path)


def by_npgan(make, factor=1.0):
    """The path with an optimiser of npgan; `factor` multiplies every gradient."""
    w = Parameter(START.copy())
    optimizer, path = make([w]), [START]
    for _ in range(STEPS):
        w.grad[...] = factor * gradient(w.value)
        optimizer.step()
        path.append(w.value.copy())
    return np.array(path)


def left(path):
    """How much of |w| each step has left."""
    return np.linalg.norm(path, axis=1) / np.linalg.norm(START)


lesson.step("Plain descent")
paths = {"plain": descend(lambda g, t: RATE * g)}
differences = {"plain": np.abs(paths["plain"] - by_npgan(lambda p: optim.SGD(p, RATE))).max()}
print(f"plain: {left(paths['plain'])[-1]:.1e} of |w| left after {STEPS} steps")

# %% [markdown]
# ## Momentum
#
# Keep a sum v of the gradients so far, in which each step's share shrinks to 0.8 with every further step, and go
# along v (Polyak 1964).
#
#     v = 0.8 * v + gradient            w = w - rate * v
#
# Along the valley the gradients agree, and would add up to 1 / (1 - 0.8) = 5 of them. Across it they change sign
# every second step, and mostly cancel. So the flat w1 is at 0.01 after 8 steps, where plain descent is at 0.61. It
# has its price: w1 runs past the middle, to -0.23, and comes back; and the steep w2 shrinks more slowly than in
# plain descent, to 0.197 in 10 steps instead of 0.064. After 60 steps momentum is far ahead: 0.0008 of |w| is left,
# instead of 0.02.

# %%
lesson.step("Momentum")
v = np.zeros(2)


def momentum(g, t):
    v[...] = 0.8 * v + g
    return RATE * v


paths["momentum"] = descend(momentum)
of_npgan = by_npgan(lambda p: optim.SGD(p, RATE, momentum=0.8))
differences["momentum"] = np.abs(paths["momentum"] - of_npgan).max()
print(f"momentum: {left(paths['momentum'])[-1]:.1e} left")

# %% [markdown]
# ## Divide by the size of the gradient
#
# The other way: give each number a rate of its own. Keep a running mean of the gradient's square, called the
# *second moment*, and divide by its root, the usual size of this number's gradient.
#
#     square = 0.999 * square + 0.001 * gradient**2            w = w - rate * gradient / sqrt(square)
#
# The factor 30 of the steep direction is gone: it stands above and below the line. But square begins at 0. After the
# first step it is 0.001 of the gradient's square, its root 0.032 of the gradient's size: the first step is
# 1 / sqrt(0.001) = 32 times as long as the rate. (A tiny epsilon beside the root keeps 0 / 0 away.)

# %%
SCALED_RATE, BETA_1, BETA_2, EPSILON = 0.05, 0.5, 0.999, 1e-8
lesson.step("Divide by the size of the gradient")
square = np.zeros(2)


def scaled(g, t):
    square[...] = BETA_2 * square + (1 - BETA_2) * g**2
    return SCALED_RATE * g / (np.sqrt(square) + EPSILON)


path = descend(scaled)
first_step = abs(path[1] - path[0])
print(f"the first step: {first_step}, at a rate of {SCALED_RATE}")

# %% [markdown]
# ## The correction of the start
#
# What is missing? The factor 0.999 is called *beta_2*; *beta_1* will be that of a mean of the gradient itself. Write
# the running mean of a gradient that stays the same out, with beta for either:
#
#     after t steps    (1 - beta) * (1 + beta + ... + beta**(t - 1)) * g  =  (1 - beta**t) * g
#
# The weights add up to `1 - beta**t`, not to 1. So divide by that. The corrected mean of equal gradients is the
# gradient itself from the first step on, and while the gradients stay equal a step has the length of the rate.

# %%
lesson.step("The correction of the start")
square = np.zeros(2)


def scaled_and_corrected(g, t):
    square[...] = BETA_2 * square + (1 - BETA_2) * g**2
    return SCALED_RATE * g / (np.sqrt(square / (1 - BETA_2**t)) + EPSILON)


paths["scaled, corrected"] = descend(scaled_and_corrected)
of_npgan = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, beta_1=0.0, epsilon=EPSILON))
differences["scaled, corrected"] = np.abs(paths["scaled, corrected"] - of_npgan).max()
lengths = {t: 1 / np.sqrt(1 - BETA_2**t) for t in (1, 10, 100, 1000)}
print(
    "not corrected, equal gradients give steps of",
    {t: f"{length:.1f} rates" for t, length in lengths.items()},
)

# %% [markdown]
# ## Adam
#
# Both at once, both corrected: the mean of the gradient (the first moment; momentum, as a mean) over the root of the
# mean of its square. DCGAN's beta_1 of 0.5 lets the mean forget within two steps or so: in a game old gradients were
# against another opponent. What Adam gains here: w1 and w2 come down side by side, each at a rate of its own. 60
# steps leave 0.0008 of |w|, as momentum does, but without its swings; plain descent leaves 0.02.
#
# Multiply all gradients by the same number, 1/1024 say: mean and root shrink alike, and Adam's path stays. Keep that
# in mind for lesson 7.

# %%
lesson.step("Adam")
mean, square = np.zeros(2), np.zeros(2)


def adam(g, t):
    mean[...] = BETA_1 * mean + (1 - BETA_1) * g
    square[...] = BETA_2 * square + (1 - BETA_2) * g**2
    return SCALED_RATE * (mean / (1 - BETA_1**t)) / (np.sqrt(square / (1 - BETA_2**t)) + EPSILON)


paths["Adam"] = descend(adam)
of_npgan = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, BETA_1, BETA_2, EPSILON))
differences["Adam"] = np.abs(paths["Adam"] - of_npgan).max()
for name, difference in differences.items():
    print(f"{name:<18} {left(paths[name])[-1]:.1e} left; by hand and npgan differ by {difference:.0e}")
small = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, BETA_1, BETA_2, EPSILON), factor=1 / 1024)
moved_by_factor = np.abs(small - of_npgan).max()
plain_part = 1 - left(by_npgan(lambda p: optim.SGD(p, RATE), factor=1 / 1024))[-1]
print(
    f"gradients / 1024: Adam's path moves by {moved_by_factor:.0e}, plain descent goes {plain_part:.0%} of the way"
)

figure = Figure(figsize=(10, 4))
axes = figure.add_subplot(1, 2, 1, title="paths in the valley", xlabel="w1", ylabel="w2")
grid = np.meshgrid(np.linspace(-0.3, 1.1, 90), np.linspace(-0.7, 0.7, 90))
axes.contour(*grid, (grid[0] ** 2 + 30 * grid[1] ** 2) / 2, levels=12, colors="0.85")
right = figure.add_subplot(1, 2, 2, title="|w| / |w| at the start", xlabel="step", yscale="log")
for name, path in paths.items():
    axes.plot(*path.T, ".-", linewidth=0.8, label=name)
    right.plot(left(path), label=name)
right.legend()
right.grid(alpha=0.3)
figure.tight_layout()
lesson.picture(figure, "paths.png")

# %% [markdown]
# ## The rate as a function of the step
#
# The gradient of a batch is right on average only. Let the loss be `w**2 / 2`, and each gradient w plus a random
# number of standard deviation 1. Plain descent keeps 1 - rate of w and adds rate times the noise. In the long run the
# variance V no longer changes, so
#
#     V = (1 - rate)**2 * V + rate**2        so        V = rate / (2 - rate).
#
# At a constant rate w never comes to rest. A *schedule*, a function from the step to the rate, lets it: large steps
# to get there, small ones to settle. It rests near 0 and not at 0, for some of the earlier noise is still in w.
# `npgan.optim` has three.

# %%
lesson.step("Schedules")
DESCENT_STEPS, HIGH = 400, 0.1
SCHEDULES = {
    "constant": lambda step: HIGH,
    "step_decay": optim.step_decay(HIGH, 0.3, 100),
    "linear_decay": optim.linear_decay(HIGH, 0, DESCENT_STEPS),
    "cosine_decay": optim.cosine_decay(HIGH, 0, DESCENT_STEPS),
}
figure, restless = Figure(figsize=(10, 3.4)), {}
left_axes = figure.add_subplot(1, 2, 1, title="the rate", xlabel="step")
right_axes = figure.add_subplot(
    1, 2, 2, title="how far w is from 0 (2,000 runs)", xlabel="step", yscale="log"
)
for name, schedule in SCHEDULES.items():
    w = Parameter(np.ones(2000))  # 2,000 runs at once
    optimizer, far = optim.SGD([w], schedule), []
    for _ in range(DESCENT_STEPS):
        w.grad[...] = w.value + rng.standard_normal(2000)
        optimizer.step()
        far.append(np.sqrt((w.value**2).mean()))
    restless[name] = far[-1]
    left_axes.plot([schedule(step) for step in range(DESCENT_STEPS)], label=name)
    right_axes.plot(far, label=name)
derived = np.sqrt(HIGH / (2 - HIGH))
right_axes.axhline(derived, color="black", linestyle=":", linewidth=1, label="sqrt(V)")
left_axes.legend()
right_axes.legend()
figure.tight_layout()
lesson.picture(figure, "schedules.png")
print(", ".join(f"{name} {far:.3f}" for name, far in restless.items()) + f"; derived, constant {derived:.3f}")

# %% [markdown]
# ## Two players in a circle
#
# Now a game. One player moves x and lowers x * y, the other moves y and raises it. Who stands at 0 gives the other
# nothing to win: (0, 0) is where the game would rest. (It is a GAN of one weight each. Real points are at 0, G draws
# the point x, and D's logit at a point p is `-y * p`. So D, who wants it low at x, raises x * y, and G lowers it.
# Mescheder et al. 2018 call it the Dirac-GAN.) The gradients are y for x and x for y:
#
#     at the same time       (x, y)  becomes  (x - rate * y, y + rate * x)
#     in turn, D first        y = y + rate * x,  then  x = x - rate * y  with the new y
#
# At the same time: the new `x**2 + y**2` is `1 + rate**2` times the old one. They spiral outward, at any rate.
#
# In turn: `x**2 + y**2 + rate * x * y` stays as it is (put the two lines in and see): a circle, slightly squeezed. So
# GANs are played in turn. But they do not come to rest, and a falling rate only makes them stop somewhere on the
# circle.
#
# The middle can be had otherwise: average. A *moving average* goes a small part of the way to the player each step,
#
#     average = average + (1 - decay) * (player - average)
#
# and so is a mean over the last 1 / (1 - decay) steps or so, the latest the most. (While it is more, npgan's takes
# the part 9 / (10 + steps): with a decay of 0.99 that is so for the first 890 of the 1,000 rounds.)
#
# What does it leave of a circle? Write the player as `exp(i a t)`: radius 1, turned by an angle a in each step. The
# average turns along, `c * exp(i a t)`. Put both in, and divide by `exp(i a t)`:
#
#     c = decay * c * exp(-i a) + (1 - decay)        so        |c| = (1 - decay) / |1 - decay * exp(i a)|
#
# (a and -a have the same size here.) The turn of our players in each step satisfies `cos a = 1 - rate**2 / 2`: an
# angle of 0.1 for a rate of 0.1, and so |c| is 0.10 with a decay of 0.99.
#
# Against the spiral no average helps for long: it still seems to stand at 1.1 where the picture ends, after 250
# steps, and is at 2.9 after 600. And it needs players that turn: where the rate falls to 0 they stop, and the
# average comes after them.


# %%
def play(rate, steps, in_turn):
    """The players' places (steps + 1, 2), those of npgan's average of x and y, and of the average by hand."""
    # Two numbers would do; they are layers of one weight only because MovingAverage follows a network.
    x, y = (Dense(1, 1, bias=False).astype(np.float64) for _ in range(2))
    x.weight.value[...], y.weight.value[...] = 1.0, 0.0
    averages, by_hand = [optim.MovingAverage(player, DECAY) for player in (x, y)], np.array([1.0, 0.0])
    places, middle, middle_by_hand = [[1.0, 0.0]], [[1.0, 0.0]], [by_hand]
    for step in range(steps):
        r, old_y = rate(step), y.weight.value.copy()
        y.weight.value += r * x.weight.value
        x.weight.value -= r * (y.weight.value if in_turn else old_y)
        now = np.array([x.weight.value.item(), y.weight.value.item()])
        part = max(1 - DECAY, 9 / (10 + step))
        by_hand = by_hand + part * (now - by_hand)
        for average in averages:
            average.update()
        places.append(now)
        middle.append([average.layer.weight.value.item() for average in averages])
        middle_by_hand.append(by_hand)
    return np.array(places), np.array(middle), np.array(middle_by_hand)


lesson.step("Two players in a circle")
TURN = 0.1
games = {
    "at the same time": play(lambda step: TURN, 250, False),
    "in turn": play(lambda step: TURN, 1000, True),
    "in turn, falling rate": play(optim.linear_decay(TURN, 0, 1000), 1000, True),
}
figure, radius = Figure(figsize=(12, 4.2)), {}
for column, (name, (places, middle, by_hand)) in enumerate(games.items()):
    distances = np.linalg.norm(places, axis=1)  # steps + 1
    radius[name] = distances[-1], np.linalg.norm(middle[-1])
    differences[name] = np.abs(middle - by_hand).max()
    print(
        f"{name:<22} the players are {distances.min():.3f} to {distances.max():.3f} from the middle,", end=" "
    )
    print(f"at the end {radius[name][0]:.3f}; their average {radius[name][1]:.3f}")
    axes = figure.add_subplot(1, 3, column + 1, title=name, xlabel="x", ylabel="y", aspect="equal")
    axes.plot(*places.T, color="0.7", linewidth=0.8, label="players")
    axes.plot(*middle.T, color="C1", label=f"their average, decay {DECAY}")
    axes.plot(*places[0], "s", color="C2", markersize=5, linestyle="", label="both at the start")
    axes.plot(*places[-1], "o", color="black", markersize=5, linestyle="", label="players at the end")
    axes.plot(*middle[-1], "o", color="C1", markersize=5, linestyle="", label="average at the end")
    axes.plot(0, 0, "+", color="C0", markersize=12, linestyle="", label="the middle")
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=6, fontsize=9)
figure.tight_layout(rect=(0, 0.07, 1, 1))
lesson.picture(figure, "circling.png")

# %% [markdown]
# ## Checks
#
# Beside each bound stands what was measured. Random numbers are drawn for the schedules alone; elsewhere the room is
# for machines that round differently.

# %%
lesson.step("Checks")
assert max(differences.values()) < 1e-12  # 2e-16 at most: float64, the same sums in another order
assert np.allclose(first_step, SCALED_RATE / np.sqrt(1 - BETA_2), rtol=1e-6)  # 3e-7: epsilon, beside 0.032
assert left(paths["Adam"])[-1] < 0.1 * left(paths["plain"])[-1]  # 0.04
# Epsilon counts more beside gradients that are a 1024th: 6e-6. Plain descent: 60 steps of a 1024th of 0.06.
assert moved_by_factor < 1e-4 and plain_part < 0.1
assert (
    abs(restless["constant"] / derived - 1) < 0.1
)  # 0.01 to 0.04 over seeds 0 to 4: 2,000 runs tell it to 0.016
assert max(far for name, far in restless.items() if name != "constant") < 0.6 * derived  # 0.28 to 0.38
assert abs(radius["at the same time"][0] / (1 + TURN**2) ** 125 - 1) < 1e-9  # 250 times the root: exact
x, y = games["in turn"][0].T
assert np.abs(x**2 + y**2 + TURN * x * y - 1).max() < 1e-9  # 1e-14: rounding, of 1,000 steps
assert radius["in turn, falling rate"][0] > 0.9  # 1.003: the circle is left by its squeeze of 5% at most
if DECAY == 0.99:
    assert radius["in turn"][1] < 0.12  # 0.099; derived 0.100, and the squeeze
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write an optimiser of your own: a class after `optim.Optimizer` with `slots = ("square",)` and an
#    `update(self, parameter, rate, square)` that divides by the root of the corrected second moment alone. The t of
#    the correction is `self.steps`, which is counted before `update`: 1 in the first step. Compare
#    `by_npgan(lambda p: Mine(p, 0.05))` with `paths["scaled, corrected"]`.
# 2. `DECAY = 0.9`, then 0.999. Predict from the formula how far from the middle the average comes, with the angle
#    `2 * arcsin(rate / 2)`, and read what the lesson prints for "in turn". The second is far off: which part of the
#    way does that average go in the last step?
# 3. On paper: what does the second moment of Adam do to a number whose gradient is 0 for 1,000 steps and then 1? How
#    long is that step, in rates, with beta_1 = 0.5? Check it with `optim.Adam` on a `Parameter` of one number.
#
# Worked answers, with the figures to expect: `python lessons/answers/06_optimizers.py`.
