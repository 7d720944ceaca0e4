# %% [markdown]
# # 5. Batch normalization
#
# Give every channel mean zero and variance one over the batch, then scale and shift it: that made deep GANs
# trainable (DCGAN, Radford et al. 2016). It is also the layer with the most surprises. The lesson derives its
# backward pass step by step, shows a test that passes for a wrong formula, follows the running statistics, and
# measures what happens when real and generated samples share a batch.
#
# Source: Ioffe and Szegedy 2015, "Batch normalization", sections 3 and 3.1.

# %%
import inspect
import time

import numpy as np
from matplotlib.figure import Figure

from npgan.gradcheck import check_layer
from npgan.layers import BatchNormalization
from npgan.layers.batchnorm import input_gradient, moments, scale_and_shift, summed_gradients
from npgan.lesson import Lesson

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "05_batch_normalization", "Its backward, derived; train and inference; why batches are not mixed", FLAGS
)

# What exercise 3 changes.
RUNNING_BATCH = 64  # values in each batch that the running statistics see

# %% [markdown]
# ## Forward
#
# Each channel is on its own. Take its M values: one a sample for dense layers, `N*H*W` for images.
#
#     m = mean(x)     v = mean((x - m)**2)     r = sqrt(v + epsilon)
#     u = (x - m) / r
#     y = gamma * u + beta
#
# gamma and beta are learned, one number a channel each. epsilon = 1e-5 keeps a constant channel from dividing by
# 0. The two functions are the package's own, `npgan/layers/batchnorm.py`; `.plain` is what is written there, and
# what `@faster` may put in its place is timed below.

# %%
lesson.step("Forward: every channel gets mean 0 and standard deviation 1")

epsilon = 1e-5
x = lesson.rng.standard_normal((8, 3)) * [1.0, 5.0, 0.2] + [0.0, -3.0, 7.0]  # (M, C)
gamma, beta = lesson.rng.uniform(0.5, 1.5, 3), lesson.rng.standard_normal(3)  # (C,), (C,)


print(inspect.getsource(moments.plain))
print(inspect.getsource(scale_and_shift.plain))


def forward(x):
    """Return y, and what backward needs."""
    m, v = moments.plain(x)  # (C,), (C,)
    r = np.sqrt(v + epsilon)  # (C,)
    return scale_and_shift.plain(x, m, gamma / r, beta), m, r


y, m, r = forward(x)
u = (x - m) / r  # (M, C)
print("x: means", x.mean(axis=0).round(2), " standard deviations", x.std(axis=0).round(2))
print("u: means", (u.mean(axis=0) + 0.0).round(2), " standard deviations", u.std(axis=0).round(2))

# %% [markdown]
# ## Backward, one step at a time
#
# A change of one x moves y in three ways: directly, through the mean, and through the variance. So dx has three
# terms. Backward through the lines above, from the last to the first, with all sums over the M values:
#
#     du = gamma * dy
#     dv = sum(du * (x - m)) * (-1/2) * (v + epsilon)**(-3/2)   = -sum(du * u) / (2 r**2)
#     dm = sum(du) * (-1/r)  +  dv * mean(-2 (x - m))           = -sum(du) / r      (the deviations sum to 0)
#     dx = du / r            +  dv * 2 (x - m) / M  +  dm / M
#          directly             through the variance   through the mean
#
# Put the second and third line into the fourth, and use (x - m) = u r:
#
#     dx = gamma / r * (dy - mean(dy) - u * mean(dy * u))
#
# In words: what remains of dy after its mean has been taken out, and after its part along u has been taken out. A
# shift of x or a stretch of x leaves y as it is, so no gradient may point that way.
#
# gamma and beta stand outside: y = gamma * u + beta, so each dy counts u times for gamma and once for beta. Their
# gradients are sums over all values of a channel, since one gamma and one beta serve them all:
#
#     dgamma = sum(dy * u)          dbeta = sum(dy)
#
# These are M times the two means in the formula for dx. So the package computes them first and dx from them.
#
# Two sums show whether dx is right. Sum dx over the batch: mean(u) = 0, so nothing is left. Sum dx * u: with
# `mean(u**2) = v / r**2 = 1 - epsilon / r**2` it is
#
#     sum(dx * u) = gamma / r * sum(dy * u) * (1 - mean(u**2)) = gamma / r * sum(dy * u) * epsilon / r**2
#
# which would be 0 but for epsilon. It shows in a channel whose variance is small.

# %%
lesson.step("Backward: step by step, and in one line")


def backward_in_steps(dy):
    du = gamma * dy  # (M, C)
    dv = -(du * u).sum(axis=0) / (2 * r**2)  # (C,)
    dm = -du.sum(axis=0) / r  # (C,)
    return du / r + dv * 2 * u * r / len(x) + dm / len(x)  # (M, C)


