# %% [markdown]
# # Lesson 9. A convolutional GAN that draws images
#
# A generator of transposed convolutions turns 64 random numbers into an image; a discriminator of convolutions says
# how real an image looks. Both start from noise and learn only from each other. The shape of the networks is that
# of DCGAN (Radford, Metz and Chintala 2016): strides instead of pooling, BatchNormalization in both, ReLU in the
# generator, LeakyReLU in the discriminator, tanh at the end.
#
# Without flags it learns digits in 20 fonts. `--data mnist`, `--data photo` or `--data my_pictures/` learn those.

# %%
import numpy as np

from npgan import checkpoint, data, show
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.lesson import Lesson
from npgan.metrics.samples import accuracy, class_report, generate, sliced_wasserstein, train_classifier
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.training import Run

STEPS, QUICK_STEPS = 6000, 30
lesson = Lesson(
    "09_conv_gan",
    "A convolutional GAN that draws images",
    steps=STEPS,
    quick_steps=QUICK_STEPS,
    data="glyphs",
    device=True,
    resume=True,
    generate=True,
)
args, rng = lesson.args, lesson.rng

# %% [markdown]
# ## The two networks
#
# The generator doubles the size with each transposed convolution, from at most 8 pixels up; the discriminator halves
# it until at most 4 are left. Kernels of 4 with a stride of 2: divisible, so no checkerboard (lesson 4). A bias in
# front of BatchNormalization would be subtracted again, so there is none. Weights start from N(0, 0.02).
#
#     28 x 28 x 1 digits      noise 64 -> 7 x 7 x 64 -> 14 x 14 x 32 -> 28 x 28 x 1
#                             28 x 28 x 1 -> 14 x 14 x 32 -> 7 x 7 x 64 -> 3 x 3 x 128 -> one logit


