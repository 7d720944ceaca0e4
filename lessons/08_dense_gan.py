# %% [markdown]
# # 8. A dense GAN, as printed and mended
#
# The article that this package works out (lesson 6 calls it the tutorial; here section 4.1) prints a GAN of dense
# layers for 64x64x3 images. It cannot run. We build it layer by layer with the printed widths, meet its mistakes
# one at a time, measure each, and mend them: the shapes, a loss without a gradient, a sigmoid too many, and a
# generator that passes through 4 numbers. Then three versions draw coloured glyphs, digits in many fonts (or your
# own images, `--data`).
#
# Dense layers do not know that pixels have neighbours: expect coloured, blurred shapes. Lesson 9 takes convolutions.

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

from npgan import data, optim, show, verdict
from npgan.adversarial import discriminator_step, generator_step
from npgan.layers import Dense, Flatten, Reshape, Sequential, Sigmoid, Tanh
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy
from npgan.networks import dense_stack
from npgan.training import Run

TITLE = "The article's dense GAN, as printed and mended"
FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("08_dense_gan", TITLE, FLAGS, steps=1000, quick_steps=30, data="glyphs")
args, rng = lesson.args, lesson.rng

LATENT, BATCH = 100, 64
PRINTED_G = (128, 128, 100, 64, 32, 16, 8, 4)  # then 3 units and tanh
PRINTED_D = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2)  # then 1 unit and sigmoid

# What the exercises change, all of it in the mended version.
MENDED_G = (128, 128)  # units of the generator's hidden layers
SQUASHED = False  # True: the discriminator ends in the article's sigmoid
SMALL_AT_PIXELS = True  # False: the first weights next to the pixels are as large as any others
AS_SHIPPED = (MENDED_G, SQUASHED, SMALL_AT_PIXELS) == ((128, 128), False, True)

# %%
lesson.step("The data")
images = data.load(
    args.data,
    size=64 if args.size is None else args.size,
    channels=args.channels or 3,
    count=(500 if args.quick else 2000) if args.data == "glyphs" else None,
    seed=args.seed,
)
SHAPE = images.shape
PIXELS = int(np.prod(SHAPE))
real_sample = images[np.arange(min(256, len(images)))]
print(f"{len(images)} images of shape {SHAPE}: {PIXELS} numbers each")

# %% [markdown]
# ## As printed
#
# Generator: noise of 100 numbers, then Dense 128, 128, 100, 64, 32, 16, 8, 4, each followed by LeakyReLU(0.2)
# and BatchNormalization(momentum=0.8); then Dense 3 with tanh. Discriminator: Flatten, then Dense 1024, 512,
# ..., 4, 2 with LeakyReLU(0.2); then Dense 1 with sigmoid.
#
# The generator ends in 3 numbers for each noise vector: one pixel. The discriminator wants a whole image.

# %%
lesson.step("The printed networks meet")
print(inspect.getsource(dense_stack))
printed_generator = Sequential(
    [*dense_stack((LATENT, *PRINTED_G), rng, normalize=True), Dense(4, 3, rng=rng), Tanh()]
)
printed_discriminator = Sequential(
    [Flatten(), *dense_stack((PIXELS, *PRINTED_D), rng, normalize=False), Dense(2, 1, rng=rng), Sigmoid()]
)
print(printed_generator.summary((LATENT,)))
noise = rng.standard_normal((BATCH, LATENT)).astype(np.float32)
not_an_image = printed_generator.forward(noise, train=False)  # BATCH, 3
try:
    printed_discriminator.forward(not_an_image)
    shape_error = ""
except ValueError as error:
    shape_error = str(error)
print(f"\nerror: {shape_error}")

# %% [markdown]
# ## A loss that nobody differentiates
#
# The article computes the real and the generated loss once, before its training loop, from one output of D. That
# output is symbolic: a placeholder, which stands for what D will say and holds no number yet. Inside the loop
# nothing is computed from it again. A number that was computed before the loop does not depend on the weights of
# this step: there is no backward pass that belongs to it. We repeat that: the loss is kept from outside, three
# steps of Adam follow, and every weight stays what it was.

