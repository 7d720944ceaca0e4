# %% [markdown]
# # Lesson 9. A convolutional GAN that draws images
#
# A generator of transposed convolutions turns 64 random numbers into an image; a discriminator of convolutions says
# how real an image looks. Both start from noise and learn only from each other. The shape of the networks is that
# of DCGAN (Radford, Metz and Chintala 2016): strides instead of pooling, BatchNormalization in both, ReLU in the
# generator, LeakyReLU in the discriminator, tanh at the end. Lesson 7 has the game, lessons 3 to 6 the layers and
# losses.
#
# Without flags it learns digits in 20 fonts. `--data mnist`, `--data photo` or `--data my_pictures/` learn those.

# %%
import inspect

import numpy as np

from npgan import checkpoint, data, networks, show, verdict
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device
from npgan.distributed import synchronise
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
    ranks=True,
)
args, rng, ranks = lesson.args, lesson.rng, lesson.ranks

# %% [markdown]
# ## The two networks
#
# The generator doubles the size with each transposed convolution, from at most 8 pixels up; the discriminator
# halves it until at most 4 are left. Kernels of 4 with a stride of 2: divisible, so no checkerboard (lesson 4). A
# bias in front of BatchNormalization would be subtracted again, so there is none. Weights start from N(0, 0.02).
#
#     28 x 28 x 1 digits      noise 64 -> 7 x 7 x 64 -> 14 x 14 x 32 -> 28 x 28 x 1
#                             28 x 28 x 1 -> 14 x 14 x 32 -> 7 x 7 x 64 -> 3 x 3 x 128 -> one logit
#
# Both are plain functions that put layers in a row (`npgan/networks.py`), since the lessons on inpainting and the
# benchmarks use them too. The lesson prints them below, and what they have become at this size.

# %%
LATENT = 64

# %% [markdown]
# ## Only draw
#
# A finished run, or one that was stopped, draws again at any time, without its images:
# `--resume FILE --generate 64` writes 64 samples as PNG files and as a grid, and ends here. The weights in the
# checkpoint are those of the generator's moving average.

