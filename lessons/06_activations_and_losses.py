# %% [markdown]
# # 6. Activations and losses
#
# The small functions that decide whether a GAN's gradients live or die. The lesson shows the four activations and
# their slopes, why the discriminator's loss takes *logits*, what happens when a sigmoid is applied twice, the two
# losses of the generator, and a loss for the discriminator that points the right way and still never comes to rest.
# Two of these are mistakes in a tutorial, measured here.
#
# Four words of lesson 7, where the game is played. The *generator* G turns random numbers z, the noise, into a
# sample. The *discriminator* D looks at a sample x and gives one number, its *logit* D(x): above 0 it says "real",
# below 0 "generated". The probability that it gives to "real" is s = sigmoid(D(x)). (Goodfellow et al. write D for
# this probability; in these lessons D is the network, and its output the logit.) A *loss* is the number that a
# player lowers; its unit is the *nat*, that of the natural logarithm: log 2 = 0.693 nats are one bit.
#
# *The tutorial* is the article that this package works out, a Chinese one on drawing and repairing images with GANs,
# with code for Keras. Lessons 8 and 10 build its networks; here we need two of its lines.
#
# Sources: Goodfellow et al. 2014, "Generative adversarial nets", equation 1 and section 3; Maas et al. 2013
# (LeakyReLU); Radford et al. 2016 (DCGAN), section 3.

# %%
import math

import numpy as np
from matplotlib.figure import Figure

from npgan.gradcheck import check_loss
from npgan.layers import Dense, LeakyReLU, ReLU, Sigmoid, Tanh
from npgan.layers.activations import sigmoid
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy, generator_saturating, softplus

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "06_activations_and_losses", "Activations, cross-entropy on logits, and the generator's two losses", FLAGS
)

# %% [markdown]
# ## Four activations and their slopes
#
# An activation works on every number alone, so backward multiplies dy by the slope: `dx = slope * dy`. A gradient
# that passes ten layers is multiplied by ten slopes. The sigmoid's slope is at most 1/4, and `0.25**10` is a
# millionth. ReLU's slope is 1 or 0: a unit that is off learns nothing. LeakyReLU lets a fifth through, so the
# discriminator always has something to tell the generator. Tanh ends the generator: pixels lie in [-1, 1].

# %%
lesson.step("Activations and their slopes")

x = np.linspace(-4, 4, 401)
normal = lesson.rng.standard_normal(100_000)  # what comes out of a layer, about
figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
mean_slope = {}
for layer in (ReLU(), LeakyReLU(0.2), Tanh(), Sigmoid()):
    name = type(layer).__name__
    line = "--" if name == "LeakyReLU" else "-"  # it hides ReLU's where x > 0
    left.plot(x, layer.forward(x), line, label=name)
    right.plot(x, layer.backward(np.ones_like(x)), line)  # dy = 1: the slope itself
    layer.forward(normal)
    mean_slope[name] = float(layer.backward(np.ones_like(normal)).mean())
    print(
        f"{name:10} mean slope for N(0, 1) inputs {mean_slope[name]:.3f}, to the tenth: {mean_slope[name] ** 10:.0e}"
    )
left.set(title="activation", xlabel="x", ylabel="y", ylim=(-1.5, 2.5))
right.set(title="slope", xlabel="x")
left.legend()
for axes in (left, right):
    axes.grid(alpha=0.3)
lesson.picture(figure, "activations.png")

# %% [markdown]
# ## Cross-entropy: on logits, in one piece
#
# *Cross-entropy* is minus the logarithm of the probability that was given to the truth: a judge that was sure and
# wrong pays much. For a real sample that is -log s, for a generated one -log(1 - s). Computed as written, sigmoid
# first and logarithm second, the latter breaks in float32: for logits above 17 or so, sigmoid rounds to exactly 1,
# and log(0) is minus infinity. Put together on paper, the two become harmless:
#
#     -log(1 - sigmoid(x)) = log(1 + exp(x)) = softplus(x) = max(x, 0) + log(1 + exp(-|x|))
#     gradient by x        = sigmoid(x)
#
# The exponent is never positive, so nothing overflows. Backward in two pieces is worse still: infinity times zero
# is not a number, and one such number spoils every weight at the next step.

# %%
lesson.step("Sigmoid, then logarithm")

