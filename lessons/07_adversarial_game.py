# %% [markdown]
# # 7. The adversarial game
#
# Two networks, one number between them. The discriminator D looks at a point and says how real it is; the
# generator G turns noise into points and wants D to be wrong. Data in the plane let us see all of it: the
# points of both kinds, the surface sigmoid(D(x)) over them, and the direction in which D's gradient pushes each
# generated point.
#
# We play the first round slowly, check the best possible judge against its formula, play the whole game with
# two losses for G, and count the modes it finds. With `--step` the game advances by one player's single step at
# a time.

# %%
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npgan import optim, show
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device, to_numpy
from npgan.data import Mixture
from npgan.layers import Dense, LeakyReLU, Sequential
from npgan.layers.activations import sigmoid
from npgan.lesson import Lesson, pause
from npgan.losses import binary_cross_entropy, generator_non_saturating, generator_saturating
from npgan.metrics.modes import count_modes, samples_per_mode
from npgan.training import Run

lesson = Lesson(
    "07_adversarial_game", "One player's step at a time", steps=3000, quick_steps=150, device=True
)
args, rng = lesson.args, lesson.rng

MIXTURE = Mixture.ring()  # harder: Mixture.grid(), 25 modes
BATCH, LATENT, WIDTH = 256, 2, 128
REACH = float(np.abs(MIXTURE.centres).max())  # both networks work in units of the farthest centre

# %% [markdown]
# ## The players
#
# G maps noise z, two numbers from N(0, 1), to a point. D maps a point to one logit; sigmoid(logit) is the
# probability that the point is real. Both are three dense layers.
#
#     G:  z (N, 2)  ->  128  ->  128  ->  point (N, 2)
#     D:  point (N, 2)  ->  128  ->  128  ->  logit (N, 1)
#
# The data: eight narrow Gaussians (sigma 0.01) on a ring of radius 1. A generator is continuous, the data lie
# on islands: G has to tear its sheet of noise apart, or leave islands out.


# %%
def make_players(rng):
    generator = Sequential(
        [
            Dense(LATENT, WIDTH, rng=rng),
            LeakyReLU(0.2),
            Dense(WIDTH, WIDTH, rng=rng),
            LeakyReLU(0.2),
            Dense(WIDTH, 2, rng=rng),
        ]
    )
    discriminator = Sequential(
        [
            Dense(2, WIDTH, rng=rng),
            LeakyReLU(0.2),
            Dense(WIDTH, WIDTH, rng=rng),
            LeakyReLU(0.2),
            Dense(WIDTH, 1, rng=rng),
        ]
    )
    return generator.to(args.device), discriminator.to(args.device)


def draw(mixture, count, rng):
    return to_device(mixture.sample(count, rng), args.device)  # count, 2


def draw_real(count, rng):
    return draw(MIXTURE, count, rng) / REACH  # count, 2


def draw_noise(count, rng):
    return to_device(rng.standard_normal((count, LATENT)).astype(np.float32), args.device)  # count, LATENT


def gradient_norm(network):
    return sum((p.grad**2).sum() for p in network.parameters()) ** 0.5  # 0-d, on the device


lesson.step("The players")
generator, discriminator = make_players(rng)
print(generator.summary((LATENT,)))
print(discriminator.summary((2,)))

# %% [markdown]
# ## What the pictures show
#
# Blue: D takes the place for real. Red: for generated. White: D cannot tell (1/2). Black dots are data, orange
# dots are G's points.

# %%
EDGE = 1.5
ticks = np.linspace(-EDGE, EDGE, 81, dtype=np.float32)
LATTICE = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)  # 6561, 2


def draw_surface(axes, probability, real=None, fake=None, title=""):
    axes.imshow(
        probability.reshape(len(ticks), len(ticks)),
        extent=(-EDGE, EDGE, -EDGE, EDGE),
        origin="lower",
        cmap="RdBu",
        vmin=0,
        vmax=1,
    )
    for points, colour, size in ((real, "black", 5), (fake, "darkorange", 4)):
        if points is not None:
            axes.scatter(*to_numpy(points).T, s=size, color=colour, linewidths=0)
    axes.set(title=title, xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[-1, 0, 1], yticks=[-1, 0, 1])


def judge(discriminator, points=LATTICE):
    logits = discriminator.forward(to_device(points, args.device), train=False)  # N, 1
    return to_numpy(sigmoid(logits))[:, 0]  # N


