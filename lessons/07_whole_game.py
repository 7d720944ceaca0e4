# %% [markdown]
# # 7, second part. The whole game
#
# The first part (`07_adversarial_game.py`) played one round slowly. Here the same two players play thousands of
# rounds, from the same start with two losses for the generator. We watch the points, count the modes that they
# reach, and see what the losses tell and what they do not. With `--step` the game advances by one player's single
# step at a time. With `--live` it opens in a window, to be played by hand.

# %%
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npgan import optim
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device
from npgan.data import Mixture
from npgan.layers import Dense, Sequential
from npgan.lesson import Lesson
from npgan.live import open_figure
from npgan.live_game import GameWindow
from npgan.losses import binary_cross_entropy, generator_saturating
from npgan.metrics.modes import count_modes, samples_per_mode
from npgan.networks import dense_stack
from npgan.plane import draw_surface, probability
from npgan.training import Run

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "07_whole_game",
    "The whole game, with two losses",
    FLAGS,
    steps=3000,
    quick_steps=150,
    device=True,
    live=True,
)
args = lesson.args

# %% [markdown]
# ## The rules, which the exercises change

# %%
MIXTURE = Mixture.ring()  # harder: Mixture.grid(), 25 modes
LATENT = 2  # numbers of noise for each point
ORDER = "DG"  # who learns in a round, one letter for a step; G learns once
FALLING = True  # the learning rate falls in a straight line to 0; False: it stays
# The losses of G, functions of (logits, target); here the target is 1, "real".
LOSSES = {"non-saturating": binary_cross_entropy, "saturating": generator_saturating}
OPTIMIZER, RATE = optim.Adam, 1e-3  # plain descent: optim.SGD, 0.03
RULES = (len(MIXTURE.centres), LATENT, ORDER, FALLING, OPTIMIZER, RATE, LOSSES)
SHIPPED_LOSSES = {"non-saturating": binary_cross_entropy, "saturating": generator_saturating}
AS_SHIPPED = RULES == (8, 2, "DG", True, optim.Adam, 1e-3, SHIPPED_LOSSES)
# Where these rules are changed, the last checks, which are about this very game, are left out.

BATCH, WIDTH = 256, 128
REACH = float(np.abs(MIXTURE.centres).max())  # both networks work in units of the farthest centre

# %% [markdown]
# ## The players
#
# As in the first part, each has two hidden layers of 128 with LeakyReLU between its dense layers. G maps noise to
# a point, D maps a point to a logit.


# %%
def make_players(rng):
    layers = dense_stack((LATENT, WIDTH, WIDTH), rng, normalize=False)
    generator = Sequential([*layers, Dense(WIDTH, 2, rng=rng)])
    layers = dense_stack((2, WIDTH, WIDTH), rng, normalize=False)
    discriminator = Sequential([*layers, Dense(WIDTH, 1, rng=rng)])
    return generator.to(args.device), discriminator.to(args.device)


def draw_real(count, rng):
    return to_device(MIXTURE.sample(count, rng), args.device) / REACH  # count, 2


def draw_noise(count, rng):
    return to_device(rng.standard_normal((count, LATENT)).astype(np.float32), args.device)  # count, LATENT


def gradient_norm(network):
    return sum((p.grad**2).sum() for p in network.parameters()) ** 0.5  # 0-d, on the device


lesson.step("The players")
for name, player, width in zip("GD", make_players(np.random.default_rng(args.seed)), (LATENT, 2)):
    print(f"{name}:\n{player.summary((width,))}\n")

# %% [markdown]
# ## How good is G? Modes and high quality
#
# A *mode* is a place where the data crowd: here, one of the eight Gaussians. Draw 2,500 points from G. A point is
# *of high quality* if it lies within 3 sigma of a mode's centre, 0.03 here; of the data themselves 98.9% do. A mode
# is *found* if at least one point of high quality lies on it (the way of counting of Lin et al. 2018, PacGAN,
# section 4.1).
#
# One point in 2,500 is little. An untrained G already "finds" some modes, because its points are strewn over the
# whole disc and a few fall on a mode by chance; not one in a hundred is of high quality. So always read the two
# figures together.

