# %% [markdown]
# # Lesson 11, what follows. Error against realism
#
# The squared error asks for the mean of all that may stand in the hole, which is blurred; the discriminator asks for
# one of them, which may be the wrong one (Blau and Michaeli 2018). How much of each? And what does the noise do?
#
#     python lessons/11_conv_inpainting.py          # first: it trains the network that all points here start from
#     python lessons/11_trade_off.py                # the same images, hole and seed
#     python lessons/11_trade_off.py --resume       # go on with a run that was interrupted

# %%
import inspect

import numpy as np
from matplotlib.figure import Figure

from npgan import filling, gradcheck, inpainting, masks, repair, show, verdict
from npgan.lesson import Lesson
from npgan.metrics.samples import sliced_wasserstein
from npgan.networks import Inpainter
from npgan.series import Series, trained_by

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "11_trade_off",
    "Error against realism",
    FLAGS,
    steps=275,
    quick_steps=8,
    device=True,
    resume=True,
    flags={"trained": "folder of 11_conv_inpainting (default: the one of that name beside --out)"},
)
args = lesson.args

# What the exercises change.
# Of each point the weights of reconstruction and adversarial part.
POINTS = {"0": (1.0, 0.0), "0.001": (1.0, 0.001), "0.01": (1.0, 0.01), "0.1": (1.0, 0.1), "only": (0.0, 1.0)}
SEEKING = 0.8  # the weight of the difference between two repairs of one hole
AS_SHIPPED = (list(POINTS), SEEKING) == (["0", "0.001", "0.01", "0.1", "only"], 0.8)

# %% [markdown]
# ## Where it starts
#
# At the end of the first seed's reconstruction: images, hole and network are those of `11_conv_inpainting.py`.

# %%
lesson.step("Where it starts")
first = trained_by("11_conv_inpainting", "reconstruction-0", args.trained, args.out)
problem = repair.load(first.settings)
truth, holes, damaged, SHAPE = problem.truth, problem.masks, problem.damaged, problem.shape
print(f"{first.path.parent.name}: {first.settings['training_steps']} steps on {first.settings['data']}")


def start() -> Inpainter:
    """A new network with the weights that the reconstruction has found."""
    return first.into(Inpainter(SHAPE, np.random.default_rng(0)).to(args.device))


fills = {
    "harmonic": filling.harmonic_fill(damaged, holes, tolerance=1e-4),
    "nearest image": filling.nearest_image_fill(damaged, holes, problem.train[:]),
}
fills = {name: repair.score(filled, truth, holes) for name, filled in fills.items()}
best = max(fills, key=lambda name: fills[name].psnr)
print(repair.table(fills))

# %% [markdown]
# ## Five weights
#
# From there the same short game, each time with other weights of the two teachers (`inpainting_step`):
#
#     dfake  =  reconstruction * d(mean squared error in the hole)  +  adversarial * d(-log D(fake, mask))

# %%
lesson.step("Five weights")
print(inspect.getsource(inpainting.inpainting_step))
if args.quick:
    POINTS = {"0": (1.0, 0.0), "only": (0.0, 1.0)}
names = [*(f"weight-{label}" for label in POINTS), "seeking"]
series = Series(lesson, names, {"start": first.settings, "shape": SHAPE})
players, repairs = {}, {}
for label, (reconstruction, adversarial) in POINTS.items():
    print(f"-- adversarial weight {label}")
    rng = np.random.default_rng(args.seed + 10)
    players[label], run = repair.train(
        *(series, problem, f"weight-{label}", start(), args.steps, rng),
        reconstruction=reconstruction,
        adversarial=adversarial,
        rate=5e-4,
    )
    repairs[label] = repair.repair(players[label], truth, holes, rng, args.device)

# %% [markdown]
# ## The trade-off
#
# Two measures of realism: the sharpness (mean difference of neighbouring pixels in the hole, over that of the truth:
# 1 is as sharp) and the sliced Wasserstein distance between repaired and undamaged images (lower is better; its floor
# is the distance between undamaged images and others). Expected: as the adversarial weight grows, the image gets
# sharper and the PSNR lower.
#
# Measured on glyphs, `--seed` 0, 1 and 2, 2,000 unseen images (the floor of the distance is 0.021):
#
#     adversarial        PSNR              SSIM          sharpness          distance
#     0             14.20 to 14.22    0.767 to 0.768   0.88             0.042 to 0.043
#     0.001         14.21 to 14.23    0.767 to 0.768   0.88 to 0.89     0.041 to 0.042
#     0.01          14.18 to 14.19    0.771 to 0.772   0.90 to 0.91     0.037 to 0.038
#     0.1           13.60 to 13.79    0.767 to 0.771   0.95 to 0.97     0.030 to 0.032
#     only           8.69 to  9.19    0.506 to 0.523   0.95 to 1.09     0.076 to 0.101
#
# As expected up to 0.1. The last point breaks the order in realism, not in PSNR: without the error nothing holds
# the generator, and a small discriminator in 275 steps is no good teacher by itself. It wanders off into speckle,
# which is sharp, but like no digit; how sharp, and how far off, differs from run to run. Most of the work is done by
# the error.