# %%
lesson.step("A loss computed once, outside the loop")
before = printed_discriminator.state()
real = real_sample[:BATCH]
kept_loss, _ = binary_cross_entropy(printed_discriminator.forward(real, train=False), 1.0)  # once, outside
frozen_optimizer = optim.Adam(printed_discriminator.parameters(), 2e-4)
for _ in range(3):
    printed_discriminator.zero_grad()
    loss = kept_loss  # the same number again: there is nothing to send backward
    frozen_optimizer.step()
no_gradient = all(not p.grad.any() for p in printed_discriminator.parameters())
unchanged = all(np.array_equal(before[k], a) for k, a in printed_discriminator.state().items())
print(
    f"loss {float(loss):.4f} three times; gradients all zero: {no_gradient}; weights unchanged: {unchanged}"
)

# %% [markdown]
# ## A sigmoid too many
#
# The discriminator ends in a sigmoid, p in (0, 1), and the loss is told from_logits=True: it takes p for a
# logit and squashes it again. The best D can do is p = 1 for real and p = 0 for generated images:
#
#     loss  >=  -log sigmoid(1) - log(1 - sigmoid(0))  =  log(1 + e^-1) + log 2  =  0.3133 + 0.6931  =  1.0064
#
# The gradient is damped too: the slope by D's real logit, a, is (1 - sigmoid(p)) p (1 - p) instead of 1 - p. In the
# right picture the lower curve is the one with two sigmoids: 0.097 at most.

# %%
lesson.step("Squashed twice: the floor of the loss")
logits = np.linspace(-8, 8, 401).reshape(-1, 1)  # a; a discriminator that is right gives -a to generated
once, twice, slopes = [], [], {"once": [], "twice": []}
for a in logits:
    real_logit, fake_logit = a[None], -a[None]
    real_loss, slope = binary_cross_entropy(real_logit, 1.0)
    once.append(float(real_loss + binary_cross_entropy(fake_logit, 0.0)[0]))
    slopes["once"].append(abs(float(slope[0, 0])))

    squash = Sigmoid()
    fake_loss, _ = binary_cross_entropy(squash.forward(fake_logit), 0.0)
    real_loss, dprobability = binary_cross_entropy(squash.forward(real_logit), 1.0)
    twice.append(float(real_loss + fake_loss))
    slopes["twice"].append(abs(float(squash.backward(dprobability)[0, 0])))
floor = min(twice)
print(f"lowest loss: one sigmoid {min(once):.4f}, two {floor:.4f} (log(1 + 1/e) + log 2 = 1.0064)")
print(f"steepest slope by the logit: one sigmoid {max(slopes['once']):.3f}, two {max(slopes['twice']):.3f}")

figure = Figure(figsize=(9, 3.4))
for column, (title, one, two) in enumerate(
    (("D's loss", once, twice), ("size of the slope, real image", slopes["once"], slopes["twice"]))
):
    axes = figure.add_subplot(
        1, 2, column + 1, title=title, xlabel="D's logit: +a for real, -a for generated"
    )
    axes.plot(logits, one, label="one sigmoid: logits")
    axes.plot(logits, two, label="two: sigmoid and from_logits")
    axes.set_ylim(0, 4 if column == 0 else 1)
    axes.grid(alpha=0.3)
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="upper center", ncols=2)
figure.axes[0].axhline(1.0064, color="black", linestyle=":", linewidth=1)
figure.tight_layout(rect=(0, 0, 1, 0.92))  # room for the legend, which would hide a curve
lesson.picture(figure, "double_sigmoid.png")

# %% [markdown]
# ## Mending, in two stages
#
# 1. Made to run: the last layer gets height * width * channels units, then Reshape. The
#    generator still narrows to 4 units before its output.
# 2. Mended: no narrowing in G, none in D, and D ends in a logit.
#
# The first weights matter. A dense layer treats every pixel as a stranger, so random weights next to the image are
# random speckle: in G's last layer it is seen, in D's first layer it reaches G as dfake. Adam moves a weight by
# about its rate a step and never wipes the speckle out. So both layers that touch pixels start small; what is then
# in the pictures is what was learned. D's first layer starts at a tenth of the usual size. G's last layer starts
# with the standard deviation 0.1 sqrt(2 / PIXELS), whatever comes before it. The usual one is sqrt(2 / inputs)
# (lesson 2), so that is a 98th of it for 128 inputs, and a 554th for 4.


