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
    few = f"wanted {6 * FEATURES + 6} images or more, with sides that 4 divides (--size)"
    raise DataError(f"{images.name}: {few}, got {len(images)} of {H} x {W}")
held = min(1000, len(images) // 6)
rest, held_out = images.split(held, np.random.default_rng(args.seed))
extractor = train_extractor(rest, rest.classes, seed=args.seed, steps=30 if args.quick else 300)
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
# - `growing`: half of the rounds on images of half the size; then a last layer for the whole size takes the place of
#   that for the half (Karras et al. 2018, ProGAN, without its slow fade; lesson 17).
# - `two stages`: the same small game; then a second G, with a D of its own, learns to enlarge what the first one
#   draws (Zhang et al. 2017, StackGAN, without its text; lesson 16).


# %%
def nesterov(parameters, rate):
    return SGD(parameters, rate, momentum=0.9, nesterov=True)


class Rules(NamedTuple):
    optimizer: Callable = Adam
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


def make_generator(rules, rng):
    network = networks.dcgan_generator(SHAPE, LATENT, rng, width=WIDTH, smallest=rules.smallest)
    return network if rules.he else networks.normal_weights(network, rng)


def make_discriminator(rules, rng):
    network = networks.dcgan_discriminator(SHAPE, rng, width=WIDTH, smallest=rules.smallest)
    layers = (network if rules.he else networks.normal_weights(network, rng)).layers
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


def noise(count, rng):
    return rng.standard_normal((count, LATENT), dtype=np.float32)


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
    halved = (AveragePooling2D(2).forward(x, train=False) for x in batches)
    train(small, judge, rules, halved, lambda n: noise(n, rng), rounds // 2)
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
# With six seeds, for all is compared with it. Measured (seeds 0 to 5): 3.95 +- 0.40, from 3.30 to 4.45; real images
# have 0.64, an untrained G more than 40.

# %%
found, drawn = {}, {}  # name -> seconds and distances of the seeds; 16 samples of the last


def ask(name, rules, seeds=SEEDS):
    """Play with every seed; print mean and spread of the distance, each seed's, and processor seconds."""
    rows = []
    for seed in seeds:
        started = time.process_time()
        with np.errstate(all="ignore"):  # games that run off
            generator, _ = play(rules, seed)
            rows.append((time.process_time() - started, score(generator)))
    found[name] = seconds, distance = np.array(rows).T
    drawn[name] = generate(generator, noise(16, np.random.default_rng(9)))
    said = f"{distance.mean():6.2f} +- {distance.std(ddof=1):5.2f}   {np.sort(distance).round(2)}"
    print(f"{name:<26} {said}   {seconds.mean():.1f} s", flush=True)


lesson.step("The plain game")
PLAIN = Rules()
ask("plain", PLAIN, range(args.seed, args.seed + 2 * len(SEEDS)))
trained = {seed: [player.state() for player in play(PLAIN, seed, letters)] for seed in SEEDS}

# %% [markdown]
# ## Where they are needed
#
# Each disease, and under it the remedy. Grey: plain's seeds. Dotted: real images. Measured (seeds 0 to 2):
#
# - **SGD with a falling rate.** With 0.3 one seed of three is lost (91.5; the others 7.7 and 14). The fall changes
#   nothing, 38.8 +- 44.9 and 37.8 +- 46.7: who leaves in the first half is gone. A third of the rate does it, 3.57 +-
#   0.38. And with that plain descent is as good as Adam here.
# - **Nesterov's momentum.** Where steps are too short, 16.5 +- 6.3, it should help, and gives 23.2 +- 8.3: not told
#   apart, and surely not cured. Ten times the rate does it, 3.61 +- 0.42.
# - **More data** help where there are 60 images, 4.49 +- 0.25: with 300 it is 3.70 +- 0.37. But 5,000 (plain) have
#   3.95 +- 0.40: in 600 rounds more make no difference. **A trained network**, of letters, with 60 images: 4.08 +-
#   0.29, within the seeds of doing without.
# - **A deeper network** helps one that is too shallow: from 6.93 +- 0.65 to plain's 3.95.
# - **D without BatchNorm** is ill, 20.1 +- 12.9, and of the first part's disease: DCGAN's weights of 0.02 are too
#   small for it. With He's it is 6.19 +- 0.64. R1 on top is within the seeds of that, 5.74 +- 0.67. Pairs with R1 and
#   R2 help: 4.63 +- 0.25.

# %%
lesson.step("Where they are needed")
FAST, SLOW = PLAIN._replace(optimizer=SGD, rate=0.3), PLAIN._replace(optimizer=SGD, rate=1e-3)
ALONE = PLAIN._replace(d_norm=False)
NEEDED = {
    "SGD, too fast": FAST,
    "- with a falling rate": FAST._replace(falling=True),
    "- with a third of the rate": FAST._replace(rate=0.1),
    "SGD, too slow": SLOW,
    "- with Nesterov": SLOW._replace(optimizer=nesterov),
    "- with ten times the rate": SLOW._replace(rate=0.01),
    "60 images": PLAIN._replace(images=60),
    "- from letters": PLAIN._replace(images=60, start="letters"),
    "- with 300 images": PLAIN._replace(images=300),
    "a layer less": PLAIN._replace(smallest=8),
    "D without BatchNorm": ALONE,
    "- with He's weights": ALONE._replace(he=True),
    "- and R1": ALONE._replace(he=True, penalty=adversarial.r1(0.1)),
    "- and pairs, R1 + R2": ALONE._replace(he=True, penalty=adversarial.r1_and_r2(0.1), pairs=True),
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
figure = Figure(figsize=(7, 5), layout="constrained")
strip(figure.add_subplot(), ["plain", *NEEDED])
lesson.picture(figure, "needed.png")

# %% [markdown]
# ## Where they are not
#
# The same remedies, and stabilisers, in the plain game. A row is called better (worse) only where its three seeds are
# all better (worse) than all six of plain's: by chance one row in 42. The first row is no remedy: half as much time
# again for the plain game.

# %%
lesson.step("Where they are not")
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
# Measured, seeds 0 to 2 (plain: 3.95 +- 0.40 with six, from 3.30 to 4.45):
#
#     half as many rounds more  3.80 +- 0.42        He's weights             4.36 +- 0.53
#     falling rate              3.92 +- 0.13        average                  3.30 +- 0.18
#     SGD, falling rate         3.58 +- 0.26        D twice as fast          3.79 +- 0.38
#     Nesterov, falling rate   58.40 +- 0.65        two steps of D           3.66 +- 0.32
#     20,000 images             4.39 +- 0.05        smoothed labels          4.20 +- 0.46
#     a layer more             21.58 +- 8.73        minibatch deviation      3.41 +- 0.09
#     from letters              3.49 +- 0.23
#     growing                   7.61 +- 1.41
#     two stages                9.91 +- 1.03
#
# - **No remedy makes the healthy game better** than its seeds do. Average and minibatch deviation come nearest.
# - **Four make it worse, all of them of the article's list**: Nesterov's momentum, a layer more, growing, two stages.
#   The layer that was a cure one size below ruins it here (exercise 1). Growing and two stages spend half of the
#   rounds on images of 8x8; what they are for, large images, is not here.
# - **What costs time costs it always**: a second step of D 1.6 times plain's seconds, a layer more 1.3. Each must
#   beat half as many rounds more (1.3), and none is told apart from that.
# - So first find out what ails a run (`python -m npgan.diagnose`, lesson 15), then take the remedy for that.
#
# `samples.png` has real digits in its first row, then those of `SHOWN`.

# %%
lesson.step("Samples")
SHOWN = ("plain", "60 images", "growing", "a layer more", "D without BatchNorm", "- with Nesterov")
rows = np.concatenate([held_out[:16], *(drawn[name] for name in SHOWN)])
lesson.picture(show.image_grid(rows, 16, scale=3), "samples.png")

# %% [markdown]
# ## Checks, or a verdict

# %%
lesson.step("Checks, or a verdict")
mean = {name: distance.mean() for name, (_, distance) in found.items()}
if lesson.shipped:
    plain = mean["plain"]
    assert FLOOR < 1 and plain < 6  # 0.64 and 3.95
    assert mean["a layer less"] > 1.3 * plain, "the layer is not needed"  # 6.93
    assert mean["- with Nesterov"] > 2 * mean["- with ten times the rate"], "Nesterov helps"  # 23.2 and 3.61
    assert mean["D without BatchNorm"] > 1.5 * mean["- with He's weights"]  # 20.1 and 6.19
    assert mean["Nesterov, falling rate"] > 3 * plain, "Nesterov costs nothing"  # 58.4
    assert mean["a layer more"] > 1.5 * plain, "a layer more costs nothing"  # 21.6
    assert min(mean["growing"], mean["two stages"]) > 1.2 * plain, "stages cost nothing"  # 7.61 and 9.91
    assert mean["average"] < 1.1 * plain, "an average costs something"  # 3.30
    assert mean["SGD, falling rate"] < 1.5 * plain, "only Adam will do"  # 3.58
    lesson.end()
else:
    rows = {word: [name for name in told if told[name] == word] for word in ("better", "worse")}
    lesson.end(
        verdict.lines(
            f"plain: Frechet distance {mean['plain']:.2f} (floor {FLOOR:.2f})",
            *(f"{word}: {', '.join(rows[word]) or 'none'}" for word in rows),
        )
    )

# %% [markdown]
# ## Exercises
#
# Each is a line or two in a cell of your own at the end: `score(play(PLAIN._replace(...), seed)[0])`, seeds 0 to 2.
#
# 1. A layer more (`smallest=2`) ruins a healthy game. Is it the weights (`he=True`), or is D now too strong for G
#    (`d_rate=1 / 3`)?
# 2. With 60 images a start from letters gains nothing that three seeds could see. And with 32?
#
# Worked answers, with the figures to expect: `python lessons/answers/14_remedies.py`.