# %% [markdown]
# ## One round, slowly
#
# The objective of Goodfellow et al. 2014, equation 1:
#
#     min over G, max over D:   E[log sigmoid(D(x))] + E[log(1 - sigmoid(D(G(z))))]
#
# 1. D's step. It lowers  -log sigmoid(D(real)) - log(1 - sigmoid(D(fake))). G is a source of constants here.
# 2. G's step. It lowers  -log sigmoid(D(fake)). D is a fixed judge: gradients pass through it, none are kept.
#
# The order matters less than the separation: each step changes one player and leaves the other as it is, bit
# for bit.

# %%
lesson.step("One round: D's step, then G's step")
d_optimizer = optim.Adam(discriminator.parameters(), 1e-3)
g_optimizer = optim.Adam(generator.parameters(), 1e-3)
real, noise = draw_real(BATCH, rng), draw_noise(BATCH, rng)
fake = generator.forward(noise)


def judge_loss():  # D's loss on this batch, without learning from it
    logits_real = discriminator.forward(real, train=False)
    logits_fake = discriminator.forward(fake, train=False)
    return float(binary_cross_entropy(logits_real, 1.0)[0] + binary_cross_entropy(logits_fake, 0.0)[0])


def same(before, network):
    return all(np.array_equal(before[name], array) for name, array in network.state().items())


g_before, d_before = generator.state(), discriminator.state()
d = discriminator_step(discriminator, real, fake, d_optimizer)
loss_after_d = judge_loss()
d_step_keeps_g, d_step_moves_d = same(g_before, generator), not same(d_before, discriminator)
print(f"D's step: its loss on this batch {float(d.loss):.4f} -> {loss_after_d:.4f}")
print(f"          D changed: {d_step_moves_d}, G untouched: {d_step_keeps_g}")

d_before = discriminator.state()
d_gradients = [to_numpy(p.grad).copy() for p in discriminator.parameters()]
g = generator_step(generator, discriminator, fake, g_optimizer)
g_step_keeps_d, g_step_moves_g = same(d_before, discriminator), not same(g_before, generator)
g_step_keeps_d_gradients = all(
    np.array_equal(then, to_numpy(p.grad)) for then, p in zip(d_gradients, discriminator.parameters())
)
after_logits = discriminator.forward(generator.forward(noise, train=False), train=False)
loss_after_g = float(generator_non_saturating(after_logits)[0])
print(f"G's step: its loss on this noise {float(g.loss):.4f} -> {loss_after_g:.4f}")
print(f"          G changed: {g_step_moves_g}, D untouched: {g_step_keeps_d}")
print(
    f"          G was judged by the new D: mean logit {g.logits.mean():+.4f}, old {d.fake_logits.mean():+.4f}"
)

# %% [markdown]
# ## The best judge has a formula
#
# Hold G fixed. At a place x that real points reach with density p(x) and generated ones with q(x), D's loss is
#
#     -p(x) log s - q(x) log(1 - s),   s = sigmoid(D(x)),     lowest at   s = p(x) / (p(x) + q(x))
#
# (Goodfellow et al. 2014, proposition 1.) So D learns a ratio of densities. Let p be a ring of four wide modes
# (sigma 0.25) and q one round Gaussian (sigma 0.7): both have formulas, so a trained D can be compared with the
# truth.


# %%
def density(points, centres, sigma):
    squared = ((points[:, None] - centres) ** 2).sum(axis=2)  # N, modes
    return np.exp(-squared / (2 * sigma**2)).mean(axis=1) / (2 * np.pi * sigma**2)  # N


lesson.step("The discriminator alone, against the formula")
wide = Mixture.ring(modes=4, sigma=0.25)
fixed = Mixture(np.zeros((1, 2)), 0.7)
_, alone = make_players(rng)
alone_steps = 150 if args.quick else 1000
alone_optimizer = optim.Adam(
    alone.parameters(), optim.linear_decay(5e-3 if args.quick else 2e-3, 0, alone_steps)
)
for _ in range(alone_steps):
    discriminator_step(alone, draw(wide, BATCH, rng), draw(fixed, BATCH, rng), alone_optimizer)

p, q = density(LATTICE, wide.centres, 0.25), density(LATTICE, fixed.centres, 0.7)
best, learned = p / (p + q), judge(alone)
judge_error = float(((p + q) * np.abs(learned - best)).sum() / (p + q).sum())  # where points lie
flat_error = float(((p + q) * np.abs(0.5 - best)).sum() / (p + q).sum())  # of a judge that always says 1/2
print(f"mean |sigmoid(D) - p / (p + q)|: {judge_error:.3f}; a judge that always says 1/2: {flat_error:.3f}")

