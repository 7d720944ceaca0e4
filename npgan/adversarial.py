"""The game: one step of the discriminator, one step of the generator (Goodfellow et al. 2014, algorithm 1).

A round with a batch of real samples and one of noise:

    fake = generator.forward(noise)
    discriminator_step(discriminator, real, fake, discriminator_optimizer)
    generator_step(generator, discriminator, fake, generator_optimizer)

The generator's forward pass serves both steps: the discriminator takes `fake` as a constant, and the memory that
the pass left in the generator waits for the generator's step. Real and generated samples pass through the
discriminator in batches of their own: mixed, BatchNormalization would tell one kind by its share of the batch.

A loss of the game is a function of (logits, target), with target 1.0 for real and 0.0 for generated samples: see
npgan/losses.py. `real` and `fake` are whatever the discriminator's `forward` takes, a list too.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npgan.backend import Array, array_module, device_of, to_device
from npgan.layers.base import Layer
from npgan.losses import (
    Loss,
    binary_cross_entropy,
    one_centred_penalty,
    relativistic,
    zero_centred_penalty,
)
from npgan.optim import Optimizer

GameLoss = Callable[[Array, float], Loss]
Penalty = Callable[[Layer, Array, Array], Array]  # (discriminator, real, fake) -> value


def nobody(part: str, **figures: Array) -> None:
    """Watch no part of a step. Whoever steps through a round gives `npgan.training.Run.part` in its place."""


class DiscriminatorStep(NamedTuple):
    """What the discriminator's step measured: its loss, its logits for real and generated samples, the penalty."""

    loss: Array
    real_logits: Array
    fake_logits: Array
    penalty: Array | float = 0.0


class GeneratorStep(NamedTuple):
    """What the generator's step measured: its loss, and the discriminator's logits for its samples."""

    loss: Array
    logits: Array


def discriminator_step(
    discriminator: Layer,
    real: Array,
    fake: Array,
    optimizer: Optimizer,
    loss: GameLoss = binary_cross_entropy,
    penalty: Penalty | None = None,
    after: Callable[..., None] = nobody,
) -> DiscriminatorStep:
    """Let the discriminator learn to tell real from fake, once: loss(real, 1) + loss(fake, 0) falls.

    `penalty` adds gradients of its own before the optimiser's step, as `r1(10.0)` below does.
    `after(part, **figures)` is called after each part of the step.
    """
    discriminator.zero_grad()

    real_logits = discriminator.forward(real)
    real_loss, dlogits = loss(real_logits, 1.0)
    discriminator.backward_parameters(dlogits)
    after("D on real", loss=real_loss, logits=real_logits)

    fake_logits = discriminator.forward(fake)
    fake_loss, dlogits = loss(fake_logits, 0.0)
    discriminator.backward_parameters(dlogits)  # adds to the gradients of the real batch
    after("D on generated", loss=fake_loss, logits=fake_logits)

    paid = penalty(discriminator, real, fake) if penalty else 0.0
    optimizer.step()
    after("D's update", loss=real_loss + fake_loss)
    return DiscriminatorStep(real_loss + fake_loss, real_logits, fake_logits, paid)


def generator_step(
    generator: Layer,
    discriminator: Layer,
    fake: Array,
    optimizer: Optimizer,
    loss: GameLoss = binary_cross_entropy,
    after: Callable[..., None] = nobody,
) -> GeneratorStep:
    """Let the generator learn to fool the discriminator, once: loss(fake, 1) falls.

    `fake` is what generator.forward(noise) has just returned. The discriminator has learned since; it judges again.
    """
    value, logits, dfake = judge(discriminator, fake, loss)
    generator.zero_grad()
    generator.backward_parameters(dfake)
    optimizer.step()
    after("G's update", loss=value, logits=logits)
    return GeneratorStep(value, logits)


def judge(
    discriminator: Layer, samples: Array, loss: GameLoss = binary_cross_entropy
) -> tuple[Array, Array, Array]:
    """Ask a fixed discriminator how real samples look: (loss, logits, dsamples), for the target "real".

    dsamples, the gradient of the loss by the samples, says how each number should change to look more real. The
    discriminator gathers no gradients, and is afterwards as it was (`Layer.held`).
    """
    with discriminator.held():
        logits = discriminator.forward(samples)
        value, dlogits = loss(logits, 1.0)
        return value, logits, discriminator.backward(dlogits)


# Relativistic pairs --------------------------------------------------------------------------------------------


def relativistic_discriminator_step(
    discriminator: Layer, real: Array, fake: Array, optimizer: Optimizer, penalty: Penalty | None = None
) -> DiscriminatorStep:
    """As `discriminator_step`, with the loss of pairs: a real sample should look more real than a generated one.

    Both pass through the discriminator as one batch, so it must not have BatchNormalization (Jolicoeur-Martineau
    2019; with penalties on both kinds of samples: Huang et al. 2024, "R3GAN").
    """
    xp, n = array_module(real, fake), len(real)
    discriminator.zero_grad()
    logits = discriminator.forward(xp.concatenate([real, fake]))  # 2 N, 1
    value, dreal, dfake = relativistic(logits[:n], logits[n:])
    discriminator.backward_parameters(xp.concatenate([dreal, dfake]))
    paid = penalty(discriminator, real, fake) if penalty else 0.0
    optimizer.step()
    return DiscriminatorStep(value, logits[:n], logits[n:], paid)


