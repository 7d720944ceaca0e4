# %% [markdown]
# # Lesson 13, second part. Remedies at equal time
#
# Whoever reads about mode collapse finds a dozen remedies, each with a table that it leads. Here 21 meet on
# one data set, the grid of 25 modes, with the same networks, the same optimiser, and the same *processor time*: a
# remedy that doubles the cost of a round gets half the rounds. Five seeds each. Nothing is tuned for a single row but
# what is printed beside it.

# %%
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import adversarial, losses, optim
from npgan.data import Mixture
from npgan.layers import Dense, LeakyReLU, MinibatchStandardDeviation, Pack, Sequential, SpectralNormalization
from npgan.lesson import Lesson
from npgan.metrics.modes import score_modes

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("13_remedies", "Remedies against mode collapse, at equal processor time", FLAGS)
args = lesson.args

# What the exercises change.
MIXTURE = Mixture.grid()  # easier: Mixture.ring()
SECONDS = 0.05 if args.quick else 4.0  # of processor time for each training
SEEDS = range(args.seed, args.seed + (1 if args.quick else 5))

# %% [markdown]
# ## The remedies
#
# Each is a line or two in the game below; what it does, and who proposed it, stands here.
#
# **Another loss.** *Saturating*, *least squares*, *hinge*: lesson 6 and `npgan/losses.py`. *Wasserstein*: D's mean on
# real points minus that on generated ones is a distance, if D's slope is bounded: by *clipping* every weight to
# [-0.1, 0.1] after each step (Arjovsky et al. 2017), or by a *penalty* on slopes other than 1 (Gulrajani et al.
# 2017). *Pairs*: the relativistic loss (Jolicoeur-Martineau 2019).
#
# **A smoother D.** *R1*, *R2*: penalties on the slope at real and at generated points (Mescheder et al. 2018),
# constant or falling. *Spectral normalisation*: no layer stretches any vector (Miyato et al. 2018). *Instance noise*:
# real and generated points are blurred before D sees them, less and less (Sonderby et al. 2017). *Smoothed labels*:
# D's target for real points is 0.9, so it is never paid for being sure (Salimans et al. 2016).
#
# **A D that sees several points.** *Packing*: it judges 2 or 4 at once (Lin et al. 2018). *Minibatch deviation*: a
# feature that says how much 4 neighbours in the batch differ (Karras et al. 2018).
#
# **Other steps.** *Three steps of D* for one of G (Goodfellow et al. 2014). *Two rates*: G's a quarter of D's (Heusel
# et al. 2017). *Average*: what is counted is the moving average of G's weights (Yazici et al. 2019).
#
# **Other noise.** *Coins*: eight of ten numbers of noise are -1 or +1 (`13_mode_collapse.py`, whose cure is the last
# row: pairs, R1 and R2, an average, and coins).


# %%
class Rules(NamedTuple):
    loss: adversarial.GameLoss = losses.binary_cross_entropy
    g_loss: adversarial.GameLoss | None = None  # None: the same
    pairs: bool = False
    penalty: Callable[[float], adversarial.Penalty] | None = (
        None  # of the part of the game that is over, 0 to 1
    )
    clip: float = 0.0
    spectral: bool = False
    blur: float = 0.0
    label: float = 1.0
    packing: int = 1
    deviation: bool = False
    d_steps: int = 1
    g_rate: float = 2e-3
    average: bool = False
    coins: int = 0


def constant(penalty):
    return lambda part: penalty


def fading(penalty):
    """The weight falls from 2e-2 to 1e-3, by equal factors."""
    return lambda part: penalty(2e-2 * 0.05**part)


def slope_one(part):
    return adversarial.wgan_gp(1.0, np.random.default_rng(int(1e6 * part)))