figure = Figure(figsize=(8.4, 4.3))
draw_surface(figure.add_subplot(1, 2, 1), best, title="the formula: p / (p + q)")
draw_surface(
    figure.add_subplot(1, 2, 2), learned, title=f"D after {alone_steps} steps: mean error {judge_error:.3f}"
)
figure.tight_layout()
lesson.picture(figure, "best_judge.png")

# %% [markdown]
# ## What G learns from D
#
# G never sees a real point. All it gets is dfake: for each of its points, how D's logit changes if the point
# moves. One step of gradient descent moves the points along -dfake, uphill on D's surface. Here D alone learns
# for 100 steps against an untrained G, then we draw those arrows.
#
# The two losses push in the same direction and differ in strength. With s = sigmoid(logit) of a generated
# point:
#
#     non-saturating  -log s         slope by the logit:  s - 1     near -1 where D is sure that it is fake
#     saturating      log(1 - s)     slope by the logit:  -s        near  0 where D is sure that it is fake

# %%
lesson.step("The push on generated points")
generator, discriminator = make_players(rng)
d_optimizer = optim.Adam(discriminator.parameters(), 1e-3)
fake = generator.forward(draw_noise(BATCH, rng), train=False)
for _ in range(100):
    discriminator_step(discriminator, draw_real(BATCH, rng), fake, d_optimizer)

pushes = {}
for name, loss in (("non-saturating", generator_non_saturating), ("saturating", generator_saturating)):
    discriminator.freeze()
    _, dlogits = loss(discriminator.forward(fake))
    pushes[name] = to_numpy(-discriminator.backward(dlogits)) * BATCH  # N, 2: of each point's own loss
    discriminator.unfreeze()
    print(f"{name:<15} mean length of the push {np.linalg.norm(pushes[name], axis=1).mean():.4f}")
fake = to_numpy(fake)
moved = fake + 0.01 * pushes["non-saturating"] / np.linalg.norm(
    pushes["non-saturating"], axis=1, keepdims=True
)
rises = float((judge(discriminator, moved) > judge(discriminator, fake)).mean())
print(f"a step of 0.01 along the push raises D's verdict for {rises:.1%} of the points")

figure = Figure(figsize=(8.4, 4.3))
for column, (name, push) in enumerate(pushes.items()):
    axes = figure.add_subplot(1, 2, column + 1)
    draw_surface(axes, judge(discriminator), draw_real(200, rng), fake, f"{name}: the push on each point")
    axes.quiver(
        *fake[::4].T, *push[::4].T, angles="xy", scale_units="xy", scale=4, width=0.005, color="darkgreen"
    )
figure.tight_layout()
lesson.picture(figure, "push.png")

# %% [markdown]
# ## The whole game
#
# Algorithm 1 of Goodfellow et al. 2014 with one step of D for one of G. Adam with rate 1e-3, beta_1 0.5,
# falling in a straight line to 0: the falling rate lets the circling players settle.
#
# With `--step` each player's step waits for Enter, or for a number of steps to run until the next wait. At each
# wait, `now.png` shows the points over D's surface: keep it open beside the terminal.


# %%
class Stepper:
    """Waits after single steps of the players, where --step was given."""

    def __init__(self, wanted):
        self.wanted, self.steps_to_run = wanted, 1

    def show(self, title, discriminator, points, figures):
        self.steps_to_run -= 1
        if not self.wanted or self.steps_to_run > 0:
            return
        print("\n" + "  ".join([title, *(f"{name} {float(value):.4f}" for name, value in figures.items())]))
        now = Figure(figsize=(5, 5))
        draw_surface(now.add_subplot(), judge(discriminator), REAL, points, f"after {title}")
        lesson.picture(now, "now.png")
        answer = pause("Enter for one player's step, a number for so many: ").strip()
        self.steps_to_run = int(answer) if answer.isdecimal() and int(answer) > 0 else 1