# %%
lesson.step("An untrained generator")
rng = np.random.default_rng(args.seed)
SHOWN, REAL = draw_noise(400, rng), draw_real(200, rng)  # what the pictures show
COUNTED = draw_noise(2500, rng)  # what is counted


def count(generator):
    return count_modes(generator.forward(COUNTED, train=False) * REACH, MIXTURE.centres, MIXTURE.sigma)


untrained_modes, untrained_share = count(make_players(np.random.default_rng(args.seed))[0])
print(f"untrained: {untrained_modes} modes of {len(MIXTURE.centres)}, {untrained_share:.1%} of high quality")

# %% [markdown]
# ## One round, and the game
#
# Algorithm 1 of Goodfellow et al. 2014, one step of D for one of G, with two things of `06_optimizers.py` that the
# first part did without or did not need: *Adam* with beta_1 = 0.5 in place of plain descent, and a *schedule*, here a
# straight line from 0.001 to 0. The players circle around each other, since each step of one changes the other's aim.
# With ever smaller steps they settle, unlike the two players there: D's loss is curved, it has a best answer to each
# G (first part), and that brakes.
#
# With `--step` each player's step waits for Enter, or for a number of steps to run until the next wait, and says
# which weights it has moved. At each wait `now.png` shows the points over D's surface: keep it open beside the
# terminal.


# %%
def make_game(rng, rate):
    """All that a step changes: two players, their optimisers, and the random numbers."""
    generator, discriminator = make_players(rng)
    return {
        "generator": generator,
        "discriminator": discriminator,
        "d_optimizer": OPTIMIZER(discriminator.parameters(), rate),
        "g_optimizer": OPTIMIZER(generator.parameters(), rate),
        "rng": rng,
    }


def one_round(generator, discriminator, d_optimizer, g_optimizer, rng, *, loss, order=ORDER):
    """Play one round; after each player's step hand out its letter, its figures, and the points of this noise."""
    noise, real = draw_noise(BATCH, rng), draw_real(BATCH, rng)
    fake = generator.forward(noise)  # BATCH, 2
    for player in order:
        if player == "D":
            d = discriminator_step(discriminator, real, fake, d_optimizer)
            figures = {"d_loss": d.loss, "real": d.real_logits.mean(), "fake": d.fake_logits.mean()}
            yield player, figures | {"d_gradient": gradient_norm(discriminator)}, fake
        else:
            g = generator_step(generator, discriminator, fake, g_optimizer, loss)
            figures = {"g_loss": g.loss, "judged": g.logits.mean(), "g_gradient": gradient_norm(generator)}
            yield player, figures, generator.forward(noise, train=False)


# %% [markdown]
# ## By hand
#
# With `--live` a window opens. *D's step* and *G's step* let one player learn once, on a fresh batch; *a round* is
# both; *play* goes on with rounds; *one step back* brings the bits of before back, up to 50 times. The rates stay
# where their sliders are. Close the window to go on; what follows is the same with the window or without.
#
# Things to try. Give D twenty steps alone: the arrows get longer (1.3 to 5 times, seeds 0 to 2). Then twenty of G
# alone: its points run together into the blue, past the data, some of them out of the picture. Nobody tells them to
# stop there but a D that learns. Play, and let one player learn ten times as fast as the other: what is then missing?

# %%
if args.live:
    lesson.step("By hand")
    figure = open_figure("Lesson 7: the whole game")
    if figure is not None:
        game, loss = make_game(np.random.default_rng(args.seed), RATE), next(iter(LOSSES.values()))
        window = GameWindow(
            *(figure, game, lambda letters: one_round(**game, loss=loss, order=letters)),
            order=ORDER,
            loss=loss,
            real=REAL,
            noise=SHOWN,
            count=count,
            modes=len(MIXTURE.centres),
        )
        window.run()
        print(f"the window is closed, after {window.steps} steps")

# %% [markdown]
# ## The game