# %%
def make_generator(shape: tuple[int, int, int], latent: int, width: int = 32) -> Sequential:
    """Noise (N, latent) -> images (N, *shape) in (-1, 1)."""
    height, wide, colours = shape
    doublings = 0
    while height % 2 == 0 and wide % 2 == 0 and max(height, wide) > 8:
        height, wide, doublings = height // 2, wide // 2, doublings + 1
    channels = width * 2 ** max(0, doublings - 1)
    layers = [
        Dense(latent, height * wide * channels, bias=False, rng=rng),
        Reshape((height, wide, channels)),
        BatchNormalization(channels),
        ReLU(),
    ]
    for _ in range(doublings - 1):
        layers += [
            Conv2DTranspose(channels, channels // 2, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(channels // 2),
            ReLU(),
        ]
        channels //= 2
    if doublings:
        layers += [Conv2DTranspose(channels, colours, 4, stride=2, padding=1, rng=rng), Tanh()]
    else:  # a size that cannot be halved: no step up, only colours
        layers += [Conv2D(channels, colours, 3, padding=1, rng=rng), Tanh()]
    return Sequential(layers)


def make_discriminator(shape: tuple[int, int, int], width: int = 32) -> Sequential:
    """Images (N, *shape) -> logits (N, 1); above zero means real."""
    height, wide, channels = shape
    layers = []
    while max(height, wide) > 4 and min(height, wide) > 1:
        layers.append(Conv2D(channels, width, 4, stride=2, padding=1, bias=not layers, rng=rng))
        if len(layers) > 1:  # none on the pixels themselves
            layers.append(BatchNormalization(width))
        layers.append(LeakyReLU(0.2))
        height, wide, channels, width = height // 2, wide // 2, width, 2 * width
    return Sequential([*layers, Flatten(), Dense(height * wide * channels, 1, rng=rng)])


def dcgan_weights(network: Sequential) -> Sequential:
    """Draw all weights anew from N(0, 0.02) (Radford et al. 2016, section 4)."""
    for name, parameter in network.named_parameters().items():
        if name.endswith("weight"):
            parameter.value[...] = 0.02 * rng.standard_normal(parameter.value.shape)
    return network


LATENT = 64

# %% [markdown]
# ## Only draw
#
# A finished run, or one that was stopped, draws again at any time, without its images:
# `--resume FILE --generate 64` writes 64 samples as PNG files and as a grid, and ends here. The weights in the
# checkpoint are those of the generator's moving average.

# %%
if args.generate:
    average = MovingAverage(make_generator(lesson.resumed_shape(), LATENT).to(args.device))
    checkpoint.load(args.resume, {"average": average})
    for start in range(0, args.generate, 256):
        count = min(256, args.generate - start)
        drawn = generate(average.layer, rng.standard_normal((count, LATENT), dtype=np.float32), args.device)
        lesson.pictures(drawn, "generated", start)
    raise SystemExit

# %% [markdown]
# ## The images
#
# Every sixth image is held out, at most 1,000. Nobody trains on them; they tell at the end what the best score is.

# %%
lesson.step("The images")
images = data.load(
    args.data, size=args.size, channels=args.channels, count=2000 if args.quick else 20_000, seed=args.seed
)
train, held_out = images.split(max(1, min(1000, len(images) // 6)), rng)
real = held_out[:]
print(f"{args.data}: {len(train)} images of shape {train.shape} to learn from, {len(held_out)} held out")
scale = max(1, 56 // train.shape[0])
lesson.picture(show.image_grid(train[:64], 16, scale=scale), "real.png")

# %% [markdown]
# ## The networks at this size

# %%
lesson.step("The two networks")
generator = dcgan_weights(make_generator(train.shape, LATENT)).to(args.device)
discriminator = dcgan_weights(make_discriminator(train.shape)).to(args.device)
print("generator\n" + generator.summary((LATENT,)))
print("\ndiscriminator\n" + discriminator.summary(train.shape))

# %% [markdown]
# ## The game
#
# Each round draws noise, lets the discriminator learn once and the generator once (`npgan/adversarial.py`). The rate
# falls to zero over the second half: the players circle around each other less and less. Pictures come from
# `average.layer`, the moving average of the generator, and always from the same noise, so that one can watch a sample
# turn into a digit.
#
# With `--quick` a batch of 8 has to do. It is small enough to be computed in one piece, so that NumPy and CuPy add
# up in the same order.
#
# The run saves all that the rounds change every 30 seconds, at the end and after Ctrl-C; `--resume` goes on from
# there as if nothing had happened, to the same bits (`npgan/checkpoint.py`).

# %%
lesson.step("Training")
batch = min(8 if args.quick else 64, len(train))
generator_optimizer = Adam(generator.parameters(), linear_decay(2e-3, 0, args.steps, begin=args.steps // 2))
discriminator_optimizer = Adam(
    discriminator.parameters(), linear_decay(4e-4, 0, args.steps, begin=args.steps // 2)
)
average = MovingAverage(generator)
batches = train.batches(batch, rng)
fixed_noise = rng.standard_normal((64, LATENT), dtype=np.float32)
untrained = generate(generator, rng.standard_normal((len(real), LATENT), dtype=np.float32), args.device)


def samples() -> np.ndarray:
    """The grid of samples from the fixed noise, as pixels."""
    return show.image_grid(generate(average.layer, fixed_noise, args.device), 16)


def frame() -> np.ndarray:
    """The grid for the animation; a grey one with one channel, so that little memory gathers."""
    return samples()[:, :, : train.shape[2]].copy()  # a view would keep all three


frames = [frame()]
run = Run(
    args.steps,
    step_through=args.step,
    parts={
        "generator": generator,
        "discriminator": discriminator,
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
        "average": average,
        "batches": batches,
        "rng": rng,
    },
    settings=lesson.settings(train),
    folder=args.out,
    resume=args.resume,
)
for step in run:
    noise = to_device(rng.standard_normal((batch, LATENT), dtype=np.float32), args.device)
    batch_of_real = to_device(next(batches), args.device)

    fake = generator.forward(noise)
    d = discriminator_step(discriminator, batch_of_real, fake, discriminator_optimizer)
    g = generator_step(generator, discriminator, fake, generator_optimizer)

    average.update()
    run.log(d_loss=d.loss, g_loss=g.loss)
    if args.step or (step + 1) % max(1, args.steps // 40) == 0:
        frames.append(frame())
        lesson.save(show.enlarge(frames[-1], scale), "samples.png")

# %% [markdown]
# ## What it draws
#
# The last samples; how they came about; and a walk through the noise: from one sample to the next along the arc of a
# great circle, since noise of 64 numbers lies near a sphere (White 2016). A generator that has learned shapes, not
# pictures by heart, changes smoothly on the way.


# %%
def walk(start: np.ndarray, end: np.ndarray, points: int) -> np.ndarray:
    """Points (points, latent) on the arc from start to end."""
    angle = np.arccos(np.dot(start, end) / np.linalg.norm(start) / np.linalg.norm(end))
    t = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    return (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(angle)


lesson.step("What it draws")
lesson.picture(show.enlarge(samples(), scale), "samples.png")
run.save_history(args.out / "history.csv")
lesson.picture(
    show.curves(run.history, title="Losses", ylabel="nats", window=max(1, args.steps // 50)), "losses.png"
)
rows = [walk(fixed_noise[i], fixed_noise[i + 1], 16) for i in range(4)]
walked = generate(average.layer, np.concatenate(rows).astype(np.float32), args.device)
lesson.picture(show.image_grid(walked, 16, scale=scale), "walk.png")
print(f"   animation: {show.animation(frames, args.out / 'training.gif', scale=scale)}")

# %% [markdown]
# ## How good is it?
#
# The sliced Wasserstein distance says how far a set of samples lies from held-out images, in units of pixel values.
# Its floor is the distance between real images and other real images. Where the images have labels, a classifier
# of npgan layers learns them and says what it sees in 1,000 samples: which classes, how evenly, how surely.

# %%
lesson.step("How good is it?")
n = len(real)
drawn = generate(average.layer, rng.standard_normal((1000, LATENT), dtype=np.float32), args.device)
others = train[rng.permutation(len(train))[:n]]


def distance(sample: np.ndarray) -> float:
    """To the held-out images, along the same directions for all."""
    return sliced_wasserstein(sample[:n], real[: len(sample)], np.random.default_rng(1))


score, floor, start = distance(drawn), distance(others), distance(untrained)
print(
    f"sliced Wasserstein distance {score:.4f}; floor (real against real) {floor:.4f}; untrained {start:.4f}"
)

labels = next((train.labels[name] for name in ("character", "class") if name in train.labels), None)
if labels is not None:
    classes = int(labels.max()) + 1
    held_labels = next(held_out.labels[name] for name in ("character", "class") if name in held_out.labels)
    classifier = train_classifier(
        train, labels, classes, rng, steps=100 if args.quick else 1500, device=args.device
    )
    right = accuracy(classifier, real, held_labels)
    seen, best = class_report(classifier, drawn), class_report(classifier, real)
    print(f"classifier: {right:.1%} right on {n} unseen real images")
    print(f"in 1,000 samples it finds, in %: {' '.join(f'{100 * share:.1f}' for share in seen.shares)}")
    print(f"the rarest class has {seen.smallest:.1%}; among real images {best.smallest:.1%}")
    print(f"mean confidence {seen.confidence:.3f}; on real images {best.confidence:.3f}")

# %% [markdown]
# ## Checks

# %%
assert np.isfinite(drawn).all()
assert score < (0.95 if args.quick else 0.5) * start, "training has not brought the samples nearer"
if (args.data, args.size, args.channels) == ("glyphs", None, None) and args.steps >= STEPS:
    assert right >= 0.97, "the classifier itself is not good enough to judge"
    assert seen.smallest >= 0.03, "a digit is missing, or nearly so"
    assert seen.confidence >= 0.90, "too many samples look like no digit"
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Halve the discriminator's kernel to 3 with a stride of 2. Do the samples show a checkerboard? Measure it with the
#    spectrum of lesson 4.
# 2. Pass `loss=generator_saturating` to `generator_step`. Watch g_loss in the first 200 steps, and the score.
# 3. Set the moving average's decay to 0, so that pictures come from the generator itself. How much does the rarest
#    class change over three seeds?
