# %% [markdown]
# # Lesson 18. Transfer: start from a trained GAN, with few images
#
# A GAN that learns from thirty images has two troubles: it must find out from so little what an image is at all, and
# its discriminator soon knows all thirty by heart. A network that has played with many images of *another* kind knows
# something about images already. Does it help? Must all of it go on learning? Here letters become digits, and 19
# fonts the twentieth, each way in equal seconds of the processor.
#
#     python lessons/18_transfer.py                                       # letters to digits, fonts to a font
#     python lessons/18_transfer.py --data t10k-images-idx3-ubyte.gz      # digits in 20 fonts to MNIST's, or to yours
#     python lessons/18_transfer_repair.py                                # the same for a network that repairs

# %%
import time
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import checkpoint, data, networks, show, verdict
from npgan.adversarial import discriminator_step, generator_step, r1
from npgan.errors import DataError
from npgan.layers import BatchNormalization, Layer, Sequential
from npgan.lesson import Lesson
from npgan.metrics import scores
from npgan.metrics.features import WIDTH, features, train_extractor
from npgan.metrics.samples import generate
from npgan.optim import Adam, MovingAverage
from npgan.series import Series

TRAINING = dict(steps=2500, quick_steps=3, data="glyphs", resume=True)
FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("18_transfer", "Start from a trained GAN, with few images", FLAGS, **TRAINING)
args = lesson.args
SEEDS = range(args.seed, args.seed + (2 if args.quick else 3))

# What the exercises change.
SOURCE = data.UPPERCASE  # the characters of the first source, where the target is glyphs
RATE = 1e-3  # of both players in the games with few images
MORE = True  # False: the first question alone

ROUNDS = 6 if args.quick else 300  # from scratch; what they take is the time that every way has
PARTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of this time: when the games with NUMBER images are scored
NUMBER, BATCH, LATENT = 30, 32, 32  # the few images, those of a batch, numbers of noise
AS_SHIPPED = lesson.shipped and (SOURCE, RATE, MORE) == (data.UPPERCASE, 1e-3, True)

# %% [markdown]
# ## Source and target
#
# Images of 16x16. Of the *source* there are 5,000. Of the *target* the players get 10, 30 or 100, other ones for each
# seed; with 1,000 more, from which nobody learns, the samples are compared.
#
# The ruler is lesson 12's, 64 features of a small classifier, with one difference: it has learned to tell the kinds
# of the target *and* those of the source, here 36 characters. One that knows nothing but digits need not see that a
# letter is none. Measured, seed 0: real digits have a Frechet distance of 0.52, letters of 23.0.


# %%
class Task(NamedTuple):
    name: str
    source: data.Images
    rest: data.Images  # of the target: the few come from here
    unseen: np.ndarray
    extractor: Sequential
    real: np.ndarray  # features of the unseen
    floor: float  # Frechet distance of as many other real images
    before: float  # of images of the source