# %%
def make_generator(widths, rng):
    last = Dense(widths[-1], PIXELS, rng=rng)
    if SMALL_AT_PIXELS:
        last.weight.value *= 0.1 * np.float32(np.sqrt(widths[-1] / PIXELS))  # std 0.1 * sqrt(2 / PIXELS)
    return Sequential([*dense_stack((LATENT, *widths), rng, normalize=True), last, Tanh(), Reshape(SHAPE)])


def make_discriminator(widths, rng, squashed):
    layers = [Flatten(), *dense_stack((PIXELS, *widths), rng, normalize=False), Dense(widths[-1], 1, rng=rng)]
    if SMALL_AT_PIXELS:
        layers[1].weight.value *= np.float32(0.1)
    return Sequential([*layers, *([Sigmoid()] if squashed else [])])


def draw_noise(count, rng):
    return rng.standard_normal((count, LATENT)).astype(np.float32)


# name: (generator widths, discriminator widths, squashed, learning rate, steps)
short = max(4, args.steps // 25)  # the printed discriminator is slow: 13 million weights
VERSIONS = {
    "made to run": (PRINTED_G, PRINTED_D, True, 2e-4, short),
    "bottleneck of 4": (PRINTED_G, (128, 64), False, 4e-4, args.steps),
    "mended": (MENDED_G, (128, 64), SQUASHED, 4e-4, args.steps),
}

# %% [markdown]
# ## Training
#
# - *made to run*: the article's widths, sigmoid and rate (2e-4), for a few steps only.
# - *bottleneck of 4*: the article's generator against the mended discriminator, so that it differs from the next
#   version in the generator's hidden layers alone.
# - *mended*: G 100, 128, 128, image; D image, 128, 64, logit; Adam 4e-4, beta_1 0.5.

# %%
lesson.step("Three versions play the game")
generators, histories = {}, {}
for name, (g_widths, d_widths, squashed, rate, steps) in VERSIONS.items():
    print(f"-- {name}")
    version_rng = np.random.default_rng(args.seed)
    generator = make_generator(g_widths, version_rng)
    discriminator = make_discriminator(d_widths, version_rng, squashed)
    g_optimizer = optim.Adam(generator.parameters(), rate, beta_1=0.5)
    d_optimizer = optim.Adam(discriminator.parameters(), rate, beta_1=0.5)
    run = Run(steps, step_through=args.step, parts={"generator": generator, "discriminator": discriminator})
    for _, real in zip(run, images.batches(min(BATCH, len(images)), version_rng)):
        fake = generator.forward(draw_noise(BATCH, version_rng))  # BATCH, *SHAPE
        d = discriminator_step(discriminator, real, fake, d_optimizer, after=run.part)
        g = generator_step(generator, discriminator, fake, g_optimizer, after=run.part)
        run.log(d_loss=d.loss, g_loss=g.loss)
    generators[name], histories[name] = generator, run.history

# %% [markdown]
# ## What they draw
#
# *Made to run* is still grey: it started near grey, has had few steps, and its gradient is damped. The
# *bottleneck* draws one letter-like blob in few colours. *Mended* draws strokes in many colours, with speckle;
# hardly one of them is a digit that you can name. That is as far as dense layers come in a minute or two.

# %%
lesson.step("Real images and three versions")
shown_noise = draw_noise(256, rng)
samples = {name: g.forward(shown_noise) for name, g in generators.items()}  # batch statistics, as in training
figure = Figure(figsize=(13.5, 4))
for column, (name, pictures) in enumerate({"real": real_sample, **samples}.items()):
    title = f"{name}, {VERSIONS[name][4]} steps" if name in VERSIONS else name
    axes = figure.add_subplot(1, 4, column + 1, title=title)
    axes.imshow(show.image_grid(pictures[:25], 5))
    axes.axis("off")
figure.tight_layout()
lesson.picture(figure, "samples.png")

# %%
lesson.step("The losses")
figure = Figure(figsize=(13.5, 3.2))
for column, (name, history) in enumerate(histories.items()):
    dotted = ("2 log 2", 2 * np.log(2)) if not VERSIONS[name][2] else ("the floor 1.0064", 1.0064)
    title = f"{name} (dotted: {dotted[0]})"
    axes = figure.add_subplot(1, 3, column + 1, title=title, xlabel="step", ylim=(0, 3))
    axes.plot(history["d_loss"], label="D", linewidth=0.8)
    axes.plot(history["g_loss"], label="G", linewidth=0.8)
    axes.axhline(dotted[1], color="black", linestyle=":", linewidth=1)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
figure.tight_layout()
lesson.picture(figure, "losses.png")

# %% [markdown]
# ## How many ways can an image change?
#
# Move z a little in each of its 100 directions and see how the image moves: the columns of the Jacobian J, of
# shape (pixels, 100), by central differences. The rank of J is the number of independent ways in which G can
# change its image there, its local dimension. Everything goes through the narrowest layer, so
#
#     rank J  <=  4  for the article's generator,        <=  100 for the mended one.
#
# Float64 and a fixed generator (running statistics), so that each image depends on its own z alone. The code has
# one direction a row, the transpose of J; rank and singular values are the same.
#
# With rounding no singular value is exactly 0. The error of the central differences is about 1e-10 of the largest
# (`eps**2` from the curve, 1e-16 / eps from rounding, as in lesson 2, with eps = 1e-5). So what lies below 1e-5 of
# it is counted as 0. The lesson prints the values on both sides of that line: the least counted was 8e-5 (mended,
# seed 0), the largest not counted below 1e-9.


# %%
def singular_values(generator, z, eps=1e-5):
    """Singular values of the Jacobian of G at z, largest first, by central differences."""
    steps = eps * np.eye(LATENT)
    above = generator.forward(z + steps, train=False).reshape(LATENT, -1)  # LATENT, PIXELS
    below = generator.forward(z - steps, train=False).reshape(LATENT, -1)
    return np.linalg.svd((above - below) / (2 * eps), compute_uv=False)


lesson.step("The local dimension")
spectra, ranks = {}, {}
point = rng.standard_normal(LATENT)
for name, generator in generators.items():
    generator.astype(np.float64)
    spectra[name] = singular_values(generator, point)
    ranks[name] = int((spectra[name] > 1e-5 * spectra[name][0]).sum())
    relative = spectra[name] / max(spectra[name][0], 1e-30)  # 0 where G draws one image only
    below = f"{relative[ranks[name]]:.0e}" if ranks[name] < LATENT else "none"
    print(
        f"{name:<16} local dimension {ranks[name]:3d}; least counted {relative[ranks[name] - 1]:.0e}, next {below}"
    )

# %% [markdown]
# ## How varied are the samples?
#
# Principal components of a set of images: how many are needed for 95% of the variance? Beside it the contrast,
# the standard deviation of all pixel values, and the speckle, the mean absolute difference between a pixel and its
# right neighbour. No number sees whether a digit is a digit: a picture and the numbers together.
#
# Measured with seeds 0, 1, 2 (glyphs, 1,000 steps):
#
#                      local dimension   components for 95%   pixel std
#     real                   -               50, 47, 50       0.59 to 0.60
#     made to run         4,  4,  4           1,  1,  1       0.01 to 0.02
#     bottleneck of 4     4,  4,  4           3,  3,  3       0.20 to 0.21
#     mended            100, 100, 100        10,  7,  8       0.48 to 0.53
#
# The mended generator may vary in 100 ways and uses about 8 of them: it is still far from the data.


# %%
def components(pictures, share=0.95):
    """How many principal components hold `share` of the variance of a set of images."""
    x = pictures.reshape(len(pictures), -1).astype(np.float64)
    x = x - x.mean(axis=0)
    variances = np.linalg.eigvalsh(x @ x.T)[::-1]  # as many as images; the other half of the SVD
    parts = np.cumsum(variances) / max(variances.sum(), 1e-30)  # images that are all alike have none
    return int((parts < share).sum()) + 1, parts


lesson.step("Variety, contrast and speckle")
needed, contrast, speckles = {}, {}, {}
figure = Figure(figsize=(10, 3.8))
left = figure.add_subplot(
    1, 2, 1, title="Jacobian of G at one z", xlabel="number", ylabel="singular value / largest"
)
right = figure.add_subplot(
    1, 2, 2, title="256 images", xlabel="principal components", ylabel="share of the variance"
)
for index, (name, pictures) in enumerate({"real": real_sample, **samples}.items()):
    needed[name], parts = components(pictures)
    contrast[name] = float(pictures.std())
    speckles[name] = float(np.abs(np.diff(pictures, axis=2)).mean())
    print(f"{name:<16} {needed[name]:3d} components for 95% of the variance, ", end="")
    print(f"pixel std {contrast[name]:.3f}, speckle {speckles[name]:.3f}")
    right.semilogx(np.arange(1, len(parts) + 1), parts, color=f"C{index}", label=name)
    if name in spectra:
        relative = np.maximum(spectra[name] / max(spectra[name][0], 1e-30), 1e-9)
        left.semilogy(np.arange(1, len(relative) + 1), relative, ".-", color=f"C{index}", label=name)
right.axhline(0.95, color="black", linestyle=":", linewidth=1)
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
figure.tight_layout()
lesson.picture(figure, "dimension.png")

# %% [markdown]
# ## Checks, or a verdict
#
# What follows from the mathematics is asserted on any data. What the pictures are like was measured on glyphs, with
# the mended version as shipped; elsewhere the lesson says what came out. Beside each bound stands what was
# measured.

# %%
lesson.step("Checks")
assert "features" in shape_error and "(64, 3)" in shape_error, "the printed networks do not fit"
assert no_gradient and unchanged, "a loss kept from outside teaches nothing"
assert 1.0064 < floor < 1.0075, "two sigmoids: the loss has a floor"  # 1.0067: the logits end at 8
assert max(slopes["twice"]) < 0.3 * max(slopes["once"]), (
    "the gradient is damped"
)  # 0.097 and 1.0, nothing is drawn
for name in ("made to run", "mended") if SQUASHED else ("made to run",):
    assert min(histories[name]["d_loss"]) > 1.0064, "the floor holds in training"  # 1.28
assert ranks["made to run"] <= 4 and ranks["bottleneck of 4"] <= 4, "4 units, 4 dimensions"
assert ranks["mended"] <= min(MENDED_G), "no more ways than the narrowest layer has units"
if lesson.shipped and AS_SHIPPED:
    # Seeds 0 to 2; the bounds leave room for other seeds, and machines whose sums round differently.
    assert ranks["mended"] > 50, "no narrowing, no bottleneck"  # 100
    assert contrast["mended"] > 0.5 * contrast["real"], "it uses the data's range"  # 0.48 to 0.53 of 0.6
    assert contrast["mended"] > 2 * contrast["made to run"]  # 0.01 to 0.02
    assert needed["mended"] > needed["bottleneck of 4"], "it varies in more ways"  # 7 to 10, and 3
    lesson.end()
else:
    mended = f"{needed['mended']} components (real images {needed['real']}, bottleneck {needed['bottleneck of 4']})"
    lesson.end(
        verdict.lines(
            f"the mended generator varies in {mended}, local dimension {ranks['mended']}",
            f"its contrast is {contrast['mended']:.2f}, that of real images {contrast['real']:.2f}",
            verdict.balance(histories["mended"]["d_loss"]),
            f"{len(images)} images only: it may know them by heart" if len(images) < verdict.FEW else "",
        )
    )

# %% [markdown]
# ## Exercises
#
# Each changes one setting at the top. `--steps 60` is enough to see it.
#
# 1. `SQUASHED = True` brings the article's sigmoid back into the mended discriminator. Predict a floor of D's loss,
#    then read the lowest, `min(histories["mended"]["d_loss"])`, here and without it.
# 2. `MENDED_G = (128, 128, 2)` puts a layer of 2 units before the generator's last layer. Predict its local
#    dimension, and read what the lesson prints. How many components hold 95% of the variance now?
# 3. `SMALL_AT_PIXELS = False`: look at `samples.png`, and read the speckle that the lesson prints, for real and for
#    generated images, here and as shipped.
#
# Worked answers, with the figures to expect: `python lessons/answers/08_dense_gan.py`.
