# %% [markdown]
# # Lesson 10. Repairing images with dense layers, as printed and mended
#
# A tutorial article (section 3.2) describes image repair as a game: a generator G(x, z) takes a damaged image x and
# noise z and returns the image repaired, a discriminator tells repaired from undamaged ones. The code that it prints
# (section 4.2) has no damaged image, no mask, and no image at its end. We run it as printed, see what comes out,
# and mend it with dense layers: damaged image, mask and noise in, image out, known pixels kept.

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

from npgan import data, filling, masks, repair, verdict
from npgan.backend import array_module
from npgan.inpainting import inpainting_step
from npgan.layers import Concatenate, Dense, Flatten, Layer, Reshape, Sequential, Sigmoid, Tanh
from npgan.lesson import Lesson
from npgan.networks import dense_stack
from npgan.optim import Adam, cosine_decay
from npgan.training import Run

lesson = Lesson(
    "10_dense_inpainting",
    "Repairing images with dense layers, as printed and mended",
    steps=1500,
    quick_steps=40,
    data="glyphs",
)
args, rng = lesson.args, lesson.rng
PRINTED_G = (128, 128, 64, 32, 16, 8, 4)  # then 3 units and tanh
PRINTED_D = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2)  # then 1 unit and sigmoid

# %% [markdown]
# ## As printed
#
# Generator: an input of shape (100, 64, 64), then Dense 128, 128, 64, 32, 16, 8, 4, each with LeakyReLU(0.2) and
# BatchNormalization(momentum=0.8); then Dense 3 with tanh. Dense, in Keras, works on the last axis alone. So the
# input is read as 100 x 64 rows of 64 random numbers, each becomes 3 numbers, by itself, and no row depends on
# another. (Ours takes two axes, so the rows are laid out as a batch: the same numbers.) What comes out has the
# shape (100, 64, 3): not 64 x 64 x 3, and no picture of anything. The discriminator of the article is made for 64
# x 64 x 3 = 12,288 numbers; 100 x 64 x 3 are 19,200.

# %%
lesson.step("The printed networks meet")
printed_generator = Sequential(
    [*dense_stack((64, *PRINTED_G), rng, normalize=True), Dense(4, 3, rng=rng), Tanh()]
)
printed_discriminator = Sequential(
    [
        Flatten(),
        *dense_stack((64 * 64 * 3, *PRINTED_D), rng, normalize=False),
        Dense(2, 1, rng=rng),
        Sigmoid(),
    ]
)
print(printed_generator.summary((64,)))
noise = rng.standard_normal((2, 100, 64, 64), dtype=np.float32)


def as_printed(noise):
    """Every row of 64 numbers through the network: (N, 100, 64, 64) -> (N, 100, 64, 3)."""
    return printed_generator.forward(noise.reshape(-1, 64), train=False).reshape(*noise.shape[:3], 3)


output = as_printed(noise)
try:
    printed_discriminator.forward(output)
    shape_error = ""
except ValueError as error:
    shape_error = str(error)
print(f"\nG's output: {output.shape}\nerror: {shape_error}")

# %% [markdown]
# ## What can it know of the damage?
#
# Change one row of the input and look at which outputs change. Each output follows its own row of noise and nothing
# else. There is nowhere to put the damaged image, and if one were given as the input in place of the noise, a
# missing pixel could not depend on its neighbours in the next row.

# %%
lesson.step("One row in, one triple out")
changed = noise.copy()
changed[0, 40, 20] += 1
moved = np.abs(as_printed(changed) - output).max(axis=3) > 0  # 2, 100, 64
print(f"of {moved.size:,} triples {moved.sum()} changed, at {np.argwhere(moved).tolist()}")

# %% [markdown]
# ## Images and holes
#
# Digits of 28 x 28 here, so that the scores can be laid beside those of lesson 11. A hole of a quarter of the area in
# the middle; the mask is 1 where a pixel is missing. `--size 64 --channels 3` gives the article's shape.