def relativistic_generator_step(
    generator: Layer, discriminator: Layer, real: Array, fake: Array, optimizer: Optimizer
) -> GeneratorStep:
    """As `generator_step`, with the loss of pairs: a generated sample should look more real than a real one."""
    xp, n = array_module(real, fake), len(real)
    with discriminator.held():
        logits = discriminator.forward(xp.concatenate([real, fake]))  # 2 N, 1
        value, dfake, dreal = relativistic(logits[n:], logits[:n])
        dsamples = discriminator.backward(xp.concatenate([dreal, dfake]))
    generator.zero_grad()
    generator.backward_parameters(dsamples[n:])
    optimizer.step()
    return GeneratorStep(value, logits[n:])


# Penalties on gradients ----------------------------------------------------------------------------------------


def penalise(discriminator: Layer, x: Array, penalty: Callable[[Array], Loss]) -> Array:
    """Add to the discriminator's gradients those of a penalty on g = dD/dx, (N, ...); return the penalty's value.

    x: samples (N, ...), or a list [samples, ...] as D takes it; g is by the samples, what else is told is constant.
    `penalty(g)` returns (value, v), with v the gradient of the value by g: losses.zero_centred_penalty, say. The
    weights take part in g, so the penalty's gradient by them is a derivative of a derivative. It needs no second
    backward formula. Hold v constant: then

        d penalty / d weight  =  d (v . g) / d weight,

    and v . g is the derivative of D along v. D is linear between the kinks of its LeakyReLUs, so that derivative is
    what comes out when v runs through D's *linear part*: no biases, and the slopes that x has left
    (`Layer.tangent`). The gradient of this output by the weights is an ordinary backward pass. Biases get none,
    for g does not depend on them. Exact for the layers that have a tangent pass; checked against finite
    differences of the penalty. It costs about as much as a step on real and generated samples.

    Where D has MinibatchStandardDeviation, g is the gradient with the batch's deviation held constant.
    """
    with discriminator.held(inference=True):
        logits = discriminator.forward(x)
        ones = array_module(logits).ones_like(logits)
        g = discriminator.backward(ones)
    told = isinstance(g, list)
    value, v = penalty(g[0] if told else g)
    discriminator.forward(x)  # leaves the slopes
    if told:  # what else D was told is constant: nothing runs through beside v
        v = [v, *(None if part is None else array_module(part).zeros_like(part) for part in g[1:])]
    discriminator.tangent(v)
    discriminator.backward_parameters(ones)
    return value


def r1(weight: float) -> Penalty:
    """A penalty for `discriminator_step`: weight/2 * mean |dD/dx|^2 on real samples (Mescheder et al. 2018, 4.1).

    Where generated samples look like real ones, nothing else tells D to be flat there; the players then circle.
    """
    return lambda discriminator, real, fake: penalise(
        discriminator, real, lambda g: zero_centred_penalty(g, weight)
    )


def r2(weight: float) -> Penalty:
    """The same on generated samples."""
    return lambda discriminator, real, fake: penalise(
        discriminator, fake, lambda g: zero_centred_penalty(g, weight)
    )


def r1_and_r2(weight: float) -> Penalty:
    """r1(weight) + r2(weight), of as many generated samples as real ones (Huang et al. 2024, R3GAN).

    In one pass over both: the mean over 2 N samples with twice the weight is the sum of the two means.
    """

    def penalty(discriminator: Layer, real: Array, fake: Array) -> Array:
        if len(real) != len(fake):
            raise ValueError(f"r1_and_r2: {len(real)} real samples, but {len(fake)} generated ones")
        both = array_module(real, fake).concatenate([real, fake])  # 2 N, ...
        return penalise(discriminator, both, lambda g: zero_centred_penalty(g, 2 * weight))

    return penalty


def wgan_gp(weight: float, rng: np.random.Generator) -> Penalty:
    """weight * mean (|dD/dx| - 1)^2 on points between real and generated samples (Gulrajani et al. 2017, section 4).

    Each pair has one point, drawn uniformly from the straight line between them. Of lists [samples, ...] the rest is
    that of the real ones: both should be told the same.
    """

    def penalty(discriminator: Layer, real: Array | list, fake: Array | list) -> Array:
        (x, *told), y = (real, fake[0]) if isinstance(real, list) else ([real], fake)
        share = rng.random((len(x), *[1] * (x.ndim - 1)), dtype=np.float32)  # one number a pair, not a pixel
        share = to_device(share.astype(x.dtype), device_of(x))
        between = share * x + (1 - share) * y
        return penalise(
            discriminator, [between, *told] if told else between, lambda g: one_centred_penalty(g, weight)
        )

    return penalty
