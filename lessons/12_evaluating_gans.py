# %% [markdown]
# # Lesson 12. How good is it? Scores, their floors, and what they hide
#
# The losses of a GAN say who is ahead (lesson 7), not how good the images are. So people look, or compute a score. Is
# a distance of 4 much? Here every score stands between its *floor*, what other real images get, and a *scale* of
# images with a known fault: blurred, noisy, shuffled, all of one kind. Then we look at what each score cannot see.
#
#     python lessons/12_evaluating_gans.py                              # trains a short GAN: 1,500 steps
#     python lessons/12_evaluating_gans.py --trained out/09_conv_gan    # scores what lesson 9 has trained

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from npgan import checkpoint, data, networks, show, verdict
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device, to_numpy
from npgan.errors import DataError
from npgan.kinds import MOST, Kinds
from npgan.layers import Sequential
from npgan.lesson import Lesson
from npgan.metrics import scores
from npgan.metrics.features import WIDTH, features, train_extractor
from npgan.metrics.known import known_sets
from npgan.metrics.samples import accuracy, class_probabilities, class_report, generate, train_classifier
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.training import Run

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "12_evaluating_gans",
    "Scores, their floors, and what they hide",
    FLAGS,
    steps=1500,
    quick_steps=20,
    data="glyphs",
    device=True,
    flags={"trained": "a checkpoint of 09_conv_gan, or its folder: scored in place of a short GAN"},
)
args = lesson.args

# %% [markdown]
# ## What the exercises change

# %%
SHRINK = 1.0  # the noise of the samples is multiplied by it
LABELS = True  # False: the extractor learns without labels, as on data that have none
MEMORISE = False  # True: the samples are training images with a little noise on them

LATENT = 64
AS_SHIPPED = lesson.shipped and (SHRINK, LABELS, MEMORISE) == (1.0, True, False)

# %% [markdown]
# ## The images, and a generator
#
# One image in six is held out, at most 1,000, as in lesson 9. Neither the GAN nor what measures it learns from them.
# The GAN has lesson 9's networks and rates, not its kinds, and plays 1,500 rounds: it should not be perfect. With
# `--trained` images and generator are those of a run.


