# %% [markdown]
# # Lesson 11. A convolutional GAN that repairs images
#
# G(x, z) takes a damaged image x with its mask, and noise z, and returns the image repaired; known pixels come back
# as they were. It learns from two teachers: the squared error in the hole, and a discriminator that sees the repaired
# image with its mask. Every method is scored **on the hole alone**, on images that nobody trained on, beside seven
# ways of filling a hole without training.
#
#     python lessons/11_conv_inpainting.py --data mnist            # or a folder, or an IDX file; --mask strokes
#     python lessons/11_conv_inpainting.py --image photo.jpg       # one picture of your own: 11_own_picture.py
#     python lessons/11_conv_inpainting.py --resume                # go on with a run that was interrupted
#
# Three scripts go on from what this one has trained or stand beside it: `11_trade_off.py` (error against realism),
# `11_search.py` (repair by a search through the noise of a generator) and `11_own_picture.py`.

# %%
import argparse
import inspect
import runpy
import sys
from pathlib import Path

import numpy as np

from npgan import checkpoint, filling, inpainting, masks, networks, repair, show, verdict
from npgan.errors import DataError
from npgan.lesson import Lesson
from npgan.networks import Inpainter
from npgan.optim import MovingAverage
from npgan.repair_pictures import repair_pictures
from npgan.series import Series

one_picture = argparse.ArgumentParser(add_help=False)
one_picture.add_argument("--image")
if one_picture.parse_known_args()[0].image:  # that script has flags of its own
    runpy.run_path(str(Path(__file__).with_name("11_own_picture.py")), run_name="__main__")
    sys.exit()

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "11_conv_inpainting",
    "A convolutional GAN that repairs images",
    FLAGS,
    steps=repair.STEPS,
    quick_steps=30,
    data="glyphs",
    device=True,
    live=True,
    resume=True,
    repair=True,
    flags={
        "image": "repair this one picture instead, learning from its undamaged parts (11_own_picture.py)",
        "mask": f"{', '.join(masks.KINDS)}, or a mask file, white = missing (default: centre); with --repair also "
        "a folder with a mask for each picture, or the colour of what is missing",
    },
)
args, rng = lesson.args, lesson.rng
if args.image:
    raise DataError("--image in FLAGS: that is for 11_own_picture.py, which has such a line too")
KIND = args.mask or "centre"

# What the exercises change.
SEEDS = range(3)  # of the trainings; each adds two networks
SKIPS = True  # the generator's skip connections
DISCRIMINATOR = networks.inpainting_discriminator  # a function (shape, rng) that returns a network
AS_SHIPPED = (SEEDS, SKIPS, DISCRIMINATOR) == (range(3), True, networks.inpainting_discriminator)

if args.repair is None and KIND not in masks.KINDS and not Path(KIND).suffix:
    raise DataError(f"--mask {KIND}: wanted {', '.join(masks.KINDS)}, or a mask file, such as mask.png")

# %% [markdown]
# ## The generator
#
# It gets the damaged image and the mask, which is 1 where a pixel is missing and 0 where it is known. An encoder
# halves the image twice and squeezes it into a code of 128 numbers, which sees the whole image. The noise z joins it
# there (`Concatenate`), and a decoder goes back up. At each size the encoder's features are joined to the decoder's:
# skip connections (Ronneberger et al. 2015), which carry exact places past the code.
#
#     image, mask 28 x 28 x 2 -> a 14 x 14 x 24 -> b 7 x 7 x 48 -> code 128
#                           code, z 144 -> 7 x 7 x 48, b -> 14 x 14 x 24, a -> 28 x 28 x 1, in the hole only
#
# Where a and b go two ways, their gradient is the sum over both. At known pixels the output is the input: there
# dy goes straight to the damaged image, and the network gets nothing.
#
# Do the skips earn their place? Exercise 3 measures it.
#
# The network is a `Layer` like any other (`npgan/networks.py`); the lesson prints the way through it and back below.

# %% [markdown]
# ## Only repair
#
# A training that is done, or was stopped, repairs other pictures at any time:
# `--resume out/11_conv_inpainting/GAN-0 --repair my_pictures/` writes each picture, repaired, under its own name and
# in its own size, and a grid of original, damaged and repaired ones, and ends here (`npgan/repair_pictures.py`).
# What the network sees has the size and the channels that it has learned; the lesson says how many pictures were
# converted for that.

# %%
if args.repair is not None:
    SHAPE = lesson.resumed_shape()
    repair.check_size(args.resume, *SHAPE[:2])
    average = MovingAverage(Inpainter(SHAPE, rng, skips=SKIPS).to(args.device))
    checkpoint.load(args.resume, {"average": average})
    repair_pictures(lesson, average.layer, SHAPE, KIND)
    raise SystemExit

