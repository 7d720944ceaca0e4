# %% [markdown]
# # Lesson 10. Repairing images with dense layers, as printed and mended
#
# The article of lesson 8 describes image repair as a game too (section 3.2): a generator G(x, z) takes a damaged
# image x and noise z and returns the image repaired, a discriminator tells repaired from undamaged ones. The code
# that it prints (section 4.2) has no damaged image, no mask, and no image at its end. We run it as printed, see
# what comes out, and mend it with dense layers: damaged image, mask and noise in, image out, known pixels kept.

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

from npgan import data, filling, masks, repair, verdict
from npgan.backend import array_module
from npgan.gradcheck import check_layer
from npgan.inpainting import inpainting_step
from npgan.layers import Concatenate, Dense, Flatten, Layer, Reshape, Sequential, Sigmoid, Tanh
from npgan.lesson import Lesson
from npgan.metrics.repair import psnr
from npgan.networks import dense_stack
from npgan.optim import Adam, cosine_decay
from npgan.training import Run

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "10_dense_inpainting",
    "Repairing images with dense layers, as printed and mended",
    FLAGS,
    steps=1500,
    quick_steps=40,
    data="glyphs",
)
args, rng = lesson.args, lesson.rng
PRINTED_G = (128, 128, 64, 32, 16, 8, 4)  # then 3 units and tanh
PRINTED_D = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2)  # then 1 unit and sigmoid

# What the exercises change.
HOLES = "centre"  # in training: a kind of npgan.masks.KINDS; the repairs are scored on the centre hole
G_SEES_MASK = D_SEES_MASK = True  # False: the network is given a mask of zeros in its place
BLENDS = True  # False: the network paints the whole image, the known pixels too
AS_SHIPPED = (HOLES, G_SEES_MASK, D_SEES_MASK, BLENDS) == ("centre", True, True, True)

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
# Digits of 28 x 28 here, so that the scores can be laid beside those of lesson 11. A hole of a quarter of the area
# in the middle; the mask is 1 where a pixel is missing. `--size 64 --channels 3` gives the article's shape.

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
# A backward pass written by hand is proved by `check_layer` (lesson 2), which takes several inputs. A small one of
# the kind is checked before the training begins.
#
# For comparison, the article's widths: `narrow` passes through 4 numbers. Whatever it paints into the hole is one
# of a family with four handles (lesson 8 counts them).


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
        seen = mask if G_SEES_MASK else 0 * mask
        flat = [self.flatten_image.forward(damaged, train), self.flatten_mask.forward(seen, train), noise]
        painted = self.network.forward(self.join.forward(flat, train), train)  # N, H, W, C
        y = masks.blend(damaged, painted, mask) if BLENDS else painted
        return self.remember(train, y, mask)

    def backward(self, dy):
        dpainted, dknown = self.parted(dy)
        dimage, dmask, dnoise = self.join.backward(self.network.backward(dpainted))
        dmask = self.flatten_mask.backward(dmask)
        return self.flatten_image.backward(dimage) + dknown, dmask if G_SEES_MASK else 0 * dmask, dnoise

    def backward_parameters(self, dy):
        """Without the gradient by the inputs, which nobody reads in training."""
        self.network.backward_parameters(self.parted(dy)[0])

    def parted(self, dy):
        """The part of dy that goes to the network, and the part that goes to the known pixels of the input."""
        (mask,) = self.recall(dy)
        nothing = array_module(dy).zeros_like(dy)
        if not BLENDS:
            return dy, nothing
        return array_module(dy).where(mask > 0.5, dy, nothing), array_module(dy).where(
            mask > 0.5, nothing, dy
        )


class WithoutMask(Layer):
    """Image and mask (N, H, W, C + 1): zeros in the mask's place."""

    def forward(self, x, train=True):
        return self.remember(train, np.concatenate([x[..., :-1], 0 * x[..., -1:]], axis=3))

    def backward(self, dy):
        self.recall(dy)
        return np.concatenate([dy[..., :-1], 0 * dy[..., -1:]], axis=3)


def make_discriminator(shape, rng):
    h, w, c = shape
    layers = dense_stack((h * w * (c + 1), 128, 64), rng, normalize=False)
    return Sequential([*([] if D_SEES_MASK else [WithoutMask()]), Flatten(), *layers, Dense(64, 1, rng=rng)])


