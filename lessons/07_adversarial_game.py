# %% [markdown]
# # 7. The adversarial game
#
# A generative adversarial network, a GAN, is two networks that learn by playing against each other (Goodfellow et
# al. 2014). The *generator* G turns random numbers, the *noise* z, into a sample: here a point of the plane, from
# lesson 8 on an image. The *discriminator* D sees a sample and gives one number, the *logit* D(x): above 0 it says
# "real", below 0 "generated". The probability that it gives to "real" is
#
#     s = sigmoid(D(x)) = 1 / (1 + exp(-D(x)))          with the slope   ds/dlogit = s (1 - s).
#
# (Goodfellow writes D for this probability; here D is the network, and its output the logit, as in lesson 6.) D
# learns to tell the two kinds apart, G learns to be taken for real, and it learns from nothing but D's gradient.
#
# Data in the plane let us see all of it: the points of both kinds, the surface s over them, and the direction in
# which D's gradient pushes each generated point. This part plays one round slowly, checks the best possible D
# against its formula, and looks at the push. The second part, `07_whole_game.py`, plays the game.
# With `--live` that part opens a window in which you play it by hand.

# %%
from copy import deepcopy

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from npgan import optim
from npgan.adversarial import discriminator_step, generator_step, judge
from npgan.data import Mixture
from npgan.layers import Dense, LeakyReLU, Sequential
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy, generator_saturating
from npgan.plane import EDGE, LATTICE, draw_surface, probability

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("07_adversarial_game", "One round of the game, slowly", FLAGS)
args, rng = lesson.args, lesson.rng

# What the exercises change.
# The losses of G, functions of (logits, target); here the target is 1, "real".
LOSSES = {"non-saturating": binary_cross_entropy, "saturating": generator_saturating}
WIDTH = 128  # units in a hidden layer

DATA = Mixture.ring()
BATCH, LATENT = 256, 2

# %% [markdown]
# ## The players
#
# The data: eight narrow Gaussians (standard deviation sigma = 0.01) on a ring of radius 1, the *modes*. G maps
# two numbers from N(0, 1) to a point. D maps a point to a logit. Both are three dense layers.
#
#     G:  z (N, 2)      ->  128  ->  128  ->  point (N, 2)
#     D:  point (N, 2)  ->  128  ->  128  ->  logit (N, 1)
#
# G is continuous: points of noise that are near each other become points that are near each other. The data lie on
# islands. So G has to stretch its sheet of noise very thin between the islands, or leave islands out.


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
    return generator, discriminator


lesson.step("The players")
generator, discriminator = make_players(rng)
print(generator.summary((LATENT,)))
print(discriminator.summary((2,)))
noise = rng.standard_normal((BATCH, LATENT)).astype(np.float32)  # BATCH, LATENT
real = DATA.sample(BATCH, rng)  # BATCH, 2

# %% [markdown]
# ## One round, slowly
#
# The game (Goodfellow et al. 2014, equation 1) is called *minimax*, for the two want opposite things of one
# number. E[...] is the mean over samples.
#
#     min over G, max over D:   E[log sigmoid(D(x))] + E[log(1 - sigmoid(D(G(z))))]
#
# 1. D's step. It lowers `-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))`: the cross-entropy of lesson 6, with
#    target 1 for real and 0 for generated points. G is a source of constants here.
# 2. G's step. It lowers `-log sigmoid(D(fake))`: the cross-entropy with target 1, the *non-saturating* loss. It is
#    not the second term above, whose gradient vanishes where D is sure (lesson 6). D is a fixed judge: gradients
#    pass through it, none are kept (D is frozen, lesson 2).
#
# Both steps are plain gradient descent, as in lesson 2; `optim.SGD`, named after *stochastic gradient descent*, does
# `value = value - rate * gradient` for every parameter. Each step changes one player and leaves the other as it is,
# bit for bit; the checks at the end compare the bits. G's points pass through D again in G's step, for D has just
# changed. They do not pass through G again: G still remembers `forward(noise)`, so dfake can go backward through it.
#
# Later `discriminator_step` and `generator_step` of `npgan.adversarial` do these lines, in one call each. Twins of
# the players take the same round by them here, and have the same bits afterwards.

