"""Answers for lesson 13: what closes the spiral fastest, noise without coins, and unrolling."""

import numpy as np
from answers import Answers

from npgan import optim
from npgan.adversarial import discriminator_step, generator_step
from npgan.data import Mixture
from npgan.gradcheck import check_gradient
from npgan.layers import Dense, Sequential, Tanh
from npgan.losses import binary_cross_entropy
from npgan.metrics.modes import count_modes

answers = Answers("13_mode_collapse")
rng = np.random.default_rng(0)
ONE_SEED = {"2 if args.quick else 5": "1"}

answers.exercise(1, "What closes the spiral fastest")
# Near the centre sigmoid is 1/2, and the speeds are psi' = -theta / 2 - weight psi, theta' = psi / 2. An exponential
# exp(l t) solves that with l^2 + weight l + 1/4 = 0, so l = (-weight +- sqrt(weight^2 - 1)) / 2. Up to weight 1 the
# root is imaginary: it turns, and the radius falls with exp(-weight t / 2). Above, one of the two falls ever slower.
# So 1 is fastest: t exp(-t / 2), and 200 rounds of rate 0.2 are t = 40. With 3 it is exp(-0.086 t), which is 0.03.
for weight, low, high in ((0.3, 1e-3, 4e-3), (1, 1e-8, 1e-5), (3, 0.02, 0.05)):
    names = answers.lesson(ONE_SEED | {"WEIGHT = 0.3  #": f"WEIGHT = {weight}  #"}, "--steps", "8")
    answers.between(f"WEIGHT = {weight}: radius after 200 rounds", names["radius"]["in turn, R1"], low, high)

answers.exercise(2, "Round noise")
names = answers.lesson(ONE_SEED | {"COINS = 8  #": "COINS = 0  #"})
modes, share, kl, _ = names["results"]["grid", "cured"][0]
answers.between("grid, cured: modes of 25", modes, 18, 25, full=True)
answers.between("grid, cured: share of high quality", share, 0.05, 0.8, full=True)

answers.exercise(3, "Unrolling")


def network(widths, rng):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [Dense(inputs, outputs, rng=rng), Tanh()]
    return Sequential(layers[:-1])


def move(discriminator, start, direction, length):
    """D's weights to start + length * direction."""
    for parameter, value, change in zip(discriminator.parameters(), start, direction):
        parameter.value[...] = value + length * change


def unrolled(generator, discriminator, real, noise, rate):
    """Add to G's gradients those of its loss as judged by D one step later; return that loss. D stays as it is.

    The loss is f(G, D'), with D' = D - rate * dL/dD and L(G, D) the loss of D. G is in it by itself and in D'. With
    u = df/dD' held constant, the second part is -rate * d(u . dL/dD)/dG: a mixed second derivative, which the
    two-point formula gives, along u in D's weights.
    """
    start = [parameter.value.copy() for parameter in discriminator.parameters()]
    fake = generator.forward(noise)
    discriminator.zero_grad()
    for samples, target in ((real, 1.0), (fake, 0.0)):
        _, dlogits = binary_cross_entropy(discriminator.forward(samples), target)
        discriminator.backward_parameters(dlogits)
    move(discriminator, start, [parameter.grad for parameter in discriminator.parameters()], -rate)
    discriminator.zero_grad()
    value, dlogits = binary_cross_entropy(discriminator.forward(fake), 1.0)
    dfake = discriminator.backward(dlogits)
    u = [parameter.grad.copy() for parameter in discriminator.parameters()]
    eps = 1e-3 / np.sqrt(sum((each**2).sum() for each in u))
    for sign in (1, -1):
        move(discriminator, start, u, sign * eps)
        _, dlogits = binary_cross_entropy(discriminator.forward(fake), 0.0)  # of L, G moves this part alone
        with discriminator.held():
            dfake = dfake - sign * rate / (2 * eps) * discriminator.backward(dlogits)
    move(discriminator, start, u, 0)
    generator.backward_parameters(dfake)
    return value


generator, discriminator = (network(widths, rng).astype(np.float64) for widths in ((2, 8, 2), (2, 8, 1)))
real, noise, RATE = rng.standard_normal((6, 2)), rng.standard_normal((6, 2)), 0.5
generator.zero_grad()
unrolled(generator, discriminator, real, noise, RATE)


def loss():
    """f by its definition alone: D's step, the loss, and D as before."""
    before = discriminator.state()
    fake = generator.forward(noise, train=False)
    discriminator_step(discriminator, real, fake, optim.SGD(discriminator.parameters(), RATE))
    value, _ = binary_cross_entropy(discriminator.forward(fake, train=False), 1.0)
    discriminator.load_state(before)
    return value


for name, parameter in generator.named_parameters().items():
    error = check_gradient(loss, parameter.value, parameter.grad, rng, name=name)
    answers.below(f"{name}: relative error", error, 1e-6)

RING, STEPS = Mixture.ring(), 40 if answers.args.quick else 2000
for name in ("plain", "unrolled"):
    rng = np.random.default_rng(0)
    generator, discriminator = network((2, 64, 64, 2), rng), network((2, 64, 64, 1), rng)
    g_optimizer = optim.Adam(generator.parameters(), 1e-3)
    d_optimizer = optim.Adam(discriminator.parameters(), 1e-3)
    for _ in range(STEPS):
        noise, real = rng.standard_normal((128, 2)).astype(np.float32), RING.sample(128, rng)
        fake = generator.forward(noise)
        discriminator_step(discriminator, real, fake, d_optimizer)
        if name == "plain":
            generator_step(generator, discriminator, fake, g_optimizer)
        else:
            generator.zero_grad()
            unrolled(generator, discriminator, real, noise, 0.1)
            g_optimizer.step()
    points = generator.forward(
        np.random.default_rng(1).standard_normal((2500, 2)).astype(np.float32), train=False
    )
    modes, share = count_modes(points, RING.centres, RING.sigma)
    answers.between(f"{name}: modes of 8", modes, 5, 8, full=True)
    answers.between(f"{name}: share of high quality", share, 0.02, 0.6, full=True)
# The plain game finds all modes here, so there is nothing for unrolling to cure, and a round of it costs twice as
# much. Seed 0: plain 8 modes and 15.6%, unrolled 8 and 14.0%. With a rate of 1 in D' in place of 0.1 unrolling ended
# with 0 modes after 4,000 rounds: the D' that judges is then one that D never becomes.