SHOWN = draw_noise(400, rng)
REAL = draw_real(200, rng)
COUNTED = draw_noise(2500, rng)  # as many as PacGAN counts
SNAPSHOTS = sorted({round(args.steps * part) for part in (0.0, 0.03, 0.1, 0.3, 0.6, 1.0)})
COUNT_EVERY = max(1, args.steps // 60)
FRAME_EVERY = max(1, args.steps // (6 if args.quick else 40))


def count(generator):
    return count_modes(generator.forward(COUNTED, train=False) * REACH, MIXTURE.centres, MIXTURE.sigma)


def play(loss, rng, stepper):
    """Play args.steps rounds; return G, the history, snapshots by step, (step, modes, share) rows and frames."""
    generator, discriminator = make_players(rng)
    d_optimizer = optim.Adam(discriminator.parameters(), optim.linear_decay(1e-3, 0, args.steps))
    g_optimizer = optim.Adam(generator.parameters(), optim.linear_decay(1e-3, 0, args.steps))
    snapshots, counts, frames = {}, [], []

    def watch(done):
        if done in SNAPSHOTS:
            snapshots[done] = (judge(discriminator), generator.forward(SHOWN, train=False))
        if done % COUNT_EVERY == 0 or done == args.steps:
            counts.append((done, *count(generator)))
        if done % FRAME_EVERY == 0:
            frames.append((done, judge(discriminator), generator.forward(SHOWN, train=False)))

    run = Run(steps=args.steps)
    watch(0)
    for step in run:
        noise = draw_noise(BATCH, rng)
        fake = generator.forward(noise)  # BATCH, 2

        d = discriminator_step(discriminator, draw_real(BATCH, rng), fake, d_optimizer)
        d_norm = gradient_norm(discriminator)
        real_logit, fake_logit = d.real_logits.mean(), d.fake_logits.mean()
        figures = {
            "loss": d.loss,
            "logit real": real_logit,
            "logit fake": fake_logit,
            "gradient norm": d_norm,
        }
        stepper.show(f"D's step {step + 1}", discriminator, fake, figures)

        g = generator_step(generator, discriminator, fake, g_optimizer, loss)
        g_norm = gradient_norm(generator)
        figures = {"loss": g.loss, "logit fake": g.logits.mean(), "gradient norm": g_norm}
        moved = generator.forward(noise, train=False)  # the same noise, after the step
        stepper.show(f"G's step {step + 1}", discriminator, moved, figures)

        run.log(
            d_loss=d.loss,
            g_loss=g.loss,
            real=real_logit,
            fake=fake_logit,
            d_gradient=d_norm,
            g_gradient=g_norm,
        )
        watch(step + 1)
    return generator, run.history, snapshots, counts, frames


lesson.step("The game with the non-saturating loss")
untrained_modes, untrained_share = count(make_players(np.random.default_rng(args.seed))[0])
print(f"untrained: {untrained_modes} modes of {len(MIXTURE.centres)}, {untrained_share:.1%} of high quality")
games = {}
games["non-saturating"] = play(generator_non_saturating, np.random.default_rng(args.seed), Stepper(args.step))

# %%
lesson.step("The same start with the saturating loss")
games["saturating"] = play(generator_saturating, np.random.default_rng(args.seed), Stepper(False))
for name, (generator, _, _, counts, _) in games.items():
    print(f"{name:<15} {counts[-1][1]} modes of {len(MIXTURE.centres)}, {counts[-1][2]:.1%} of high quality")
    points = generator.forward(COUNTED, train=False) * REACH
    print(f"{'':<15} points per mode {samples_per_mode(points, MIXTURE.centres, MIXTURE.sigma)}")

# %% [markdown]
# ## What happened
#
# Early on all points of the non-saturating game run after one or two modes together; D learns to refuse that
# place, and they move on (step 90, step 300). As the rate falls they settle around the ring. G is continuous,
# so a thread of points stays between neighbouring modes: about half of all points. D is bluer at modes that get
# too few.
#
# Measured over seeds 0, 1, 2 (3,000 steps; modes found, then share of high quality, mean and range):
#
#     ring of 8     non-saturating   8, 8, 8 of 8      51% (44% to 56%)
#                   saturating       8, 8, 8 of 8      45% (32% to 54%)
#     grid of 25    non-saturating   16, 18, 18 of 25  3% (2% to 4%)
#                   saturating       17, 20, 19 of 25  6% (5% to 7%)
#
# On the ring all modes are back at the end, but halfway each game has fewer, and comes and goes. On the grid
# modes are missing to the end. One sample is enough for a mode to count as found, so look at the counts per
# mode as well. Lesson 13 comes back to this, with cures.

# %%
lesson.step("Snapshots")
figure = Figure(figsize=(3 * len(SNAPSHOTS), 6.6))
for row, (name, (_, _, snapshots, _, _)) in enumerate(games.items()):
    for column, (done, (surface, fake)) in enumerate(snapshots.items()):
        axes = figure.add_subplot(2, len(SNAPSHOTS), row * len(SNAPSHOTS) + column + 1)
        draw_surface(axes, surface, REAL, fake, f"step {done}")
        if column == 0:
            axes.set_ylabel(name, fontsize=14)
figure.tight_layout()
lesson.picture(figure, "snapshots.png")


# %% [markdown]
# ## Losses do not say how good G is
#
# If both players were perfect, D could not tell: every logit 0, D's loss 2 log 2 = 1.386, the non-saturating
# G's log 2 = 0.693 (dotted). Near these values lie many bad generators as well: a loss tells who is ahead of
# whom. The number of modes has to be counted.

# %%
lesson.step("Curves")
history = games["non-saturating"][1]
window = max(1, args.steps // 60)
figure = Figure(figsize=(9, 9.5))
rows = (
    ("loss", {"d_loss": "D", "g_loss": "G"}, (2 * np.log(2), np.log(2))),
    ("mean logit", {"real": "real", "fake": "generated"}, (0.0,)),
    ("gradient norm", {"d_gradient": "D", "g_gradient": "G"}, ()),
)
for row, (label, names, levels) in enumerate(rows):
    axes = figure.add_subplot(4, 1, row + 1, ylabel=label)
    for index, (key, name) in enumerate(names.items()):
        mean = np.convolve(history[key], np.ones(window) / window, mode="valid")
        axes.plot(history[key], color=f"C{index}", alpha=0.25, linewidth=0.6)
        axes.plot(np.arange(window - 1, len(history[key])), mean, color=f"C{index}", label=name)
    for level in levels:
        axes.axhline(level, color="black", linestyle=":", linewidth=1)
    low, high = np.percentile(np.concatenate([history[key] for key in names]), (0.5, 99.5))
    axes.set_ylim(min(low, *levels, 0) - 0.1, high * 1.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
axes = figure.add_subplot(4, 1, 4, xlabel="step", ylabel="modes found", ylim=(0, len(MIXTURE.centres) + 0.5))
for name, (_, _, _, counts, _) in games.items():
    axes.plot([row[0] for row in counts], [row[1] for row in counts], marker=".", label=name)
axes.grid(alpha=0.3)
axes.legend(loc="lower right")
figure.axes[0].set_title("the game with the non-saturating loss; below, modes found with both")
figure.tight_layout()
lesson.picture(figure, "curves.png")

# %%
lesson.step("The game as a film")
pictures = []
for done, surface, fake in games["non-saturating"][4]:
    frame = Figure(figsize=(3.6, 3.8), dpi=80)
    draw_surface(frame.add_subplot(), surface, REAL, fake, f"step {done}")
    canvas = FigureCanvasAgg(frame)
    canvas.draw()
    pictures.append(np.asarray(canvas.buffer_rgba())[..., :3])
print(f"   film: {show.animation(pictures, args.out / 'game.gif')}")

# %% [markdown]
# ## Checks

# %%
lesson.step("Checks")
assert d_step_keeps_g and d_step_moves_d, "D's step changes D alone"
assert g_step_keeps_d and g_step_moves_g, "G's step changes G alone"
assert g_step_keeps_d_gradients, "G's step leaves D's gradients as they were"
assert loss_after_d < float(d.loss), "D's step lowers D's loss on its batch"
assert loss_after_g < float(g.loss), "G's step lowers G's loss on its noise"
assert not np.array_equal(to_numpy(g.logits), to_numpy(d.fake_logits)), (
    "G is judged by the D that has just learned"
)
assert judge_error < (0.6 if args.quick else 0.25) * flat_error, "D learns p / (p + q)"
assert rises > 0.9, "the push leads uphill on D's surface"
lengths = {name: np.linalg.norm(push, axis=1).mean() for name, push in pushes.items()}
assert lengths["non-saturating"] > 1.2 * lengths["saturating"], (
    "a sure judge leaves the saturating loss little"
)
for name, (_, history, _, counts, _) in games.items():
    _, modes, share = counts[-1]
    assert np.isfinite([*history["d_loss"], *history["g_loss"]]).all(), name
    if not args.quick and args.steps >= 3000 and len(MIXTURE.centres) == 8:  # the default ring
        assert modes >= 5, f"{name}: {modes} modes"
        assert share > untrained_share + 0.1, f"{name}: {share:.1%} of high quality"
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Swap the two steps: G first, with `fake` judged by the old D, then D. Does the number of modes change by more
#    than another `--seed` changes it? (Generate `fake` again before D's step, or say why you need not.)
# 2. Write your own loss for G, such as the mean of -logits, as a function that returns (loss, gradient). Check it
#    with `npgan.gradcheck.check_loss` on float64 logits, then play the game with it and count modes.
# 3. Set `MIXTURE = Mixture.grid()`. How many of the 25 modes are found, and how many points does the poorest found
#    mode get? Try `LATENT = 8`, or no falling rate, and compare with `count_modes`.