# %%
lesson.step("One round: D's step, then G's step")
d_optimizer = optim.SGD(discriminator.parameters(), 0.01)
g_optimizer = optim.SGD(generator.parameters(), 0.01)
fake = generator.forward(noise)  # BATCH, 2


def loss_of_d():  # on this batch, without learning from it
    real_loss, _ = binary_cross_entropy(discriminator.forward(real, train=False), 1.0)
    fake_loss, _ = binary_cross_entropy(discriminator.forward(fake, train=False), 0.0)
    return float(real_loss + fake_loss)


def same(before, network):
    return all(np.array_equal(before[name], array) for name, array in network.state().items())


twin_g, twin_d = deepcopy(generator), deepcopy(discriminator)
g_before, d_before = generator.state(), discriminator.state()

# D's step.
discriminator.zero_grad()
real_logits = discriminator.forward(real)  # BATCH, 1
real_loss, dlogits = binary_cross_entropy(real_logits, 1.0)
discriminator.backward(dlogits)
fake_logits = discriminator.forward(fake)  # BATCH, 1
fake_loss, dlogits = binary_cross_entropy(fake_logits, 0.0)
discriminator.backward(dlogits)  # adds to the gradients of the real points
d_optimizer.step()

d_loss, loss_after_d = float(real_loss + fake_loss), loss_of_d()
d_step_keeps_g, d_step_moves_d = same(g_before, generator), not same(d_before, discriminator)
print(f"D's step: its loss on this batch {d_loss:.4f} -> {loss_after_d:.4f}")
print(f"          D changed: {d_step_moves_d}, G untouched: {d_step_keeps_g}")

d_before = discriminator.state()
d_gradients = [p.grad.copy() for p in discriminator.parameters()]

# G's step.
with discriminator.held():  # frozen until the block ends
    judged = discriminator.forward(fake)  # BATCH, 1
    g_loss, dlogits = binary_cross_entropy(judged, 1.0)
    dfake = discriminator.backward(dlogits)  # BATCH, 2
generator.zero_grad()
generator.backward(dfake)
g_optimizer.step()

g_step_keeps_d, g_step_moves_g = same(d_before, discriminator), not same(g_before, generator)
g_step_keeps_d_gradients = all(
    np.array_equal(then, p.grad) for then, p in zip(d_gradients, discriminator.parameters())
)
after = discriminator.forward(generator.forward(noise, train=False), train=False)
loss_after_g = float(binary_cross_entropy(after, 1.0)[0])
print(f"G's step: its loss on this noise {float(g_loss):.4f} -> {loss_after_g:.4f}")
print(f"          G changed: {g_step_moves_g}, D untouched: {g_step_keeps_d}")
print(f"          mean logit of G's points {judged.mean():+.4f} -> {after.mean():+.4f}")

twin_fake = twin_g.forward(noise)
discriminator_step(twin_d, real, twin_fake, optim.SGD(twin_d.parameters(), 0.01))
generator_step(twin_g, twin_d, twin_fake, optim.SGD(twin_g.parameters(), 0.01))
twins_agree = same(twin_g.state(), generator) and same(twin_d.state(), discriminator)
print("twins by discriminator_step and generator_step, the same bits:", twins_agree)

# %% [markdown]
# ## The best judge has a formula
#
# Hold G fixed. Let real points reach a place x with density p(x), and generated ones with density q(x). D's loss
# is then a sum over places. The place x adds
#
#     L(s) = -p log s - q log(1 - s),        s = sigmoid(D(x)).
#
# D may choose s at each place by itself, so look for the lowest point of L:
#
#     dL/ds = -p / s + q / (1 - s) = 0       so   p (1 - s) = q s       so   s = p / (p + q).
#
# L rises without end towards s = 0 and s = 1, so this is a minimum. (Goodfellow et al. 2014, proposition 1.) In
# logits: D(x) = log(s / (1 - s)) = log(p / q). D learns a *ratio of densities*, though it never sees a density.
#
# Is it true? Let p be a ring of four wide modes (sigma 0.25), q one round Gaussian (sigma 0.7). Both have formulas,
# so a trained D can be compared with the truth. D learns by plain descent; its rate falls in a straight line from 0.4
# to 0 (`06_optimizers.py`), so that the accidents of single batches average out at the end. In the pictures blue
# means that D takes the place for real, red for generated, and white that it cannot tell. The modes lie at radius 1;
# the blue discs are centred a little outside, near 1.15, for q falls outward.
#
# The error that is printed is a mean over the 81 x 81 places of the picture, each counted p + q times: places where
# few points of either kind come count little.