BOTH = fading(adversarial.r1_and_r2)
REMEDIES = {
    "plain": Rules(),
    "saturating": Rules(g_loss=losses.generator_saturating),
    "least squares": Rules(losses.least_squares),
    "hinge": Rules(losses.hinge, losses.wasserstein),
    "Wasserstein, clipped": Rules(losses.wasserstein, clip=0.1),
    "Wasserstein, penalty": Rules(losses.wasserstein, penalty=slope_one),
    "pairs": Rules(pairs=True),
    "R1, constant": Rules(penalty=constant(adversarial.r1(5e-3))),
    "R1, falling": Rules(penalty=fading(adversarial.r1)),
    "pairs, R1 + R2": Rules(pairs=True, penalty=BOTH),
    "spectral norm": Rules(spectral=True),
    "instance noise": Rules(blur=0.1),
    "smoothed labels": Rules(label=0.9),
    "packing of 2": Rules(packing=2),
    "packing of 4": Rules(packing=4),
    "minibatch deviation": Rules(deviation=True),
    "three steps of D": Rules(d_steps=3),
    "two rates": Rules(g_rate=5e-4),
    "average": Rules(average=True),
    "coins": Rules(coins=8),
    "cured, without coins": Rules(pairs=True, penalty=BOTH, average=True),
    "cured": Rules(pairs=True, penalty=BOTH, average=True, coins=8),
}

# %% [markdown]
# ## The game, with all of them

# %%
BATCH, WIDTH, LATENT, RATE, ADAM = 128, 64, 2, 2e-3, dict(beta_1=0.5, beta_2=0.99)
REACH = np.float32(np.abs(MIXTURE.centres).max())


def make_generator(rules, rng):
    layers = []
    for width in (LATENT + rules.coins, WIDTH, WIDTH):
        layers += [Dense(width, WIDTH, rng=rng), LeakyReLU(0.2)]
    layers[0].bias.value[...] = rng.uniform(-1, 1, WIDTH)  # kinks all over the plane
    return Sequential([*layers, Dense(WIDTH, 2, rng=rng)])


def make_discriminator(rules, rng):
    def norm(layer):
        return SpectralNormalization(layer, rng=rng) if rules.spectral else layer

    layers = [Pack(rules.packing)] if rules.packing > 1 else []
    for width in (2 * rules.packing, WIDTH, WIDTH):
        dense = Dense(width, WIDTH, rng=rng)
        if width < WIDTH:
            dense.bias.value[...] = rng.uniform(-1, 1, WIDTH)
        layers += [norm(dense), LeakyReLU(0.2)]
    if rules.deviation:
        layers.append(MinibatchStandardDeviation(4))
    return Sequential([*layers, norm(Dense(WIDTH + rules.deviation, 1, rng=rng))])


def clip(network, bound):
    """Every weight and bias back to [-bound, bound]: so no slope of D can grow without end."""
    for parameter in network.parameters():
        np.clip(parameter.value, -bound, bound, out=parameter.value)


def blurred(points, width, rng):
    return (
        points + np.float32(width) * rng.standard_normal(points.shape, dtype=np.float32) if width else points
    )


def smoothed(loss, label):
    """The loss with `label` in the place of 1, for real points; 0 stays 0."""
    return lambda logits, target: loss(logits, label * target)


def draw_noise(count, rules, rng):
    tossed = 2.0 * rng.integers(2, size=(count, rules.coins)) - 1
    return np.concatenate([rng.standard_normal((count, LATENT)), tossed], axis=1).astype(np.float32)


def play(rules, progress, rng):
    """Play until progress(rounds) is 1; return 2,500 points, and how many rounds it took."""
    generator, discriminator = make_generator(rules, rng), make_discriminator(rules, rng)
    rounds = part = 0

    def falling_rate(rate):
        return lambda step: rate * min(1.0, 2 * (1 - part))  # it stays for half the game, then falls to 0

    g_optimizer = optim.Adam(generator.parameters(), falling_rate(rules.g_rate), **ADAM)
    d_optimizer = optim.Adam(discriminator.parameters(), falling_rate(RATE), **ADAM)
    average = optim.MovingAverage(generator, 0.99)

    d_loss = smoothed(rules.loss, rules.label)
    while part < 1:
        penalty = rules.penalty(part) if rules.penalty else None
        blur = rules.blur * max(0.0, 1 - part / 0.7)
        for _ in range(rules.d_steps):
            real = MIXTURE.sample(BATCH, rng) / REACH
            fake = generator.forward(draw_noise(BATCH, rules, rng))  # the last waits for G's step
            if rules.pairs:
                adversarial.relativistic_discriminator_step(discriminator, real, fake, d_optimizer, penalty)
            else:
                seen = blurred(real, blur, rng), blurred(fake, blur, rng)
                adversarial.discriminator_step(discriminator, *seen, d_optimizer, d_loss, penalty)
            if rules.clip:
                clip(discriminator, rules.clip)
        if rules.pairs:
            adversarial.relativistic_generator_step(generator, discriminator, real, fake, g_optimizer)
        else:
            seen, g_loss = blurred(fake, blur, rng), rules.g_loss or rules.loss
            adversarial.generator_step(generator, discriminator, seen, g_optimizer, g_loss)
        if rules.average:
            average.update()
        rounds += 1
        part = progress(rounds)
    network = average.layer if rules.average else generator
    noise = draw_noise(2500, rules, np.random.default_rng(2))
    return network.forward(noise, train=False) * REACH, rounds