print(inspect.getsource(summed_gradients.plain))
print(inspect.getsource(input_gradient.plain))


def backward(dy):
    dbeta, dgamma = summed_gradients.plain(dy, x, m, 1 / r)  # (C,), (C,)
    return input_gradient.plain(dy, x, m, 1 / r, gamma, dbeta, dgamma)  # (M, C)


random_dy = lesson.rng.standard_normal(x.shape)
steps_error = np.abs(backward_in_steps(random_dy) - backward(random_dy)).max()
print(f"largest difference between the two: {steps_error:.0e}")
dx = backward(random_dy)
print(f"sum of dx over the batch: {np.abs(dx.sum(axis=0)).max():.0e} (a shift of x changes nothing)")
stretch = (dx * u).sum(axis=0)  # (C,)
left_by_epsilon = gamma / r * (random_dy * u).sum(axis=0) * epsilon / r**2  # (C,)
print("sum of dx * u, by channel:", ", ".join(f"{value:+.1e}" for value in stretch))
print("what epsilon leaves of it:", ", ".join(f"{value:+.1e}" for value in left_by_epsilon))

# %% [markdown]
# ## A test that checks nothing
#
# The popular way to test a backward pass is to take the sum of the output as the loss, which is dy = 1 everywhere.
# For this layer the sum of y is M * beta, whatever x is! So the true gradient is zero, and every formula that
# gives zero for a constant dy passes, right or wrong. Below are two wrong ones. The picture sets each number of dx
# against the finite difference, both times r of its channel, so that the three channels have one scale. On the
# diagonal is right.

# %%
lesson.step("dy = 1 checks nothing")


def without_variance_term(dy):
    return gamma / r * (dy - dy.mean(axis=0))


def wrong_sign(dy):
    return gamma / r * (dy - dy.mean(axis=0) + u * (dy * u).mean(axis=0))


def finite_differences(dy, eps=1e-6):
    """Change of sum(dy * y) for a step of each number of x."""
    dx = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = eps
        dx[index] = ((forward(x + step)[0] - forward(x - step)[0]) * dy).sum() / (2 * eps)
    return dx


formulas = {"right": backward, "without the variance term": without_variance_term, "wrong sign": wrong_sign}
kinds_of_dy = {"dy = 1": np.ones_like(x), "dy random": random_dy}
figure = Figure(figsize=(4.75 * len(kinds_of_dy), 4.8), layout="constrained")
differences = {}
for axes, (kind, dy) in zip(figure.subplots(1, len(kinds_of_dy)), kinds_of_dy.items()):
    numeric = finite_differences(dy)
    for (name, formula), marker in zip(formulas.items(), "ox+s^v"):
        differences[kind, name] = float(np.abs(formula(dy) - numeric).max())
        print(f"{kind:10} {name:26} largest difference from finite differences {differences[kind, name]:.0e}")
        axes.plot((numeric * r).ravel(), (formula(dy) * r).ravel(), marker, label=name, alpha=0.8)
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    limit = 1.1 * np.abs(wrong_sign(random_dy) * r).max()
    axes.set(title=kind, xlabel="finite difference, times r", xlim=(-limit, limit), ylim=(-limit, limit))
figure.axes[0].set_ylabel("formula, times r")
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(formulas))
lesson.picture(figure, "dy_of_ones.png")

layer = BatchNormalization(3).astype("float64")
layer_errors = check_layer(layer, x, rng=lesson.rng)  # uses a random dy, always
print("npgan's layer:", ", ".join(f"{name} {error:.0e}" for name, error in layer_errors.items()))

# %% [markdown]
# ## What the fast form does differently
#
# Each line above reads all of x and writes an array as large, from memory and back. The fast form goes through x
# in pieces that stay in the cache, shared by the cores, and reads x once for both moments
# (`npgan/fast/normalization.py`).

# %%
lesson.step("The plain form beside the fast one")

images = lesson.rng.standard_normal((4 if lesson.args.quick else 64, 32, 32, 32), dtype=np.float32)
scale = np.ones(32, np.float32)
forms = {}
for name in ("plain", "fast"):
    find_moments, normalise = (getattr(kernel, name) for kernel in (moments, scale_and_shift))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        mean, variance = find_moments(images)
        forms[name] = normalise(images, mean, scale / np.sqrt(variance + np.float32(epsilon)), 0 * scale)
        times.append(time.perf_counter() - start)
    print(f"{name}: {len(images)} images of 32 x 32 x 32 forward in {1e3 * min(times):.1f} ms")
forms_differ = float(np.abs(forms["plain"] - forms["fast"]).max())
print(f"largest difference {forms_differ:.0e}: float32, and 65,536 numbers added in another order")