logits = np.array([-100, -5, 0, 5, 15, 20, 100], np.float32)
with np.errstate(divide="ignore", invalid="ignore"):  # the accident is on purpose
    s = sigmoid(logits)
    loss_in_pieces = 0 - np.log(1 - s)  # 0 - : no -0
    slope_in_pieces = 1 / (1 - s) * (s * (1 - s))  # chain rule: the slope of -log(1 - s), times the sigmoid's
loss_on_logits = softplus(logits)
slope_on_logits = sigmoid(logits)
print(" logit   loss: in pieces   on logits   slope: in pieces   on logits")
for row in zip(logits, loss_in_pieces, loss_on_logits, slope_in_pieces, slope_on_logits):
    print("{:6.0f} {:17.7g} {:11.7g} {:18.7g} {:11.7g}".format(*row))

# %% [markdown]
# ## Sigmoid twice
#
# Keras's cross-entropy takes probabilities, or with `from_logits=True` logits, to which it applies the sigmoid
# itself. The tutorial's discriminator ends in a sigmoid, and its loss is told `from_logits=True`: the sigmoid
# comes twice. The "logits" that the loss sees lie in (0, 1). Even a perfect discriminator, 1 for real and 0 for
# generated, pays
#
#     softplus(-1) + softplus(0) = 0.3133 + 0.6931 = 1.0064
#
# and the gradient carries the first sigmoid's slope as a further factor, at most 1/4. Nothing crashes. The loss
# falls a little and stops, and looks as if the game were in balance. Below, a discriminator that gives +c to every
# real and -c to every generated sample, from undecided (c = 0) to certain (c = 10).
#
# With one sigmoid its two gradients are equal in size, 1 - s of the real sample. With two they are not. At c = 0 the
# loss sees sigmoid(0) = 0.5 for both, and the first sigmoid's slope is 1/4:
#
#     real        (1 - sigmoid(0.5)) / 4 = 0.0944      its largest value is 0.097, near c = -0.3 (lesson 8 draws it)
#     generated        sigmoid(0.5)  / 4 = 0.1556

# %%
lesson.step("Sigmoid twice")


def discriminator_loss(certainty, sigmoids):
    """Loss for a real logit +c and a generated one -c, and the sizes of its gradients by both; 1 or 2 sigmoids."""
    last = Sigmoid()
    total, sizes = 0.0, []
    for logit, target in ((certainty, 1.0), (-certainty, 0.0)):
        seen = np.array([[logit]])
        if sigmoids == 2:
            seen = last.forward(seen)
        loss, dlogit = binary_cross_entropy(seen, target)
        if sigmoids == 2:
            dlogit = last.backward(dlogit)
        total += float(loss)
        sizes.append(abs(float(dlogit[0, 0])))
    return total, *sizes


certainties = np.linspace(0, 10, 101)
once = np.array([discriminator_loss(c, 1) for c in certainties])  # (101, 3): loss, gradient real, generated
twice = np.array([discriminator_loss(c, 2) for c in certainties])
for c in (0, 2, 10):
    index = int(np.argmin(np.abs(certainties - c)))
    print(
        f"logits +-{c:2}: loss {once[index, 0]:.4f} with one sigmoid, {twice[index, 0]:.4f} with two; ",
        end="",
    )
    print(f"gradient {once[index, 1]:.4f}, and {twice[index, 1]:.4f} real, {twice[index, 2]:.4f} generated")

figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
for name, values in (("one sigmoid", once), ("two sigmoids", twice)):
    left.plot(certainties, values[:, 0], label=name)
right.plot(certainties, once[:, 1], label="one sigmoid, real and generated")
right.plot(certainties, twice[:, 1], color="C1", label="two sigmoids, real")
right.plot(certainties, twice[:, 2], color="C1", linestyle="--", label="two sigmoids, generated")
left.axhline(1.0064, color="grey", linestyle=":", label="1.0064")
left.set(title="discriminator's loss", xlabel="logits +c and -c, c =", ylabel="nats", ylim=(0, 1.6))
right.set(title="size of its gradients by the logits", xlabel="logits +c and -c, c =", ylim=(0, 0.55))
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "sigmoid_twice.png")