# %% [markdown]
# ## The images and the hole
#
# One image in five, at most 2,000, is to be scored on; the others, to learn from. The hole: a quarter of the area, in
# the middle, where the digit is. Missing pixels are replaced by the mean of the known ones; the mask says which they
# are (1 = missing).

# %%
lesson.step("The images and the hole")
problem = repair.load(lesson.settings())
truth, holes, damaged, SHAPE = problem.truth, problem.masks, problem.damaged, problem.shape
lesson.fit_steps(SHAPE)
print(f"{args.data}: {len(problem.train)} images of shape {SHAPE} to learn from, {len(truth)} to score on")
print(f"mask: {KIND}, {holes.mean():.1%} of the pixels are missing")

# %% [markdown]
# ## Without training, and how to count
#
# PSNR and SSIM (lesson 10) on the hole. PSNR is taken image by image and averaged, as is usual; an exact copy, whose
# PSNR would be infinite, counts 60 dB. Beside it stands the PSNR of the mean squared error of all images together,
# which a few lucky copies cannot lift. `nearest image` looks through the same images that the networks learn from.
# The three slow methods are scored on the first 500 images.
#
# The harmonic fill is a stretched membrane: each missing pixel is the mean of its neighbours (Laplace's equation).
# The biharmonic one is a thin metal plate, which goes on in the direction in which it enters the hole. The guided one
# bends easily across the edges that it sees and hardly along them. `npgan/filling` derives all of them.

# %%
lesson.step("Filling without training")
few = slice(0, 40 if args.quick else 500)
repairs = {
    "mean": filling.mean_fill(damaged, holes),
    "harmonic": filling.harmonic_fill(damaged, holes, tolerance=1e-4),
    "biharmonic": filling.biharmonic_fill(damaged, holes),
    "guided": filling.guided_fill(damaged[few], holes[few]),
    "segment": filling.segment_fill(damaged[few], holes[few]),
    "patch": filling.patch_fill(damaged[few], holes[few]),
    "nearest image": filling.nearest_image_fill(damaged, holes, problem.train[:]),
}
results = {name: repair.score(repaired, truth, holes) for name, repaired in repairs.items()}
best = max(results, key=lambda name: results[name].psnr)
best_ssim = max(r.ssim for r in results.values())
print(repair.table(results))

# %% [markdown]
# ## The way through the generator, and its weights at this size

# %%
lesson.step("The generator")
for part in (networks.halve, networks.double, Inpainter.forward, Inpainter._to_first, Inpainter.backward):
    print(inspect.getsource(part))


def make_network(rng: np.random.Generator) -> Inpainter:
    return Inpainter(SHAPE, rng, skips=SKIPS).to(args.device)


for name, part in make_network(np.random.default_rng(0)).children().items():
    weights = sum(parameter.value.size for parameter in part.parameters())
    if weights:
        print(f"{name:<8} {weights:9,} weights")

# %% [markdown]
# ## Two teachers
#
# The gradient that reaches the repaired image is a sum,
#
#     dfake  =  reconstruction * d(mean squared error in the hole)  +  adversarial * d(-log D(fake, mask))
#
# First 2,200 steps of reconstruction alone, then a game of 275 steps with a fresh discriminator and an adversarial
# weight of 0.01 (as Iizuka et al. 2017, section 3.4, who also begin with the error alone). One step of both players
# is a function (`npgan/inpainting.py`), and so is a training (`npgan/repair.py`): `11_trade_off.py` calls it with
# other weights, and measures them.

# %%
lesson.step("Two teachers")
print(inspect.getsource(inpainting.inpainting_step))
print(inspect.getsource(repair.train))

# %% [markdown]
# ## Three seeds
#
# Six networks, one after the other: for each seed one that learns from the error alone, and a GAN that goes on from
# there. Each training has a folder of its own, and `--resume` goes on in the right one (`npgan/series.py`). All are
# scored on all the unseen images. With `--live` a window shows some of them while the networks
# learn to repair.