# %%
SNAPSHOTS = sorted({round(args.steps * part) for part in (0.0, 0.03, 0.1, 0.3, 0.6, 1.0)})
COUNT_EVERY = max(1, args.steps // 60)
FRAME_EVERY = max(1, args.steps // (6 if args.quick else 40))


def play(loss, rng, step_through):
    """Play args.steps rounds; return G, the history, (step, modes, share) rows, and (surface, points) by step."""
    game = make_game(rng, optim.linear_decay(RATE, 0, args.steps) if FALLING else RATE)
    generator, discriminator = game["generator"], game["discriminator"]
    counts, seen = [], {}

    def watch(done):
        if done % COUNT_EVERY == 0 or done == args.steps:
            counts.append((done, *count(generator)))
        if done in SNAPSHOTS or done % FRAME_EVERY == 0:
            seen[done] = probability(discriminator), generator.forward(SHOWN, train=False)

    run = Run(args.steps, step_through=step_through, parts=game)
    watch(0)
    for step in run:
        logged = {}
        for player, figures, points in one_round(**game, loss=loss):
            logged |= figures
            if run.waits:
                now = Figure(figsize=(5, 5))
                title = f"after {player}'s step, round {step + 1}"
                draw_surface(now.add_subplot(), probability(discriminator), REAL, points, title)
                lesson.picture(now, "now.png")
            run.part(f"{player}'s step", **figures)
        run.log(**logged)
        watch(step + 1)
    return generator, run.history, counts, seen


games = {}
for name, loss in LOSSES.items():
    lesson.step(f"The game with the {name} loss")
    games[name] = play(loss, np.random.default_rng(args.seed), args.step and not games)
    generator, _, counts, _ = games[name]
    print(f"{name}: {counts[-1][1]} modes of {len(MIXTURE.centres)}, {counts[-1][2]:.1%} of high quality")
    points = generator.forward(COUNTED, train=False) * REACH
    print(f"points per mode: {samples_per_mode(points, MIXTURE.centres, MIXTURE.sigma)}")

# %% [markdown]
# ## Snapshots
#
# Blue: D takes the place for real. Red: for generated. White: it cannot tell. Black: data. Orange: G's points.
#
# Early on all points run after one or two modes together. D learns to refuse that place, and they move on. As the
# rate falls they settle around the ring. G is continuous, so a thread of points stays between neighbouring modes:
# about half of all points. D is bluer at modes that get too few.

# %%
lesson.step("Snapshots")
figure = Figure(figsize=(3 * len(SNAPSHOTS), 3.3 * len(games)))
for row, (name, (_, _, _, seen)) in enumerate(games.items()):
    for column, done in enumerate(SNAPSHOTS):
        axes = figure.add_subplot(len(games), len(SNAPSHOTS), row * len(SNAPSHOTS) + column + 1)
        draw_surface(axes, seen[done][0], REAL, seen[done][1], f"step {done}")
        if column == 0:
            axes.set_ylabel(name, fontsize=14)
figure.tight_layout()
lesson.picture(figure, "snapshots.png")

# %% [markdown]
# ## How good, over three seeds
#
# Measured with seeds 0, 1 and 2, 3,000 steps: modes found, then the share of high quality, mean and range.
#
#     ring of 8     non-saturating    8,  8,  8 of  8     52% (44% to 59%)
#                   saturating        8,  8,  8 of  8     48% (41% to 54%)
#     grid of 25    non-saturating   20, 19, 18 of 25      4% ( 3% to  4%)
#                   saturating       21, 17, 22 of 25      9% ( 8% to 11%)
#
# On the ring all modes are back at the end, but in the first half each game has fewer, and they come and go. On the
# grid modes are missing to the end. One point is enough for a mode to be found, so look at the points per mode too.
#
# The two losses tie, after all that was said for one of them. The argument was about a D that is *sure* that a point
# is generated: the losses differ where its logit is below -4 or so. Such a D does not come about here. In these
# games the mean logit of a batch of generated points never fell below -2.0, and was between -0.2 and -0.9 at the
# end, where the slopes 1 - s and s differ by a factor of 1.2 to 2.5. And Adam, which divides by the size of the
# gradients, takes away a factor that all points share. How much is Adam's doing? `07_adam_or_not.py` plays without
# it, and there they do not tie: the non-saturating loss, whose steps are longer, runs off to infinity first.

# %% [markdown]
# ## Losses do not say how good G is
#
# If both players were perfect, D could not tell: every logit 0, D's loss 2 log 2 = 1.386, the non-saturating
# G's log 2 = 0.693 (dotted). Near these values lie many bad generators as well: a loss tells who is ahead of
# whom. The number of modes has to be counted. Pale: each step. Strong: the mean over a sixtieth of the game.

# %%
lesson.step("Curves")
first = next(iter(games))
history = games[first][1]
window = max(1, args.steps // 60)
figure = Figure(figsize=(9, 9.5))
rows = (
    ("loss", {"d_loss": "D", "g_loss": "G"}, (2 * np.log(2), np.log(2)), "lower right"),
    ("mean logit", {"real": "real", "fake": "generated"}, (0.0,), "center right"),
    ("gradient norm", {"d_gradient": "D", "g_gradient": "G"}, (), "upper right"),
)
for row, (label, names, levels, legend) in enumerate(rows):
    axes = figure.add_subplot(4, 1, row + 1, ylabel=label)
    for index, (key, name) in enumerate(names.items()):
        mean = np.convolve(history[key], np.ones(window) / window, mode="valid")
        axes.plot(history[key], color=f"C{index}", alpha=0.25, linewidth=0.6)
        axes.plot(np.arange(window - 1, len(history[key])), mean, color=f"C{index}", label=name)
    for level in levels:
        axes.axhline(level, color="black", linestyle=":", linewidth=1)
        axes.annotate(f"{level:.3f}", (1, level), xycoords=("axes fraction", "data"), fontsize=8)
    low, high = np.percentile(np.concatenate([history[key] for key in names]), (0.5, 99.5))
    axes.set_ylim(min(low, *levels, 0) - 0.1, high * 1.1)
    axes.grid(alpha=0.3)
    axes.legend(loc=legend)
axes = figure.add_subplot(4, 1, 4, xlabel="step", ylabel="modes found", ylim=(0, len(MIXTURE.centres) + 0.5))
for name, (_, _, counts, _) in games.items():
    axes.plot([row[0] for row in counts], [row[1] for row in counts], marker=".", label=name)
axes.grid(alpha=0.3)
axes.legend(loc="lower right")
figure.axes[0].set_title(f"the game with the {first} loss; below, modes found in each game")
figure.tight_layout()
lesson.picture(figure, "curves.png")

# %%
lesson.step("The game as a film")
pictures = []
for done, (surface, fake) in games[first][3].items():
    if done % FRAME_EVERY == 0:
        frame = Figure(figsize=(3.6, 3.8), dpi=80)
        draw_surface(frame.add_subplot(), surface, REAL, fake, f"step {done}")
        canvas = FigureCanvasAgg(frame)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3])
lesson.animation(pictures, "game.gif")

# %% [markdown]
# ## Checks
#
# The bounds are about the game as shipped, in full. They leave room for other seeds, and for machines whose sums
# round differently: a game amplifies rounding until two runs of one seed have nothing but their statistics in
# common.

# %%
lesson.step("Checks")
for name, (_, history, counts, _) in games.items():
    _, modes, share = counts[-1]
    assert np.isfinite([*history["d_loss"], *history["g_loss"]]).all(), name
    if AS_SHIPPED and not args.quick and args.steps >= 3000:
        assert modes >= 5, f"{name}: {modes} modes"  # 8 in all six games
        assert share > untrained_share + 0.1, (
            f"{name}: {share:.1%} of high quality"
        )  # 41% to 59%, 0.2% untrained
lesson.end()

# %% [markdown]
# ## Exercises
#
# Each changes one line of "The rules" and reads the modes, the share and the points per mode that the lesson prints.
#
# 1. `ORDER = "GD"`: G learns first, judged by the D of the round before. Do modes and share change by more than
#    another `--seed` changes them? Why need `fake` not be drawn again for D's step? Then try `"DDG"`.
# 2. Add to `LOSSES` a loss of your own, a function of (logits, target) that returns (loss, gradient): the mean of
#    -logits, say. Prove it with `npgan.gradcheck.check_loss(lambda x: mine(x, 1.0), logits, rng)` on float64 logits.
# 3. `MIXTURE = Mixture.grid()`: how many of the 25 modes are found, and how many points does the poorest found
#    mode get? Then `LATENT = 8` or `FALLING = False` on the ring: what does the falling rate do for the share of
#    high quality?