def make_task(name: str, source: data.Images, target: data.Images) -> Task:
    held = min(1000, len(target) // 3)
    if held <= WIDTH:
        raise DataError(f"{target.name}: {len(target)} images, wanted at least {3 * WIDTH + 3}")
    rest, unseen = target.split(held, np.random.default_rng(args.seed))
    kinds = rest.classes if rest.classes is not None else np.zeros(len(rest), int)  # without labels one kind
    both = data.Images(np.concatenate([rest[:5000], source[:]]), name="the ruler's images")
    labels = np.concatenate([kinds[:5000], kinds.max() + 1 + source.labels["character"]])
    extractor = train_extractor(both, labels, seed=args.seed, steps=30 if args.quick else 400)
    real, unseen = features(extractor, unseen[:]), unseen[:]
    others, before = (features(extractor, images[:held]) for images in (rest, source))
    distances = (scores.frechet(real=real, generated=found) for found in (others, before))
    return Task(name, source, rest, unseen, extractor, real, *distances)


lesson.step("Source and target")
glyphs = args.data == "glyphs"
like = {"size": args.size or 16, "colour": args.channels == 3, "seed": args.seed}
count = 600 if args.quick else 5000
digits = data.load(args.data, size=like["size"], channels=args.channels or 1, count=2 * count, seed=args.seed)
SHAPE = H, W, C = digits.shape
if H != W or H % 4 or H < 12:
    raise DataError(f"{digits.name}: wanted squares, --size 12, 16, 20, ..., got {H} x {W}")
if glyphs:
    letters = data.glyphs(count, characters=SOURCE, **like)
    TASKS = [make_task("letters to digits", letters, digits)]
else:
    TASKS = [make_task("glyphs to yours", data.glyphs(count, **like), digits)]
if glyphs and MORE:
    FONT = "STIXGeneralBolIta"
    others = data.glyphs(count, fonts=[font for font in data.FONTS if font != FONT], **like)
    twentieth = data.glyphs(count, fonts=[FONT], **like | {"seed": args.seed + 1})
    TASKS.append(make_task("19 fonts to one", others, twentieth))
for task in TASKS:
    print(f"{task.name}: Frechet distance of real images {task.floor:.2f}, of the source's {task.before:.1f}")

# %% [markdown]
# ## The players, by name
#
# DCGAN's, with He's weights, D with R1 in place of BatchNormalization (lesson 13). D's blocks have names, and so has
# all that it knows: `discriminator.load_state(state, only="from_image")` takes over one block.


# %%
def make_players(rng: np.random.Generator) -> tuple[Sequential, Sequential]:
    generator = networks.dcgan_generator(SHAPE, LATENT, rng, width=16, smallest=4)
    layers = networks.dcgan_discriminator(SHAPE, rng, width=16).layers
    layers = [layer for layer in layers if not isinstance(layer, BatchNormalization)]
    blocks = {"from_image": layers[:2], "halve": layers[2:-2], "judge": layers[-2:]}
    return generator, Sequential({name: Sequential(block) for name, block in blocks.items()})


def game(generator: Layer, discriminator: Layer, images: data.Images, rng, rate: float = 1e-3) -> dict:
    """All that a game changes, by name, as a checkpoint wants it."""
    return {
        "generator": generator,
        "discriminator": discriminator,
        "g_optimizer": Adam(generator.named_parameters(), rate),
        "d_optimizer": Adam(discriminator.named_parameters(), rate),
        "average": MovingAverage(generator, 0.99),
        "batches": images.batches(min(BATCH, len(images)), rng),
        "rng": rng,
    }


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((count, LATENT), dtype=np.float32)


def play_round(parts: dict) -> tuple:
    generator, discriminator = parts["generator"], parts["discriminator"]
    real, fake = next(parts["batches"]), generator.forward(noise(BATCH, parts["rng"]))
    d = discriminator_step(discriminator, real, fake, parts["d_optimizer"], penalty=r1(0.5))
    g = generator_step(generator, discriminator, fake, parts["g_optimizer"])
    parts["average"].update()
    return d, g


def play_for(parts: dict, seconds: float) -> float:
    """Play for so many seconds of the processor; return the seconds of a round."""
    began, rounds = time.process_time(), 0
    while time.process_time() - began < seconds:
        play_round(parts)
        rounds += 1
    return (time.process_time() - began) / max(1, rounds)


# %% [markdown]
# ## The games of the source
#
# For each seed and each source 2,500 rounds with many images, about 19 seconds. They are saved, and `--resume` does
# not play them again (`npgan/series.py`). Before that, a few rounds for the clock: how long are 300?

# %%
lesson.step("The games of the source")
print(make_players(np.random.default_rng(0))[1].summary(SHAPE))
parts = game(*make_players(np.random.default_rng(0)), TASKS[0].source, np.random.default_rng(0))
SECONDS = ROUNDS * min(play_for(parts, 0.3 * ROUNDS / 300) for _ in range(3))
print(f"{ROUNDS} rounds from scratch: {SECONDS:.2f} seconds")
games = {f"{task.name}-{seed}".replace(" ", "-"): (task, seed) for task in TASKS for seed in SEEDS}
told = checkpoint.fingerprint(TASKS[0].rest) | {"source": SOURCE}
series, sources = Series(lesson, list(games), told), {}
for name, (task, seed) in games.items():
    rng = np.random.default_rng(seed)
    parts = game(*make_players(rng), task.source, rng)
    run = series.run(name, args.steps, parts)
    for _ in run:
        d, g = play_round(parts)
        run.log(d_loss=d.loss, g_loss=g.loss)
    sources[task.name, seed] = parts["generator"].state(), parts["discriminator"].state()

# %% [markdown]
# ## What goes on, and what stays
#
# - `all weights`: both players go on (Wang et al. 2018, TransferGAN).
# - `D frozen`: so do they, but D's two blocks *next to the image*, which see strokes, stay as they are, and
#   only its judge learns (Mo et al. 2020, FreezeD). Some users froze the other end, by mistake; so do we, below.
# - `scale and shift`: of G nothing learns but the scale and shift of its BatchNormalizations, 96 numbers of 24,929
#   (Noguchi and Harada 2019, who have no D; here it plays on).
# - `from scratch`: nothing goes on.
#
# A frozen layer lets gradients through and gathers none, and its running statistics stay. So Adam, which is new in
# each game, leaves its numbers to the bit; an Adam that remembers the source's gradients would not. G's step holds
# all of D for its own time, and afterwards what was frozen is still frozen (`Layer.held`).


# %%
class Way(NamedTuple):
    g: bool = True  # whether G's weights go on
    d: slice = slice(None)  # the blocks of D that go on, counted from the image
    frozen: slice = slice(0)  # the blocks of D that stay as they are
    scale: bool = False  # of G only scale and shift learn
    rate: float = RATE


WAYS = {
    "from scratch": Way(g=False, d=slice(0)),
    "all weights": Way(),
    "D frozen": Way(frozen=slice(2)),
    "scale and shift": Way(scale=True),
}


def start(way: Way, source: tuple[dict, dict], rng: np.random.Generator) -> tuple[Sequential, Sequential]:
    """Both players as a way wants them at the beginning."""
    generator, discriminator = make_players(rng)
    if way.g:
        generator.load_state(source[0])
    for name in list(discriminator.children())[way.d]:
        discriminator.load_state(source[1], only=name)
    for name in list(discriminator.children())[way.frozen]:
        discriminator.children()[name].freeze()
    if way.scale:
        generator.freeze()
        for layer in generator.walk():
            if isinstance(layer, BatchNormalization):
                layer.unfreeze()
    return generator, discriminator


# %% [markdown]
# ## The scores
#
# *Frechet distance* to the unseen images. *Copying* is lesson 12's: how often a sample is nearer to its nearest image
# among the few than an unseen real image is to its own; 0.5 for real images, 1 for copies. Below 0.5 is no praise:
# bad images are far from everything. The row `the few` scores the few images themselves, over and over.


# %%
def score(task: Task, few: np.ndarray, samples: np.ndarray) -> tuple[float, float]:
    """Frechet distance and copying; a game that ran off is infinitely far and copies nothing."""
    if not np.isfinite(samples).all():
        return np.inf, 0.0
    near, theirs = (scores.nearest(few, images)[0] for images in (samples, task.unseen))
    distance = scores.frechet(real=task.real, generated=features(task.extractor, samples))
    return distance, scores.copying(real=theirs, generated=near)


def few_images(task: Task, seed: int, number: int) -> data.Images:
    return task.rest.take(np.random.default_rng(100 + seed).permutation(len(task.rest))[:number])


def ask(task: Task, name: str, way: Way, number: int = NUMBER, parts=(1.0,)) -> np.ndarray:
    """Play with every seed; the scores after these parts of the time (seeds, parts, 2)."""
    found, z = [], noise(len(task.unseen), np.random.default_rng(9))
    for seed in SEEDS:
        few, rng = few_images(task, seed, number), np.random.default_rng(50 + seed)
        players, spent = game(*start(way, sources[task.name, seed], rng), few, rng, way.rate), 0.0
        found.append([])
        with np.errstate(all="ignore"):  # games that run off
            for part in parts:
                play_for(players, SECONDS * (part - spent))
                spent, samples = part, generate(players["average"].layer, z)
                found[-1].append(score(task, few[:], samples))
                if part == 1.0:
                    drawn[task.name, name] = samples[:16]
    found = np.array(found)
    say(name, number, found[:, list(parts).index(1.0)])
    return found


def say(name: str, number: int, found: np.ndarray) -> None:
    """Print the scores (seeds, 2) of one way: mean and standard deviation, and the distance of each seed."""
    means = "   ".join(f"{x.mean():5.2f} +- {x.std(ddof=1):4.2f}" for x in found.T)
    print(f"{name:<18}{number:4}   {means}   {found[:, 0].round(2)}", flush=True)


drawn: dict = {}  # (task, way) -> samples of the last seed, after SECONDS
HEAD = f"{'way':<18}{'few':>4}   {'Frechet':>13}   {'copying':>13}   Frechet, each seed"


def side_by_side(task: Task) -> Figure:
    grid = [few_images(task, SEEDS[-1], NUMBER)[:16], *(drawn[task.name, name] for name in WAYS)]
    grid = show.image_grid(np.concatenate(grid), 16, scale=max(1, 56 // H))
    return show.titled(grid, f"{task.name}, {NUMBER} images", rows=["the few", *WAYS])


# %% [markdown]
# ## Thirty images

# %%
TASK = TASKS[0]
lesson.step(f"{TASK.name}, {NUMBER} images")
print(HEAD)
few = [few_images(TASK, seed, NUMBER)[:] for seed in SEEDS]
say("the few", NUMBER, np.array([score(TASK, x, np.resize(x, TASK.unseen.shape)) for x in few]))
thirty = {name: ask(TASK, name, way, parts=PARTS) for name, way in WAYS.items()}
figure = Figure(figsize=(9, 3.6), layout="constrained")
for axes, which, what in zip(figure.subplots(1, 2), (0, 1), ("Frechet distance", "copying")):
    for colour, (name, found) in enumerate(thirty.items()):
        axes.plot(PARTS, found[..., which].T, color=f"C{colour}", alpha=0.3)
        axes.plot(PARTS, found[..., which].mean(axis=0), "o-", color=f"C{colour}", label=name)
        print(f"{what}, {name}, after {PARTS} of the time: {found[..., which].mean(axis=0).round(2)}")
    axes.axhline((TASK.floor, 0.5)[which], color="k", linestyle=":")
    axes.set(xlabel=f"time, in {SECONDS:.1f} seconds", ylabel=what, xscale="log", xticks=PARTS)
    axes.set(xticklabels=PARTS, yscale=("log", "linear")[which])
    axes.minorticks_off()
axes.legend(fontsize=8)
lesson.picture(figure, "seconds.png")
lesson.picture(side_by_side(TASK), "samples.png")

# %% [markdown]
# Three seeds, mean and standard deviation; the time is 2.4 seconds. Last row: means after four times as long.
#
#                     the few       from scratch    all weights     D frozen        scale and shift
#     Frechet         12.0 +- 0.4   12.8 +- 1.4     7.1 +- 0.6      7.8 +- 0.4      18.4 +- 0.7
#     copying         1.00          0.59 +- 0.05    0.63 +- 0.03    0.45 +- 0.03    0.35 +- 0.02
#     four times                    7.8, 0.73       8.5, 0.82       7.7, 0.47       18.3, 0.57
#
# - **What goes on is time.** A quarter of it brings all weights to 9.1, nearer than a new game after the whole. Then
#   they turn: distance and copying rise. And after four times as long a new game has caught up, in distance.
# - **Frozen blocks hold D back from the thirty.** 513 numbers cannot know them by heart: copying stays below that of
#   real images, the distance hardly rises. A new game is farther at first, and later as near but copies more.
# - **Scale and shift make no digits of letters** (samples.png): 96 numbers weigh strokes, and draw no new ones. They
#   can make printed digits MNIST's (`--data`): 12.3 with 30 images and, best of all ways there, 11.5 with ten.
# - Nobody draws well from thirty images in so short a time. And the source's own 19 seconds are not counted.

# %% [markdown]
# ## Ten and a hundred; what of it helps

# %%
lesson.step("Ten and a hundred; what of it helps")
PIECES = {
    "wrong end frozen": Way(frozen=slice(1, None)),
    "one block frozen": Way(frozen=slice(1)),
    "only G goes on": Way(d=slice(0)),
    "only D goes on": Way(g=False),
    "scratch, 3e-3": Way(g=False, d=slice(0), rate=3e-3),
    "scratch, 1e-2": Way(g=False, d=slice(0), rate=1e-2),
}
numbers = {(name, n): ask(TASK, name, WAYS[name], n)[:, 0] for name in WAYS for n in (10, 100) if MORE}
pieces = {name: ask(TASK, name, way)[:, 0] for name, way in PIECES.items() if MORE}

# %% [markdown]
# Frechet distance, and copying:
#
#                       from scratch        all weights         D frozen            scale and shift
#     10 images         15.1 +- 1.7, 0.88   15.5 +- 4.1, 0.94   12.6 +- 2.9, 0.73   19.3 +- 0.5, 0.63
#     100 images        12.9 +- 0.8, 0.39    5.6 +- 0.3, 0.41    7.1 +- 0.5, 0.32   18.2 +- 0.4, 0.24
#                       wrong end frozen    one block frozen    only G goes on      only D goes on
#     30 images         19.1 +- 4.1, 0.19    7.0 +- 0.7, 0.65    7.5 +- 1.0, 0.63    8.7 +- 1.1, 0.58
#                       scratch, 3e-3       scratch, 1e-2
#     30 images          8.1 +- 0.7, 0.66    8.1 +- 0.3, 0.77
#
# - A new game with three times the rate is nearly as near as a transferred one, and copies more than with D frozen.
#   All weights are nearer in each seed (6.5, 7.0, 7.7; the better new one 7.9, 7.5, 8.4), D frozen in two of three.
# - With ten all copy. Only what goes on has a use for a hundred. Both players help, G more than D.
# - The wrong end frozen, the judge and the block before it, is worse than no transfer.
#
# ## From 19 fonts to the twentieth

# %%
for task in TASKS[1:]:
    lesson.step(f"{task.name}, {NUMBER} images")
    fonts = {name: ask(task, name, way)[:, 0] for name, way in WAYS.items()}
    lesson.picture(side_by_side(task), "font.png")

# %% [markdown]
# From scratch 12.4 +- 0.7, copying 0.36; all weights 8.0 +- 1.0, 0.50; D frozen 8.5 +- 0.8, 0.34; scale and shift
# 16.3 +- 0.9, 0.26. The digits are known here and only the font is new; the answer is the same.
#
# ## Checks, or a verdict

# %%
lesson.step("Checks, or a verdict")
means = {name: found.mean(axis=0) for name, found in thirty.items()}  # PARTS, 2
NOW, new, frozen = PARTS.index(1.0), thirty["from scratch"], thirty["D frozen"]
nearer, less = (frozen < new)[:, NOW].sum(axis=0)
print(f"D frozen against from scratch: nearer in {nearer} seeds of {len(SEEDS)}, copies less in {less}")
if AS_SHIPPED:
    assert nearer == 3 and (thirty["all weights"] < new)[:, NOW, 0].all()  # 8.2 at most, 11.3 at least
    assert means["D frozen"][NOW, 1] < means["from scratch"][NOW, 1]  # 0.45, 0.59
    assert (frozen[:, -1, 1] < new[:, -1, 1] - 0.1).all()  # 0.47, 0.73
    assert means["from scratch"][-1, 0] < 1.5 * means["all weights"][NOW, 0]  # 7.8, 7.1: it has caught up
    assert means["scale and shift"][-1, 0] > 1.5 * means["from scratch"][-1, 0]  # 18.3, 7.8
    assert numbers["all weights", 100][:, 0].mean() < means["all weights"][NOW, 0]  # 5.6, 7.1
    wrong, *_, middling, fast = (found[:, 0] for found in pieces.values())
    assert wrong.mean() > 1.5 * means["D frozen"][NOW, 0]  # 19.1, 7.8
    assert (thirty["all weights"][:, NOW, 0] < np.minimum(middling, fast)).sum() >= 2  # 3, by 0.4 at least
    a, b, c, _ = (found[:, 0].mean() for found in fonts.values())
    assert max(b, c) < 0.85 * a  # 8.5, 12.4
    lesson.end()
else:
    found = [f"{name}: Frechet {x[NOW, 0]:.1f}, copying {x[NOW, 1]:.2f}" for name, x in means.items()]
    lesson.end(verdict.lines(*found, f"real images: {TASK.floor:.2f}", verdict.count(len(TASK.unseen))))

# %% [markdown]
# ## Exercises (with `MORE = False`: see seconds.png, and what is printed with it)
#
# 1. `RATE = 3e-4`, then `1e-2`; scale and shift were published with 0.03. Which way wants which? And copying?
# 2. How much must the source know? One letter: `SOURCE = "O"`. Is it still better than nothing?
