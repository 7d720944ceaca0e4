# %% [markdown]
# # 6, second part. Optimisers, schedules, averages
#
# A gradient says which way is down. How far to go, and what to keep of the steps before, is left to the *optimiser*.
# Most GANs are trained with Adam (Kingma and Ba 2015). Here it grows out of plain descent in four steps, each a few
# lines by hand that must give what `npgan.optim` gives. Then the rate is made to fall. Then two players are seen
# running in circles, which is why lessons 9 and 11 draw with an average of the generator's weights.
#
# At the end stands a question of lesson 7: two losses of the generator, one of them praised, are as good as each
# other there. Is that Adam's doing?

# %%
import numpy as np
from matplotlib.figure import Figure

from npgan import optim
from npgan.adversarial import discriminator_step, generator_step
from npgan.data import Mixture
from npgan.layers import Dense, Parameter, Sequential
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy, generator_saturating
from npgan.metrics.modes import count_modes
from npgan.networks import dense_stack

lesson = Lesson("06_optimizers", "Optimisers, schedules, averages")
args, rng = lesson.args, lesson.rng

# What the exercises change.
DECAY = 0.99  # of the players' moving average
D_STEPS = 1  # of the discriminator in a round of the last game
AS_SHIPPED = (DECAY, D_STEPS) == (0.99, 1)

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


def by_npgan(make, steps=STEPS, factor=1.0):
    """The path of w with an optimiser of npgan, (steps + 1, 2); `factor` multiplies every gradient."""
    w = Parameter(START.copy())
    optimizer, path = make([w]), [w.value.copy()]
    for _ in range(steps):
        w.grad[...] = factor * gradient(w.value)
        optimizer.step()
        path.append(w.value.copy())
    return np.array(path)


def left(path):
    """How much of |w| each step has left."""
    return np.linalg.norm(path, axis=1) / np.linalg.norm(START)


lesson.step("Plain descent")
w, plain = START, [START]
for _ in range(STEPS):
    w = w - RATE * gradient(w)
    plain.append(w)
paths = {"plain": np.array(plain)}
differences = {"plain": np.abs(plain - by_npgan(lambda p: optim.SGD(p, RATE))).max()}
print(f"plain: {left(paths['plain'])[-1]:.1e} of |w| left after {STEPS} steps")

# %% [markdown]
# ## Momentum
#
# Keep a sum v of the gradients so far, in which each step's share shrinks to 0.8 with every further step, and go
# along v (Polyak 1964).
#
#     v = 0.8 * v + gradient            w = w - rate * v
#
# Along the valley the gradients agree, and add up to 1 / (1 - 0.8) = 5 of them. Across it they change sign from step
# to step and cancel. So the flat direction gets a larger step, the steep one does not.

# %%
lesson.step("Momentum")
w, v, path = START, 0, [START]
for _ in range(STEPS):
    v = 0.8 * v + gradient(w)
    w = w - RATE * v
    path.append(w)
paths["momentum"] = np.array(path)
differences["momentum"] = np.abs(path - by_npgan(lambda p: optim.SGD(p, RATE, momentum=0.8))).max()
print(f"momentum: {left(paths['momentum'])[-1]:.1e} left")

# %% [markdown]
# ## Divide by the size of the gradient
#
# The other way: give each number a rate of its own. Keep a running mean of the gradient's square, the *second
# moment*, and divide by its root, the usual size of this number's gradient.
#
#     square = 0.999 * square + 0.001 * gradient**2            w = w - rate * gradient / sqrt(square)
#
# The factor 30 of the steep direction is gone: it stands above and below the line. But square begins at 0. After the
# first step it is 0.001 of the gradient's square, its root 0.032 of the gradient's size: the first step is
# 1 / sqrt(0.001) = 32 times as long as the rate. (A tiny epsilon beside the root keeps 0 / 0 away.)