# %%
def images_of(settings: dict) -> tuple[data.Images, data.Images]:
    """Images to learn from and unseen ones, as lesson 9 splits them."""
    names = {name: settings[name] for name in ("size", "channels", "seed")}
    images = data.load(settings["data"], count=2000 if settings["quick"] else 20_000, **names)
    if len(images) // 6 <= WIDTH:
        raise DataError(f"{images.name}: {len(images)} images are too few for scores, wanted {6 * WIDTH + 6}")
    return images.split(min(1000, len(images) // 6), np.random.default_rng(settings["seed"]))


def short_gan(train: data.Images, rng: np.random.Generator) -> Sequential:
    """Play lesson 9's game, without kinds; return the moving average of the generator."""
    generator = networks.normal_weights(networks.dcgan_generator(train.shape, LATENT, rng), rng)
    discriminator = networks.normal_weights(networks.dcgan_discriminator(train.shape, rng), rng)
    generator, discriminator = generator.to(args.device), discriminator.to(args.device)
    rates = (linear_decay(rate, 0, args.steps, begin=args.steps // 2) for rate in (2e-3, 4e-4))
    optimizers = [Adam(n.parameters(), rate) for n, rate in zip((generator, discriminator), rates)]
    average, batch = MovingAverage(generator), 8 if args.quick else 64
    batches = train.batches(min(batch, len(train)), rng)
    parts = {"generator": generator, "discriminator": discriminator, "average": average, "rng": rng}
    kept = {"settings": lesson.settings(train), "folder": args.out}
    run = Run(args.steps, step_through=args.step, parts=parts, **kept)
    for _ in run:
        noise = to_device(rng.standard_normal((batch, LATENT), dtype=np.float32), args.device)
        fake = generator.forward(noise)
        d = discriminator_step(discriminator, to_device(next(batches), args.device), fake, optimizers[1])
        g = generator_step(generator, discriminator, fake, optimizers[0])
        average.update()
        run.log(d_loss=d.loss, g_loss=g.loss)
    return average.layer


lesson.step("The images, and a generator")
settings = vars(args)
if args.trained:
    path = checkpoint.find(Path(args.trained))
    settings = checkpoint.read_settings(path)
    if settings.get("lesson") not in ("09_conv_gan", lesson.name):
        raise DataError(f"{path}: is of {settings.get('lesson')!r:.80}, wanted '09_conv_gan'")
    train, held_out = images_of(settings)
    if (mine := checkpoint.fingerprint(train)) != {name: settings.get(name) for name in mine}:
        raise DataError(f"{settings['data']}: these are not the images that {path} has learned from")
    kinds = Kinds(train.shape) if settings["lesson"] != lesson.name else None
    generator = networks.dcgan_generator(train.shape, LATENT + (MOST if kinds else 0), lesson.rng)
    average = MovingAverage((networks.ToldGenerator(generator, MOST) if kinds else generator).to(args.device))
    checkpoint.load(path, {"average": average} | ({"kinds": kinds} if kinds else {}))
    generator = average.layer.body if kinds else average.layer
    print(f"{path}: {settings['data']}, {settings['steps']} steps, seed {settings['seed']}")
else:
    train, held_out = images_of(settings)
    lesson.fit_steps(train.shape)
    print(f"no --trained: a short GAN of {args.steps} steps; lesson 9 trains longer")
    generator, kinds = short_gan(train, np.random.default_rng(args.seed)), None
real, n = held_out[:], len(held_out)
rng = np.random.default_rng(args.seed + 1)


def drawn(count: int) -> np.ndarray:
    noise = np.float32(SHRINK) * rng.standard_normal((count, LATENT), dtype=np.float32)
    return generate(generator, np.hstack([noise, kinds.draw(count, rng)]) if kinds else noise, args.device)


samples = drawn(n)
if MEMORISE:
    samples = np.clip(train[:n] + 0.1 * rng.standard_normal(real.shape), -1, 1).astype(np.float32)
print(f"{len(train)} images of shape {train.shape} to learn from; {n} unseen, and as many in every other set")

# %% [markdown]
# ## A ruler: 64 features
#
# Pixels are a bad ruler: shift a digit by one pixel and it is far from itself. So a small classifier learns the
# classes of the training images, in seconds. Its last hidden layer, 64 numbers wide, is the ruler: the *features* of
# an image (`npgan/metrics/features.py`), kept in the output folder: two generators want the same one.
#
# The usual ruler is Inception, a network of 24 million weights that has learned photographs of 1,000 kinds of things;
# its features give the FID of the literature. **None of the figures below can be compared with a published one**: our
# ruler is another.
#
# Where the images have no labels, the weights stay random: only the running statistics of the BatchNormalizations
# come from the images. That is a ruler, too (Naeem et al. 2020), and a coarse one: it orders floor, GAN, Gaussian and
# noise as the trained one does (three rulers on glyphs, three on MNIST), but the GAN is 1.3 to 1.4 times as far off
# as real images, in place of 2.5 to 3.5. To learn how far an image has been turned, which needs no labels, was worse:
# on MNIST the Gaussian then passed for better than the GAN. What is said of classes is left out there.

# %%
lesson.step("A ruler: 64 features")
labels, held_labels = (part.classes if LABELS else None for part in (train, held_out))
learn = {"seed": args.seed, "steps": 60 if args.quick else 300, "device": args.device}
extractor = train_extractor(train, labels, kept=args.out / "extractor.npz", **learn)
right = None if labels is None else accuracy(extractor, real, held_labels)
print("no labels: its weights are random" if labels is None else f"right on {right:.1%} of unseen images")

# %% [markdown]
# ## Sets of which everybody knows how good they are
#
# All are made of training images. So `real` is the floor: the best that a generator can reach. (One that copies its
# training images reaches it, too. More about that below.) `noisy`: a quarter as they are, the others under noise of
# growing strength. `shuffled`: all pixels in another order, the same one for all images. `Gaussian` has the mean and
# the covariance of the training images, pixel by pixel, and nothing else: the simplest generator there is.

# %%
lesson.step("Sets of which everybody knows how good they are")
sets = known_sets(train, labels, n, rng)
sets = {"real": sets.pop("real"), "GAN": samples, **sets}
described = {name: features(extractor, images) for name, images in sets.items()}
real_features = features(extractor, real)

# %% [markdown]
# ## The scores
#
# - **Frechet distance**: take both sets of features for normally distributed; how far apart are the two
#   distributions? `|m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2))`. The FID, with our ruler.
# - **kernel distance** (KID): the difference of mean similarities within and between the sets, with the similarity
#   `(x y / 64 + 1)^3`. About 0 for equal distributions, and then as often below 0 as above: no mistake.
# - **precision**: the share of samples that lie among real images. Are they good? **recall**: the share of real
#   images that lie among the samples. Are there all kinds? "Among" means in the ball around one of them that reaches
#   to its third nearest neighbour.
# - **density** and **coverage**: the same questions, counted with the balls of real images alone (of five
#   neighbours), so that one odd sample with a huge ball does not count as many kinds.
# - **bins**: sort real images in bins of about 20 alike; the share of bins that hold significantly more or fewer
#   samples than real images. 0.05 by chance.

# %%
lesson.step("The scores")
found = {name: scores.score(real=real_features, generated=x) for name, x in described.items()}
print(scores.table(found))

figure = Figure(figsize=(7, 0.65 * len(sets)))
order = sorted(sets, key=lambda name: found[name].frechet)
for row, name in enumerate(order):
    axes = figure.add_axes((0.31, 1 - (row + 1) / len(sets), 0.69, 0.94 / len(sets)))
    axes.imshow(show.image_grid(sets[name][:8], 8), aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    said = found[name]
    text = f"{name}\ndistance {said.frechet:.1f}\nprecision {said.precision:.2f}, recall {said.recall:.2f}"
    axes.text(-0.02, 0.5, text, transform=axes.transAxes, ha="right", va="center", size=9)
lesson.picture(figure, "sets.png")

# %% [markdown]
# ## Good, and of all kinds: two questions
#
# Measured on glyphs, seed 0 (the GAN of 1,500 steps; 1,000 images a set):
#
#                   frechet   kernel  precision  recall  density  coverage  bins
#     real             0.42   -0.002       0.88    0.90     0.93      0.96  0.06
#     GAN              1.26    0.010       0.32    0.90     0.22      0.52  0.36
#     noisy            8.09    0.270       0.31    0.90     0.32      0.71  0.48
#     blurred          9.13    0.186       0.73    0.00     0.56      0.28  0.64
#     Gaussian        10.36    0.215       0.19    0.18     0.10      0.09  0.74
#     noise           24.95    0.696       0.00    0.00     0.01      0.00  0.86
#     shuffled        37.48    1.982       0.00    0.00     0.00      0.00  0.90
#     one class       49.69    2.951       0.89    0.10     1.02      0.11  0.94
#
# Both distances put floor, GAN, Gaussian and noise in their order (with seeds 1 and 2, too). But see the ends:
# faultless digits of one class lie farther off than noise, and the GAN seems nearly perfect. The two shares say what
# is wrong: `one class` is good (0.89) and lacks nine kinds of ten (0.10). `noisy` has all kinds still, and few are
# good. The GAN has all kinds, too, and only a third of its digits lie among real ones: its fault is another one than
# its distance says. On MNIST's digits a GAN of as many steps has 0.67, real ones 0.85. But there the Gaussian has
# 0.93 and blurred digits have 0.99: what is usual in every feature lies among real images. No score does alone.
# (If *every* image is under strong noise, recall falls, too, from 0.91 to 0.52 at a deviation of 1.)

# %% [markdown]
# ## Copies
#
# A generator that knows its training images by heart and nothing else passes every test above. So ask how far each
# sample is from its nearest training image, in pixels, and how far new real images are from theirs. `copying` is the
# share of pairs in which the sample is the nearer one: 0.5 for new real images, 1 for copies.
#
# Training images (`real`, `one class`) have 1.00, and so have copies with a little noise on them, which all other
# scores take for a better generator than the GAN. The GAN has 0.08: nothing is copied. The picture shows its sixteen
# samples nearest to a training image, and that image below each. A shift by one blinds this score of pixels (0.42).

# %%
lesson.step("Copies")
sets["copies"] = np.clip(train[:n] + 0.1 * rng.standard_normal(real.shape), -1, 1).astype(np.float32)
unseen_distance, _ = scores.nearest(train, real)
copying = {}
for name, images in sets.items():
    distance, index = scores.nearest(train, images)
    copying[name] = scores.copying(real=unseen_distance, generated=distance)
    print(f"{name:<11}{copying[name]:6.2f}   (median distance {np.median(distance):.1f})")
    if name == "GAN":
        closest = distance.argsort()[:16]
        pairs = np.concatenate([images[closest], train[index[closest]]])
print(f"unseen real images: median distance {np.median(unseen_distance):.1f}\n")
found["copies"] = scores.score(real=real_features, generated=features(extractor, sets["copies"]))
print(scores.table({name: found[name] for name in ("real", "copies")}))
lesson.picture(show.image_grid(pairs, len(closest), scale=max(1, 56 // train.shape[0])), "nearest.png")

# %% [markdown]
# ## Classes: how many, how evenly, and what can be learned from them
#
# The classifier says what it sees in each set. `divergence`: how far the shares of the classes are from the true
# shares (Kullback-Leibler, in nats; 0 is best, log 10 = 2.30 a single class). Last column: let a new classifier learn
# from the set, with the labels that ours gives, and test it on real, unseen images. It needs good images *and* all
# kinds (Ravuri and Vinyals 2019). Measured, seed 0:
#
#                 classes  divergence  confidence  learned from it
#     real             10       0.004       0.984            98.2%
#     blurred          10       0.003       0.845            94.5%
#     GAN              10       0.014       0.831            94.0%
#     noisy            10       0.127       0.746            93.4%
#     Gaussian         10       0.043       0.541            90.0%
#     noise            10       0.606       0.449            24.8%
#     shuffled          8       1.185       0.601            21.9%
#     one class         1       2.287       0.984            10.7%
#
# Pure noise "has" all ten classes (8 and 6 with seeds 1 and 2): a classifier has no word for "none". So never count
# classes alone; the confidence and the divergence say what the count hides.

# %%
lesson.step("Classes")
if labels is not None:
    shares = np.bincount(labels) / len(labels)
    print(f"{'':<11} classes  divergence  confidence  a classifier that learned from it")
    learned, reports = {}, {}
    for name, images in sets.items():
        reports[name] = report = class_report(extractor, images)
        said = class_probabilities(extractor, images).argmax(axis=1)
        learner = data.Images(show.to_pixels(images)), said, len(shares), rng
        student = train_classifier(*learner, steps=30 if args.quick else 200, device=args.device)
        learned[name] = accuracy(student, real, held_labels)
        figures = f"{report.divergence(shares):12.3f}{report.confidence:12.3f}{learned[name]:12.1%}"
        print(f"{name:<11}{report.found:8}{figures}")
else:
    print("no labels: left out")

# %% [markdown]
# ## How many samples?
#
# The Frechet distance falls as the sets grow, for real images too: from 3.6 with 125 to 0.4 with 1,000 (glyphs,
# seed 0). So 125 real images are "worse" than 1,000 of the GAN (1.3). Compare only sets of one size, and give the
# floor at that size. The kernel distance has no such bias, but with few samples much scatter: its floor is -0.021
# with 70, and never 0 exactly. With fewer images than features + 1 the Frechet distance is refused here. Of glyphs
# there are always more: with 10,000 in each set the floor is 0.04, and the 1.03 of the GAN are nearly all its own.

# %%
lesson.step("How many samples?")
sizes = sorted({n, *(size for size in (70, 125, 250, 500) if size <= n)})
curves = {(which, name): [] for which in ("frechet", "kernel") for name in ("real", "GAN")}
for size in sizes:
    parts = [slice(start, start + size) for start in range(0, n - size + 1, size)]
    for which, name in curves:
        pairs = [{"real": real_features[part], "generated": described[name][part]} for part in parts]
        curves[which, name].append(np.mean([getattr(scores, which)(**pair) for pair in pairs]))
figure = Figure(figsize=(9, 3.2), layout="constrained")
for column, which in enumerate(("frechet", "kernel")):
    axes = figure.add_subplot(1, 2, column + 1, title=which, xlabel="images in each set", xscale="log")
    for name in ("real", "GAN"):
        axes.plot(sizes, curves[which, name], marker="o", label=name)
        print(f"{which:<8} {name:<5}", "  ".join(f"{s}: {v:.3f}" for s, v in zip(sizes, curves[which, name])))
    axes.grid(alpha=0.3)
    axes.legend()
lesson.picture(figure, "sample_size.png")
if settings["data"] == "glyphs" and not MEMORISE:
    many = 500 if args.quick else 10_000
    shape = {"size": train.shape[0], "channels": train.shape[2], "seed": settings["seed"] + 1000}
    more = features(extractor, data.load("glyphs", count=2 * many, **shape)[:])
    for name, theirs in (("real", more[many:]), ("GAN", features(extractor, drawn(many)))):
        print(f"frechet  {name:<5} {many}: {scores.frechet(real=more[:many], generated=theirs):.3f}")

# %% [markdown]
# ## Mistakes that run without an error
#
# - The extractor in training mode: each set is normalised by its own statistics, and so made like every other. That
#   happened in print (a FID of 49 in place of 98). Here blurred images get 1.7 in place of 9.1.
# - Real and generated swapped: precision and recall change places. Here both are keywords, and sets of unequal size
#   or of too few samples are refused.
# - A matrix root that comes out complex, or NaN, when a generator has collapsed. `frechet` takes the root of a
#   symmetric matrix with the same eigenvalues (`npgan/metrics/scores.py`).

# %%
lesson.step("Mistakes that run without an error")
body = Sequential(extractor.layers[:-1])


def in_training_mode(images: np.ndarray) -> np.ndarray:
    """The mistake: features with the statistics of the batch. It changes the extractor's running ones, too."""
    parts = np.array_split(images, n // 64)
    return np.concatenate([to_numpy(body.forward(to_device(part, args.device))) for part in parts])


kept, mistaken = extractor.state(), {}
for name in ("GAN", "blurred"):
    mistaken[name] = scores.frechet(real=in_training_mode(real), generated=in_training_mode(sets[name]))
extractor.load_state(kept)
for name, wrong in mistaken.items():
    print(f"{name}: {found[name].frechet:.2f}; with the extractor in training mode {wrong:.2f}")

# %% [markdown]
# ## Checks, or a verdict
#
# Asserted is what was measured above, beside each bound, with room for other seeds and other rounding.
# %%
ladder = ["real", "GAN", "Gaussian", "noise"]
rungs = {which: [getattr(found[name], which) for name in ladder] for which in ("frechet", "kernel")}
ordered = {which: sorted(values) == values for which, values in rungs.items()}
floor, gan, spoiled, alike = (found.get(name) for name in ("real", "GAN", "noisy", "one class"))
if AS_SHIPPED:
    assert ordered == {"frechet": True, "kernel": True}, "floor < GAN < Gaussian < noise does not hold"
    assert spoiled.precision < 0.5 * floor.precision, "noise does not lower precision"  # 0.31 of 0.88
    assert spoiled.recall > floor.recall - 0.1, "noise lowers recall"  # 0.90 of 0.90
    assert alike.precision > 0.7 and alike.recall < 0.25, "one class is not good or not poor"  # 0.89, 0.10
    assert copying["copies"] > 0.95 and copying["GAN"] < 0.3, "copying does not see copies"  # 1.00, 0.08
    assert found["copies"].frechet < gan.frechet, "the distance sees copies"  # 0.73, 1.26
    assert reports["noise"].found >= 5 and reports["noise"].divergence(shares) > 0.2  # 10, 8, 6 classes; 0.61
    assert reports["noise"].confidence < 0.8 * reports["real"].confidence, "noise looks real"  # 0.45 of 0.98
    assert learned["real"] > 0.93 and learned["one class"] < 0.2 < learned["GAN"]  # 98%, 11%, 94%
    assert curves["frechet", "real"][1] > gan.frechet, "125 real images beat 1,000 samples"  # 3.6, 1.3
    assert mistaken["blurred"] < 0.5 * found["blurred"].frechet  # training mode flatters: 1.7 of 9.1
    lesson.end()
else:
    lesson.end(
        verdict.lines(
            *(
                f"{which} distance: {' < '.join(ladder)} " + ("as it should be" if holds else "does not hold")
                for which, holds in ordered.items()
            ),
            f"GAN: Frechet distance {gan.frechet:.2f} (floor {floor.frechet:.2f}), precision {gan.precision:.2f} "
            f"({floor.precision:.2f}), recall {gan.recall:.2f} ({floor.recall:.2f})",
            f"noisy: precision {spoiled.precision:.2f}, recall {spoiled.recall:.2f}"
            + (f"; one class: precision {alike.precision:.2f}, recall {alike.recall:.2f}" if alike else ""),
            f"copying {copying['GAN']:.2f}, of new real images 0.5, of copies {copying['copies']:.2f}",
            "" if labels is not None else "without labels the extractor has learned nothing: a coarse ruler",
            f"it is right on {right:.0%} only: trust its scores less" if (right or 1) < 0.9 else "",
            verdict.count(n),
        )
    )

# %% [markdown]
# ## Exercises
#
# Each changes one line of "What the exercises change"; `--trained out/12_evaluating_gans` saves the training.
# 1. `SHRINK = 0.4`: noise nearer to 0 gives more usual samples, which in large GANs makes them better and fewer in
#    kind (the truncation trick). Do precision and recall say so here? And the Frechet distance?
# 2. `MEMORISE = True`: the samples are copies with a little noise. Which scores praise it, which one does not?
# 3. `LABELS = False`: the ruler has learned nothing. Is the order floor, GAN, Gaussian, noise still right, and how
#    many times the floor is the distance of the GAN?