# %% [markdown]
# ## Equal time
#
# A game is over when its SECONDS of processor time are, so that other programs hardly matter; rates and weights fall
# with the part that is over. The floor is what real points score. What the figures mean: `13_mode_collapse.py`.


# %%
def score(points):
    return score_modes(points, MIXTURE.centres, MIXTURE.sigma)


def timer(seconds):
    started = time.process_time()
    return lambda rounds: (time.process_time() - started) / seconds


lesson.step(f"Equal time: {SECONDS} seconds for each of {len(REMEDIES) * len(SEEDS)} trainings")
results = {}  # remedy -> rows of modes, quality, KL, width
print(f"{'':<24} {'rounds':>7} {'modes':>16} {'high quality':>14} {'KL':>7} {'width':>6}")


def line(name, rows, rounds=""):
    modes, share, kl, width = rows.mean(axis=0)
    spread = f"{modes:.1f} ({rows[:, 0].min():.0f} to {rows[:, 0].max():.0f})"
    quality = f"{100 * share:.1f} +- {100 * rows[:, 1].std():.1f}%"
    print(f"{name:<24} {rounds:>7} {spread:>16} {quality:>14} {kl:>7.3f} {width:>6.2f}", flush=True)


line("real points", np.array([score(MIXTURE.sample(2500, np.random.default_rng(seed))) for seed in SEEDS]))
for name, rules in REMEDIES.items():
    games = [play(rules, timer(SECONDS), np.random.default_rng(seed)) for seed in SEEDS]
    results[name] = np.array([score(points) for points, _ in games])
    line(name, results[name], round(np.mean([rounds for _, rounds in games])))

