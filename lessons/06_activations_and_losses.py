# %% [markdown]
# # 6. Activations and losses
#
# The small functions that decide whether a GAN's gradients live or die. The lesson shows the four activations and
# their slopes, why the discriminator's loss takes *logits*, what happens when a sigmoid is applied twice, the two
# losses of the generator, and a loss for the discriminator that points the right way and still never comes to rest.
# Two of these are mistakes in the tutorial that this package works out, measured here.
#
# A logit is the discriminator's output before any sigmoid: above 0 it says "real". D = sigmoid(logit).
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
from npgan.losses import binary_cross_entropy, generator_non_saturating, generator_saturating, softplus

lesson = Lesson(
    "06_activations_and_losses", "Activations, cross-entropy on logits, and the generator's two losses"
)

# %% [markdown]
# ## Four activations and their slopes
#
# An activation works on every number alone, so backward multiplies dy by the slope: dx = slope * dy. A gradient that
# passes ten layers is multiplied by ten slopes. The sigmoid's slope is at most 1/4, and 0.25**10 is a millionth.
# ReLU's slope is 1 or 0: a unit that is off hears nothing. LeakyReLU lets a fifth through, so the discriminator
# always has something to tell the generator. Tanh ends the generator: pixels lie in [-1, 1].

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
# The discriminator's loss for a generated sample is -log(1 - D). Computed as written, sigmoid first and logarithm
# second, it breaks in float32: for logits above 17 or so, sigmoid rounds to exactly 1, and log(0) is minus
# infinity. Put together on paper, the two become harmless:
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
    d = sigmoid(logits)
    loss_in_pieces = 0 - np.log(1 - d)  # 0 - : no -0
    slope_in_pieces = 1 / (1 - d) * (d * (1 - d))  # chain rule: the slope of -log(1 - D), times the sigmoid's
loss_on_logits = softplus(logits)
slope_on_logits = sigmoid(logits)
print(" logit   loss: in pieces   on logits   slope: in pieces   on logits")
for row in zip(logits, loss_in_pieces, loss_on_logits, slope_in_pieces, slope_on_logits):
    print("{:6.0f} {:17.7g} {:11.7g} {:18.7g} {:11.7g}".format(*row))

# %% [markdown]
# ## Sigmoid twice
#
# The tutorial's discriminator ends in a sigmoid, and its loss is told `from_logits=True`, so the loss applies another
# one. The "logits" it sees lie in (0, 1). Even a perfect discriminator, 1 for real and 0 for generated, pays
#
#     softplus(-1) + softplus(0) = 0.3133 + 0.6931 = 1.0064
#
# and the gradient carries the first sigmoid's slope as a further factor, at most 1/4. Nothing crashes. The loss
# falls a little and stops, and looks as if the game were in balance. Below, a discriminator that gives +c to every
# real and -c to every generated sample, from undecided (c = 0) to certain (c = 10).

# %%
lesson.step("Sigmoid twice")


def discriminator_loss(certainty, sigmoids):
    """Loss for a real logit +c and a generated one -c, and the gradient by the real one; after 1 or 2 sigmoids."""
    last = Sigmoid()
    total, slope = 0.0, 0.0
    for logit, target in ((certainty, 1.0), (-certainty, 0.0)):
        seen = np.array([[logit]])
        if sigmoids == 2:
            seen = last.forward(seen)
        loss, dlogit = binary_cross_entropy(seen, target)
        if sigmoids == 2:
            dlogit = last.backward(dlogit)
        total += float(loss)
        slope = max(slope, abs(float(dlogit[0, 0])))
    return total, slope


certainties = np.linspace(0, 10, 101)
once = np.array([discriminator_loss(c, 1) for c in certainties])  # (101, 2): loss, slope
twice = np.array([discriminator_loss(c, 2) for c in certainties])
for c in (0, 2, 10):
    index = int(np.argmin(np.abs(certainties - c)))
    print(
        f"logits +-{c:2}: loss {once[index, 0]:.4f} with one sigmoid, {twice[index, 0]:.4f} with two; ",
        end="",
    )
    print(f"largest gradient {once[index, 1]:.4f} and {twice[index, 1]:.4f}")

figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
for name, values in (("one sigmoid", once), ("two sigmoids", twice)):
    left.plot(certainties, values[:, 0], label=name)
    right.plot(certainties, values[:, 1], label=name)
left.axhline(1.0064, color="grey", linestyle=":", label="1.0064")
left.set(title="discriminator's loss", xlabel="logits +c and -c, c =", ylabel="nats", ylim=(0, 1.6))
right.set(title="larger of its two gradients", xlabel="logits +c and -c, c =", ylim=(0, 0.55))
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "sigmoid_twice.png")

