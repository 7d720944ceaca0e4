# %% [markdown]
# # Lesson 14, second part. Remedies, where they are needed and where they are not
#
# Advice for poor images is cheap: more data, deeper networks, SGD with a falling rate, Nesterov momentum, a trained
# network to start from, small images first, two stages. (With this list, and without a figure, ends the article whose
# networks lesson 8 mends.) And each paper adds a stabiliser. Here they go into a small GAN of images twice: where
# their own disease is, and where nothing ails. What does a remedy bring, and what does it *cost*?

# %%
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import adversarial, data, losses, networks, show, verdict
from npgan.errors import DataError
from npgan.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    LeakyReLU,
    MinibatchStandardDeviation,
    ReLU,
    Sequential,
    Tanh,
)
from npgan.lesson import Lesson
from npgan.metrics import scores
from npgan.metrics.features import WIDTH as FEATURES
from npgan.metrics.features import features, train_extractor
from npgan.metrics.samples import generate
from npgan.optim import SGD, Adam, MovingAverage

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("14_remedies", "Remedies, needed and not", FLAGS, steps=600, quick_steps=2, data="glyphs")
args = lesson.args
SEEDS = range(args.seed, args.seed + (2 if args.quick else 3))
LATENT, BATCH, WIDTH = 32, 32, 12

# %% [markdown]
# ## The images, and the ruler
#
# Digits of 16x16 pixels. The ruler is lesson 12's: the Frechet distance, on 64 features of a small classifier,
# between 1,000 samples and 1,000 images that no GAN has seen. Smaller is better; the floor is that of 1,000 other
# real images. Letters A to Z wait for whoever starts from a trained network.

# %%
lesson.step("The images, and the ruler")
wanted = {"size": args.size or 16, "channels": args.channels or 1, "seed": args.seed}
images = data.load(args.data, count=700 if args.quick else 21_000, **wanted)
SHAPE = H, W, C = images.shape
if len(images) // 6 <= FEATURES or H % 4 or W % 4:
    raise DataError(
        f"{images.name}: wanted at least {6 * FEATURES + 6} images, with sides that 4 divides, "
        f"got {len(images)} of {H} x {W}"
    )
