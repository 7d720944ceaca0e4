# %% [markdown]
# # Lesson 16, second part. Ways of telling a caption
#
# How should a generator and a discriminator be told what to draw? Three ways are known: the caption's code *joined*
# to the features of the image, with wrong captions among the real ones (Reed et al. 2016); *projection* (Miyato and
# Koyama 2018); and an *auxiliary classifier*, a D that reads the words itself (Odena et al. 2017). They meet here on
# lesson 16's captions at equal processor time, and so do the parts of lesson 16's own way, each left out once.

# %%
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import adversarial, show, text_to_image
from npgan.captioned import (
    CaptionedGenerator,
    Modulation,
    PairScore,
    Projection,
    captioned_r1,
    image_features,
    matching,
    text_encoder,
)
from npgan.gradcheck import check_gradient
from npgan.layers import Dense, Layer, LeakyReLU, Sequential
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy, zero_centred_penalty
from npgan.optim import Adam, MovingAverage
from npgan.text_to_image import CODE, FEATURES, NOISE, draw_noise, judged, sample

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("16_ways_of_telling", "Ways of telling a caption", FLAGS)
args = lesson.args

# What the exercises change.
SECONDS = 0.3 if args.quick else 60.0  # of processor time for each training
READS = 1.0  # what the words count that the auxiliary classifier reads

# %% [markdown]
# ## Two other discriminators
#
# `JoinedCode`: features and code side by side, then two Dense layers. `AuxiliaryClassifier`: beside its score it
# gives the log probability of each word that was said. Both players want those to be high, of real and of generated
# images; nobody judges whether a picture *and* its caption are real together.


