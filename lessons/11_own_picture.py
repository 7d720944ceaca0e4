# %% [markdown]
# # Lesson 11, second part. Repairing a picture of your own
#
#     python lessons/11_conv_inpainting.py --image photo.jpg --mask mask.png
#
# There is one picture, with a hole, and nothing else to learn from. But around the hole there is plenty of the same
# picture: its edges, its colours, its grain. Cut holes of the same shape into undamaged parts, learn to fill those,
# then fill the real one. White in the mask is missing; without `--mask` a square is drawn, without `--image` it
# repairs a shoulder in the photograph that matplotlib ships.
#
# It can continue what the picture shows elsewhere. It has never seen another face, and cannot invent a mouth.

# %%
import time

import numpy as np

from npgan import data, masks, show
from npgan.adversarial import discriminator_step
from npgan.backend import array_module, to_device, to_numpy
from npgan.errors import DataError
from npgan.filling import harmonic_fill, patch_fill
from npgan.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    Sequential,
)
from npgan.lesson import Lesson
from npgan.losses import generator_non_saturating
from npgan.metrics.repair import psnr, ssim
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.training import Run

STEPS, QUICK_STEPS = 1200, 12
lesson = Lesson(
    "11_own_picture",
    "Repairing a picture of your own",
    steps=STEPS,
    quick_steps=QUICK_STEPS,
    device=True,
    flags={
        "image": "the picture to repair (default: a part of matplotlib's photograph)",
        "mask": "a picture of the same size, white where pixels are missing (default: a square is drawn)",
    },
)
args, rng = lesson.args, lesson.rng
started = time.perf_counter()
SMALLEST, LARGEST_HOLE, MARGIN = 32, 64, 16  # pixels: of the picture; of the hole as the network sees it; around it

# %% [markdown]
# ## The picture and the hole
#
# Grey or RGB, any size; turned as its EXIF data say, laid on white where it is transparent.

# %%
lesson.step("The picture and the hole")
picture = data.read_picture(args.image) if args.image else data.photograph()[230:486, 256:512]
height, width, channels = picture.shape
if min(height, width) < SMALLEST:
    raise DataError(f"{args.image}: {width} x {height} pixels, wanted at least {SMALLEST} on both sides")
if args.mask:
    mask = masks.load_mask(args.mask, (height, width))  # 1, H, W, 1