# %%
def sharpness(repaired: np.ndarray, mask: np.ndarray) -> float:
    """Mean |difference| of neighbours that are both missing."""
    missing = mask > 0.5
    down, right = missing[:, 1:] & missing[:, :-1], missing[:, :, 1:] & missing[:, :, :-1]
    differences = (
        np.abs(np.diff(repaired, axis=1)) * down,
        np.abs(np.diff(repaired, axis=2)) * right,
    )
    return float(sum(d.sum() for d in differences) / max(1, down.sum() + right.sum()))


def distance(repaired: np.ndarray) -> float:
    """To undamaged images that the networks learned from, in inner products with 256 directions."""
    n = min(len(repaired), len(problem.train))
    return sliced_wasserstein(repaired[:n], problem.train[:n], np.random.default_rng(0))


lesson.step("The trade-off")
scores = {label: repair.score(repaired, truth, holes) for label, repaired in repairs.items()}
sharp = {label: sharpness(r, holes) / max(sharpness(truth, holes), 1e-9) for label, r in repairs.items()}
far = {label: distance(repaired) for label, repaired in repairs.items()}
floor = distance(truth)
print(f"{'adversarial':<12} {'PSNR':>6} {'SSIM':>6} {'sharpness':>10} {'distance':>9}   (floor {floor:.4f})")
for label, s in scores.items():
    print(f"{label:<12} {s.psnr:6.2f} {s.ssim:6.3f} {sharp[label]:10.3f} {far[label]:9.4f}")

figure = Figure(figsize=(9, 4), layout="constrained")
measures = {"sharpness (1 = truth)": sharp, "distance (lower = better)": far}
for column, (title, values) in enumerate(measures.items()):
    axes = figure.add_subplot(
        1, 2, column + 1, title=title, xlabel=title.split(" (")[0], ylabel="PSNR on the hole, dB"
    )
    axes.plot(list(values.values()), [s.psnr for s in scores.values()], color="0.7", zorder=1)
    for number, (label, s) in enumerate(scores.items()):
        axes.plot(
            values[label], s.psnr, "osD^vP*"[number % 7], color=f"C{number}", label=f"adversarial {label}"
        )
    axes.axhline(fills[best].psnr, color="black", linestyle=":", linewidth=1, label=f"{best} fill")
    axes.margins(0.1)
    axes.grid(alpha=0.3)
figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
lesson.picture(figure, "trade_off.png")
titled = {f"weight {label}": repaired for label, repaired in repairs.items()}
lesson.picture(repair.comparison(problem, titled), "repairs.png")

# %% [markdown]
# ## Does the noise do anything?
#
# Next to nothing: eight z for one hole give eight times the same repair, with every weight. The squared error wants
# one answer, so it teaches G to ignore z, and with z ignored the discriminator has no complaint either: each repair
# alone may look real. Known since Mathieu et al. 2016 and Isola et al. 2017 (section 3.1).
#
# ## Two repairs that are paid for being different
#
# A batch with each image twice, repaired with two z, as a and b; x is the truth, |.| the root mean square over the
# hole. Mode seeking (Mao et al. 2019) adds the last term to the loss:
#
#     (|a - x| + |b - x|) / 2  -  seeking / 2 * |a - b|
#
# With |.| not squared the two sides balance by themselves: where only one thing can stand in the hole, whatever b
# differs from a it also differs from x. With seeking = 1 the balance is just where repairs are spread as the true
# completions are: then |a - b| and |a - x| are distances of the same kind, and no other spread costs less (the energy
# score of Gneiting and Raftery 2007; DISCO nets of Bouchacourt et al. 2016). But PSNR wants the mean. Let the true
# completions lie at the distance t from their mean, in many directions, and the repairs at s. By Pythagoras
#
#     |a - x| = sqrt(s^2 + t^2),  |a - b| = sqrt(2) s:  the loss is least at  s = t * seeking / sqrt(2 - seeking^2)
#
# so with seeking = 0.8 at two thirds of the true spread. `energy_score` has the gradient, written by hand; it is
# checked here. The discriminator plays on with its weight of 0.01: it sees each repair alone, and a blend of two
# digits is not real.