# %% [markdown]
# ## The generator's two losses
#
# Let s be D's probability for a generated sample, s = sigmoid(D(G(z))). D wants to lower -log(1 - s), so to raise
# log(1 - s). A game in which one player raises what the other lowers is called *minimax*: then G lowers log(1 -
# s), with the gradient -s by the logit. Early in training D rejects every sample, s is near 0, and the gradient
# vanishes exactly where it is needed: the loss *saturates*. Goodfellow et al. therefore let G lower -log s in
# place of it, which is the cross-entropy with the target "real". Its gradient, s - 1, pushes the logit the same
# way, but it is largest where D is sure that the sample is generated.
#
#     saturating        log(1 - s) = -softplus(logit)       gradient -s
#     non-saturating    -log s     =  softplus(-logit)      gradient s - 1
#
# A loss of the game is a function of (logits, target), the target 1 for "real" and 0 for "generated".

# %%
lesson.step("Saturating and non-saturating")

logit = np.linspace(-10, 10, 201)
losses = {"saturating": generator_saturating, "non-saturating": binary_cross_entropy}
figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
for name, loss in losses.items():
    left.plot(logit, [loss(np.array([v]), 1.0)[0] for v in logit], label=name)
    right.plot(logit, [loss(np.array([v]), 1.0)[1][0] for v in logit], label=name)
left.set(title="generator's loss", xlabel="discriminator's logit for a generated sample", ylabel="nats")
right.set(title="its gradient by the logit", xlabel="discriminator's logit for a generated sample")
for axes in (left, right):
    axes.axvspan(-10, -4, color="grey", alpha=0.15)
    axes.text(-9.7, 0.25, "D is sure:\nfake", transform=axes.get_xaxis_transform())
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "generator_losses.png")

gradient_at = {name: float(loss(np.array([-8.0]), 1.0)[1][0]) for name, loss in losses.items()}
check_errors = {
    name: check_loss(lambda x, loss=loss: loss(x, 1.0), lesson.rng.standard_normal((6, 1)), lesson.rng)
    for name, loss in losses.items()
}
for name in losses:
    print(f"{name:15} gradient at logit -8: {gradient_at[name]:+.5f}", end="")
    print(f"; relative error against finite differences {check_errors[name]:.0e}")

# %% [markdown]
# ## A loss without a floor
#
# The tutorial's discriminator minimises `mean log(1 - s) of real samples + mean log s of generated ones` (its
# section 3.1). Raising s of real samples and lowering that of generated ones does lower it: the direction is
# right. But compare the gradients by the logit of a real sample:
#
#     cross-entropy   -log s          gradient s - 1     fades as D becomes right: 0 at s = 1
#     as printed      log(1 - s)      gradient -s        grows as D becomes right: -1 at s = 1
#
# Cross-entropy spends its effort on the samples that D gets wrong. The printed loss spends it on those that D has
# right already, and it falls without end. Below, a discriminator of one dense layer on real samples from N(1, 1)
# and generated ones from N(-1, 1), numbers on a line. They overlap, so there is a best answer. Where real samples
# have the density p and generated ones q, the probability of "real" is s = p / (p + q), and its logit is
#
#     log(s / (1 - s)) = log(p / q) = -(x - 1)**2 / 2 + (x + 1)**2 / 2 = 2x
#
# for p is proportional to `exp(-(x - 1)**2 / 2)`, q to `exp(-(x + 1)**2 / 2)`, with one factor. So the best weight
# is 2, the best bias 0. Plain gradient descent, and the same rate for both.

# %%
lesson.step("A loss without a floor")

real = lesson.rng.standard_normal((2000, 1)) + 1  # (2000, 1)
fake = lesson.rng.standard_normal((2000, 1)) - 1  # (2000, 1)


def cross_entropy(real_logits, fake_logits):
    """Loss, and its gradients by both."""
    real_loss, dreal = binary_cross_entropy(real_logits, 1.0)
    fake_loss, dfake = binary_cross_entropy(fake_logits, 0.0)
    return real_loss + fake_loss, dreal, dfake


def as_printed(real_logits, fake_logits):
    """Mean of log(1 - s) of real samples plus mean of log s of generated ones, and its gradients by both."""
    loss = -softplus(real_logits).mean() - softplus(-fake_logits).mean()
    return loss, -sigmoid(real_logits) / real_logits.size, (1 - sigmoid(fake_logits)) / fake_logits.size