else:
    mask = np.zeros((1, height, width, 1), np.float32)
    side = min(48, min(height, width) // 4)
    top, left = (104, 104) if not args.image else (rng.integers(n - side + 1) for n in (height, width))
    mask[:, top : top + side, left : left + side] = 1
missing = mask[0] > 0.5  # H, W, 1
print(f"{width} x {height} pixels, {channels} channels; {missing.mean():.1%} of them missing")

# %% [markdown]
# ## The scale of the network
#
# A hole of more than 64 pixels is looked at from further away: the picture is shrunk by a whole factor, repaired, and
# the repair enlarged again. A pixel of the small picture is missing if any of its pixels is.


# %%
def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of factor x factor pixels, the last row and column repeated to fill up: H, W, C."""
    h, w, c = pixels.shape
    pixels = np.pad(pixels, ((0, -h % factor), (0, -w % factor), (0, 0)), mode="edge").astype(np.float32)
    return pixels.reshape(len(pixels) // factor, factor, -1, factor, c).mean(axis=(1, 3))


lesson.step("The scale of the network")
rows, columns = (np.flatnonzero(missing.any(axis=axes)) for axes in ((1, 2), (0, 2)))
extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
factor = -(-extent // LARGEST_HOLE)
factor = max(1, min(factor, min(height, width) // SMALLEST))
small = (shrink(picture, factor)[None] / 127.5 - 1).astype(np.float32)  # 1, h, w, C in [-1, 1]
small_mask = (shrink(missing, factor) > 0).astype(np.float32)[None]  # 1, h, w, 1
h, w = small.shape[1:3]
if small_mask.all():
    raise DataError("the mask leaves nothing to learn from")
rows, columns = (np.flatnonzero(small_mask[0].any(axis=axes)) for axes in ((1, 2), (0, 2)))
small_extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
side = min(8 * -(-(small_extent + 2 * MARGIN) // 8), 96, 8 * (min(h, w) // 8))
print(f"hole of {extent} pixels, shrunk {factor} times; the network learns on windows of {side} x {side}")

# %% [markdown]
# ## What it learns from
#
# Windows of the picture with a second hole, of the shape of the first: a window of the mask. Both holes are closed
# with the harmonic fill (Laplace's equation), which the network gets as its input. The pixels of the real hole are
# never looked at: not in the input, and not in the loss.


# %%
def draw_windows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of the picture, what is missing in them, and where the truth is known: (count, side, side, C, 1, 1)."""
    holed = np.argwhere(small_mask[0, ..., 0] > 0.5)
    found = []
    while len(found) < count:
        around = rng.random() < 0.5  # half of the windows lie near the hole: what is there looks most like it
        centre = holed[rng.integers(len(holed))] + rng.integers(-side, side + 1, 2)
        y, x = np.clip(centre - side // 2, 0, limit) if around else rng.integers(limit + 1)
        damaged = small_mask[0, y : y + side, x : x + side]  # side, side, 1
        middle = holed[rng.integers(len(holed))] + rng.integers(-side // 6, side // 6 + 1, 2)
        a, b = np.clip(middle - side // 2, 0, limit)
        hole = small_mask[0, a : a + side, b : b + side][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        known = hole * (1 - damaged)
        both = np.maximum(hole, damaged)
        if known.sum() >= 0.5 * hole.sum() and not both.all():
            found.append((base[0, y : y + side, x : x + side], both, known))
    return tuple(np.stack(parts) for parts in zip(*found))


lesson.step("What it learns from")
base = harmonic_fill(small, small_mask, tolerance=1e-3)  # 1, h, w, C
limit = np.array([h - side, w - side])
truth, windows_missing, known_holes = draw_windows(16 if args.quick else 640)
filled = harmonic_fill(truth, windows_missing, tolerance=1e-3).astype(np.float32)
print(f"{len(truth)} windows; {time.perf_counter() - started:.0f} s")

# %% [markdown]
# ## The two networks
#
# Convolutions only, so that the generator takes windows of any size that 8 divides. Its input: the filled window,
# the mask, and z, a channel of noise, from which grain can be made. Its output is added to the harmonic fill, in the
# hole alone; the last weights start near zero, so it begins as the harmonic fill and can only learn to correct it.
# The discriminator gives a logit for each patch of the image (Isola et al. 2017, section 3.2.2).


# %%
class Corrector(Layer):
    """Filled image (N, H, W, C), mask and noise (N, H, W, 1) -> repaired image; known pixels bit for bit."""

    def __init__(self, channels: int, rng: np.random.Generator, width: int = 24):
        def down(inputs, outputs):
            return Sequential(
                [
                    Conv2D(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng),
                    BatchNormalization(outputs),
                    LeakyReLU(0.2),
                ]
            )

        def up(inputs, outputs):
            return Sequential(
                [
                    Conv2DTranspose(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng),
                    BatchNormalization(outputs),
                    LeakyReLU(0.2),
                ]
            )

        self.down1, self.down2, self.down3 = (
            down(channels + 2, width),
            down(width, 2 * width),
            down(2 * width, 4 * width),
        )
        self.middle = Sequential(
            [
                Conv2D(4 * width, 4 * width, 3, padding=1, bias=False, rng=rng),
                BatchNormalization(4 * width),
                LeakyReLU(0.2),
            ]
        )
        self.up3, self.up2 = up(4 * width, 2 * width), up(4 * width, width)
        self.up1 = Conv2DTranspose(2 * width, channels, 4, stride=2, padding=1, rng=rng)
        self.up1.weight.value *= np.float32(0.01)
        self.join_input, self.join2, self.join1 = Concatenate(), Concatenate(), Concatenate()

    def forward(self, filled, mask, noise, train=True):
        a = self.down1.forward(self.join_input.forward([filled, mask, noise], train), train)  # N, H/2, W/2
        b = self.down2.forward(a, train)  # N, H/4, W/4
        c = self.middle.forward(self.down3.forward(b, train), train)  # N, H/8, W/8
        u = self.join2.forward([self.up3.forward(c, train), b], train)  # N, H/4, W/4
        u = self.join1.forward([self.up2.forward(u, train), a], train)  # N, H/2, W/2
        y = masks.blend(filled, filled + self.up1.forward(u, train), mask)  # N, H, W, C
        return self.remember(train, y, mask)

    def backward(self, dy):
        (mask,) = self.recall(dy)
        dhole = array_module(dy).where(mask > 0.5, dy, 0)
        du, da = self.join1.backward(self.up1.backward(dhole))
        du, db = self.join2.backward(self.up2.backward(du))
        db = db + self.down3.backward(self.middle.backward(self.up3.backward(du)))
        dfilled, _, dnoise = self.join_input.backward(self.down1.backward(da + self.down2.backward(db)))
        return dy + dfilled, dnoise


def make_discriminator(channels: int, width: int = 16) -> Sequential:
    """Image and mask (N, H, W, C + 1) -> a logit for each of H/8 x W/8 patches."""
    return Sequential(
        [
            Conv2D(channels + 1, width, 4, stride=2, padding=1, rng=rng),
            LeakyReLU(0.2),
            Conv2D(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(2 * width),
            LeakyReLU(0.2),
            Conv2D(2 * width, 4 * width, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(4 * width),
            LeakyReLU(0.2),
            Flatten(),
            Dense((side // 8) ** 2 * 4 * width, 1, rng=rng),
        ]
    )


lesson.step("The two networks")
generator = Corrector(channels, rng).to(args.device)
discriminator = make_discriminator(channels).to(args.device)
print(f"weights: generator {sum(p.value.size for p in generator.parameters()):,}, ", end="")
print(f"discriminator {sum(p.value.size for p in discriminator.parameters()):,}")

# %% [markdown]
# ## Training
#
# First the squared error alone; in the second half the discriminator joins in, and asks for grain and edges.

# %%
lesson.step("Training")
BATCH, ADVERSARIAL_WEIGHT = 8, 0.002
g_optimizer = Adam(generator.parameters(), linear_decay(2e-3, 1e-5, args.steps), beta_1=0.9)
d_optimizer = Adam(discriminator.parameters(), linear_decay(4e-4, 0, args.steps, begin=args.steps//2))
average = MovingAverage(generator)


def draw_noise(count: int, h: int, w: int):
    return to_device(rng.standard_normal((count, h, w, 1), dtype=np.float32), args.device)


run = Run(args.steps, step_through=args.step)
for step in run:
    chosen = rng.choice(len(truth), BATCH, replace=False)
    flip = (slice(None), slice(None), slice(None, None, rng.choice([-1, 1])))  # mirror half of the batches
    real, inputs, hole, counted = (
        to_device(np.ascontiguousarray(a[chosen][flip]), args.device)
        for a in (truth, filled, windows_missing, known_holes)
    )
    xp = array_module(real)
    fake = generator.forward(inputs, hole, draw_noise(BATCH, side, side))
    error = (fake - real) * counted
    loss = (error * error).sum() / (counted.sum() * channels)
    dfake = 2 * error / (counted.sum() * channels)

    d_loss = g_loss = 0.0
    if step >= args.steps // 2:
        judged = xp.concatenate([fake, hole], axis=3)
        d_loss = discriminator_step(
            discriminator, xp.concatenate([real, hole], axis=3), judged, d_optimizer
        ).loss
        discriminator.freeze()
        g_loss, dlogits = generator_non_saturating(discriminator.forward(judged))
        dfake = dfake + ADVERSARIAL_WEIGHT * discriminator.backward(dlogits)[..., :channels]
        discriminator.unfreeze()
    generator.zero_grad()
    generator.backward(dfake)
    g_optimizer.step()
    average.update()
    run.log(mse=loss, d_loss=d_loss, g_loss=g_loss)

# %%
lesson.step("The repair")


def repair(layer):
    pad = ((0, 0), (0, -h % 8), (0, -w % 8), (0, 0))
    b, m = np.pad(base, pad, mode="edge"), np.pad(small_mask, pad)
    y = layer.forward(to_device(b, args.device), to_device(m, args.device), draw_noise(1, *b.shape[1:3]), train=False)
    return to_numpy(y)[:, :h, :w]


out = repair(average.layer)
ref = small
pf = patch_fill(small, small_mask)
for name, r in (("harmonic", base), ("patch", pf), ("gan", out)):
    print(name, psnr(r, ref, small_mask), ssim(r, ref, small_mask))
lesson.picture(show.image_grid(np.concatenate([small, masks.damage(small, small_mask), base, pf, out]), 5), "x.png")
print(time.perf_counter() - started)