# %%
class JoinedCode(Layer):
    """[images (N, H, W, C), words (k N, places)] -> logits (k N, 1), from features and code side by side."""

    def __init__(self, features: Layer, encoder: Layer, rng: np.random.Generator):
        self.features, self.encoder = features, encoder
        self.head = Sequential([Dense(2 * FEATURES, 64, rng=rng), LeakyReLU(0.2), Dense(64, 1, rng=rng)])

    def forward(self, told: Sequence[np.ndarray], train: bool = True) -> np.ndarray:
        images, words = told
        code = self.encoder.forward(words, train)  # k N, F
        f = self.features.forward(images, train)  # N, F
        f = np.tile(f, (len(code) // len(f), 1))
        return self.remember(train, self.head.forward(np.concatenate([f, code], axis=1), train), len(images))

    def backward(self, dy: np.ndarray) -> list:
        (n,) = self.recall(dy)
        df, dcode = np.split(self.head.backward(dy), 2, axis=1)
        self.encoder.backward(dcode)
        return [self.features.backward(df.reshape(-1, n, FEATURES).sum(axis=0)), None]

    def tangent(self, v: Sequence[np.ndarray]) -> np.ndarray:
        (n,) = self.recall_for_tangent()
        t = self.features.tangent(v[0])  # of the true captions alone
        return self.remember(True, self.head.tangent(np.concatenate([t, np.zeros_like(t)], axis=1)), n)


class AuxiliaryClassifier(Layer):
    """[images (N, H, W, C), words (N, places)] -> (N, 1 + places): a logit, and the log probability of each word."""

    def __init__(self, features: Layer, grammar, rng: np.random.Generator):
        self.features, self.starts = features, [*grammar.starts, grammar.count]
        self.score = Dense(FEATURES, 1, rng=rng)
        self.read = Dense(FEATURES, grammar.count, rng=rng)  # a place after the other

    def forward(self, told: Sequence[np.ndarray], train: bool = True) -> np.ndarray:
        images, words = told
        f = self.features.forward(images, train)
        logits, rows = self.read.forward(f, train), np.arange(len(f))
        columns, slopes = [self.score.forward(f, train)], np.empty_like(logits)
        for place, (a, b) in enumerate(zip(self.starts, self.starts[1:])):
            part = logits[:, a:b] - logits[:, a:b].max(axis=1, keepdims=True)
            log_p = part - np.log(np.exp(part).sum(axis=1, keepdims=True))
            said = words[:, place] - a
            columns.append(log_p[rows, said][:, None])
            slopes[:, a:b] = -np.exp(log_p)  # the derivative: one where the word is, less its probability
            slopes[rows, a + said] += 1
        return self.remember(train, np.concatenate(columns, axis=1), slopes)

    def backward(self, dy: np.ndarray) -> list:
        (slopes,) = self.recall(dy)
        widths = np.diff(self.starts)
        df = self.read.backward(slopes * np.repeat(dy[:, 1:], widths, axis=1)) + self.score.backward(
            dy[:, :1]
        )
        return [self.features.backward(df), None]


def reading(logits: np.ndarray, target: float):
    """The loss of a player whose D reads: real or not, less READS times the log probabilities of the words."""
    value, dlogit = binary_cross_entropy(logits[:, :1], target)
    dwords = np.full_like(logits[:, 1:], -READS / len(logits))
    return value - READS * logits[:, 1:].sum(axis=1).mean(), np.concatenate([dlogit, dwords], axis=1)


def r1_of_the_score(discriminator: AuxiliaryClassifier, real, fake) -> float:
    """R1 by what tells real from generated alone."""
    whole = Sequential([discriminator.features, discriminator.score])
    return adversarial.penalise(whole, real[0], lambda g: zero_centred_penalty(g, WEIGHT))


class PlainGenerator(CaptionedGenerator):
    """The code enters beside the noise, and nowhere else: each Modulation is left at 1 and 0."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        blocks = (self.block1.tell, self.block2.tell, self.block3.tell, self.paint)
        for modulation in blocks:
            silence(modulation)


def silence(modulation: Modulation) -> None:
    for dense in (modulation.scale, modulation.shift):
        dense.weight.value[...] = 0
        dense.freeze()


# %% [markdown]
# ## The ways
#
# What a way is made of: the discriminator, how many wrong captions a real image meets, whether the code modulates
# the generator, and whether D sees two samples of a caption at once.


# %%
class Way(NamedTuple):
    told: str = "projection"
    wrong: str = "each word"  # "one": one caption, wrong in a word that is drawn; "none"
    modulated: bool = True
    pairs: bool = True


WAYS = {
    "lesson 16": Way(),
    "one wrong caption": Way(wrong="one"),
    "no wrong captions": Way(wrong="none"),
    "no modulation": Way(modulated=False),
    "no pairs": Way(pairs=False),
    "joined code": Way("joined", pairs=False),
    "auxiliary classifier": Way("classifier", wrong="none", pairs=False),
    "the same, with pairs": Way("classifier", wrong="none"),
}
problem = text_to_image.load(vars(args) | {"data": "glyphs", "size": None, "channels": None})
grammar, shape = problem.train.grammar, problem.train.shape
BATCH, WEIGHT, EVERY = 32, 0.2, 4
SHARES = [0.24, *[0.08] * (len(grammar.places) - 1)]


def make_discriminator(way: Way, rng: np.random.Generator) -> Layer:
    features = image_features(shape, FEATURES, rng, width=32)
    score = PairScore(FEATURES, rng) if way.pairs else Dense(FEATURES, 1, rng=rng)
    if way.told == "classifier":
        network = AuxiliaryClassifier(features, grammar, rng)
        network.score = score
        return network
    encoder = text_encoder(grammar.count, len(grammar.places), FEATURES, rng)
    if way.told == "joined":
        return JoinedCode(features, encoder, rng)
    return Projection(features, FEATURES, encoder, score)


def wrong_captions(way: Way, rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """What the real images meet beside their own captions."""
    if way.wrong == "none":
        return []
    every = problem.train.wrong(rows, rng)
    if way.wrong == "each word":
        return [every]
    place = rng.integers(len(grammar.places), size=len(rows))
    return [every.reshape(len(grammar.places), *rows.shape)[place, np.arange(len(rows))]]


# %% [markdown]
# Before anything is trained with them, the gradients of the two new layers meet finite differences.

# %%
lesson.step("Gradients")
rng = np.random.default_rng(0)
for name in ("joined code", "auxiliary classifier"):
    network = make_discriminator(WAYS[name], rng).astype("float64")
    images, rows = problem.train.draw(4, rng)
    pair = [images.astype(float), grammar.tokens(rows)]
    dy = rng.standard_normal(network.forward(pair).shape)
    dimages, _ = network.backward(dy)
    error = check_gradient(
        lambda network=network, pair=pair: network.forward(pair), pair[0], dimages, rng, dy=dy
    )
    print(f"{name}: relative error {error:.1e}")

# %% [markdown]
# ## Equal time


# %%
def play(way: Way, rng: np.random.Generator) -> tuple[Layer, int]:
    """Train for SECONDS of processor time; the moving average of the generator, and how many rounds there were."""
    make = CaptionedGenerator if way.modulated else PlainGenerator
    encoder = text_encoder(grammar.count, len(grammar.places), CODE, rng)
    generator, discriminator = make(shape, encoder, CODE, rng, noise=NOISE), make_discriminator(way, rng)
    started, part, rounds = time.process_time(), 0.0, 0

    def rate(start: float):
        return lambda step: start * min(1.0, 2 - 2 * part) + 1e-9

    g_optimizer, d_optimizer = (
        Adam(player.named_parameters(), rate(start), beta_1=0.5, beta_2=0.99)
        for player, start in ((generator, 2e-3), (discriminator, 1e-3))
    )
    average = MovingAverage(generator, 0.998)
    g_loss, penalty = binary_cross_entropy, captioned_r1(WEIGHT)
    if way.told == "classifier":
        d_loss, g_loss, penalty = reading, reading, r1_of_the_score
    elif way.wrong == "none":
        d_loss = binary_cross_entropy
    else:
        d_loss = matching(SHARES if way.wrong == "each word" else [0.5])
    while part < 1:
        copies = 2 if way.pairs else 1
        images, rows = problem.train.draw(BATCH // copies, rng, copies=copies)
        words = grammar.tokens(np.concatenate([rows, *wrong_captions(way, rows, rng)]))
        fake = generator.forward([draw_noise(BATCH, rng), words[:BATCH]])
        paid = penalty if rounds % EVERY == 0 else None
        adversarial.discriminator_step(discriminator, [images, words], fake, d_optimizer, d_loss, paid)
        adversarial.generator_step(generator, discriminator, fake, g_optimizer, g_loss)
        average.update()
        rounds += 1
        part = min(1.0, (time.process_time() - started) / SECONDS)
    return average.layer, rounds


lesson.step(f"Equal time: {SECONDS:g} seconds for each of {len(WAYS)} trainings")
judge = problem.judge(np.random.default_rng(args.seed), steps=60 if args.quick else 1500)
unseen, rng = problem.unseen["held-out"], np.random.default_rng(args.seed + 1)
rows = text_to_image.test_captions(unseen, 10 if args.quick else 150, rng)
eightfold = np.repeat(rows, 8, axis=0)
filled = problem.everything.fill(eightfold, rng)
real, apart = judged(rows, unseen.paint(unseen.fill(eightfold, rng), rng), judge, problem.train)
COLUMNS = ("character", "foreground", "background", "weight", "main", "all")
print(f"{'':22}{'rounds':>8}" + "".join(f"{name:>12}" for name in (*COLUMNS, "diversity")))
print(f"{'real':22}{'':8}" + "".join(f"{real[name]:12.1%}" for name in COLUMNS) + f"{1:12.2f}")
results, strips = {}, []
for name, way in WAYS.items():
    network, rounds = play(way, np.random.default_rng(args.seed))
    images = sample(network, grammar.tokens(filled), draw_noise(len(filled), np.random.default_rng(3)))
    scores, distance = judged(rows, images, judge, problem.train)
    results[name] = scores | {"diversity": distance / apart}
    line = "".join(f"{scores[column]:12.1%}" for column in COLUMNS)
    print(f"{name:22}{rounds:8}{line}{results[name]['diversity']:12.2f}", flush=True)
    strips.append(images[:16])

# %%
grid = show.image_grid(np.concatenate(strips), 16, scale=2)
title = f"eight samples each of {grammar.write(rows[0])!r} and {grammar.write(rows[1])!r}"
lesson.picture(show.titled(grid, title, rows=list(WAYS)), "samples.png")
figure = Figure(figsize=(7, 4.5), layout="constrained")
axes = figure.add_subplot(xlabel="diversity, real pictures 1", ylabel="captions right (main)", ylim=(0, 1.03))
for name, scores in results.items():
    axes.plot(scores["diversity"], scores["main"], "o", label=name)
axes.axhline(0.9, color="black", linestyle=":", linewidth=1)
axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
axes.grid(alpha=0.3)
axes.legend(fontsize=8)
lesson.picture(figure, "ways.png")

# %% [markdown]
# ## What it says
#
# Mean and spread of seeds 0 to 2, a minute each, held-out captions:
#
#                             rounds   character   foreground   weight   main          diversity
#     lesson 16                  874     87.2%        90.8%      53.9%   78.8 +- 5.2%   0.64 +- 0.02
#     one wrong caption          883     87.1%        94.5%      51.6%   82.3 +- 2.3%   0.62 +- 0.01
#     no wrong captions          876     78.2%        84.6%      48.8%   65.9 +- 2.8%   0.77 +- 0.03
#     no modulation              873     11.8%        83.8%      42.3%   10.1 +- 1.2%   0.54 +- 0.03
#     no pairs                   905     95.4%        92.7%      61.6%   88.3 +- 2.1%   0.65 +- 0.03
#     joined code                845     20.5%        49.1%      52.6%    8.2 +- 9.7%   0.72 +- 0.10
#     auxiliary classifier       882     62.2%        81.2%      42.0%   46.6 +- 3.3%   0.58 +- 0.05
#     the same, with pairs       880     55.0%        83.6%      41.4%   46.5 +- 1.5%   0.51 +- 0.04
#
# - **The generator's modulation is worth most.** With the code beside the noise alone, nothing but the colours is
#   learned in a minute.
# - **Projection learns fastest.** A joined code must first find out that image and code have to do with each other.
#   An auxiliary classifier finds the words, more slowly, and its samples are more alike.
# - **Wrong captions make a fifth more captions right.** Whether there is one, or one for each word, cannot be told
#   apart in a minute.
# - **Pairs do not pay in a minute.** Without them more captions are right, and the samples are no less different. Nor
#   over lesson 16's whole time (220 s, seed 0): 97.0% are right without them, but the diversity is 0.70; with them,
#   lesson 16 has 95% and 0.88. So pairs buy diversity, and only later.

# %%
lesson.step("Checks")
assert all(np.isfinite(list(scores.values())).all() for scores in results.values())
if not args.quick and READS == 1.0:
    main = {name: scores["main"] for name, scores in results.items()}
    assert main["lesson 16"] > main["no wrong captions"], "wrong captions do not help"  # 79% and 66%
    assert main["no wrong captions"] > main["no modulation"] + 0.2, (
        "the modulation does not help"
    )  # 66% and 10%
    assert main["lesson 16"] > max(main["joined code"], main["auxiliary classifier"]) + 0.1  # 79%, 8% and 47%
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. `READS = 0.3`: words count less for the auxiliary classifier. Are its samples more different now, and how many
#    captions are right?
# 2. A row of your own: `Way("classifier", modulated=False, wrong="none", pairs=False)`. Which words does it obey?
#
# Worked answers, with the figures: `python lessons/answers/16_ways_of_telling.py`.