# %%
SCALED_RATE, BETA_1, BETA_2, EPSILON = 0.05, 0.5, 0.999, 1e-8
lesson.step("Divide by the size of the gradient")
w, square, path = START, 0, [START]
for _ in range(STEPS):
    g = gradient(w)
    square = BETA_2 * square + (1 - BETA_2) * g**2
    w = w - SCALED_RATE * g / (np.sqrt(square) + EPSILON)
    path.append(w)
first_step = abs(path[1] - path[0])
print(f"the first step: {first_step}, at a rate of {SCALED_RATE}")

# %% [markdown]
# ## The correction of the start
#
# What is missing? Write the running mean of a gradient that stays the same out:
#
#     after t steps    (1 - beta) * (1 + beta + ... + beta**(t - 1)) * g  =  (1 - beta**t) * g
#
# The weights add up to 1 - beta**t, not to 1. So divide by that. The corrected mean of equal gradients is the
# gradient itself from the first step on, and a step has the length of the rate.

# %%
lesson.step("The correction of the start")
w, square, path = START, 0, [START]
for t in range(1, STEPS + 1):
    g = gradient(w)
    square = BETA_2 * square + (1 - BETA_2) * g**2
    w = w - SCALED_RATE * g / (np.sqrt(square / (1 - BETA_2**t)) + EPSILON)
    path.append(w)
paths["scaled, corrected"] = np.array(path)
scaled = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, beta_1=0.0, epsilon=EPSILON))
differences["scaled, corrected"] = np.abs(path - scaled).max()

times = np.arange(1, 3001)
sums = 1 - BETA_2**times  # what the weights of the second moment add up to
figure = Figure(figsize=(6, 3.2))
axes = figure.add_subplot(title="length of a step / rate, the gradient always 1", xlabel="step", xscale="log")
axes.plot(times, 1 / np.sqrt(sums), label="not corrected")
axes.plot(times, np.sqrt(sums / sums), label="corrected")
axes.grid(alpha=0.3)
axes.legend()
figure.tight_layout()
lesson.picture(figure, "correction.png")

# %% [markdown]
# ## Adam
#
# Both at once, both corrected: the mean of the gradient (the first moment; momentum, as a mean) over the root of the
# mean of its square. DCGAN's beta_1 of 0.5 lets the mean forget within two steps or so: in a game old gradients were
# against another opponent.
#
# Multiply all gradients by the same number, 1/1024 say: mean and root shrink alike, and Adam's path stays. Keep that
# in mind for the last part.

# %%
lesson.step("Adam")
w, mean, square, path = START, 0, 0, [START]
for t in range(1, STEPS + 1):
    g = gradient(w)
    mean = BETA_1 * mean + (1 - BETA_1) * g
    square = BETA_2 * square + (1 - BETA_2) * g**2
    w = w - SCALED_RATE * (mean / (1 - BETA_1**t)) / (np.sqrt(square / (1 - BETA_2**t)) + EPSILON)
    path.append(w)
paths["Adam"] = np.array(path)
adam = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, BETA_1, BETA_2, EPSILON))
differences["Adam"] = np.abs(path - adam).max()
for name, difference in differences.items():
    print(f"{name:<18} {left(paths[name])[-1]:.1e} left; by hand and npgan differ by {difference:.0e}")
small = by_npgan(lambda p: optim.Adam(p, SCALED_RATE, BETA_1, BETA_2, EPSILON), factor=1 / 1024)
moved_by_factor = np.abs(small - adam).max()
plain_part = 1 - left(by_npgan(lambda p: optim.SGD(p, RATE), factor=1 / 1024))[-1]
print(
    f"gradients / 1024: Adam's path moves by {moved_by_factor:.0e}, plain descent goes {plain_part:.0%} of the way"
)