lesson.step("The backward pass, proved")
small, own = (
    (4, 4, 2),
    np.random.default_rng(args.seed),
)  # draws of its own: the training's stay what they were
small_holes = masks.make("rectangle", 5, 4, 4, own).astype(float)
errors = check_layer(
    DenseInpainter(small, (6, 6), own, noise=3).astype("float64"),
    *(masks.damage(own.uniform(-1, 1, (5, *small)), small_holes), small_holes, own.standard_normal((5, 3))),
    rng=own,
)
print(f"relative errors by {len(errors)} inputs and parameters: at most {max(errors.values()):.0e}")


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
    run = Run(
        args.steps, step_through=args.step, parts={"generator": generator, "discriminator": discriminator}
    )
    for _, real, other in zip(run, learned.batches(BATCH, rng), learned.batches(BATCH, rng)):
        mask = masks.make(HOLES, BATCH, H, W, rng)  # BATCH, H, W, 1; the centre hole draws nothing
        noise = rng.standard_normal((BATCH, NOISE), dtype=np.float32)
        fake = generator.forward(masks.damage(real, mask), mask, noise)
        undamaged = np.concatenate([other, mask], axis=3)  # BATCH, H, W, C + 1
        figures = inpainting_step(
            *(generator, discriminator, g_optimizer, d_optimizer),
            *(fake, real, mask, undamaged),
            adversarial=0.01,
            after=run.part,
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
# Two measures, both of them the better the higher:
#
# - *PSNR*, the peak signal-to-noise ratio in decibels (dB), `10 log10(2**2 / mean squared error)`. The 2 is the
#   range of the pixel values, from -1 to 1. Half the error in size is 6 dB more.
# - *SSIM*, the structural similarity (Wang et al. 2004), compares the two images window by window, in brightness,
#   contrast and pattern: 1 for equal images, near 0 for unrelated ones. A blurred repair loses contrast, and so
#   SSIM.
#
# Over the whole image every method looks good, since three quarters of it are given. So both are taken on the hole
# alone, image by image, then averaged; an exact copy counts 60 dB.
#
# Three ways to fill a hole without a network stand beside them. *Mean*: the mean colour of the known pixels.
# *Harmonic*: every missing pixel is the mean of its four neighbours, the colours at the edge flow in, and nothing
# else does. *Nearest*: the hole of that training image whose known pixels are most like these.

# %%
lesson.step("Scored on the hole")
scores = {name: repair.score(repaired, truth, test_masks) for name, repaired in repairs.items()}
print(repair.table(scores))
for name in VERSIONS:
    whole = np.minimum(psnr(repairs[name], truth), 60).mean()
    print(f"{name}: over the whole image {whole:.2f} dB, on the known pixels ", end="")
    print("an exact copy" if BLENDS else f"{psnr(repairs[name], truth, 1 - test_masks).mean():.2f} dB")
shown = repair.Problem(train_images, truth, test_masks, "centre", damaged)
lesson.picture(repair.comparison(shown, repairs, rows=5), "repairs.png")

# %% [markdown]
# ## Checks, or a verdict
#
# The bounds in decibels are for the lesson as shipped; beside each stands what was measured. They leave room for
# other seeds, and for machines whose sums round differently.

# %%
assert output.shape == (2, 100, 64, 3) and "19200 features" in shape_error
assert np.argwhere(moved).tolist() == [[0, 40, 20]]
known = np.broadcast_to(test_masks < 0.5, truth.shape)
assert max(errors.values()) < 1e-6  # 6e-10; a gradient that is 0.1% wrong gives 1e-3
for name, repaired in repairs.items() if BLENDS else ():
    assert np.array_equal(repaired[known], truth[known]), f"{name}: a known pixel has changed"
gain = {name: scores["mended"].psnr - other.psnr for name, other in scores.items()}
if lesson.shipped and AS_SHIPPED:
    turned = generators["mended"].forward(
        masks.damage(truth, 1 - test_masks), 1 - test_masks, noise, train=False
    )
    assert not np.array_equal(turned[known], truth[known]), "the mask is not looked at"
    assert gain["nearest"] > 1, "it does no better than remember"  # 1.6 (seed 0)
    assert gain["narrow"] > 1, "the narrow layers do not matter?"  # 3.1 (seed 0)
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
# Each changes a setting at the top, and reads the mended network's PSNR and SSIM in the table that the lesson
# prints. `--steps 100` is enough to see it.
#
# 1. `HOLES = "rectangle"`: a hole anywhere, anew for each image. How much does the network lose on the centre hole?
#    How much more with `G_SEES_MASK = False`? (The hole holds the mean colour of the known pixels: can it be
#    recognised?)
# 2. `D_SEES_MASK = False`. Do PSNR and SSIM change by more than another `--seed` changes them? With holes that are
#    always at one place, what could the mask have told D?
# 3. Derive what changes in `backward` if the network paints the whole image, without the blend. Then set
#    `BLENDS = False`, compare with `parted`, and read with how many dB the known pixels come back.
#
# Worked answers, with the figures to expect: `python lessons/answers/10_dense_inpainting.py`.
