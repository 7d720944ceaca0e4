# %% [markdown]
# # Lesson 15. The bug gallery
#
# A GAN with a mistake in it still runs. It prints losses that look like losses, and draws something. Was it the
# mistake, or was it the rate, or too few steps? Here the usual mistakes are made one at a time, in one small
# training, so that each shows its own symptom beside the run without it. They come from public code and from the
# questions of its users.
#
# Then a short program reads what was measured during a run and names the likely fault: `npgan/diagnose.py`.
# It works on your own runs too: `python -m npgan.diagnose out/09_conv_gan`.

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

from npgan import bugs, data, show
from npgan.bugs import BUGS, play
from npgan.diagnose import HEALTHY, NOT_SURE, RULES, diagnose
from npgan.layers import BatchNormalization, Dense, Sequential
from npgan.lesson import Lesson
from npgan.metrics.samples import accuracy, train_classifier

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "15_bug_gallery", "The usual mistakes, and how they show", FLAGS, steps=400, quick_steps=10, data="glyphs"
)
args, rng = lesson.args, lesson.rng

# %% [markdown]
# ## What the exercises change

# %%
SIZE = 16  # pixels a side
WIDTH = 8  # channels of the last hidden layer of G and of the first of D
GAME = {}  # other settings of play: {"rates": (2e-3, 4e-4)} of G and of D, say


def prepare(images):
    """What is done to the images before the training."""
    return images


GROUPS = {
    "what goes in and out": ("range", "no tanh", "sigmoid", "same batch", "same noise"),
    "targets and gradients": ("labels", "G's target", "overwritten", "never zeroed", "mixed batch"),
    "who moves": ("D not frozen", "one optimiser", "D frozen", "G frozen", "fade-in"),
    "sizes": ("rate 10x", "rate 1/100", "large weights", "zero weights", "dead units"),
    "the balance": ("D too strong", "saturating", "penalty"),
}

# %% [markdown]
# ## The training, and where the mistakes are made
#
# A GAN as in lesson 9, small: 16 x 16 pixels, 8 channels, 400 rounds. `play` has every mistake in it, behind an
# `if bug == ...` on the line where it is made; so do the two steps of the game. Read them once with an eye for the
# lines: most mistakes are one line long.

# %%
lesson.step("The training")
for part in (bugs.play, bugs.discriminator_step, bugs.generator_step):
    print(inspect.getsource(part))
images = data.load(args.data, size=args.size or SIZE, channels=args.channels, count=4000, seed=args.seed)
train, held_out = prepare(images).split(len(images) // 6, rng)

# %% [markdown]
# ## What is measured
#
# The two losses are not enough: lesson 7 showed that they tell who is ahead, not why. `npgan/watch.py` looks at some
# of the rounds more closely, here at every fifth. It notes the mean and the spread of D's logits, how often D is
# right, the range and the spread of real and generated pixels. Of both networks it notes how long each layer's
# gradient is, and how far a step moves the weights, as a share of their size. It notes whether the gradient points
# where the last one did: the *cosine* of the angle between them, which is 1 for the same direction, 0 for a right
# angle. And the share of *dead units*, which are zero for every sample and so pass no gradient on. Two figures are
# there for one mistake each: D judges the generated samples once more after G's step, which shows whether D has moved
# in it; and D's loss is computed once more from its logits, with the targets as they should be.


# %%
def train_with(bug, game=None):
    """The samples, the losses, what was watched, and the diagnosis of a run with that bug."""
    steps, batch = (args.steps, 8) if args.quick else (args.steps, 32)
    played = play(train, bug, game=game, steps=steps, batch=batch, width=WIDTH, seed=args.seed, **GAME)
    return played.samples, played.run.history, played.run.watched, diagnose(played.run.watched)


lesson.step("The healthy runs")
healthy = {game: train_with("", game) for game in bugs.RATES}
for game, (_, _, watched, findings) in healthy.items():
    print(f"{game}, watched {len(watched['step'])} times: {findings[0].name} ({findings[0].figure})")

# %% [markdown]
# ## The gallery
#
# A row is a mistake. Left: the last samples, from the same noise in all rows. Middle: both losses, and in grey those
# of the healthy run. Right: the mean logits of real and of generated samples, grey those of the healthy run.


# %%
def draw_row(figure, rows, row, title, run, beside):
    samples, history, watched, _ = run
    axes = figure.add_subplot(rows, 3, 3 * row + 1)
    axes.imshow(show.image_grid(samples[:24], 8))
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, loc="left")
    for column, names in enumerate((("D loss", "G loss"), ("real logit", "fake logit")), start=2):
        axes = figure.add_subplot(rows, 3, 3 * row + column)
        for colour, name in enumerate(names):
            axes.plot(beside[2]["step"], beside[2][name], color="0.75", linewidth=1)
            axes.plot(watched["step"], watched[name], color=f"C{colour}", linewidth=1, label=name)
        axes.legend(fontsize=7, loc="best")
        axes.grid(alpha=0.3)