figure = Figure(figsize=(10, 4))
axes = figure.add_subplot(1, 2, 1, title="paths in the valley", xlabel="w1", ylabel="w2")
grid = np.meshgrid(np.linspace(-0.3, 1.1, 90), np.linspace(-0.7, 0.7, 90))
axes.contour(*grid, (grid[0] ** 2 + 30 * grid[1] ** 2) / 2, levels=12, colors="0.85")
right = figure.add_subplot(1, 2, 2, title="left of |w|", xlabel="step", yscale="log")
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
# to get there, small ones to settle. `npgan.optim` has three.

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
right_axes.axhline(derived, color="black", linestyle=":", linewidth=1)
left_axes.legend()
figure.tight_layout()
lesson.picture(figure, "schedules.png")
print(", ".join(f"{name} {far:.3f}" for name, far in restless.items()) + f"; derived, constant {derived:.3f}")

# %% [markdown]
# ## Two players in a circle
#
# Now a game. One player moves x and lowers x * y, the other moves y and raises it. Who stands at 0 gives the other
# nothing to win: (0, 0) is where the game would rest. (It is a GAN of one weight each: G draws the point x, D is the
# slope y, real points are at 0. Mescheder et al. 2018 call it the Dirac-GAN.) The gradients are y for x and x for y:
#
#     at the same time       (x, y)  becomes  (x - rate * y, y + rate * x)
#     in turn, D first        y = y + rate * x,  then  x = x - rate * y  with the new y
#
# At the same time: the new x**2 + y**2 is (1 + rate**2) times the old one. They spiral outward, at any rate. In turn:
# `x**2 + y**2 + rate * x * y` stays as it is to rounding (put the two lines in and see): a circle, slightly squeezed.
# So GANs are played in turn. But neither comes to rest, and a falling rate only makes them stop somewhere on the
# circle.
#
# The middle can be had otherwise: average. A *moving average* goes a small part of the way to the player each step,
#
#     average = average + (1 - decay) * (player - average)
#
# and so is a mean over the last 1 / (1 - decay) steps or so, the latest the most. (At first, when there is little to
# average, npgan's takes larger parts: 9 / (10 + steps).) Of something that turns by an angle a each step on a circle
# of radius 1 it leaves a circle of radius (1 - decay) / |1 - decay * exp(i a)|: 0.10 for a decay of 0.99 and a = 0.1.
# Against the spiral no average helps for long, and it needs players that turn: where the rate falls to 0 they stop,
# and the average comes after them.


# %%
def play(rate, steps, in_turn):
    """The players' places (steps + 1, 2), those of npgan's average of x and y, and of the average by hand."""
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
    radius[name] = np.linalg.norm(places[-1]), np.linalg.norm(middle[-1])
    differences[name] = np.abs(middle - by_hand).max()
    print(
        f"{name:<22} the players end {radius[name][0]:.3f} from the middle, their average {radius[name][1]:.3f}"
    )
    axes = figure.add_subplot(1, 3, column + 1, title=name, xlabel="x", ylabel="y", aspect="equal")
    axes.plot(*places.T, color="0.7", linewidth=0.8, label="players")
    axes.plot(*middle.T, color="C1", label=f"their average, decay {DECAY}")
    axes.plot(*places[-1], "o", color="black", markersize=5)
    axes.plot(*middle[-1], "o", color="C1", markersize=5)
    axes.plot(0, 0, "+", color="C0", markersize=12)
figure.axes[0].legend(loc="upper left", fontsize=8)
figure.tight_layout()
lesson.picture(figure, "circling.png")

# %% [markdown]
# ## A factor that Adam takes away
#
# The generator lowers -log s, the *non-saturating* loss, or log(1 - s), the *saturating* one; s = sigmoid(logit) is
# the probability that D gives to "real". Their slopes by the logit, s - 1 and -s (first part of this lesson), differ
# by the factor (1 - s) / s = exp(-logit): much where D is sure. That is the argument for the first.
#
# Let D be fixed, logit = 4 (x - 3), and let G draw one point x, from 0 on: logit -12, factor 160,000. With plain
# descent the saturating loss does not come away from there. With Adam the factor stands above and below the line.