# %%
lesson.step("Three seeds")
GAME_STEPS, WEIGHT, RATE = max(8, args.steps // 8), 0.01, 5e-4
series = Series(
    lesson,
    [f"{what}-{number}" for number in SEEDS for what in ("reconstruction", "GAN")],
    checkpoint.fingerprint(problem.train),
)
gans, by_seed = [], {"reconstruction": [], "GAN": []}
for number in SEEDS:
    seed_rng = np.random.default_rng(args.seed + number)
    print(f"-- seed {args.seed + number}: reconstruction, then the game")
    network = make_network(seed_rng)
    start, _ = repair.train(series, problem, f"reconstruction-{number}", network, args.steps, seed_rng)
    network = make_network(np.random.default_rng(0))
    network.load_state(start.state())
    gan, run = repair.train(
        *(series, problem, f"GAN-{number}", network, GAME_STEPS, seed_rng),
        adversarial=WEIGHT,
        rate=RATE,
        make_discriminator=DISCRIMINATOR,
    )
    gans.append(gan)
    for name, network in (("reconstruction", start), ("GAN", gan)):
        repaired = repair.repair(network, truth, holes, seed_rng, args.device)
        by_seed[name].append(repair.score(repaired, truth, holes))
        repairs.setdefault(name, repaired)  # pictures are of the first seed
    if number == 0:
        history = run.history
        lesson.picture(show.curves(history, title="The game, first seed", window=20), "losses.png")
if series.window:
    series.window.stay()
for name, scores in by_seed.items():
    print(f"{name:<16} PSNR {', '.join(f'{s.psnr:.2f}' for s in scores)} dB")
    results[name] = repair.Score(*np.mean(scores, axis=0))

# %% [markdown]
# ## The table
#
# PSNR and SSIM on the hole, mean and spread (standard deviation) over the images; for the networks the mean of both
# over three seeds, and the range of the seeds' means.

# %%
lesson.step("The table")
print(repair.table(results, by_seed))
gain, gain_ssim = results["GAN"].psnr - results[best].psnr, results["GAN"].ssim - best_ssim
print(f"the GAN against the best fill ({best}): {gain:+.2f} dB, SSIM {gain_ssim:+.3f}")
lesson.picture(repair.comparison(problem, repairs), "repairs.png")
print(f"   to repair others: --resume {args.out / 'GAN-0'} --repair PICTURES")
print("   to go on: python lessons/11_trade_off.py, python lessons/11_search.py")

# %% [markdown]
# ## Checks, or a verdict
#
# Known pixels come back bit for bit, on any data; a mask turned around gives another image. What is asserted of the
# scores was measured on the glyphs that the lesson ships, with three seeds; the margins are for other machines, whose
# sums round differently: they train other networks. On data of your own the lesson says what came out. A network that
# knows its images by heart repairs them far better than others: so the same is measured on images that it has learned
# from.

# %%
for name, repaired in repairs.items():
    known = holes[: len(repaired)] < 0.5
    assert np.array_equal(repaired * known, truth[: len(repaired)] * known), name
turned = repair.repair(gans[0], truth[:50], 1 - holes[:50], np.random.default_rng(0), args.device)
assert not np.array_equal(turned, repairs["GAN"][:50]), "the mask is not looked at"
if lesson.shipped and repair.shipped(lesson.settings()) and AS_SHIPPED:
    assert gain >= 3, "less than 3 dB above the best fill without training"  # 3.58; seeds differ by 0.1
    assert gain_ssim >= 0.1, "the structure is hardly better than the best fill's"  # 0.172
    lesson.end()
else:
    n = min(len(problem.train), len(truth))
    known, known_holes = problem.train[:n], holes[:n]  # images that it has learned from
    filled = filling.mean_fill(masks.damage(known, known_holes), known_holes)
    seen = repair.repair(gans[0], known, known_holes, np.random.default_rng(0), args.device)
    seen, filled = (repair.score(repaired, known, known_holes) for repaired in (seen, filled))
    # Over the mean colour, so that it does not count which of the two sets is the easier one.
    ahead = (seen.psnr - filled.psnr) - (by_seed["GAN"][0].psnr - results["mean"].psnr)
    by_chance = 3 * np.hypot(seen.spread, results["GAN"].spread) / np.sqrt(n)
    learned = results["reconstruction"].psnr - results["mean"].psnr
    by_heart = f"on images that it has learned from it is {ahead:.1f} dB better: it knows them by heart"
    lesson.end(
        verdict.lines(
            f"the GAN: {gain:+.1f} dB over the best fill ({best}), SSIM {gain_ssim:+.2f}",
            ""
            if learned > 0
            else "no better than the mean colour: it has learned next to nothing; more steps",
            f"{by_heart}; more data or fewer steps" if n >= 10 and ahead > max(1, by_chance) else "",
            verdict.balance(history["d_loss"]),
            verdict.count(len(truth)),
        )
    )

# %% [markdown]
# ## Exercises
#
# `SEEDS = range(1)` at the top and `--steps 300` are enough for them: one network of each kind, in a seventh of the
# steps.
#
# 1. `--mask strokes`, then `--mask half`. Which method gains most against the others, and why? Compare the columns
#    PSNR of the tables that the lesson prints.
# 2. Write a layer that sets the last channel of its input to 0, prove it with `check_layer`, and set it before the
#    layers of `networks.inpainting_discriminator`: such a `DISCRIMINATOR` does not see the mask. What changes in the
#    line of the GAN, with `--mask strokes`, where it would show D the places?
# 3. `SKIPS = False`. Which repairs get worse: those of `--mask strokes` or those of the large hole in the middle?
#
# Worked answers, with the figures to expect: `python lessons/answers/11_conv_inpainting.py`.