gallery = {}  # bug -> (samples, history, watched, findings)
for group, names in GROUPS.items():
    lesson.step(group[0].upper() + group[1:])
    figure = Figure(figsize=(10, 1.9 * len(names) + 2))
    draw_row(figure, len(names) + 1, 0, "no mistake", healthy["cross-entropy"], healthy["cross-entropy"])
    for row, name in enumerate(names, start=1):
        bug = BUGS[name]
        gallery[name] = train_with(name)
        first, *others = gallery[name][3]
        print(f"{name}: {bug.what}\n   right: {bug.right}\n   diagnosis: {first.name} ({first.figure})")
        title = f"made: {name}   named: {first.name}"
        draw_row(figure, len(names) + 1, row, title, gallery[name], healthy[bug.game])
    figure.tight_layout()
    lesson.picture(figure, f"{group.replace(' ', '_')}.png")

# %% [markdown]
# What the pictures show (seed 0):
#
# - Six of the mistakes hardly harm the samples, in so short a run: no tanh, a sigmoid before the loss, the same
#   batch, D not frozen, one optimiser, a rate ten times as large. That is why they live long. The sigmoid's D ends
#   where it can no longer say "generated": logits near 0. With the same batch G has 32 digits to learn from.
# - Two pairs have the same curves and opposite reasons. "labels" and "G's target": both losses fall to 0, which looks
#   like success; the logits part, with the signs exchanged. "G frozen" and "dead units": D wins, G never answers.
# - Both losses rise together where D has learned from one kind only ("overwritten"): it calls everything generated.
# - Without the penalty's gradient the logits run off to thousands. The penalty's value, 2,000,000 at the end, was
#   there to be read all the time.

# %% [markdown]
# ## What no history of a game can show
#
# Some mistakes are made outside of the game, or leave its figures as they are. They need a *probe*: a small
# experiment or a count, made on purpose.
#
# **An evaluator in training mode.** A classifier with batch normalization that scores samples must use its running
# statistics. In training mode it takes those of the batch at hand, and so takes out just what that batch has of its
# own. Here real images are faded to 30% of their contrast. How far is their mean vector of logits from that of the
# real ones? In training mode about half as far: the faded images look twice as good as they are. (A public project
# reported a Fréchet distance of 49 in place of 98 for that reason.)

# %%
lesson.step("Probe: an evaluator in training mode")
far = {}
if "character" in train.labels:
    labels, classes = train.labels["character"], int(train.labels["character"].max()) + 1
    judge = train_classifier(train, labels, classes, rng, steps=30 if args.quick else 300)
    real, right = held_out[:], accuracy(judge, held_out[:], held_out.labels["character"])
    faded = 0.3 * (real + 1) - 1
    for mode, training in (("inference", False), ("training", True)):
        a, b = (judge.forward(x, training).mean(axis=0) for x in (real, faded))
        far[mode] = float(np.linalg.norm(a - b))
        print(f"{mode} mode: faded images are {far[mode]:.2f} away (in logits)")
    print(f"the classifier is right about {right:.1%} of unseen real images")

# %% [markdown]
# **The log variance read from the mean's slice.** An encoder's last layer gives 2 L numbers: L means, and L log
# variances. A public text-to-image network took the first slice for both. No check of gradients finds it, for the
# gradient is right, of a wrong function. A count does: half of the layer's columns get no gradient at all.

# %%
lesson.step("Probe: the log variance from the mean's slice")
LATENT = 8


def columns_without_gradient(second):
    """How many columns of the layer get no gradient from the divergence of the code from N(0, 1)."""
    layer = Dense(32, 2 * LATENT, rng=rng)
    code = layer.forward(rng.standard_normal((64, 32), dtype=np.float32))
    mean, log_variance = code[:, :LATENT], code[:, second]
    dcode = np.zeros_like(code)  # of mean over N of (mean**2 + exp(log_variance) - 1 - log_variance) / 2
    dcode[:, :LATENT] += mean / len(code)
    dcode[:, second] += (np.exp(log_variance) - 1) / 2 / len(code)
    layer.backward(dcode)
    return int((np.abs(layer.weight.grad).max(axis=0) == 0).sum())