# %%
lesson.step("Two repairs that are paid for being different")
GAN, DIVERSE = "0.01" if "0.01" in POINTS else "only", "seeking"
print(inspect.getsource(inpainting.energy_score))
rng = np.random.default_rng(0)
hole = masks.make("rectangle", 6, 8, 8, rng)
error = rng.standard_normal((6, 8, 8, 1)) * hole  # three images, two repairs of each
wrong = gradcheck.check_loss(lambda e: inpainting.energy_score(e, hole, SEEKING), error, rng)
print(f"its gradient against finite differences: relative error {wrong:.0e}")
rng = np.random.default_rng(args.seed + 10)
players[DIVERSE], diverse_run = repair.train(
    *(series, problem, DIVERSE, start(), 4 * args.steps, rng),
    adversarial=0.01,
    seeking=SEEKING,
    rate=1e-3,
)

# %% [markdown]
# ## Eight repairs of one hole
#
# How far do they lie apart? The root mean square difference of two repairs in the hole, mean over pairs and images;
# pixels range over 2. Beside it, what can be said about true completions, which nobody has: one for each hole is the
# truth, and if the network of weight 0 has learned the mean of all, two of them are sqrt(2) times its error apart, or
# less, since its error has other causes too. And in each eighth of the training images there is one that agrees best
# with the known pixels; these lie too far apart, since they differ in the known pixels as well.
#
# Quality: the PSNR of one repair, and of the best of eight. Measured on 300 unseen glyphs, and on MNIST's digits:
#
#                       glyphs: apart   one   best of 8       MNIST: apart   one   best of 8
#     adversarial 0.01        0.063   14.29     14.60               0.057   12.12    12.33
#     seeking 0.8             0.439   12.12     14.03               0.536   10.10    11.83
#     8 nearest images        0.895    8.41     13.37               0.867    8.09    10.75
#     true completions        0.57                                  0.72
#
# The repairs lie 7 to 9 times as far apart as before, at three quarters of the true distance. One alone is 2 dB worse
# than the mean, as must be: at the true spread it would be 3 dB, since the squares of two distances add that are then
# equally large. The best of eight makes good for it, but for 0.3 dB.
#
# The picture shows the holes whose repair with weight 0 is greyest, where it does not know: original, damaged, and
# eight repairs with the GAN of weight 0.01, with mode seeking, and by the nearest images. Half a digit may become
# another one; where only one digit can stand, all eight repairs show that.

# %%
lesson.step("Eight repairs of one hole")
rows = slice(0, 16 if args.quick else 300)


def eight_repairs(label: str) -> np.ndarray:
    """8, N, H, W, C: each with noise of its own."""
    rng = np.random.default_rng(args.seed + 20)
    repairs = [repair.repair(players[label], truth[rows], holes[rows], rng, args.device) for _ in range(8)]
    return np.stack(repairs)


def apart(eight: np.ndarray) -> np.ndarray:
    """The root mean square difference in the hole, mean over all pairs: (8, N, H, W, C) -> (N,)."""
    missing, pairs = holes[rows] > 0.5, [(i, j) for i in range(8) for j in range(i)]
    values = missing.sum(axis=(1, 2, 3)) * eight.shape[4]
    return np.mean(
        [np.sqrt(((eight[i] - eight[j]) ** 2 * missing).sum(axis=(1, 2, 3)) / values) for i, j in pairs],
        axis=0,
    )


completions = np.stack(
    [
        filling.nearest_image_fill(damaged[rows], holes[rows], problem.train[i % len(problem.train) :: 8])
        for i in range(8)
    ]
)
bound = float(np.sqrt(2) * np.mean(2 / 10 ** (repair.each_psnr(repairs["0"][rows], truth, holes) / 20)))
eights = {label: eight_repairs(label) for label in players} | {"8 nearest images": completions}
spread, one, best_of_8 = {}, {}, {}
print(f"{'':<18} {'apart':>6} {'PSNR of one':>12} {'best of 8':>10}")
for label, eight in eights.items():
    each = np.stack([repair.each_psnr(repaired, truth, holes) for repaired in eight])  # 8, N
    spread[label], one[label] = float(apart(eight).mean()), float(each.mean())
    best_of_8[label] = float(each.max(axis=0).mean())
    print(f"{label:<18} {spread[label]:6.3f} {one[label]:12.2f} {best_of_8[label]:10.2f}")
print(f"true completions: about {bound:.3f} apart, or less")

