"""Classic mistakes of a GAN's training, each a switch in one small training: for lesson 15, and to try `diagnose` on.

Each mistake stands in `play`, or in a function that it calls, at the line where it is made.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npgan import networks
from npgan.adversarial import DiscriminatorStep, GeneratorStep, Penalty, judge, wgan_gp
from npgan.backend import Array
from npgan.data import Images
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    UpSampling2D,
)
from npgan.losses import Loss, binary_cross_entropy, generator_saturating, wasserstein
from npgan.optim import Adam
from npgan.training import Run
from npgan.watch import Watch

LATENT = 32
RATES = {"cross-entropy": (2e-3, 4e-4), "wasserstein": (5e-4, 2e-3), "growing": (2e-3, 4e-4)}  # of G and of D


class Bug(NamedTuple):
    """A mistake: what it is, the line as it should be, and what in npgan.diagnose names it (one of these)."""

    what: str
    right: str
    names: tuple[str, ...]
    game: str = "cross-entropy"  # in which it is made: see RATES


class Played(NamedTuple):
    """What a training leaves: its run, with the history, and samples (64, H, W, C) of fixed noise."""

    run: Run
    samples: np.ndarray


BUGS = {
    "range": Bug("real images in [0, 1], the generator's in (-1, 1)", "real = 2 * real - 1", ("range",)),
    "no tanh": Bug("the generator ends without tanh", "Tanh() at its end", ("no tanh",)),
    "sigmoid": Bug(
        "D ends with a sigmoid, and the loss takes logits", "no Sigmoid() at D's end", ("sigmoid",)
    ),
    "labels": Bug(
        "D's labels exchanged", "loss(real_logits, 1.0), loss(fake_logits, 0.0)", ("labels exchanged",)
    ),
    "overwritten": Bug(
        "D's second backward overwrites the gradients of the first",
        "self.weight.grad += ...",
        ("one kind only",),
    ),
    "never zeroed": Bug("gradients are never set to zero", "network.zero_grad()", ("gradients pile up",)),
    "D not frozen": Bug("D's weights are updated in G's step", "with discriminator.held():", ("D moves",)),
    "one optimiser": Bug(
        "D and G share one optimiser", "Adam(generator...), Adam(discriminator...)", ("D moves",)
    ),
    "mixed batch": Bug(
        "real and generated samples in one batch, with batch normalization",
        "a batch for each kind",
        ("mixed batch",),
    ),
    "same batch": Bug("the same real batch at every step", "real = next(batches)", ("same batch",)),
    "same noise": Bug(
        "one noise vector for the whole batch", "standard_normal((batch, LATENT))", ("samples alike",)
    ),
    "D frozen": Bug(
        "D's optimiser holds a copy of D's weights", "Adam(discriminator.parameters())", ("D stands still",)
    ),
    "G frozen": Bug(
        "G's optimiser holds a copy of G's weights", "Adam(generator.parameters())", ("G stands still",)
    ),
    "G's target": Bug('G\'s target is "generated"', "loss(logits, 1.0)", ("G's target",)),
    "rate 10x": Bug("both learning rates 10 times as large", "2e-3 and 4e-4", ("rate too high",)),
    "rate 1/100": Bug("both learning rates a hundredth", "2e-3 and 4e-4", ("rate too low",)),
    "large weights": Bug("weights start from N(0, 1)", "N(0, 0.02)", ("large weights",)),
    "zero weights": Bug("weights start from zero", "N(0, 0.02)", ("no gradient",)),
    "dead units": Bug(
        "G's ReLUs are pushed below zero by their biases", "beta starts at 0", ("dead units", "no gradient")
    ),
    "D too strong": Bug(
        "D's rate 10 times as large, G's a tenth", "2e-3 and 4e-4", ("D wins", "rate too high")
    ),
    "saturating": Bug(
        "the saturating loss for G, against a strong D",
        "binary_cross_entropy(logits, 1.0)",
        ("G's gradient vanishes", "D wins"),
    ),
    "penalty": Bug(
        "the penalty's value is added to the loss, its gradient is left out",
        "penalise(...) adds to the gradients",
        ("penalty without effect",),
        "wasserstein",
    ),
    "fade-in": Bug(
        "the new layers of a growing generator are never faded in: alpha = int(step / steps)",
        "alpha = step / steps",
        ("no gradient",),
        "growing",
    ),
}


def play(
    images: Images,
    bug: str = "",
    *,
    game: str | None = None,
    steps: int = 400,
    width: int = 8,
    batch: int = 32,
    seed: int = 0,
    loss: Callable[[Array, float], Loss] | None = None,
    penalty: Penalty | None = None,
    normalize: bool = True,
    rates: tuple[float, float] | None = None,
) -> Played:
    """Train a small GAN on images of 16 x 16 (or 8 * 2**n) pixels, with the bug of that name, or "" for none.

    game: "cross-entropy", lesson 9's; "wasserstein" with the one-centred penalty, D without normalization, or
    "growing", whose last block is faded in over the first half. None: the bug's.
    """
    game = game or (BUGS[bug].game if bug else "cross-entropy")
    rng = np.random.default_rng(seed)
    if game == "wasserstein":
        loss, penalty, normalize = wasserstein, wgan_gp(10.0, rng), False
    loss = loss or binary_cross_entropy
    generator = make_generator(images.shape, width, rng, bug, growing=game == "growing")
    discriminator = make_discriminator(images.shape, width, rng, bug, normalize=normalize)
    g_optimizer, d_optimizer = make_optimizers(generator, discriminator, rates or RATES[game], bug)
    batches, shown = images.batches(batch, rng), rng.standard_normal((64, LATENT), dtype=np.float32)
    real = next(batches)
    run, watch = Run(steps), Watch(generator, discriminator)
    for step in run:
        if bug != "same batch":
            real = next(batches)
        if bug == "range":
            real = (real + 1) / 2
        noise = rng.standard_normal((batch, LATENT), dtype=np.float32)
        if bug == "same noise":
            noise[:] = noise[0]
        if game == "growing":
            fade_in(generator).alpha = int(step / steps) if bug == "fade-in" else min(1.0, 2 * step / steps)

        fake = generator.forward(noise)
        d = discriminator_step(discriminator, real, fake, d_optimizer, loss, penalty, bug)
        g = generator_step(generator, discriminator, fake, g_optimizer, d_optimizer, loss, bug)

        run.log(d_loss=d.loss, g_loss=g.loss)
        watch(run, real, fake, d, g)
    return Played(run, generator.forward(shown, train=False))


def discriminator_step(discriminator, real, fake, optimizer, loss, penalty, bug) -> DiscriminatorStep:
    """npgan.adversarial.discriminator_step, and what can be wrong with it."""
    if bug != "never zeroed":
        discriminator.zero_grad()
    real_target, fake_target = (0.0, 1.0) if bug == "labels" else (1.0, 0.0)
    if bug == "mixed batch":
        logits = discriminator.forward(np.concatenate([real, fake]))
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        (real_loss, dreal), (fake_loss, dfake) = (
            loss(real_logits, real_target),
            loss(fake_logits, fake_target),
        )
        discriminator.backward_parameters(np.concatenate([dreal, dfake]))
    else:
        real_logits = discriminator.forward(real)
        real_loss, dlogits = loss(real_logits, real_target)
        discriminator.backward_parameters(dlogits)
        if bug == "overwritten":
            discriminator.zero_grad()  # what `grad = ...` in place of `grad += ...` does
        fake_logits = discriminator.forward(fake)
        fake_loss, dlogits = loss(fake_logits, fake_target)
        discriminator.backward_parameters(dlogits)
    paid = 0.0
    if penalty and bug == "penalty":
        gradients = {name: p.grad.copy() for name, p in discriminator.named_parameters().items()}
        paid = penalty(discriminator, real, fake)
        for name, parameter in discriminator.named_parameters().items():
            parameter.grad[...] = gradients[name]  # the value is reported, and nobody follows its slope
    elif penalty:
        paid = penalty(discriminator, real, fake)
    optimizer.step()
    return DiscriminatorStep(real_loss + fake_loss, real_logits, fake_logits, paid)


def generator_step(generator, discriminator, fake, optimizer, d_optimizer, loss, bug) -> GeneratorStep:
    """npgan.adversarial.generator_step, and what can be wrong with it."""
    loss = generator_saturating if bug == "saturating" else loss
    if bug == "D not frozen":
        discriminator.zero_grad()
        logits = discriminator.forward(fake)
        value, dlogits = loss(logits, 1.0)
        dfake = discriminator.backward(dlogits)  # adds to D's gradients ...
        d_optimizer.step()  # ... which move D: it learns to be fooled
    elif bug == "G's target":
        with discriminator.held():
            logits = discriminator.forward(fake)
            value, dlogits = loss(logits, 0.0)
            dfake = discriminator.backward(dlogits)
    else:
        value, logits, dfake = judge(discriminator, fake, loss)
    if bug != "never zeroed":
        generator.zero_grad()
    generator.backward_parameters(dfake)
    optimizer.step()
    return GeneratorStep(value, logits)


def make_optimizers(generator: Layer, discriminator: Layer, rates, bug: str) -> tuple[Adam, Adam]:
    """Of G and of D."""
    g_rate, d_rate = rates
    if bug == "one optimiser":
        both = Adam([*generator.parameters(), *discriminator.parameters()], g_rate)
        return both, both
    factors = {
        "rate 10x": (10, 10),
        "rate 1/100": (0.01, 0.01),
        "D too strong": (0.1, 10),
        "saturating": (0.1, 10),
    }
    g_factor, d_factor = factors.get(bug, (1, 1))
    held = copy.deepcopy(generator) if bug == "G frozen" else generator
    g_optimizer = Adam(held.parameters(), g_factor * g_rate)
    held = copy.deepcopy(discriminator) if bug == "D frozen" else discriminator
    return g_optimizer, Adam(held.parameters(), d_factor * d_rate)


def make_generator(shape, width, rng, bug, *, growing) -> Sequential:
    """Noise (N, LATENT) -> images (N, *shape), from 4 x 4 pixels up."""
    if growing:
        generator = make_growing_generator(shape, width, rng)
    else:
        generator = networks.dcgan_generator(shape, LATENT, rng, width=width, smallest=4)
    generator = start_weights(generator, rng, bug)
    if bug == "no tanh":
        generator = Sequential(generator.layers[:-1])
    if bug == "dead units":
        for layer in generator.layers:
            if isinstance(layer, BatchNormalization):
                layer.beta.value -= 5
    return generator


def make_discriminator(shape, width, rng, bug, *, normalize) -> Sequential:
    """Images (N, *shape) -> logits (N, 1)."""
    layers = networks.dcgan_discriminator(shape, rng, width=width).layers
    if not normalize:
        layers = [layer for layer in layers if not isinstance(layer, BatchNormalization)]
    discriminator = start_weights(Sequential(layers), rng, bug)
    return Sequential([*discriminator.layers, Sigmoid()]) if bug == "sigmoid" else discriminator


def start_weights(network: Layer, rng, bug: str) -> Layer:
    network = networks.normal_weights(network, rng)  # N(0, 0.02)
    scale = {"large weights": 50, "zero weights": 0}.get(bug, 1)
    for name, parameter in network.named_parameters().items():
        if name.endswith("weight"):
            parameter.value *= scale
    return network


class FadeIn(Layer):
    """(1 - alpha) old(x) + alpha new(x): how new layers come in (Karras et al. 2018, section 2)."""

    def __init__(self, old: Layer, new: Layer):
        self.old, self.new, self.alpha = old, new, 0.0

    def forward(self, x: Array, train: bool = True) -> Array:
        y = (1 - self.alpha) * self.old.forward(x, train) + self.alpha * self.new.forward(x, train)
        return self.remember(train, y)

    def backward(self, dy: Array) -> Array:
        self.recall(dy)
        return self.old.backward((1 - self.alpha) * dy) + self.new.backward(self.alpha * dy)


def fade_in(generator: Sequential) -> FadeIn:
    return next(layer for layer in generator.layers if isinstance(layer, FadeIn))


def make_growing_generator(shape, width: int, rng) -> Sequential:
    """A generator of half the size, and the block that doubles it, faded in."""
    height, wide, colours = shape
    new = [
        Conv2DTranspose(2 * width, width, 4, stride=2, padding=1, bias=False, rng=rng),
        BatchNormalization(width),
        ReLU(),
        Conv2D(width, colours, 1, rng=rng),
    ]
    old = [Conv2D(2 * width, colours, 1, rng=rng), UpSampling2D(2)]
    start = (height // 4, wide // 4, 4 * width)
    return Sequential(
        [
            Dense(LATENT, start[0] * start[1] * start[2], bias=False, rng=rng),
            Reshape(start),
            BatchNormalization(start[2]),
            ReLU(),
            Conv2DTranspose(start[2], 2 * width, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNormalization(2 * width),
            ReLU(),
            FadeIn(Sequential(old), Sequential(new)),
            Tanh(),
        ]
    )