sliced = {"as it should be": slice(LATENT, None), "the mean's slice": slice(0, LATENT)}
without = {name: columns_without_gradient(second) for name, second in sliced.items()}
for name, count in without.items():
    print(f"{name}: {count} of {2 * LATENT} columns get no gradient")

# %% [markdown]
# **A ring of seven modes.** `linspace(0, 2 * pi, 8)` has both ends in it, and 0 and 2 pi are one place. The data of a
# well-known notebook on mode collapse had seven modes in place of eight, one of them twice as full. Count the
# centres that differ.

# %%
lesson.step("Probe: the ring")
for name, angles in (
    ("linspace(0, 2 pi, 8)", np.linspace(0, 2 * np.pi, 8)),
    ("endpoint=False", np.linspace(0, 2 * np.pi, 8, endpoint=False)),
):
    centres = np.round(np.stack([np.cos(angles), np.sin(angles)], axis=1), 6) + 0.0
    print(f"{name}: {len(np.unique(centres, axis=0))} different centres")
modes = len(np.unique(np.round(np.exp(1j * np.linspace(0, 2 * np.pi, 8)), 6) + 0.0))

# %% [markdown]
# **Two forward passes, then two backward passes.** A layer that keeps one input has forgotten the first when the
# gradients come back: that of the real batch would be computed with the inputs of the generated one. Here the memory
# is spent by its backward pass, so that the mistake is an error and not a wrong number.

# %%
lesson.step("Probe: two forward passes, then two backward passes")
layers = Sequential([Dense(4, 3, rng=rng), BatchNormalization(3)])
x, refused = rng.standard_normal((8, 4), dtype=np.float32), ""
layers.forward(x)
dy = np.ones_like(layers.forward(-x))
try:
    layers.backward(dy)
    layers.backward(dy)
except RuntimeError as error:
    refused = str(error)
print(f"RuntimeError: {refused}")

# %% [markdown]
# ## How often is the diagnosis right?
#
# The rules are thresholds in plain code: open `npgan/diagnose.py`, each is three lines. Most of them look at a figure
# that only one mistake can move, such as D's logits for the same samples before and after G's step. Those that are
# about sizes, such as a rate that is too high, are a matter of degree.
#
# They name nearly all that is planted here, but here they were made. So a score counts only on runs that nobody
# looked at when the thresholds were chosen: `python benchmarks/score_diagnose.py` trains on other images, with
# other sizes of network and other seeds, and prints what was taken for what. There 92 of 92 were named, and one of 24
# runs without a mistake got a false alarm. Still they are the mistakes that we thought of. An independent study found
# that the best general diagnosers of trainings find about half of the faults of real programs.

# %%
lesson.step("How often is the diagnosis right?")
named = [bug for bug, (_, _, _, findings) in gallery.items() if findings[0].name in BUGS[bug].names]
unsure = [bug for bug, (_, _, _, findings) in gallery.items() if findings[0].name == NOT_SURE]
missed = [bug for bug in gallery if bug not in named]
alarms = [game for game, run in healthy.items() if run[3][0].name not in (HEALTHY, NOT_SURE)]
print(f"{len(RULES)} rules name {len(named)} of {len(gallery)} mistakes; not sure of {len(unsure)}")
print(f"missed: {', '.join(missed) or 'none'}; false alarms: {', '.join(alarms) or 'none'}")

# %% [markdown]
# ## Checks
#
# The bounds leave room for machines whose sums round differently: a game amplifies rounding, and what is a matter of
# degree may fall to the other side of its threshold.

# %%
assert (
    without == {"as it should be": 0, "the mean's slice": LATENT}
    and modes == 7
    and "without a memory" in refused
)
if lesson.shipped and not GAME:
    assert len(named) >= 21  # 23 of 23 with seeds 0 and 1
    assert not alarms
    assert (
        right >= 0.95 and far["training"] < 0.8 * far["inference"]
    )  # 98% to 99%, 0.50 to 0.54 of it: 3 seeds
    lesson.end()
else:
    lesson.end(f"{len(named)} of {len(gallery)} mistakes named; {len(alarms)} of {len(healthy)} false alarms")

# %% [markdown]
# ## Exercises
#
# 1. `GAME = {"rates": (k * 2e-3, k * 4e-4)}` for k = 2, 4 and 10: from which on does the diagnosis of the healthy run
#    name the rate? Is what the run draws any worse?
# 2. Let `prepare` turn all images upside down: `images.with_pixels(images.pixels[:, ::-1])`. What does the diagnosis
#    of the healthy run say, and why can no figure of the game help?
# 3. `--data photo`: are the mistakes named there too?