held = min(1000, len(images) // 6)
rest, held_out = images.split(held, np.random.default_rng(args.seed))
key = next((name for name in ("character", "class") if name in images.labels), None)
labels, learn = (rest.labels[key] if key else None), 30 if args.quick else 300
extractor = train_extractor(rest, labels, seed=args.seed, steps=learn)
real = features(extractor, held_out[:])
FLOOR = scores.frechet(real=real, generated=features(extractor, rest[:held]))
print(f"{len(rest)} images to learn from; real images have a distance of {FLOOR:.2f}")
letters = data.glyphs(
    500 if args.quick else 5000, size=H, characters=data.UPPERCASE, colour=C == 3, seed=args.seed
)

# %% [markdown]
# ## One game, and all that can be added to it
#
# DCGAN with 12 channels and batches of 32; 600 rounds are three seconds. `Rules()` is the plain game, with no remedy
# at all: one constant rate, 5,000 images. It is healthy, if not yet good. What the stabilisers are: `13_remedies.py`.
#
# - `start`: all weights, G's and D's, come from a game about letters (more in lesson 18).
# - `growing`: half of the rounds on images of half the size; then a last layer for the whole size takes the place
#   of that for the half (Karras et al. 2018, ProGAN, without its slow fade; lesson 17).
# - `two stages`: the same small game; then a second G, with a D of its own, learns to enlarge what the first one
#   draws (Zhang et al. 2017, StackGAN, without its text; lesson 16).


# %%
def adam(parameters, rate):
    return Adam(parameters, rate)


def nesterov(parameters, rate):
    return SGD(parameters, rate, momentum=0.9, nesterov=True)


class Rules(NamedTuple):
    optimizer: Callable = adam
    rate: float = 1e-3
    falling: bool = False  # it stays for half the game, then falls to 0
    images: int = 5000  # to learn from
    smallest: int = 4  # side where G's convolutions begin and D's end: 2 is one layer more, 8 one less
    start: str = ""  # or "letters"
    stages: str = ""  # or "growing", "two stages"
    rounds: float = 1.0  # times args.steps
    he: bool = False  # He's weights in place of N(0, 0.02)
    average: bool = False
    d_rate: float = 1.0  # times G's
    d_steps: int = 1
    label: float = 1.0  # D's target for real images
    deviation: bool = False
    d_norm: bool = True  # BatchNormalization in D; penalties want none
    penalty: adversarial.Penalty | None = None
    pairs: bool = False


def weighted(network, rules, rng):
    return network if rules.he else networks.normal_weights(network, rng)


def make_generator(rules, rng):
    network = networks.dcgan_generator(SHAPE, LATENT, rng, width=WIDTH, smallest=rules.smallest)
    return weighted(network, rules, rng)


def make_discriminator(rules, rng):
    network = networks.dcgan_discriminator(SHAPE, rng, width=WIDTH, smallest=rules.smallest)
    layers = weighted(network, rules, rng).layers
    if not rules.d_norm:
        layers = [layer for layer in layers if not isinstance(layer, BatchNormalization)]
    if rules.deviation:
        layers[-1:] = [MinibatchStandardDeviation(4), Dense(layers[-1].in_features + 1, 1, rng=rng)]
    return Sequential(layers)


def half_size(generator, discriminator, rng):
    """Players for half the size: all but the last layers of G, all but the first of D."""
    to_image, from_image = Conv2D(WIDTH, C, 3, padding=1, rng=rng), Conv2D(C, WIDTH, 3, padding=1, rng=rng)
    return (
        Sequential([*generator.layers[:-2], to_image, Tanh()]),
        Sequential([from_image, LeakyReLU(0.2), *discriminator.layers[2:]]),
    )


def halved(batches):
    for x in batches:
        yield AveragePooling2D(2).forward(x, train=False)


def noise(count, rng):
    return rng.standard_normal((count, LATENT), dtype=np.float32)


# %% [markdown]
# ## The game


# %%
def train(generator, discriminator, rules, batches, draw, rounds):
    """Play; return the network to draw with: the generator, or its average."""
    part = 0.0

    def schedule(rate):
        return lambda step: rate * min(1.0, 2 * (1 - part)) if rules.falling else rate

    def d_loss(logits, target):
        return losses.binary_cross_entropy(logits, rules.label * target)

    g_optimizer = rules.optimizer(generator.parameters(), schedule(rules.rate))
    d_optimizer = rules.optimizer(discriminator.parameters(), schedule(rules.d_rate * rules.rate))
    average = MovingAverage(generator, 0.99)
    for number in range(rounds):
        part = number / rounds
        for _ in range(rules.d_steps):
            x, fake = next(batches), generator.forward(draw(BATCH))
            players = discriminator, x, fake, d_optimizer
            if rules.pairs:
                adversarial.relativistic_discriminator_step(*players, rules.penalty)
            else:
                adversarial.discriminator_step(*players, d_loss, rules.penalty)
        if rules.pairs:
            adversarial.relativistic_generator_step(generator, discriminator, x, fake, g_optimizer)
        else:
            adversarial.generator_step(generator, discriminator, fake, g_optimizer)
        if rules.average:
            average.update()
    return average.layer if rules.average else generator


def play(rules, seed, source=rest):
    """The network that draws, and its judge, after one training."""
    rng = np.random.default_rng(seed)
    chosen = source.take(rng.permutation(len(source))[: rules.images])
    generator, discriminator = make_generator(rules, rng), make_discriminator(rules, rng)
    if rules.start:
        generator.load_state(trained[seed][0])
        discriminator.load_state(trained[seed][1])
    batches, rounds = chosen.batches(BATCH, rng), max(2, round(args.steps * rules.rounds))
    if not rules.stages:
        drawing = train(generator, discriminator, rules, batches, lambda n: noise(n, rng), rounds)
        return drawing, discriminator
    small, judge = half_size(generator, discriminator, rng)
    train(small, judge, rules, halved(batches), lambda n: noise(n, rng), rounds // 2)
    rounds -= rounds // 2
    if rules.stages == "growing":
        return train(generator, discriminator, rules, batches, lambda n: noise(n, rng), rounds), discriminator
    see = Conv2D(C, WIDTH, 3, padding=1, bias=False, rng=rng)
    enlarge = Conv2DTranspose(WIDTH, C, 4, stride=2, padding=1, rng=rng)
    second = Sequential([see, BatchNormalization(WIDTH), ReLU(), enlarge, Tanh()])
    judge = make_discriminator(rules, rng)
    train(second, judge, rules, batches, lambda n: small.forward(noise(n, rng), train=False), rounds)
    return Sequential([small, second]), judge


def score(generator):
    """The Frechet distance of 1,000 samples; infinite where the game has run off."""
    samples = generate(generator, noise(held, np.random.default_rng(9)))
    finite = np.isfinite(samples).all()
    return scores.frechet(real=real, generated=features(extractor, samples)) if finite else np.inf


# %% [markdown]
# ## The plain game
#
# With six seeds, for everything is compared with it. @PLAIN

# %%
found, drawn = {}, {}  # name -> seconds and distances of the seeds; 16 samples of the last


def ask(name, rules, seeds=SEEDS):
    """Play with every seed; print mean, spread, smallest and largest distance, and processor seconds."""
    rows = []
    for seed in seeds:
        started = time.process_time()
        with np.errstate(all="ignore"):  # games that run off
            generator, _ = play(rules, seed)
            rows.append((time.process_time() - started, score(generator)))
    found[name] = seconds, distance = np.array(rows).T
    drawn[name] = generate(generator, noise(16, np.random.default_rng(9)))
    spread = f"{distance.mean():6.2f} +- {distance.std(ddof=1):5.2f}"
    print(
        f"{name:<26} {spread}   ({distance.min():.2f} to {distance.max():.2f})   {seconds.mean():.1f} s",
        flush=True,
    )


lesson.step("The plain game")
PLAIN = Rules()
ask("plain", PLAIN, range(args.seed, args.seed + 2 * len(SEEDS)))
trained = {seed: [player.state() for player in play(PLAIN, seed, letters)] for seed in SEEDS}

# %% [markdown]
# ## Where they are needed
#
# Each disease, and under it the same game with the remedy. Grey: from plain's best seed to its worst. Dotted: real
# images.
#
# @NEEDED

# %%
lesson.step("Where they are needed")
FAST, SLOW = PLAIN._replace(optimizer=SGD, rate=0.3), PLAIN._replace(optimizer=SGD, rate=1e-3)
NEEDED = {
    "SGD, too fast": FAST,
    "- with a falling rate": FAST._replace(falling=True),
    "SGD, too slow": SLOW,
    "- with Nesterov": SLOW._replace(optimizer=nesterov),
    "60 images": PLAIN._replace(images=60),
    "- from letters": PLAIN._replace(images=60, start="letters"),
    "- with 300 images": PLAIN._replace(images=300),
    "a layer less": PLAIN._replace(smallest=8),
}


def strip(axes, names):
    """A point for each seed, a bar for the mean."""
    plain = found["plain"][1]
    axes.axvspan(plain.min(), plain.max(), color="0.85")
    axes.axvline(FLOOR, color="k", linestyle=":")
    for row, name in enumerate(names):
        distance = found[name][1]
        axes.plot(distance, [row] * len(distance), "o", color="C0", markersize=4)
        axes.plot(distance.mean(), row, "|", color="C1", markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="Frechet distance", xscale="log", ylim=(len(names) - 0.5, -0.5))
    axes.grid(alpha=0.3)


for name, rules in NEEDED.items():
    ask(name, rules)
figure = Figure(figsize=(7, 3.6), layout="constrained")
strip(figure.add_subplot(), ["plain", *NEEDED])
lesson.picture(figure, "needed.png")

# %% [markdown]
# ## Where they are not
#
# The same remedies, and stabilisers, in the plain game. A row is called better (worse) only where all of its three
# seeds are better (worse) than all six of plain's. Chance alone makes that so in one row of 42. The first row is no
# remedy: it spends half as much time again on the plain game.

# %%
lesson.step("Where they are not")
ALONE = PLAIN._replace(d_norm=False)
COSTS = {
    "half as many rounds more": PLAIN._replace(rounds=1.5),
    "falling rate": PLAIN._replace(falling=True),
    "SGD, falling rate": PLAIN._replace(optimizer=SGD, rate=0.1, falling=True),
    "Nesterov, falling rate": PLAIN._replace(optimizer=nesterov, rate=0.01, falling=True),
    "20,000 images": PLAIN._replace(images=20_000),
    "a layer more": PLAIN._replace(smallest=2),
    "from letters": PLAIN._replace(start="letters"),
    "growing": PLAIN._replace(stages="growing"),
    "two stages": PLAIN._replace(stages="two stages"),
    "He's weights": PLAIN._replace(he=True),
    "average": PLAIN._replace(average=True),
    "D twice as fast": PLAIN._replace(d_rate=2.0),
    "two steps of D": PLAIN._replace(d_steps=2),
    "smoothed labels": PLAIN._replace(label=0.9),
    "minibatch deviation": PLAIN._replace(deviation=True),
    "D without BatchNorm": ALONE,
    "R1": ALONE._replace(penalty=adversarial.r1(0.1)),
    "pairs, R1 + R2": ALONE._replace(penalty=adversarial.r1_and_r2(0.1), pairs=True),
}
told = {}  # name -> "better", "worse" or "not told apart"
for name, rules in COSTS.items():
    ask(name, rules)
    plain, distance = found["plain"][1], found[name][1]
    better, worse = distance.max() < plain.min(), distance.min() > plain.max()
    told[name] = "better" if better else "worse" if worse else "not told apart"
    print(f"{'':<26} {told[name]}")

figure = Figure(figsize=(9, 5.4), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
strip(left, ["plain", *COSTS])
right.barh(range(len(COSTS) + 1), [found[name][0].mean() for name in ("plain", *COSTS)])
right.set_xlabel("seconds of the processor")
lesson.picture(figure, "costs.png")

# %% [markdown]
# ## What it says
#
# @TABLE

# %%
lesson.step("Samples")
SHOWN = ("plain", "60 images", "average", "growing", "D without BatchNorm", "- with Nesterov")
rows = np.concatenate([held_out[:16], *(drawn[name] for name in SHOWN)])
lesson.picture(show.image_grid(rows, 16, scale=3), "samples.png")

# %% [markdown]
# ## Checks, or a verdict

# %%
lesson.step("Checks, or a verdict")
mean = {name: distance.mean() for name, (_, distance) in found.items()}
if lesson.shipped:
    pass  # @CHECKS
    lesson.end()
else:
    names = {word: [name for name in told if told[name] == word] for word in ("better", "worse")}
    lesson.end(
        verdict.lines(
            f"plain: Frechet distance {mean['plain']:.2f} (floor {FLOOR:.2f})",
            *(f"{word}: {', '.join(rows) or 'none'}" for word, rows in names.items()),
            "" if key else "no labels: the ruler has learned nothing, trust it less",
        )
    )

# %% [markdown]
# ## Exercises
#
# 1. EX