figure = Figure(figsize=(9, 6), layout="constrained")
axes = figure.add_subplot(xlabel="modes found", ylabel="share of high quality", ylim=(0, 1.02))
for number, (name, rows) in enumerate(results.items()):
    style = dict(color=f"C{number % 10}", marker="osD"[number // 10])
    axes.plot(rows[:, 0], rows[:, 1], linestyle="", markersize=4, alpha=0.4, **style)
    axes.plot(*rows.mean(axis=0)[:2], linestyle="", markersize=9, label=name, **style)
axes.axhline(0.989, color="black", linestyle=":", linewidth=1)
axes.axvline(len(MIXTURE.centres), color="black", linestyle=":", linewidth=1)
axes.grid(alpha=0.3)
figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
lesson.picture(figure, "remedies.png")

# %% [markdown]
# ## What it says
#
# Measured with seeds 0 to 4, on one core while another program kept the other busy: modes found (fewest to most),
# share of high quality, KL. Where rounds differ from run to run, so do these figures.
#
#                            rounds   modes               high quality     KL
#     plain                   2,616   23.0 (19 to 25)     26.6 +-  6.8%   0.595
#     saturating              2,616   22.8 (15 to 25)     28.5 +-  4.9%   0.495
#     least squares           2,610   21.4 (20 to 24)     30.2 +-  6.3%   0.703
#     hinge                   2,681   21.2 (18 to 24)     20.8 +-  5.6%   0.572
#     Wasserstein, clipped    2,613    6.4 ( 2 to 12)      3.7 +-  3.0%   1.968
#     Wasserstein, penalty    1,888   14.6 (12 to 18)      8.0 +-  1.5%   0.955
#     pairs                   2,972   18.6 (13 to 24)     38.5 +- 12.2%   0.729
#     R1, constant            2,054   24.0 (22 to 25)     17.2 +-  2.2%   0.459
#     R1, falling             2,082   23.6 (22 to 25)     20.0 +-  2.9%   0.478
#     pairs, R1 + R2          1,904   23.8 (22 to 25)     15.1 +-  2.3%   0.412
#     spectral norm           2,228    1.4 ( 1 to  3)      0.8 +-  0.7%   3.067
#     instance noise          2,849   23.2 (21 to 24)     24.9 +-  6.3%   0.509
#     smoothed labels         2,849   20.4 (17 to 24)     31.7 +- 11.2%   0.732
#     packing of 2            3,028   19.8 (12 to 24)     10.7 +-  1.9%   0.585
#     packing of 4            3,188   14.8 (13 to 16)      1.6 +-  0.4%   0.731
#     minibatch deviation     2,415   22.8 (21 to 25)     28.4 +-  4.0%   0.644
#     three steps of D        1,317   14.6 (11 to 18)     42.7 +-  7.7%   1.263
#     two rates               2,876   20.8 (19 to 24)     20.0 +-  2.4%   0.820
#     average                 2,729   20.0 (15 to 24)     30.3 +-  6.0%   0.700
#     coins                   2,809   24.4 (23 to 25)     95.6 +-  1.1%   0.121
#     cured, without coins    1,782   22.2 (20 to 24)     11.0 +-  1.1%   0.378
#     cured                   1,808   24.8 (24 to 25)     50.0 +- 20.6%   0.174
#
# - **In so short a time most remedies do not help.** A plain game with a good start (first kinks spread over the
#   plane, a falling rate) finds 23 of 25 modes, and hardly any remedy finds more than the seeds make it vary. What a
#   remedy costs when it is not needed stands in the column "rounds".
# - **R1 and R2 even out, and slow down.** The shares are more even (KL 0.41 to 0.48, plain 0.60), the quality is
#   lower (15% to 20%, plain 27%), and a round costs 26% to 37% more. They pay later: `13_mode_collapse.py` gives
#   the last row 5,000 rounds, and it reaches 25 modes and 96% or more, where the plain game stays at 40% or below.
# - **Coins are worth most.** No other row comes near their quality. The fault was not only in the game, but in asking
#   a continuous G to tear a round cloud to pieces. They need their rounds: with a third fewer, on a busier machine,
#   their five runs had 62% +- 30%, and those of "cured" 26% +- 19%.
# - **A bound on D's slope can be too tight.** The three rows that bound it are among the poorest in modes. In the
#   units of the networks a mode is 0.0125 wide: with a slope of 1 D's logit can hardly change from its centre to its
#   edge.
# - **Quality alone deceives.** Three steps of D have more of it than any other row without coins, and 15 modes of 25.
#   With fewer rounds it was worse: 82%, in two modes. Read by its quality it would have led the table.
# - **Packing of 4 learns slowly.** D has four points to understand at once. PacGAN's own figures (24.8 modes, 93.6%)
#   took far longer.

# %%
lesson.step("Checks")
assert all(np.isfinite(rows[:, [0, 1, 3]]).all() for rows in results.values())
if not args.quick and len(MIXTURE.centres) == 25:
    means = {name: rows.mean(axis=0) for name, rows in results.items()}
    assert means["plain"][0] >= 15, f"plain: {means['plain'][0]} modes"  # 19 to 25
    assert means["coins"][1] > means["plain"][1] + 0.1, "coins do not help"  # 96% and 27%
    assert means["coins"][2] < means["plain"][2], "coins do not make the shares more even"  # 0.12 and 0.60
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. `MIXTURE = Mixture.ring()`. Which remedies still find fewer than 8 modes? How much quality has packing of 4 now?
# 2. A row of your own: several remedies at once, hinge with a spectral norm, packing of 2 and an average, say. Before
#    you run it, write down what you expect from the rows of its parts.