# %%
if args.generate:
    average = MovingAverage(networks.dcgan_generator(lesson.resumed_shape(), LATENT, rng).to(args.device))
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
lesson.fit_steps(train.shape)
scale = max(1, 56 // train.shape[0])
lesson.picture(show.image_grid(train[:64], 16, scale=scale), "real.png")

# %% [markdown]
# ## The networks at this size

# %%
lesson.step("The two networks")
for build in (networks.dcgan_generator, networks.dcgan_discriminator, networks.normal_weights):
    print(inspect.getsource(build))
generator = networks.normal_weights(networks.dcgan_generator(train.shape, LATENT, rng), rng).to(args.device)
discriminator = networks.normal_weights(networks.dcgan_discriminator(train.shape, rng), rng).to(args.device)
print("generator\n" + generator.summary((LATENT,)))
print("\ndiscriminator\n" + discriminator.summary(train.shape))

# %% [markdown]
# ## The game
#
# Each round draws noise, lets the discriminator learn once and the generator once (`npgan/adversarial.py`), both
# with Adam (lesson 7). The rate falls to zero over the second half: the players circle around each other less and
# less.
#
# The generator's rate is five times the discriminator's. That was chosen by trying, and no theory says five. The
# reason to make the generator the faster one: in this game the discriminator is ahead from early on (`losses.png`;
# with seed 0 its loss is 0.9 nats after 500 rounds and 0.2 after 2,000, in even play it is 1.39), and where it is
# sure of everything it has little to teach.
#
# Circling players never stand still, but the middle of a circle does. So a third network follows the generator, its
# *moving average*. After each round every one of its numbers goes a small part of the way to the generator's:
#
#     average = average + 0.002 * (generator - average)            (more in the first rounds)
#
# That is a mean of the generator over the last 500 rounds or so, the latest the most (`MovingAverage` in
# `npgan/optim.py`). Pictures and scores come from `average.layer`, and pictures always from the same noise, so that
# one can watch a sample turn into a digit.
#
# With `--quick` a batch of 8 has to do. It is small enough to be computed in one piece, so that NumPy and CuPy add
# up in the same order.
#
# The run saves all that the rounds change every 30 seconds, at the end and after Ctrl-C; `--resume` goes on from
# there as if nothing had happened, to the same bits (`npgan/checkpoint.py`).
#
# `mpiexec -n 2 python lessons/09_conv_gan.py` plays the same game in two processes, each with half of every batch.
# That is what `ranks` stands for below; lesson 20 explains it. Without mpiexec there is one rank, this process.

# %%
lesson.step("Training")
batch = 8 if args.quick else 64  # of noise
for network in (generator, discriminator):
    synchronise(network, ranks)
generator_rate = linear_decay(2e-3, 0, args.steps, begin=args.steps // 2)
discriminator_rate = linear_decay(4e-4, 0, args.steps, begin=args.steps // 2)
generator_optimizer = Adam(generator.parameters(), generator_rate, ranks=ranks)
discriminator_optimizer = Adam(discriminator.parameters(), discriminator_rate, ranks=ranks)
average = MovingAverage(generator)
batches = train.batches(min(batch, len(train)), rng, ranks.part)
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
    ranks=ranks,
)
for step in run:
    noise = to_device(ranks.part(rng.standard_normal((batch, LATENT), dtype=np.float32)), args.device)
    batch_of_real = to_device(next(batches), args.device)

    fake = generator.forward(noise)
    d = discriminator_step(discriminator, batch_of_real, fake, discriminator_optimizer)
    g = generator_step(generator, discriminator, fake, generator_optimizer)

    average.update()
    run.log(d_loss=d.loss, g_loss=g.loss)
    if args.step or (step + 1) % max(1, args.steps // 40) == 0:
        frames.append(frame())
        lesson.save(show.enlarge(frames[-1], scale), "samples.png")
ranks.leave()  # all but rank 0, which draws and judges

# %% [markdown]
# ## What it draws
#
# `samples.png`: the last samples, 64 of them; `training.gif`: how they came about; `losses.png`: both losses at
# each round; and `walk.png`, in each of its four rows a walk through the noise: from one sample to the next along
# the arc of a great circle, since noise of 64 numbers lies near a sphere (White 2016). A generator that has learned
# shapes, not pictures by heart, changes smoothly on the way.


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
# On a line there is a cheapest way to carry one set of numbers onto another of the same size: sort both, and pair
# the smallest with the smallest, and so on. The mean distance within the pairs is the Wasserstein distance on the
# line. An image is a point in a space of 784 dimensions. So draw a random direction v of length 1, take `image @ v`
# for all images of both sets, which are numbers on a line, and average over 256 directions
# (`npgan/metrics/samples.py`):
#
#     distance = mean over v of mean |sorted(samples @ v) - sorted(real @ v)|
#
# Its floor is the distance between real images and other real images. Where the images have labels, a classifier
# of npgan layers learns them and says what it sees in 1,000 samples: which classes, how evenly, how surely.

# %%
lesson.step("How good is it?")
n = len(real)
drawn = generate(average.layer, rng.standard_normal((1000, LATENT), dtype=np.float32), args.device)
others = train[rng.permutation(len(train))[:n]]  # with two images, one


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
# ## Checks, or a verdict
#
# What is asserted was measured with three seeds on the glyphs that the lesson ships: the classifier is right on
# 99.8% or more, the rarest digit has 7.2% to 8.2%, the confidence is 0.913 to 0.926, the distance about a tenth of
# that of an untrained generator. On data of your own nobody knows what can be reached. There the lesson says what
# came out.

# %%
assert np.isfinite(drawn).all()
if lesson.shipped:
    assert score < 0.5 * start, "training has not brought the samples nearer"
    assert right >= 0.97, "the classifier itself is not good enough to judge"
    assert seen.smallest >= 0.03, "a digit is missing, or nearly so"
    assert seen.confidence >= 0.90, "too many samples look like no digit"
    lesson.end()
else:
    gone = max(0.0, start - score) / max(start - floor, 1e-9)
    findings = [
        f"the samples have gone {min(gone, 1):.0%} of the way from the untrained generator to real images "
        f"(distance {start:.3f}, now {score:.3f}, floor {floor:.3f})",
        "" if score < start else "training has not brought them nearer: more steps",
        verdict.balance(run.history["d_loss"]),
        verdict.count(n),
    ]
    if labels is not None:
        missing = int((seen.shares < 0.2 / classes).sum())
        findings += [
            f"{missing} of {classes} classes are missing, or nearly so" if missing else "",
            f"mean confidence {seen.confidence:.3f}, on real images {best.confidence:.3f}",
            "" if right >= 0.9 else f"the classifier is right on {right:.0%} only: do not trust what it says",
        ]
    lesson.end(verdict.lines(*findings))

# %% [markdown]
# ## Exercises
#
# 1. Give the generator's transposed convolutions kernels of 3 in place of 4 (stride 2, padding 1, output_padding
#    1): copy `dcgan_generator` into the lesson and change it. Do the samples show a checkerboard? Compare the mean
#    spectrum of 256 samples with that of 256 real images at its lower and right edges, as in lesson 4.
# 2. Pass `loss=generator_saturating` (of `npgan.losses`) to `generator_step`. Watch g_loss in the first 200 steps,
#    and the distance that the lesson prints.
# 3. `average = MovingAverage(generator, 0)`: pictures and scores now come from the generator itself. Over three
#    seeds, how much do the share of the rarest class and the confidence change?
