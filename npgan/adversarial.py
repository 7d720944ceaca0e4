"""The game: one step of the discriminator, one step of the generator (Goodfellow et al. 2014, algorithm 1).

A round with a batch of real samples and one of noise:

    fake = generator.forward(noise)
    discriminator_step(discriminator, real, fake, discriminator_optimizer)
    generator_step(generator, discriminator, fake, generator_optimizer)

The generator's forward pass serves both steps: the discriminator takes `fake` as a constant, and the memory that
the pass left in the generator waits for the generator's step. Real and generated samples pass through the
discriminator in batches of their own: mixed, BatchNormalization would tell one kind by its share of the batch.
"""

from collections.abc import Callable
from typing import NamedTuple

from npgan.backend import Array
from npgan.layers.base import Layer
from npgan.losses import Loss, binary_cross_entropy, generator_non_saturating
from npgan.optim import Optimizer


class DiscriminatorStep(NamedTuple):
    """What the discriminator's step measured: its loss, and its logits for real and generated samples."""

    loss: Array
    real_logits: Array
    fake_logits: Array


class GeneratorStep(NamedTuple):
    """What the generator's step measured: its loss, and the discriminator's logits for its samples."""

    loss: Array
    logits: Array


def discriminator_step(
    discriminator: Layer, real: Array, fake: Array, optimizer: Optimizer
) -> DiscriminatorStep:
    """Let the discriminator learn to tell real from fake, once: -log D(real) - log(1 - D(fake)) falls."""
    discriminator.zero_grad()

    real_logits = discriminator.forward(real)
    real_loss, dlogits = binary_cross_entropy(real_logits, 1.0)
    discriminator.backward(dlogits, input_gradient=False)

    fake_logits = discriminator.forward(fake)
    fake_loss, dlogits = binary_cross_entropy(fake_logits, 0.0)
    discriminator.backward(dlogits, input_gradient=False)  # adds to the gradients of the real batch

    optimizer.step()
    return DiscriminatorStep(real_loss + fake_loss, real_logits, fake_logits)


def generator_step(
    generator: Layer,
    discriminator: Layer,
    fake: Array,
    optimizer: Optimizer,
    loss: Callable[[Array], Loss] = generator_non_saturating,
) -> GeneratorStep:
    """Let the generator learn to fool the discriminator, once; the discriminator is frozen, a fixed judge.

    `fake` is what generator.forward(noise) has just returned.
    """
    generator.zero_grad()

    discriminator.freeze()
    try:
        logits = discriminator.forward(fake)  # again: the discriminator has learned since
        value, dlogits = loss(logits)
        dfake = discriminator.backward(dlogits)  # how each pixel should change to look more real
    finally:
        discriminator.unfreeze()  # also where the step is interrupted: the judge must go on learning

    generator.backward(dfake, input_gradient=False)
    optimizer.step()
    return GeneratorStep(value, logits)
