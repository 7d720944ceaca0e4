# %% [markdown]
# # Lesson 11, second part. Repairing a picture of your own
#
#     python lessons/11_conv_inpainting.py --image photo.jpg --mask mask.png
#     python lessons/11_own_picture.py --resume                    # go on with a run that was interrupted
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
from matplotlib.figure import Figure
from PIL import Image

from npgan import data, masks, show, verdict
from npgan.backend import array_module, to_device, to_numpy
from npgan.errors import DataError
from npgan.filling import harmonic_fill, patch_detail, patch_fill
from npgan.inpainting import inpainting_step
from npgan.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Layer,
    LeakyReLU,
    Sequential,
)
from npgan.lesson import Lesson
from npgan.metrics.repair import psnr, ssim
from npgan.networks import dcgan_discriminator, double, halve
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.training import Run

STEPS, QUICK_STEPS = 2500, 12
lesson = Lesson(
    "11_own_picture",
    "Repairing a picture of your own",
    steps=STEPS,
    quick_steps=QUICK_STEPS,
    device=True,
    resume=True,
    flags={
        "image": "the picture to repair (default: a part of matplotlib's photograph)",
        "mask": "a picture of the same size, white where pixels are missing (default: a square is drawn)",
    },
)
args, rng = lesson.args, lesson.rng
started = time.perf_counter()
# In pixels: the smallest picture, the largest hole as the network sees it, what it sees around the hole.
SMALLEST, LARGEST_HOLE, MARGIN = 32, 64, 16

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
    top, left = (rng.integers(n - side + 1) for n in (height, width)) if args.image else (104, 104)
    mask[:, top : top + side, left : left + side] = 1
missing = mask[0] > 0.5  # H, W, 1
print(f"{width} x {height} pixels, {channels} channels; {missing.mean():.1%} of them missing")

# %% [markdown]
# ## The scale of the network
#
# Only the surroundings of the hole are worked on. A hole of more than 64 pixels is looked at from further away: the
# picture is shrunk by a whole factor, repaired, and the repair enlarged again. A pixel of the small picture is
# missing if any of its pixels is.