missing = holes[rows] > 0.5
grey = ((1 - repairs["0"][rows] ** 2) * missing).sum(axis=(1, 2, 3)) / missing.sum(axis=(1, 2, 3))
ambiguous = grey.argsort()[::-1][:5]
shown = [
    np.concatenate([truth[[n]], damaged[[n]], eights[label][:, n]])
    for n in ambiguous
    for label in (GAN, DIVERSE, "8 nearest images")
]
shown = show.titled(
    show.image_grid(np.concatenate(shown), 10, scale=max(1, 56 // SHAPE[0])),
    "eight repairs of one hole, by three ways",
    rows=[f"GAN, {GAN}", DIVERSE, "nearest"] * len(ambiguous),
    columns=["original", "damaged", *("repair " + str(i + 1) for i in range(8))],
)
lesson.picture(shown, "diversity.png")

# %% [markdown]
# ## Checks, or a verdict
#
# Asserted is what was measured above, for the glyphs, the settings and the steps that both lessons ship. Beside each
# bound stands what was measured with seeds 0 to 2; the margins are for other machines, whose sums round differently.

# %%
for label, repaired in repairs.items():
    assert np.array_equal(repaired * (holes < 0.5), truth * (holes < 0.5)), label
if lesson.shipped and repair.shipped(first.settings) and AS_SHIPPED:
    values = [s.psnr for s in scores.values()]
    mixtures = [label for label in POINTS if label != "only"]
    # It rose by 0.02 at most, from 0 to 0.001, which is hardly any weight; it fell by 0.4 or more from 0.01 to 0.1.
    assert all(a > b - 0.05 for a, b in zip(values, values[1:])), "more adversarial weight, yet more PSNR"
    for a, b in zip(mixtures, mixtures[1:]):  # it rose each time: by 0.0005 or more to 0.001, by 0.05 to 0.1
        assert sharp[a] < sharp[b] + 0.005, "more adversarial weight, yet less sharp"
    assert far[mixtures[-1]] < far["0"], (
        "the adversarial part does not bring the repairs nearer to real images"  # 0.030 to 0.032, and 0.042
    )
    assert spread[GAN] < 0.1, "z is not ignored by a GAN with the squared error"  # 0.061 to 0.063
    assert spread[DIVERSE] > 0.6 * bound, "repairs of one hole hardly differ"  # 0.76 to 0.78 of it
    assert best_of_8[DIVERSE] > one[GAN] - 0.5, (
        "the best of eight is worse than the GAN's one repair"  # by 0.15 to 0.27 dB
    )
    lesson.end()
else:
    label = list(POINTS)[-2] if len(POINTS) > 2 else "only"
    lesson.end(
        verdict.lines(
            f"from adversarial weight 0 to {label}: PSNR {scores[label].psnr - scores['0'].psnr:+.1f} dB, sharpness "
            f"{sharp['0']:.2f} to {sharp[label]:.2f} (1 = truth), distance to real images {far['0']:.3f} to "
            f"{far[label]:.3f} (floor {floor:.3f})",
            f"with weight 0: {scores['0'].psnr - fills[best].psnr:+.1f} dB over the {best} fill",
            f"with weight only: {balance}" if (balance := verdict.balance(run.history["d_loss"])) else "",
            f"eight repairs of one hole lie {spread[GAN]:.2f} apart, with mode seeking {spread[DIVERSE]:.2f} (true "
            f"completions: about {bound:.2f}); the best of those eight: {best_of_8[DIVERSE] - one[GAN]:+.1f} dB over "
            "one repair without it",
            verdict.count(len(truth)),
        )
    )

# %% [markdown]
# ## Exercises
#
# `--steps 60` is enough to see what they ask for, and so is a network of 300 steps to start from.
#
# 1. `POINTS`: add "1": (1.0, 1.0) before "only". Predict where it lies in both pictures; read the table.
# 2. `SEEKING = 1`, then 0.5. Compare how far apart the repairs lie (the lesson prints it, and what true completions
#    have) with `seeking / sqrt(2 - seeking**2)` of the latter. Which gives the best repair of eight, which the best
#    single one?
# 3. Put mode seeking beside the squared error: write `mine(error, counted, seeking)`, which returns the mean square
#    of `error` over the hole minus `seeking * |a - b|`, and its gradient, as `energy_score` does; prove it as the
#    lesson proves that one. Put `inpainting.energy_score = mine` and `SEEKING = 0.1` at the top. Compare
#    `apart(eights["seeking"])` at the tenth of the holes that are greyest with weight 0 (`grey`, where several things
#    can stand) and at the tenth that are least grey, now and with the energy score.
#
# Worked answers, with the figures to expect: `python lessons/answers/11_trade_off.py`.