# %% [markdown]
# ## Training and inference
#
# In training a sample's output depends on the rest of its batch. To draw *one* image from a trained generator there
# is no batch. So the layer keeps running statistics, and `forward(x, train=False)` uses them:
#
#     running = momentum * running + (1 - momentum) * batch
#
# This is the Keras meaning of momentum; PyTorch's momentum is one minus it. They start at mean 0 and variance 1,
# and need about 1 / (1 - momentum) batches to forget that. After that they still tremble. Put the line into itself
# again and again, m for momentum:
#
#     running = (1 - m) * (batch  +  m * batch before  +  m**2 * the one before that  +  ...)
#
# The means of batches of M values with standard deviation sigma are independent, each with the variance
# `sigma**2 / M`. Variances of independent terms add, each times the square of its factor, and the squares are a
# geometric series, `1 + m**2 + m**4 + ... = 1 / (1 - m**2)`:
#
#     variance of running = (1 - m)**2 / (1 - m**2) * sigma**2 / M = (1 - m) / (1 + m) * sigma**2 / M
#
# The lesson measures the standard deviation, its root. Small momentum: quick and noisy. Large: slow and calm.

# %%
lesson.step("Running statistics")

true_mean, true_std = 5.0, 3.0
tracks, variances = {}, {}
for momentum in (0.8, 0.99):
    layer = BatchNormalization(1, momentum=momentum)
    tracks[momentum], variances[momentum] = [], []
    for _ in range(1000):
        batch = lesson.rng.standard_normal((RUNNING_BATCH, 1)) * true_std + true_mean  # (M, 1)
        layer.forward(batch.astype(np.float32))
        tracks[momentum].append(float(layer.running_mean[0]))
        variances[momentum].append(float(layer.running_variance[0]))
trembling = {}
for momentum, track in tracks.items():
    expected = true_std / RUNNING_BATCH**0.5 * ((1 - momentum) / (1 + momentum)) ** 0.5
    trembling[momentum] = (float(np.std(track[500:])), expected)
    print(
        f"momentum {momentum}: after 1 batch {track[0]:.2f}, 5 {track[4]:.2f}, 100 {track[99]:.2f}; "
        f"standard deviation later {trembling[momentum][0]:.3f}, expected {expected:.3f}"
    )
    print(f"   running variance later, mean {np.mean(variances[momentum][500:]):.2f}")

figure = Figure(figsize=(7, 3.4))
axes = figure.add_subplot(title="Running mean of one channel", xlabel="batches seen", ylabel="running mean")
for momentum, track in tracks.items():
    axes.plot(range(1, 401), track[:400], label=f"momentum {momentum}")
axes.axhline(true_mean, color="grey", linewidth=1, label="true mean")
axes.grid(alpha=0.3)
axes.legend(loc="lower right")
lesson.picture(figure, "running_mean.png")

sample = np.full((1, 1), 8.0, np.float32)  # one standard deviation above the mean
companions = [(lesson.rng.standard_normal((7, 1)) * 3 + 5).astype(np.float32) for _ in range(3)]
layer.freeze()  # look without changing the running statistics
in_training = [float(layer.forward(np.concatenate([sample, others]))[0, 0]) for others in companions]
alone = float(layer.forward(sample, train=False)[0, 0])
print("the same sample in three batches:", np.round(in_training, 2), f" at inference: {alone:.2f}")

# %% [markdown]
# ## Why real and generated batches are not mixed
#
# A discriminator sees real and generated samples. It would be handy to stack them into one batch. Then the mean is
# taken over both kinds: what a *real* sample becomes now depends on the generated ones and on how many there are.
# Suppose that a channel is N(1, 1) for real and N(-1, 1) for generated samples.
#
# - Mixed half and half, the mean lies between the kinds: the layer hands the discriminator the two kinds left and
#   right of zero. It can judge by the composition of the batch, which is not a property of any image.
# - Each kind in a batch of its own: both get mean 0. A mere shift no longer tells them apart, so the discriminator
#   has to look at the shape. The generator gets a harder and more useful judge.
# - Mixed, the gradients leak: the generated samples' loss has a gradient with respect to the real ones.

# %%
lesson.step("Mixed batches")

real = lesson.rng.standard_normal((512, 1)).astype(np.float32) + 1  # (512, 1)
fake = lesson.rng.standard_normal((512, 1)).astype(np.float32) - 1  # (512, 1)
layer = BatchNormalization(1)
apart = layer.forward(real), layer.forward(fake)
both = layer.forward(np.concatenate([real, fake]))  # (1024, 1)
together = both[:512], both[512:]

