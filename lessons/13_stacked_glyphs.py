# %% [markdown]
# # Lesson 13, third part. A thousand modes
#
# Three digits, one in each colour channel, make 1,000 modes that a classifier of single digits can count: "stacked
# MNIST" (Metz et al. 2017; Srivastava et al. 2017), here of glyphs of 16x16 pixels, or of any grey digits with
# `--data`. So mode collapse is measured on images. And so is the measure: the number of modes alone deceives.

# %%
from typing import NamedTuple

import numpy as np

from npgan import data, networks, show, verdict
from npgan.adversarial import (
    discriminator_step,
    generator_step,
    r1_and_r2,
    relativistic_discriminator_step,
    relativistic_generator_step,
)
from npgan.backend import to_device
from npgan.layers import BatchNormalization, Dense, MinibatchStandardDeviation, Sequential
from npgan.lesson import Lesson
from npgan.metrics.samples import accuracy, class_probabilities, generate, train_classifier
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.series import Series

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "13_stacked_glyphs",
    "A thousand modes, and how to count them",
    FLAGS,
    steps=3000,
    quick_steps=6,
    data="glyphs",
    device=True,
    resume=True,
)
args, rng = lesson.args, lesson.rng
CHECKED = True  # False, where an exercise has changed the games: a verdict at the end, no checks
COUNT = 1000 if args.quick else 26_000  # samples that are scored; 26,000 are usual

# %% [markdown]
# ## The images, and a classifier
#
# A stack is drawn anew for every batch: three grey digits at random, so all modes are equally frequent. The
# classifier learns single digits; a stack's mode is what it says of the three channels. It invents modes where it
# errs, so its own accuracy comes first.

# %%
lesson.step("The images, and a classifier")
images = data.load(
    args.data, size=args.size or 16, channels=1, count=1500 if args.quick else 20_000, seed=args.seed
)
if images.classes is None:
    raise data.DataError(f"{args.data}: has no labels, and modes cannot be counted without")