training_steps = 300 if lesson.args.quick else 2000
history = {}  # name -> list of (loss, weight)
for name, loss in (("cross-entropy", cross_entropy), ("as printed", as_printed)):
    discriminator = Dense(1, 1, rng=np.random.default_rng(lesson.args.seed)).astype("float64")
    history[name] = []
    for _ in range(training_steps):
        discriminator.zero_grad()
        # One forward for both: the memory of a layer is used once. Without batch normalization this is harmless.
        logits = discriminator.forward(np.concatenate([real, fake]))  # (4000, 1)
        value, dreal, dfake = loss(logits[:2000], logits[2000:])
        discriminator.backward(np.concatenate([dreal, dfake]))
        for parameter in discriminator.parameters():
            parameter.value -= 0.2 * parameter.grad
        history[name].append((float(value), float(discriminator.weight.value[0, 0])))
    half, last = history[name][training_steps // 2], history[name][-1]
    print(
        f"{name:14} loss {half[0]:9.3f}, weight {half[1]:7.2f} halfway; {last[0]:9.3f} and {last[1]:7.2f} at the end"
    )

figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
for name, values in history.items():
    left.plot([v[0] for v in values], label=name)
    right.plot([v[1] for v in values], label=name)
right.axhline(2, color="grey", linestyle=":", label="best: logit = 2x")
left.set(title="discriminator's loss (log scale beyond +-2)", xlabel="step", ylabel="nats")
left.set_yscale("symlog", linthresh=2)
right.set(title="the discriminator's weight (log scale)", xlabel="step", yscale="log")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "no_floor.png")

# %% [markdown]
# ## Checks
#
# Beside each bound stands the value measured (seed 0, full run); what is exact has no figure.

# %%
lesson.step("Checks")

assert mean_slope["Sigmoid"] < 0.25  # 0.207; no slope is above 1/4, so no room is needed
# Of 100,000 numbers half are positive, +- 0.0016; (1 + 0.2) / 2 and 1 / 2 are expected, 0.599 and 0.498 measured.
assert abs(mean_slope["LeakyReLU"] - 0.6) < 0.01 and abs(mean_slope["ReLU"] - 0.5) < 0.01
assert np.isinf(loss_in_pieces[-2:]).all() and np.isnan(slope_in_pieces[-2:]).all()  # logits 20 and 100
assert np.isfinite(loss_on_logits).all() and loss_on_logits[-1] == 100 and slope_on_logits[-1] == 1
floor = math.log1p(math.exp(-1)) + math.log(2)
assert abs(floor - 1.0064) < 5e-5 and (twice[:, 0] > floor).all()
assert twice[-1, 0] - floor < 1e-3 and once[-1, 0] < 1e-3  # 3e-5 and 9e-5, for c ends at 10
assert (twice[1:50, 1:] < once[1:50, 1:]).all()  # later both are 0 to a few digits
assert (
    abs(gradient_at["saturating"]) < 1e-3 and abs(gradient_at["non-saturating"]) > 0.999
)  # 0.00034, 0.99966
assert max(check_errors.values()) < 1e-6  # 7e-10; a gradient that is 0.1% wrong gives 1e-3
good, printed = (np.array(history[name]) for name in ("cross-entropy", "as printed"))  # (steps, 2)
# 1.98, and 1.95 to 2.15 over seeds 0 to 4: the best weight for just these 4,000 samples is not 2.
assert abs(good[-1, 1] - 2) < 0.4 and good[-1, 0] > 0
middle = training_steps // 2
late_growth = (printed[-1, 1] - printed[middle, 1]) / (training_steps - 1 - middle)
assert late_growth > 0.2  # 0.43 a step: the rate 0.2, times E[x; x > 0] = 1.08 for each kind once D is sure
assert (
    printed[-1, 0] < 1.8 * printed[middle, 0] < 0
)  # 2.0 times as low after twice the steps: a straight line
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. The least-squares GAN (Mao et al. 2017) takes `(logit - 1)**2` for real and `logit**2` for generated
#    samples. Write it as a function of (logits, target) that returns (loss, gradient), and prove it as above, by
#    `check_loss(lambda x: mine(x, 1.0), logits, rng)` with float64 logits. At which logit does its gradient
#    vanish, and at which does that of `binary_cross_entropy`? (`npgan.losses.least_squares` is half of it.)
# 2. *Softplus* as an activation: y = log(1 + exp(x)). Write the layer without overflow and check it with
#    `npgan.gradcheck.check_layer`. Which slope has it, and which activation does it smooth? Its mean slope for the
#    numbers `normal` above should come out near 0.5.
# 3. One-sided label smoothing (Salimans et al. 2016) uses the target 0.9 for real samples. Find the logit at which
#    the gradient of `binary_cross_entropy(logit, 0.9)` is zero, on paper, and print the gradient there.