# %% [markdown]
# ## The generator's two losses
#
# The minimax game says: what D wants to raise, G lowers. That is log(1 - D(G(z))), with the gradient -D by the
# logit. Early in training D rejects every sample, D is near 0, and the gradient vanishes exactly where it is needed:
# the loss *saturates*. Goodfellow et al. therefore let G lower -log D(G(z)) in place of it. Its gradient, D - 1,
# pushes the logit the same way, but it is largest where D is sure that the sample is fake.
#
#     saturating        log(1 - D) = -softplus(logit)       gradient -D
#     non-saturating    -log D     =  softplus(-logit)      gradient D - 1

# %%
lesson.step("Saturating and non-saturating")

logit = np.linspace(-10, 10, 201)
losses = {"saturating": generator_saturating, "non-saturating": generator_non_saturating}
figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
for name, loss in losses.items():
    left.plot(logit, [loss(np.array([v]))[0] for v in logit], label=name)
    right.plot(logit, [loss(np.array([v]))[1][0] for v in logit], label=name)
left.set(title="generator's loss", xlabel="discriminator's logit for a generated sample", ylabel="nats")
right.set(title="its gradient by the logit", xlabel="discriminator's logit for a generated sample")
for axes in (left, right):
    axes.axvspan(-10, -4, color="grey", alpha=0.15)
    axes.text(-9.7, 0.25, "D is sure:\nfake", transform=axes.get_xaxis_transform())
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "generator_losses.png")

gradient_at = {name: float(loss(np.array([-8.0]))[1][0]) for name, loss in losses.items()}
check_errors = {
    name: check_loss(loss, lesson.rng.standard_normal((6, 1)), lesson.rng) for name, loss in losses.items()
}
for name in losses:
    print(f"{name:15} gradient at logit -8: {gradient_at[name]:+.5f}", end="")
    print(f"; relative error against finite differences {check_errors[name]:.0e}")

# %% [markdown]
# ## A loss without a floor
#
# The tutorial's discriminator minimises E[log(1 - D(x))] + E[log D(G(z))], for x real. Raising D(x) and lowering
# D(G(z)) does lower it: the direction is right. But compare the gradients by the logit of a real sample:
#
#     cross-entropy   -log D(x)         gradient D - 1     fades as D becomes right: 0 at D = 1
#     as printed      log(1 - D(x))     gradient -D        grows as D becomes right: -1 at D = 1
#
# Cross-entropy spends its effort on the samples that D gets wrong. The printed loss spends it on those that D has
# right already, and it falls without end. Below, a discriminator of one dense layer on real samples from N(1, 1)
# and generated ones from N(-1, 1). They overlap, so there is a best answer: logit = 2x, the logarithm of the ratio
# of the two densities. Plain gradient descent, and the same rate for both.

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
    """Mean of log(1 - D(real)) plus mean of log D(fake), and its gradients."""
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
left.set(title="loss", xlabel="step", yscale="symlog")
right.set(title="the discriminator's weight", xlabel="step", yscale="log")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "no_floor.png")

# %%
lesson.step("Checks")

assert mean_slope["Sigmoid"] < 0.25 and abs(mean_slope["LeakyReLU"] - 0.6) < 0.01
assert abs(mean_slope["ReLU"] - 0.5) < 0.01
assert np.isinf(loss_in_pieces[-2:]).all() and np.isnan(slope_in_pieces[-2:]).all()  # logits 20 and 100
assert np.isfinite(loss_on_logits).all() and loss_on_logits[-1] == 100 and slope_on_logits[-1] == 1
floor = math.log1p(math.exp(-1)) + math.log(2)
assert abs(floor - 1.0064) < 5e-5 and (twice[:, 0] > floor).all() and twice[-1, 0] - floor < 1e-3
assert once[-1, 0] < 1e-3 and (twice[1:50, 1] < once[1:50, 1]).all()
assert abs(gradient_at["saturating"]) < 1e-3 and abs(gradient_at["non-saturating"]) > 0.999
assert max(check_errors.values()) < 1e-6
good, printed = (np.array(history[name]) for name in ("cross-entropy", "as printed"))  # (steps, 2)
assert abs(good[-1, 1] - 2) < (0.7 if lesson.args.quick else 0.4) and good[-1, 0] > 0
middle = training_steps // 2
late_growth = (printed[-1, 1] - printed[middle, 1]) / (training_steps - 1 - middle)
assert late_growth > 0.2 and printed[-1, 0] < 1.8 * printed[middle, 0] < 0  # it runs off in a straight line
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. The least-squares GAN (Mao et al. 2017) takes (logit - 1)**2 for real and logit**2 for generated samples. Write
#    it as a pair (loss, gradient) and prove it with `npgan.gradcheck.check_loss`. Where does its gradient vanish?
# 2. *Softplus* as an activation: y = log(1 + exp(x)). Write the layer without overflow and check it with
#    `npgan.gradcheck.check_layer`. Which slope has it, and which activation does it smooth?
# 3. One-sided label smoothing (Salimans et al. 2016) uses the target 0.9 for real samples. Find the logit at which
#    the gradient of `binary_cross_entropy(logit, 0.9)` is zero, on paper and with the function.