# %%
def bounds(missing: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns around what is missing (H, W, 1), with a margin where the picture goes on."""
    both = (np.flatnonzero(missing.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    return tuple(slice(max(0, at[0] - margin), at[-1] + 1 + margin) for at in both)


def extent(missing: np.ndarray) -> int:
    """The longer side of the box around what is missing."""
    return max(part.stop - part.start for part in bounds(missing, 0))


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of factor x factor pixels, the last row and column repeated to fill up: H, W, C."""
    h, w, c = pixels.shape
    pixels = np.pad(pixels, ((0, -h % factor), (0, -w % factor), (0, 0)), mode="edge").astype(np.float32)
    return pixels.reshape(len(pixels) // factor, factor, -1, factor, c).mean(axis=(1, 3))


def enlarge(image: np.ndarray, factor: int, height: int, width: int) -> np.ndarray:
    """The way back: (1, h, w, C) to (1, height, width, C), smoothly."""
    if factor == 1:
        return image
    size = (image.shape[2] * factor, image.shape[1] * factor)
    planes = [
        Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)
        for plane in np.moveaxis(image[0], 2, 0)
    ]
    return np.stack(planes, axis=2)[None, :height, :width]


lesson.step("The scale of the network")
factor = -(-extent(missing) // LARGEST_HOLE)
factor = max(1, min(factor, min(height, width) // (2 * SMALLEST)))
area = bounds(missing, 6 * LARGEST_HOLE * factor)
image = (picture[area][None] / 127.5 - 1).astype(np.float32)  # 1, H, W, C in [-1, 1]
hole = mask[:, area[0], area[1]]  # 1, H, W, 1
small = shrink(image[0], factor)[None]  # 1, h, w, C
small_mask = (shrink(hole[0], factor) > 0).astype(np.float32)[None]  # 1, h, w, 1
h, w = small.shape[1:3]
if small_mask.all():
    raise DataError(f"{args.mask}: too little is known around the hole")
side = min(8 * -(-(extent(small_mask[0]) + 2 * MARGIN) // 8), 96, 8 * (min(h, w) // 8))
print(f"a hole of {extent(missing)} pixels, shrunk {factor} times; windows of {side} x {side} to learn from")

# %% [markdown]
# ## What it learns from
#
# Windows of the picture with a second hole, of the shape of the first: a window of the mask. Both holes are closed
# with the harmonic fill (Laplace's equation), which the network gets as its input. To see edges of more directions,
# it also gets windows of the picture turned and scaled a little. What stands in the real
# hole is never looked at, neither in the input nor in the loss.


# %%
def views(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The picture and its mask as they are, then turned by up to 20 degrees and scaled by 0.8 to 1.25.

    (h, w, C) and (h, w, 1); 2 in the mask marks what lies outside of the picture.
    """
    found = [(base[0], small_mask[0])]
    for _ in range(count):
        angle, zoom = np.radians(rng.uniform(-20, 20)), 0.8 * 1.5625 ** rng.random()
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
        centre = np.array([w, h]) / 2
        shift = centre - turn @ centre
        matrix = (*turn[0], shift[0], *turn[1], shift[1])

        def transformed(plane, how, fill, matrix=matrix):
            return Image.fromarray(plane).transform(
                (w, h), Image.Transform.AFFINE, matrix, how, fillcolor=fill
            )

        planes = [transformed(plane, Image.Resampling.BICUBIC, 0) for plane in np.moveaxis(base[0], 2, 0)]
        mask = transformed(small_mask[0, ..., 0], Image.Resampling.NEAREST, 2)
        found.append((np.stack(planes, axis=2), np.array(mask)[..., None]))
    return found


def draw_windows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of the picture, what is missing in them, and where the truth is known: N, side, side, C or 1."""
    turned = views(2 if args.quick else 15)
    found = []
    for attempt in range(400 * count):
        image, mask = turned[rng.integers(len(turned)) if attempt % 3 and attempt < 50 * count else 0]
        # Half of the windows lie near the hole: what is there looks most like what is missing.
        holed, holes = np.argwhere(mask[..., 0] == 1), np.argwhere(small_mask[0, ..., 0] == 1)
        if attempt % 2 and len(holed):
            corner = holed[rng.integers(len(holed))] + rng.integers(-side, side + 1, 2) - side // 2
            y, x = np.clip(corner, 0, limit)
        else:
            y, x = rng.integers(limit + 1)
        middle = holes[rng.integers(len(holes))] + rng.integers(-side // 6, side // 6 + 1, 2)
        a, b = np.clip(middle - side // 2, 0, limit)
        damaged = mask[y : y + side, x : x + side]  # side, side, 1
        second = small_mask[0, a : a + side, b : b + side][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        both, known = np.maximum(second, damaged), second * (1 - damaged)
        enough = 0.5 * second.sum() if attempt < 50 * count else 1
        if damaged.max() <= 1 and known.sum() >= enough and not both.all():
            found.append((image[y : y + side, x : x + side], both, known))
        if len(found) == count:
            break
    else:
        raise DataError(f"{args.mask}: too little is known around the hole")
    return tuple(np.stack(parts) for parts in zip(*found))


lesson.step("What it learns from")
base = harmonic_fill(small, small_mask, tolerance=1e-3)  # 1, h, w, C
limit = np.array([h - side, w - side])
truth, windows_missing, known_holes = draw_windows(24 if args.quick else 1200)
filled = harmonic_fill(truth, windows_missing, tolerance=1e-3).astype(np.float32)
print(f"{len(truth)} windows; {time.perf_counter() - started:.0f} s")

# %% [markdown]
# ## The two networks
#
# Convolutions only, so that the generator takes windows of any size that 8 divides. Its input: the filled window,
# the mask, and z, a channel of noise, from which grain can be made. Its output is added to the harmonic fill, in the
# hole alone; the last weights start near zero, so it begins as the harmonic fill and can only learn to correct it.
# The discriminator sees a window with its mask, as in the first part.


# %%
class Corrector(Layer):
    """Filled image (N, H, W, C), mask and noise (N, H, W, 1) -> repaired image; known pixels bit for bit."""

    def __init__(self, channels: int, rng: np.random.Generator, width: int = 24):
        self.down1 = halve(channels + 2, width, rng)
        self.down2 = halve(width, 2 * width, rng)
        self.down3 = halve(2 * width, 4 * width, rng)
        self.middle = Sequential(
            [
                Conv2D(4 * width, 4 * width, 3, padding=1, bias=False, rng=rng),
                BatchNormalization(4 * width),
                LeakyReLU(0.2),
            ]
        )
        self.up3, self.up2 = double(4 * width, 2 * width, rng), double(4 * width, width, rng)
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
        dfilled, dmask, dnoise = self.join_input.backward(self.down1.backward(self._to_first(dy)))
        return dy + dfilled, dmask, dnoise

    def backward_parameters(self, dy):
        self.down1.backward_parameters(self._to_first(dy))

    def _to_first(self, dy):
        """The gradient by the output of the first layer, a: it goes two ways, so there are two to add."""
        (mask,) = self.recall(dy)
        dhole = array_module(dy).where(mask > 0.5, dy, 0)
        du, da = self.join1.backward(self.up1.backward(dhole))
        du, db = self.join2.backward(self.up2.backward(du))
        db = db + self.down3.backward(self.middle.backward(self.up3.backward(du)))
        return da + self.down2.backward(db)


lesson.step("The two networks")
generator = Corrector(channels, rng).to(args.device)
discriminator = dcgan_discriminator((side, side, channels + 1), rng, width=16, smallest=side // 8)
discriminator.to(args.device)
print(f"weights: generator {sum(p.value.size for p in generator.parameters()):,}, ", end="")
print(f"discriminator {sum(p.value.size for p in discriminator.parameters()):,}")

# %% [markdown]
# ## Training
#
# First the squared error alone; after a third of the steps the discriminator joins in, and asks for grain and edges.
# `--resume` makes the same windows again, from the same seed, and goes on with the training to the same bits.

# %%
lesson.step("Training")
BATCH, ADVERSARIAL_WEIGHT = 8, 0.002
g_optimizer = Adam(generator.parameters(), linear_decay(2e-3, 1e-5, args.steps), beta_1=0.9)
d_optimizer = Adam(discriminator.parameters(), linear_decay(4e-4, 0, args.steps, begin=args.steps // 2))
average = MovingAverage(generator)


def draw_noise(count: int, h: int, w: int):
    return to_device(rng.standard_normal((count, h, w, 1), dtype=np.float32), args.device)


run = Run(
    args.steps,
    step_through=args.step,
    parts={
        "generator": generator,
        "discriminator": discriminator,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
        "average": average,
        "rng": rng,
    },
    settings=lesson.settings(data.Images(picture[None])),
    folder=args.out,
    resume=args.resume,
)
for step in run:
    chosen = rng.choice(len(truth), BATCH, replace=False)
    flip = (slice(None), slice(None), slice(None, None, rng.choice([-1, 1])))  # mirror half of the batches
    real, inputs, holes, counted = (
        to_device(np.ascontiguousarray(a[chosen][flip]), args.device)
        for a in (truth, filled, windows_missing, known_holes)
    )
    fake = generator.forward(inputs, holes, draw_noise(BATCH, side, side))
    undamaged = array_module(real).concatenate([real, holes], axis=3) if step >= args.steps // 3 else None
    figures = inpainting_step(
        *(generator, discriminator, g_optimizer, d_optimizer),
        *(fake, real, holes, undamaged),
        adversarial=ADVERSARIAL_WEIGHT,
        counted=counted,
    )
    average.update()
    run.log(**{"mse": 0.0, "d_loss": 0.0, "g_loss": 0.0} | figures)

# %% [markdown]
# ## The repair
#
# The network runs over the whole surroundings at once, known pixels keep their values at the small scale, and the
# result is enlarged. In the hole it goes into the picture; all other pixels are those of the file, bit for bit. That
# says where edges go on, but softly, and without grain. So the last word has the picture itself: every window of the
# hole is replaced by the known window that is most like it (`npgan/filling/detail.py`).

# %%
lesson.step("The repair")
pad = ((0, 0), (0, -h % 8), (0, -w % 8), (0, 0))
inputs = [np.pad(base, pad, mode="edge"), np.pad(small_mask, pad)]
inputs = [to_device(array, args.device) for array in inputs]
repaired = average.layer.forward(*inputs, draw_noise(1, h - h % -8, w - w % -8), train=False)
repaired = enlarge(to_numpy(repaired)[:, :h, :w], factor, *image.shape[1:3])
soft = masks.blend(image, repaired, hole)  # 1, H, W, C
repaired = patch_detail(image, hole, soft)

whole = picture.copy()
whole[area] = np.where(hole[0] > 0.5, show.to_pixels(repaired[0]), picture[area])
path = args.out / "repaired.png"
lesson.save(whole.squeeze(2) if channels == 1 else whole, path.name)
print(f"   repaired file, {width} x {height}: {path}")

# %% [markdown]
# ## Side by side
#
# Where the hole was drawn by this lesson one knows what stood there, and can count. With a mask of your own what
# stands in the hole is damage, and no score means anything.

# %%
lesson.step("Side by side")
methods = {"harmonic": harmonic_fill(image, hole, tolerance=1e-3 if factor == 1 else 1e-2)}
methods["harmonic, detail"] = patch_detail(image, hole, methods["harmonic"])  # is the network worth its time?
if image.size <= 2**18 and not args.quick:
    methods["patch"] = patch_fill(image, hole)
methods |= {"GAN": soft, "GAN, detail": repaired}
labels, scores = {"original": "", "mask": "white = missing", "damaged": f"{hole.mean():.1%} missing"}, {}
for name, result in methods.items():
    labels[name] = ""
    if not args.mask:
        scores[name] = float(psnr(result, image, hole)[0])
        labels[name] = f"hole: {scores[name]:.2f} dB, SSIM {ssim(result, image, hole)[0]:.2f}"
        print(f"{name:<16} {labels[name]}")
pictures = [image, np.repeat(2 * hole - 1, channels, axis=3), masks.damage(image, hole), *methods.values()]
figure = Figure(figsize=(3.2 * len(pictures), 3.7 * max(0.4, image.shape[1] / image.shape[2])))
for number, ((name, label), shown) in enumerate(zip(labels.items(), pictures)):
    axes = figure.add_subplot(1, len(pictures), number + 1, title=name, xlabel=label, xticks=[], yticks=[])
    axes.imshow(show.to_pixels(shown[0]).squeeze(), cmap="gray", vmin=0, vmax=255)
figure.tight_layout()
lesson.picture(figure, "comparison.png")
print(f"{time.perf_counter() - started:.0f} s")

# %% [markdown]
# ## Checks, or a verdict

# %%
assert np.array_equal(np.where(missing, 0, whole), np.where(missing, 0, picture)), "a known pixel has changed"
assert np.isfinite(repaired).all()
if lesson.shipped and not args.image and not args.mask:
    assert scores["GAN"] >= scores["harmonic"], "what was learned is worse than no learning at all"
    assert scores["GAN, detail"] >= scores["harmonic, detail"], "detail alone would have done as well"
    lesson.end()
else:
    gains = [scores[name] - scores["harmonic"] for name in ("GAN", "GAN, detail")] if scores else []
    lesson.end(
        verdict.lines(
            "{:+.1f} dB over the harmonic fill, {:+.1f} with detail".format(*gains) if gains else "",
            "" if scores else f"nobody knows what stood in the hole: look at {args.out / 'comparison.png'}",
            verdict.balance(run.history["d_loss"]),
        )
    )

# %% [markdown]
# ## Exercises
#
# 1. Set ADVERSARIAL_WEIGHT to 0, then to 0.05. What happens to the grain, what to the PSNR?
# 2. Move the hole onto the mouth. Why can the network not repair it? What would it have to learn from?
# 3. Draw half as many windows near the hole. Does the repair get better or worse? Use three seeds.