# %%
def density(points, mixture):
    squared = ((points[:, None] - mixture.centres) ** 2).sum(axis=2)  # N, modes
    bells = np.exp(-squared / (2 * mixture.sigma**2)) / (2 * np.pi * mixture.sigma**2)
    return bells.mean(axis=1)  # N


lesson.step("The discriminator alone, against the formula")
WIDE, ROUND = Mixture.ring(modes=4, sigma=0.25), Mixture(np.zeros((1, 2)), 0.7)
_, alone = make_players(rng)
alone_steps = 150 if args.quick else 1000
alone_optimizer = optim.SGD(alone.parameters(), optim.linear_decay(0.4, 0, alone_steps))
for _ in range(alone_steps):
    discriminator_step(alone, WIDE.sample(BATCH, rng), ROUND.sample(BATCH, rng), alone_optimizer)

p, q = density(LATTICE, WIDE), density(LATTICE, ROUND)
best, learned = p / (p + q), probability(alone)
judge_error = float(((p + q) * np.abs(learned - best)).sum() / (p + q).sum())  # where points lie
flat_error = float(((p + q) * np.abs(0.5 - best)).sum() / (p + q).sum())  # of a judge that always says 1/2
print(f"mean |sigmoid(D) - p / (p + q)|: {judge_error:.3f}; a judge that always says 1/2: {flat_error:.3f}")

figure = Figure(figsize=(9, 4.3), layout="constrained")
left, right = (figure.add_subplot(1, 2, column, xlabel="x1", ylabel="x2") for column in (1, 2))
draw_surface(left, best, title="the formula: p / (p + q)")
draw_surface(right, learned, title=f"D after {alone_steps} steps: mean error {judge_error:.3f}")
figure.colorbar(right.images[0], ax=[left, right], label="s, the probability of real", shrink=0.8)
lesson.picture(figure, "best_judge.png")

# %% [markdown]
# ## What G learns from D
#
# G never sees a real point. All it gets from D is `dfake`: for each of its points, how its loss changes if the point
# moves. `judge` of `npgan.adversarial` asks a fixed D for it, and `generator_step` begins with it. Descent moves the
# points along -dfake, the *push*, uphill on D's surface. By the chain rule
#
#     push of a point  =  -slope of the loss at its logit  *  gradient of D's logit by that point
#
# and only the second factor has a direction. Below, D alone learns for 200 steps against an untrained G. Then we draw
# the pushes for two losses of G. They point the same way and differ in strength, by the slope (with
# `ds/dlogit = s (1 - s)`):
#
#     non-saturating  -log s         slope  s - 1     near -1 where D is sure that the point is generated
#     saturating      log(1 - s)     slope  -s        near  0 where D is sure that the point is generated
#
# The lengths are equal at s = 1/2, on white. Where D takes the point for real, on blue, the saturating push is the
# longer.
#
# Why is so much of the empty plane blue? G's points lie on one side so far. D only learned to reject that side, and
# modes that lie there with it (with `--quick` two of them are red). It says "real" where nothing contradicts it. And
# the arrows do not aim at modes: they lead uphill on D, wherever that goes.
#
# Each arrow is a quarter as long as the push on the point's own loss. (The loss of a batch is the mean over 256
# points, so `dfake` is multiplied by 256 first.) Every fourth arrow is drawn, if it starts in the picture: G's
# points reach farther, and the lesson prints how many lie inside. The printed means count all. Black: data. Orange:
# G's points.

# %%
lesson.step("The push on generated points")
generator, discriminator = make_players(rng)
d_optimizer = optim.SGD(discriminator.parameters(), 0.05)
fake = generator.forward(rng.standard_normal((BATCH, LATENT)).astype(np.float32), train=False)  # BATCH, 2
for _ in range(200):
    discriminator_step(discriminator, DATA.sample(BATCH, rng), fake, d_optimizer)