# %%
LOSSES = {"non-saturating": binary_cross_entropy, "saturating": generator_saturating}
lesson.step("A factor that Adam takes away")
fooled = {}
for loss_name, loss in LOSSES.items():
    for name, make in (("SGD", lambda p: optim.SGD(p, 0.01)), ("Adam", lambda p: optim.Adam(p, 0.01))):
        x = Parameter(np.zeros((1, 1)))
        optimizer, steps = make([x]), 0
        while x.value < 3 and steps < 5000:
            x.grad[...] = 4 * loss(4 * (x.value - 3), 1.0)[1]  # the chain rule: dlogit / dx = 4
            optimizer.step()
            steps += 1
        fooled[name, loss_name] = steps if x.value >= 3 else np.inf
        print(
            f"{name:<4} {loss_name:<14} fools D after {fooled[name, loss_name]} steps (x = {x.value.item():.3f})"
        )

# %% [markdown]
# ## Is it why the two losses tie?
#
# In `07_whole_game.py` points that G draws are to lie on eight places, the *modes*, and both losses find all eight; a
# point is *of high quality* if it lies within 3 sigma of one. Here is that game again, smaller (64 units, batches of
# 128, 1,500 rounds), with each optimiser and each loss. Where a game runs off to infinity, no mode is counted.


# %%
def small_game(make, d_rate, g_rate, loss, seed):
    """(modes of 8, share of high quality, mean logit of generated points) of one game."""
    rng, data, width, batch = np.random.default_rng(seed), Mixture.ring(), 64, 128
    networks = []
    for outputs in (2, 1):  # G, then D
        layers = dense_stack((2, width, width), rng, normalize=False)
        networks.append(Sequential([*layers, Dense(width, outputs, rng=rng)]))
    generator, discriminator = networks
    counted, logits = rng.standard_normal((2500, 2)).astype(np.float32), []
    d_optimizer = make(discriminator.parameters(), optim.linear_decay(d_rate, 0, ROUNDS))
    g_optimizer = make(generator.parameters(), optim.linear_decay(g_rate, 0, ROUNDS))
    for _ in range(ROUNDS):
        fake = generator.forward(rng.standard_normal((batch, 2)).astype(np.float32))
        for _ in range(D_STEPS):
            discriminator_step(discriminator, data.sample(batch, rng), fake, d_optimizer)
        logits.append(float(generator_step(generator, discriminator, fake, g_optimizer, loss).logits.mean()))
        if not np.isfinite(logits[-1]):
            return 0, 0.0, np.nan
    modes, share = count_modes(generator.forward(counted, train=False), data.centres, data.sigma)
    return modes, share, float(np.mean(logits))


lesson.step("Is it why the two losses tie?")
ROUNDS, SEEDS = (30, 1) if args.quick else (1500, 3)
# Of each game: the optimiser, and the rates of D and G.
RATES = {
    "Adam": (optim.Adam, 3e-3, 3e-3),
    "SGD": (optim.SGD, 0.1, 0.1),
    "SGD, G slower": (optim.SGD, 0.1, 0.05),
}
found = {}
with np.errstate(over="ignore", invalid="ignore"):  # games that run off
    for name, (make, d_rate, g_rate) in RATES.items():
        for loss_name, loss in LOSSES.items():
            seeds = range(args.seed, args.seed + SEEDS)
            found[name, loss_name] = [small_game(make, d_rate, g_rate, loss, seed) for seed in seeds]
            modes, shares, logits = zip(*found[name, loss_name])
            print(
                f"{name:<14} {loss_name:<14} modes {', '.join(map(str, modes))}; high quality "
                f"{', '.join(f'{share:.1%}' for share in shares)}; logit {', '.join(f'{at:.1f}' for at in logits)}"
            )