shift_by_share = {}
for count in (0, 128, 256, 512):
    normalised = layer.forward(np.concatenate([real, fake[:count]]))[:512]
    shift_by_share[count] = float(normalised.mean())
    print(f"512 real + {count:3} generated: the real ones have mean {shift_by_share[count]:+.2f}", end="")
    print(f" and standard deviation {normalised.std():.2f} after the layer")

layer.forward(np.concatenate([real, fake]))
dy = np.concatenate([np.zeros_like(real), lesson.rng.standard_normal(fake.shape).astype(np.float32)])
leak = layer.backward(dy)[:512]  # the loss looks at generated samples only
print(f"a loss on the generated ones alone has a gradient by the real ones of up to {np.abs(leak).max():.1e}")

figure = Figure(figsize=(11, 3.2), layout="constrained")
for axes, (title, pair) in zip(
    figure.subplots(1, 3, sharey=True),
    {"before the layer": (real, fake), "one batch for both": together, "a batch for each": apart}.items(),
):
    bins = np.linspace(-4, 4, 41)
    axes.hist(pair[0][:, 0], bins, alpha=0.6, label="real")
    axes.hist(pair[1][:, 0], bins, alpha=0.6, label="generated")
    axes.set(title=title, xlabel="value in the channel")
    axes.axvline(0, color="grey", linewidth=0.8)
axes.legend()
lesson.picture(figure, "mixed_batches.png")

# %%
lesson.step("Checks")

# Beside each bound stands what was measured with seeds 0 to 4; the margins are for sums in another order, and for the
# chance that another seed brings.
assert np.allclose(u.mean(axis=0), 0) and np.allclose(u.std(axis=0), 1, rtol=1e-3)  # 6e-4: epsilon / (2 r**2)
assert steps_error < 1e-12  # 5e-15: float64, two forms of the same sums
assert np.allclose(dx.sum(axis=0), 0, atol=1e-11) and np.allclose(
    stretch, left_by_epsilon, atol=1e-11
)  # 8e-14: rounding of float64
assert forms_differ < 1e-4  # 1e-6: float32, and numbers up to 5 in size
three = ("right", "without the variance term", "wrong sign")
assert all(differences["dy = 1", name] < 1e-6 for name in three)  # 3e-8: all pass, nothing is checked
assert differences["dy random", "right"] < 1e-6  # 3e-8: rounding, divided by the step
assert all(differences["dy random", name] > 1e-2 for name in three[1:])  # 0.9 to 10: as large as dx
assert max(layer_errors.values()) < 1e-6  # 5e-9; a gradient that is 0.1% wrong gives 1e-3
for momentum, (measured, expected) in trembling.items():
    # 0.98 to 1.05, and 0.60 to 0.83: with momentum 0.99 the mean remembers some 100 batches, and 500 hold few such.
    assert 0.4 < measured / expected < 2.0, momentum
assert (
    abs(tracks[0.8][4] - true_mean) < 0.6 * true_mean < abs(tracks[0.99][4] - true_mean)
)  # 1.6, and 4.7, of 5
if RUNNING_BATCH == 64:
    # 0.16 to 0.63, and 0.01 to 0.03: the running mean and spread tremble by 0.1 and less.
    assert np.ptp(in_training) > 0.01 and abs(alone - (8 - 5) / 3) < 0.2
# 3e-8 at most, float32; then 0.30 to 0.32, 0.48 to 0.49, 0.70 to 0.72
assert abs(shift_by_share[0]) < 1e-5 and shift_by_share[128] < shift_by_share[256] < shift_by_share[512]
assert (
    abs(shift_by_share[512] - 2**-0.5) < 0.1
)  # 0.02: half the distance, 1, over both kinds' spread, sqrt(1 + 1)
assert abs(float(apart[0].mean() - apart[1].mean())) < 1e-5  # 5e-8: float32
assert np.abs(leak).max() > 1e-4  # 9e-3 to 6e-2; in batches of their own it would be 0
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. *Layer normalization* takes mean and variance over the channels of each sample. Write it with a backward pass
#    and prove it with `npgan.gradcheck.check_layer`. Where must gamma stand in the formula for dx now, and why?
# 2. Is a loss of `sum(y**2)` a good test for this layer? Work out the sum for gamma = 1, beta = 0. Then set above
#    `gamma, beta = np.ones(3), np.zeros(3)`, add `"dy = 2 y": 2 * y` to `kinds_of_dy`, and read the differences.
#    Which of the three formulas does it catch? Add a fourth to `formulas`, wrong in another place, that it lets
#    pass. Does dy = 1 let that one pass?
# 3. Set `RUNNING_BATCH = 4`. The lesson prints the mean of the running variance. Does it settle at 9? By what
#    factor is it off, and where does that factor come from? (The variance divides by M.)
#
# Worked answers, with the figures to expect: `python lessons/answers/05_batch_normalization.py`.