train, held_out = images.split(len(images) // 4, rng)
classes = int(images.classes.max()) + 1
classifier = train_classifier(
    train, train.classes, classes, rng, steps=60 if args.quick else 1500, device=args.device
)
right = accuracy(classifier, held_out[:], held_out.classes)
share = np.bincount(images.classes, minlength=classes) / len(images)
TRUE = np.einsum("i,j,k->ijk", share, share, share).ravel()  # of each mode, about 1/1,000
print(f"classifier: {right:.1%} right on {len(held_out)} unseen digits; {classes**3} modes")
lesson.picture(show.image_grid(data.stacked(train, 32, rng)[0], 16, scale=3), "real.png")

# %% [markdown]
# ## Three figures
#
# - **KL**, in nats: the sum of p log(p / q) over the modes, p their share among the samples, q among the data, about
#   1/1,000 each. Of N real samples it is about (1,000 - 1) / 2N, 0.019 of 26,000: that is its floor.
# - **Confidence**: the mean of the classifier's largest probability. Low where a sample is no digit.
# - **Modes**: with at least one sample. Look at the table: noise of equal pixels "has" most of the modes! A
#   classifier must answer, whatever it is shown, and one answer in 26,000 is enough. So KL and confidence come before
#   modes.


# %%
class Score(NamedTuple):
    kl: float
    confidence: float
    modes: int


def score(samples) -> Score:
    """Of stacks (N, H, W, 3) in [-1, 1]."""
    n, h, w, _ = samples.shape
    single = samples.transpose(0, 3, 1, 2).reshape(3 * n, h, w, 1)
    probability = class_probabilities(classifier, single).reshape(n, 3, classes)
    mode = probability.argmax(axis=2) @ [classes**2, classes, 1]
    found = np.bincount(mode, minlength=classes**3) / n
    seen = found > 0
    kl = float((found[seen] * np.log(found[seen] / np.maximum(TRUE[seen], 1e-9))).sum())
    return Score(kl, float(probability.max(axis=2).mean()), int(seen.sum()))


lesson.step("Three figures")
real = data.stacked(held_out, COUNT, rng)[0]
pixels = rng.permuted(real.reshape(-1, real[0].size), axis=1).reshape(
    real.shape
)  # the same values, elsewhere
scores = {"real": score(real), "shuffled pixels": score(pixels)}
scores["uniform noise"] = score(rng.uniform(-1, 1, real.shape).astype(np.float32))
scores["one digit less"] = score(
    data.stacked(held_out.take(np.flatnonzero(held_out.classes > 0)), COUNT, rng)[0]
)


def line(name: str) -> None:
    found = scores[name]
    print(
        f"{name:<18} KL {found.kl:5.3f}   confidence {found.confidence:.3f}   modes {found.modes:4}",
        flush=True,
    )


for name in scores:
    line(name)

# %% [markdown]
# ## The games
#
# *Plain* is DCGAN at this size, with its rates of 0.0002 for both (Radford et al. 2016), as in the papers that count
# stacked digits. *Cured* is lesson 9's: G's rate ten times and D's twice as large, and what is counted is the moving
# average of G. *Weak* is that with a D of 4 channels where the others have 32: a judge who overlooks much. G then
# gets away with few modes. What helps a judge with poor eyes?
#
# - *Deviation*: a feature that says how much 4 neighbours in the batch differ (`MinibatchStandardDeviation`; Karras
#   et al. 2018, section 3). A G that draws the same again and again betrays itself by it.
# - *Two rates*: D learns faster, G more slowly. A weak D cannot know all modes at once; a fast one can follow.
# - *Pairs, R1 + R2*: the cure of the plane. Penalties need a D without BatchNormalization.
#
# All rates stay for half the rounds, then fall to 0.


# %%
class Game(NamedTuple):
    width: int  # of D's first layer
    g_rate: float = 2e-3
    d_rate: float = 4e-4
    average: bool = True
    deviation: bool = False
    pairs: bool = False  # with R1 + R2


GAMES = {
    "plain": Game(32, 2e-4, 2e-4, average=False),
    "cured": Game(32),
    "weak": Game(4),
    "weak-pairs": Game(4, 5e-4, 2e-3, pairs=True),
    "weak-cured": Game(4, 1e-3, 2e-3, deviation=True),
}
LATENT, BATCH, PENALTY = 64, 8 if args.quick else 64, 0.1
SHAPE = (*train.shape[:2], 3)


def make_discriminator(game, rng):
    """DCGAN's, or that without BatchNormalization, or that with one feature more before the last layer."""
    *layers, flatten, _ = networks.dcgan_discriminator(SHAPE, rng, width=game.width).layers
    if game.pairs:
        layers = [layer for layer in layers if not isinstance(layer, BatchNormalization)]
    if game.deviation:
        layers.append(MinibatchStandardDeviation(4))
    features = Sequential([*layers, flatten]).forward(np.zeros((4, *SHAPE), np.float32), train=False).shape[1]
    network = Sequential([*layers, flatten, Dense(features, 1, rng=rng)])
    return network if game.pairs else networks.normal_weights(network, rng)


def draw_noise(count, rng):
    return rng.standard_normal((count, LATENT), dtype=np.float32)


def play(name: str):
    """Train the game `name`; return COUNT samples of its averaged generator."""
    game, rng = GAMES[name], np.random.default_rng(args.seed)
    generator = networks.normal_weights(
        networks.dcgan_generator(SHAPE, LATENT, rng, width=32, smallest=4), rng
    ).to(args.device)
    discriminator = make_discriminator(game, rng).to(args.device)
    g_rate, d_rate = (
        linear_decay(rate, 0, args.steps, begin=args.steps // 2) for rate in (game.g_rate, game.d_rate)
    )
    g_optimizer, d_optimizer = Adam(generator.parameters(), g_rate), Adam(discriminator.parameters(), d_rate)
    average = MovingAverage(generator)
    parts = {"generator": generator, "discriminator": discriminator, "average": average, "rng": rng}
    parts |= {"g_optimizer": g_optimizer, "d_optimizer": d_optimizer}
    run = series.run(name, args.steps, parts)
    for _ in run:
        real = to_device(data.stacked(train, BATCH, rng)[0], args.device)
        fake = generator.forward(to_device(draw_noise(BATCH, rng), args.device))
        if game.pairs:
            d = relativistic_discriminator_step(discriminator, real, fake, d_optimizer, r1_and_r2(PENALTY))
            g = relativistic_generator_step(generator, discriminator, real, fake, g_optimizer)
        else:
            d = discriminator_step(discriminator, real, fake, d_optimizer)
            g = generator_step(generator, discriminator, fake, g_optimizer)
        average.update()
        run.log(d_loss=d.loss, g_loss=g.loss)
    network = average.layer if game.average else generator
    return generate(network, draw_noise(COUNT, np.random.default_rng(1)), args.device)


lesson.step("The games")
series = Series(lesson, list(GAMES), {"shape": SHAPE, "images": len(train)})
drawn = {}
for name in GAMES:
    print(f"-- {name}")
    drawn[name] = play(name)
    scores[name] = score(drawn[name])
    line(name)
rows = [real[:16], *(samples[:16] for samples in drawn.values())]
lesson.picture(show.image_grid(np.concatenate(rows), 16, scale=3), "samples.png")

# %% [markdown]
# ## What it says
#
# `samples.png` has real stacks in the first row, then 16 of each game, in the order of the table.
#
# Measured with seeds 0, 1 and 2: 26,000 samples, 3,000 rounds a game. The whole lesson took about nine minutes on a
# core that other programs shared.
#
#                          KL                     confidence              modes
#     real                0.021  0.021  0.020    0.996  0.997  0.995    1000  1000  1000
#     one digit less      0.333  0.333  0.333    0.996  0.997  0.995     729   738   729
#     shuffled pixels     0.738  1.181  1.031    0.698  0.698  0.709     961   879   940
#     uniform noise       2.157  1.724  1.769    0.696  0.684  0.683     589   604   790
#     plain               0.189  0.176  0.182    0.828  0.813  0.827    1000   996   993
#     cured               0.101  0.124  0.111    0.835  0.822  0.835    1000   999  1000
#     weak                4.367  4.001  2.803    0.705  0.655  0.645     105    80   292
#     weak-pairs          0.834  0.706  0.761    0.801  0.791  0.805     911   944   925
#     weak-cured          0.518  0.724  0.571    0.808  0.779  0.803     982   930   959
#
# - **Modes alone deceive.** Digits whose pixels are shuffled "have" 961 modes, more than two of the GANs. KL puts
#   them where they belong, and the confidence says why: it sees no digits.
# - **A strong D needs no cure.** DCGAN's plain game finds 993 to 1,000 modes at this size; lesson 9's rates and
#   average bring its shares a little nearer to even. With the deviation on top (seed 0, D's rate 0.001) KL was 0.124:
#   nothing gained. What is left to do is the confidence, 0.82 of 1: digits that are not quite one.
# - **A weak D does.** Then G draws 80 to 292 modes. To see how much samples differ brings 900 and more back, at the
#   price of one feature; the loss of pairs with both penalties does as much without it. One of the two is enough, and
#   which is better differs between the seeds. What D cannot see in one image it can see in four.
#
# ## Checks, or a verdict

# %%
lesson.step("The table")
for name in scores:
    line(name)
assert all(np.isfinite(samples).all() for samples in drawn.values())
if lesson.shipped and CHECKED:
    assert right >= 0.98, "the classifier itself is not good enough to judge"
    assert scores["real"].kl < 0.03 and scores["real"].modes == 1000  # 0.020
    assert scores["uniform noise"].modes > 300 and scores["uniform noise"].kl > 1, "noise has modes"
    assert scores["cured"].modes >= 990 and scores["cured"].kl <= 0.2, "the cured game leaves modes out"
    assert scores["weak"].modes < 500, "a weak D lets G collapse"
    assert scores["weak-cured"].modes >= 900 and scores["weak-cured"].kl < 0.5 * scores["weak"].kl
    assert scores["weak-pairs"].modes > scores["weak"].modes + 200
    lesson.end()
else:
    lesson.end(
        verdict.lines(
            f"KL of real images {scores['real'].kl:.2f}, confidence {scores['real'].confidence:.2f}",
            *(
                f"{name}: KL {scores[name].kl:.2f}, confidence {scores[name].confidence:.2f}"
                for name in drawn
            ),
            "" if right >= 0.9 else f"the classifier is right on {right:.0%} only: do not trust what it says",
        )
    )

# %% [markdown]
# ## Exercises
#
# 1. How many of 1,000 equally frequent modes do 1,000 samples have? Work it out: the probability that all of them
#    miss a mode. Compare with `score(data.stacked(held_out, 1000, rng)[0]).modes`. And a generator that draws
#    everything but zeros: which modes, which KL? Compare with the table's "one digit less".
# 2. The weak cure has two halves. Take each away: `"weak-cured": Game(4, 1e-3, 2e-3)`, then `Game(4,
#    deviation=True)`, with `CHECKED = False`. Which half helps more? Is the whole more than its parts?