pushes = {}
for name, loss in LOSSES.items():
    _, logits, dfake = judge(discriminator, fake, loss)
    pushes[name] = -dfake * BATCH  # BATCH, 2
    print(f"{name:<15} mean length of the push {np.linalg.norm(pushes[name], axis=1).mean():.4f}")
print(f"mean s of the generated points: {probability(discriminator, fake).mean():.3f}")
inside = np.abs(fake).max(axis=1) <= EDGE  # BATCH
print(f"in the picture: {inside.sum()} of {BATCH} points, {inside[::4].sum()} of {len(inside[::4])} arrows")
push = pushes["non-saturating"]
moved = fake + 0.01 * push / np.linalg.norm(push, axis=1, keepdims=True)
rises = float((probability(discriminator, moved) > probability(discriminator, fake)).mean())
print(f"a step of 0.01 along the push raises D's verdict for {rises:.1%} of the points")

figure = Figure(figsize=(4.2 * len(pushes), 4.3))
for column, (name, push) in enumerate(pushes.items()):
    axes = figure.add_subplot(1, len(pushes), column + 1)
    draw_surface(axes, probability(discriminator), DATA.sample(200, rng), fake, f"{name}: the push")
    arrows = axes.quiver(
        *fake[::4].T, *push[::4].T, angles="xy", scale_units="xy", scale=4, width=0.005, color="darkgreen"
    )
    axes.add_patch(Rectangle((0.49, 0.9), 0.49, 0.08, transform=axes.transAxes, color="white", zorder=5))
    axes.quiverkey(arrows, 0.59, 0.94, 1.0, "push of length 1", labelpos="E", color="black", zorder=6)
figure.tight_layout()
lesson.picture(figure, "push.png")

# %% [markdown]
# ## Checks
#
# Beside each bound stands what was measured with seeds 0 to 4. A bound leaves room for other seeds and other
# machines, whose sums round differently.

# %%
lesson.step("Checks")
assert d_step_keeps_g and d_step_moves_d, "D's step changes D alone"
assert g_step_keeps_d and g_step_moves_g, "G's step changes G alone"
assert g_step_keeps_d_gradients, "G's step leaves D's gradients as they were"
assert twins_agree, "the package's two steps do what the lines above do"
assert loss_after_d < d_loss, "D's step lowers D's loss on its batch"  # 1.42 to 1.39 at seed 0
assert loss_after_g < float(g_loss), "G's step lowers G's loss on its noise"  # 0.85 to 0.82 at seed 0
assert not np.array_equal(judged, fake_logits), "G is judged by the D that has just learned"
if WIDTH == 128:
    # 0.06 to 0.07 of flat_error; 0.44 to 0.46 after the few steps of --quick
    assert judge_error < (0.6 if args.quick else 0.15) * flat_error, "D learns p / (p + q)"
assert rises > 0.9, "the push leads uphill on D's surface"  # 1.0: a step across a kink could miss a point
lengths = {name: float(np.linalg.norm(push, axis=1).mean()) for name, push in pushes.items()}
assert lengths["non-saturating"] > 1.2 * lengths["saturating"], (
    "a sure judge leaves the saturating loss little"  # 1.7 to 5.9 times; at s = 1/2 it would be 1
)
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write a loss of your own for G, a function of (logits, target) that returns (loss, gradient): the mean of
#    -logits, say. Prove it with `npgan.gradcheck.check_loss(lambda x: mine(x, 1.0), logits, rng)`, where `logits =
#    rng.standard_normal((6, 1))` (float64; the lesson's own are float32, and refused), and compare it with
#    `npgan.losses.wasserstein(logits, 1.0)`. Add it to `LOSSES`: the lesson prints the length of its push and draws
#    it. Why is it longer than both others, and what does it not depend on?
# 2. Work out s = p / (p + q) at the point (1, 0), a mode of p, with pencil and paper. Compare with
#    `density(np.array([[1.0, 0.0]]), WIDE)`, the same of `ROUND`, and with what D has learned,
#    `probability(alone, np.array([[1, 0]], np.float32))`. The three other modes of p hardly matter. Why?
# 3. Set `WIDTH = 8`, then 32. How does the printed mean error of D change? Where in best_judge.png does a small D
#    err?