# %%
lesson.step("Images and holes")
count = 900 if args.quick else 10_000
images = data.load(args.data, size=args.size, channels=args.channels, count=count, seed=args.seed)
train_images, test_images = images.split(max(1, min(1000, len(images) // 5)), rng)
H, W, CHANNELS = SHAPE = images.shape
NOISE, BATCH = 16, 64
learned = train_images.take(
    np.arange(max(BATCH, len(train_images))) % len(train_images)
)  # at least one batch
truth = test_images[:]
hole = masks.make("centre", 1, H, W, rng)  # 1, H, W, 1
test_masks = np.repeat(hole, len(truth), axis=0)
damaged = masks.damage(truth, test_masks)
print(f"{len(train_images)} images of shape {SHAPE} to learn from, {len(truth)} to score on")

# %% [markdown]
# ## Mended
#
# Damaged image, mask and noise are laid side by side in one vector (`Concatenate`):
#
#     28*28 + 28*28 + 16 = 1584 -> 512 -> 512 -> 784 = 28*28, tanh -> blended: known pixels are the input's
#
# Now every output depends on every input. The gradient of the blend is the blend of the gradients: at missing
# pixels dy goes to the network, at known ones straight to the damaged image. The discriminator sees image and
# mask, has no narrow layers and ends in a logit.
#
# For comparison, the article's widths: `narrow` passes through 4 numbers. Whatever it paints into the hole is one of
# a family with four handles (lesson 8 counts them).


# %%
class DenseInpainter(Layer):
    """Damaged images (N, H, W, C), masks (N, H, W, 1), noise (N, NOISE) -> repaired images (N, H, W, C)."""

    def __init__(self, shape, widths, rng, noise=NOISE):
        h, w, c = shape
        self.flatten_image, self.flatten_mask, self.join = Flatten(), Flatten(), Concatenate()
        last = Dense(widths[-1], h * w * c, rng=rng)
        last.weight.value *= np.float32(0.1)  # begin near grey: no speckle that would have to be unlearned
        inputs = h * w * (c + 1) + noise
        self.network = Sequential(
            [*dense_stack((inputs, *widths), rng, normalize=True), last, Tanh(), Reshape(shape)]
        )

    def forward(self, damaged, mask, noise, train=True):
        flat = [self.flatten_image.forward(damaged, train), self.flatten_mask.forward(mask, train), noise]
        painted = self.network.forward(self.join.forward(flat, train), train)  # N, H, W, C
        return self.remember(train, masks.blend(damaged, painted, mask), mask)

    def backward(self, dy):
        (mask,) = self.recall(dy)
        xp, missing = array_module(dy), mask > 0.5
        nothing = xp.zeros_like(dy)
        dimage, dmask, dnoise = self.join.backward(self.network.backward(xp.where(missing, dy, nothing)))
        ddamaged = self.flatten_image.backward(dimage) + xp.where(missing, nothing, dy)
        return ddamaged, self.flatten_mask.backward(dmask), dnoise

    def backward_parameters(self, dy):
        """Without the gradient by the inputs, which nobody reads in training."""
        (mask,) = self.recall(dy)
        self.network.backward_parameters(array_module(dy).where(mask > 0.5, dy, 0))


def make_discriminator(shape, rng):
    h, w, c = shape
    layers = dense_stack((h * w * (c + 1), 128, 64), rng, normalize=False)
    return Sequential([Flatten(), *layers, Dense(64, 1, rng=rng)])


# %% [markdown]
# ## Two teachers
#
#     dfake = d(mean squared error in the hole) + 0.01 * d(-log D(fake, mask))
#
# The error says which image stood there; the discriminator, what images look like. Lesson 11 measures the weight.
# One step of both players (`npgan/inpainting.py`) is printed by the lesson.


# %%
def train(generator, rng):
    """Train in place; return the history."""
    discriminator = make_discriminator(SHAPE, rng)
    g_optimizer = Adam(generator.parameters(), cosine_decay(1e-3, 1e-5, args.steps), beta_1=0.9)
    d_optimizer = Adam(discriminator.parameters(), cosine_decay(2e-4, 2e-6, args.steps))
    mask = np.repeat(hole, BATCH, axis=0)  # BATCH, H, W, 1
    run = Run(args.steps, step_through=args.step)
    for _, real, other in zip(run, learned.batches(BATCH, rng), learned.batches(BATCH, rng)):
        noise = rng.standard_normal((BATCH, NOISE), dtype=np.float32)
        fake = generator.forward(masks.damage(real, mask), mask, noise)
        undamaged = np.concatenate([other, mask], axis=3)  # BATCH, H, W, C + 1
        figures = inpainting_step(
            *(generator, discriminator, g_optimizer, d_optimizer),
            *(fake, real, mask, undamaged),
            adversarial=0.01,
        )
        run.log(**figures)
    return run.history


print(inspect.getsource(inpainting_step))
lesson.step("Training")
VERSIONS = {"narrow": PRINTED_G, "mended": (512, 512)}
noise = rng.standard_normal((len(truth), NOISE), dtype=np.float32)
repairs = {
    "mean": filling.mean_fill(damaged, test_masks),
    "harmonic": filling.harmonic_fill(damaged, test_masks, tolerance=1e-4),
    "nearest": filling.nearest_image_fill(damaged, test_masks, train_images[:]),
}
generators, histories = {}, {}
for name, widths in VERSIONS.items():
    print(f"-- {name}")
    generators[name] = DenseInpainter(SHAPE, widths, np.random.default_rng(args.seed))
    histories[name] = train(generators[name], np.random.default_rng(args.seed + 1))
    repairs[name] = generators[name].forward(damaged, test_masks, noise, train=False)

figure = Figure(figsize=(7, 3))
axes = figure.add_subplot(
    title="Error in the hole while training", xlabel="step", ylabel="mean squared error"
)
for name, history in histories.items():
    axes.plot(history["mse"], linewidth=0.8, label=name)
axes.grid(alpha=0.3)
axes.legend()
figure.tight_layout()
lesson.picture(figure, "training.png")

# %% [markdown]
# ## Scored on the hole
#
# Over the whole image every method looks good, since three quarters of it are given. So PSNR and SSIM are taken on
# the hole alone, image by image, then averaged; an exact copy counts 60 dB.

# %%
lesson.step("Scored on the hole")
scores = {name: repair.score(repaired, truth, test_masks) for name, repaired in repairs.items()}
print(repair.table(scores))
shown = repair.Problem(train_images, truth, test_masks, "centre", damaged)
lesson.picture(repair.comparison(shown, repairs, rows=5), "repairs.png")

# %% [markdown]
# ## Checks, or a verdict

# %%
assert output.shape == (2, 100, 64, 3) and "19200 features" in shape_error
assert np.argwhere(moved).tolist() == [[0, 40, 20]]
known = np.broadcast_to(test_masks < 0.5, truth.shape)
for name, repaired in repairs.items():
    assert np.array_equal(repaired[known], truth[known]), f"{name}: a known pixel has changed"
gain = {name: scores["mended"].psnr - other.psnr for name, other in scores.items()}
if lesson.shipped:
    turned = generators["mended"].forward(
        masks.damage(truth, 1 - test_masks), 1 - test_masks, noise, train=False
    )
    assert not np.array_equal(turned[known], truth[known]), "the mask is not looked at"
    assert gain["nearest"] > 1, "it does no better than remember"
    assert gain["narrow"] > 1, "the narrow layers do not matter?"
    lesson.end()
else:
    best = max(("mean", "harmonic", "nearest"), key=lambda name: scores[name].psnr)
    lesson.end(
        verdict.lines(
            f"{gain[best]:+.1f} dB over the best fill ({best}), {gain['narrow']:+.1f} dB over the narrow network",
            verdict.balance(histories["mended"]["d_loss"]),
            verdict.count(len(truth)),
        )
    )

# %% [markdown]
# ## Exercises
#
# 1. Give the generator random holes (`masks.make("rectangle", ...)` anew for each batch). How much does it lose on
#    the centre hole? And what if it then does not see the mask?
# 2. Feed the discriminator without the mask. Does the error change? Do the pictures?
# 3. Leave out the blend, so that the network paints the whole image. Check with `psnr` without masks how well known
#    pixels come back, and derive what changes in `backward`; check it with `npgan.gradcheck.check_gradient`.
