"""Networks that grow with their images: 4 x 4 pixels first, then 8 x 8, and so on (Karras et al. 2018, "ProGAN").

All blocks are there from the start, each with a name: `body_8` works at 8 x 8 pixels, `to_rgb_8` makes colours of the
generator's features there, `from_rgb_8` features of the colours that the discriminator sees. What is not yet in play
sleeps: it is not computed, not trained, not averaged away from its first weights. So nothing is built anew when a
network grows, and whatever stays goes on: weights, an optimiser's moments, moving averages, checkpoints.

    size     the pixels a side of the images, now
    alpha    0 to 1: how far the blocks of this size have come in. In between the network is a blend of what it was
             and what it will be (section 2 and figure 2):

        generator       (1 - alpha) * twice as large(to_rgb_8(h)) + alpha * to_rgb_16(body_16(h)),    h from body_8
        discriminator   (1 - alpha) * from_rgb_8(half as large(x)) + alpha * body_16(from_rgb_16(x)), on to body_8

Both are functions of the number of rounds that are done (`Plan`), so a run that goes on from a checkpoint in the
middle of a fade has the alpha it would have had. Real images are faded like the generated ones (`shown`).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from npgan.backend import Array
from npgan.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    EqualizedLearningRate,
    Flatten,
    Layer,
    LeakyReLU,
    MinibatchStandardDeviation,
    PixelNormalization,
    Reshape,
    Sequential,
    UpSampling2D,
)
from npgan.layers.resize import repeat, sum_blocks
from npgan.optim import Adam, Schedule

SMALLEST = 4


def sizes(largest: int) -> list[int]:
    """4, 8, 16, ... up to `largest`. Raises ValueError where doubling 4 does not lead there."""
    found = [SMALLEST]
    while found[-1] < largest:
        found.append(2 * found[-1])
    if found[-1] != largest or largest == SMALLEST:
        raise ValueError(f"growing: images must have 8, 16, 32, 64, ... pixels a side, got {largest!r}")
    return found


def channels_at(size: int, widest: int) -> int:
    """The features of a pixel: `widest` where the image is small, fewer where it is large."""
    return min(widest, max(4, 512 // size))


# When -----------------------------------------------------------------------------------------------------------


class Now(NamedTuple):
    """How far the networks have grown."""

    size: int
    alpha: float


class Plan:
    """So many rounds for each size, in order: Plan({4: 500, 8: 500, 16: 800}).

    In the first half of a stage (`fading`, a part of it) alpha rises in even steps from near 0 to 1, then it stays
    (appendix A.1 of the paper). The first stage has nothing to fade from.
    """

    def __init__(self, rounds: Mapping[int, int], fading: float = 0.5):
        if not 0 <= fading <= 1:
            raise ValueError(f"Plan: fading must be in [0, 1], got {fading!r}")
        if any(count < 1 for count in rounds.values()):
            raise ValueError(f"Plan: wanted at least 1 round for each size, got {dict(rounds)}")
        if list(rounds) != sizes(max(rounds)):
            raise ValueError(
                f"Plan: wanted rounds for {sizes(max(rounds))} in this order, got {list(rounds)}"
            )
        self.rounds, self.fading = dict(rounds), fading

    @property
    def total(self) -> int:
        """The rounds of all stages."""
        return sum(self.rounds.values())

    def at(self, done: int) -> Now:
        """The size and alpha of the round after `done` rounds; after the last one the whole network."""
        for size, count in self.rounds.items():
            if done < count:
                fading = int(self.fading * count) if size > SMALLEST else 0
                return Now(size, min(1.0, (done + 1) / fading) if fading else 1.0)
            done -= count
        return Now(size, 1.0)


def shown(images: Array, now: Now) -> Array:
    """Real images (N, H, W, C) as the discriminator gets them now: as large as generated ones, and as blurred.

    While the generator fades, its images are a blend with smaller ones. Real images without that blend would be
    told from them by their sharpness alone.
    """
    factor = images.shape[1] // now.size
    if factor > 1:
        images = sum_blocks(images, (factor, factor)) * (1 / factor**2)
    if now.alpha == 1:
        return images
    coarse = repeat(sum_blocks(images, (2, 2)) * 0.25, (2, 2))
    return (1 - now.alpha) * coarse + now.alpha * images


# The networks ---------------------------------------------------------------------------------------------------


class Growing(Layer):
    """What both networks share: blocks by name, and how far they have grown."""

    def __init__(self, largest: int):
        self.sizes = sizes(largest)
        self.blocks: dict[str, Layer] = {}
        self.now = Now(SMALLEST, 1.0)

    def children(self) -> dict[str, Layer]:
        return self.blocks

    def grow(self, now: Now) -> None:
        """Be of this size, with this alpha, from now on. Raises ValueError where there is no such size."""
        if now.size not in self.sizes or not 0 <= now.alpha <= 1 or (now.size == SMALLEST and now.alpha < 1):
            raise ValueError(f"grow: wanted a size of {self.sizes} and an alpha in [0, 1], got {now}")
        self.now = now

    def in_play(self) -> list[str]:
        """The names of the blocks that the next pass computes."""
        bodies = [f"body_{size}" for size in self.sizes if size <= self.now.size]
        colours = [f"{self.colours}_{self.now.size}"]
        if self.now.alpha < 1:
            colours.append(f"{self.colours}_{self.now.size // 2}")
        return bodies + colours


def convolution(inputs: int, outputs: int, kernel: int, rng: np.random.Generator) -> Layer:
    """Of the same size, with weights whose rate is the same whatever their number (section 4.1)."""
    return EqualizedLearningRate(Conv2D(inputs, outputs, kernel, padding=kernel // 2, rng=rng))


class GrowingGenerator(Growing):
    """Noise (N, latent) -> images (N, size, size, colours). No tanh: the last layer of each size is linear.

    Nearest up-sampling and a convolution of 3 x 3 at each size, each with LeakyReLU and pixel normalisation (table 2
    of the paper has two convolutions).
    """

    colours = "to_rgb"

    def __init__(self, largest: int, colours: int, latent: int, rng: np.random.Generator, widest: int = 64):
        super().__init__(largest)
        c = channels_at(SMALLEST, widest)
        first = EqualizedLearningRate(Dense(latent, SMALLEST * SMALLEST * c, rng=rng))
        self.blocks["body_4"] = Sequential(
            [
                PixelNormalization(),  # noise on a sphere
                first,
                Reshape((SMALLEST, SMALLEST, c)),
                LeakyReLU(0.2),
                PixelNormalization(),
                convolution(c, c, 3, rng),
                LeakyReLU(0.2),
                PixelNormalization(),
            ]
        )
        for size in self.sizes:
            inputs, c = c, channels_at(size, widest)
            if size > SMALLEST:
                layers = [convolution(inputs, c, 3, rng), LeakyReLU(0.2), PixelNormalization()]
                self.blocks[f"body_{size}"] = Sequential([UpSampling2D(2), *layers])
            self.blocks[f"to_rgb_{size}"] = convolution(c, colours, 1, rng)

    def forward(self, z: Array, train: bool = True) -> Array:
        size, alpha = self.now
        h = before = self.blocks["body_4"].forward(z, train)  # N, 4, 4, channels
        for s in self.sizes[1 : self.sizes.index(size) + 1]:
            before, h = h, self.blocks[f"body_{s}"].forward(h, train)  # N, s, s, channels
        y = self.blocks[f"to_rgb_{size}"].forward(h, train)
        if alpha < 1:
            old = repeat(self.blocks[f"to_rgb_{size // 2}"].forward(before, train), (2, 2))
            y = (1 - alpha) * old + alpha * y
        return self.remember(train, y, self.now)

    def backward(self, dy: Array) -> Array:
        return self.blocks["body_4"].backward(self._to_first(dy))

    def backward_parameters(self, dy: Array) -> None:
        self.blocks["body_4"].backward_parameters(self._to_first(dy))

    def _to_first(self, dy: Array) -> Array:
        """The gradient by what `body_4` has made."""
        (now,) = self.recall(dy)
        size, alpha = now
        dh = self.blocks[f"to_rgb_{size}"].backward(dy * alpha if alpha < 1 else dy)
        for s in reversed(self.sizes[1 : self.sizes.index(size) + 1]):
            dh = self.blocks[f"body_{s}"].backward(dh)
            if s == size and alpha < 1:  # `before` went two ways: its gradient is the sum over both
                dold = sum_blocks(dy, (2, 2)) * (1 - alpha)
                dh = dh + self.blocks[f"to_rgb_{size // 2}"].backward(dold)
        return dh


class GrowingDiscriminator(Growing):
    """Images (N, size, size, colours) -> logits (N, outputs): the generator's mirror image, without normalisation.

    The last block sees in one more channel how much the images of the batch differ (section 3).
    """

    colours = "from_rgb"

    def __init__(
        self, largest: int, colours: int, rng: np.random.Generator, widest: int = 64, outputs: int = 1
    ):
        super().__init__(largest)
        c = channels_at(SMALLEST, widest)
        self.blocks["body_4"] = Sequential(
            [
                MinibatchStandardDeviation(4),
                convolution(c + 1, c, 3, rng),
                LeakyReLU(0.2),
                Flatten(),
                EqualizedLearningRate(Dense(SMALLEST * SMALLEST * c, c, rng=rng)),
                LeakyReLU(0.2),
                EqualizedLearningRate(Dense(c, outputs, rng=rng)),
            ]
        )
        for size in self.sizes:
            outputs, c = c, channels_at(size, widest)
            if size > SMALLEST:
                layers = [convolution(c, outputs, 3, rng), LeakyReLU(0.2), AveragePooling2D(2)]
                self.blocks[f"body_{size}"] = Sequential(layers)
            self.blocks[f"from_rgb_{size}"] = Sequential([convolution(colours, c, 1, rng), LeakyReLU(0.2)])
        self.half = AveragePooling2D(2)

    def forward(self, x: Array, train: bool = True) -> Array:
        y = self._through(x, lambda layer, part: layer.forward(part, train))
        return self.remember(train, y, self.now)

    def tangent(self, v: Array) -> Array:
        self.recall_for_tangent()
        return self.remember(True, self._through(v, lambda layer, part: layer.tangent(part)), self.now)

    def _through(self, x: Array, go: Callable[[Layer, Array], Array]) -> Array:
        """x through all blocks in play; `go` sends a part of it through a layer."""
        size, alpha = self.now
        h = go(self.blocks[f"from_rgb_{size}"], x)  # N, size, size, channels
        for s in reversed(self.sizes[: self.sizes.index(size) + 1]):
            h = go(self.blocks[f"body_{s}"], h)  # N, s/2, s/2, channels; at last N, 1
            if s == size and alpha < 1:
                h = (1 - alpha) * go(self.blocks[f"from_rgb_{size // 2}"], go(self.half, x)) + alpha * h
        return h

    def backward(self, dy: Array) -> Array:
        dh, dold, now = self._to_colours(dy)
        dx = self.blocks[f"from_rgb_{now.size}"].backward(dh)
        if dold is not None:
            dx = dx + self.half.backward(self.blocks[f"from_rgb_{now.size // 2}"].backward(dold))
        return dx

    def backward_parameters(self, dy: Array) -> None:
        dh, dold, now = self._to_colours(dy)
        self.blocks[f"from_rgb_{now.size}"].backward_parameters(dh)
        if dold is not None:
            self.blocks[f"from_rgb_{now.size // 2}"].backward_parameters(dold)

    def _to_colours(self, dy: Array) -> tuple[Array, Array | None, Now]:
        """The gradients by what `from_rgb` has made, of the size and (in a fade) of half the size."""
        (now,) = self.recall(dy)
        size, alpha = now
        dh, dold = dy, None
        for s in self.sizes[: self.sizes.index(size) + 1]:
            if s == size and alpha < 1:
                dh, dold = dh * alpha, dh * (1 - alpha)
            dh = self.blocks[f"body_{s}"].backward(dh)
        return dh, dold, now


# Training -------------------------------------------------------------------------------------------------------


class BlockAdam:
    """An Adam for each block of a growing network; `step` is for those in play.

    learning_rate: one for all, a number or a schedule of the rounds that the whole network has played.

    Each Adam counts the steps of its own block. One for all would give a block that comes in after 2,000 rounds the
    corrections of round 2,000 (npgan.optim.Adam), though its moments are zero like those of the first round. With
    beta_1 = 0 and beta_2 = 0.99 its first step would be ten times too long.
    """

    def __init__(self, network: Growing, learning_rate: float | Schedule, beta_1: float, beta_2: float):
        self.network, self.rounds = network, 0

        def rate(_: int) -> float:
            return learning_rate(self.rounds) if callable(learning_rate) else learning_rate

        blocks = {name: block.named_parameters() for name, block in network.blocks.items()}
        self.blocks = {name: Adam(parameters, rate, beta_1, beta_2) for name, parameters in blocks.items()}

    def step(self) -> None:
        """Change every parameter in play once."""
        for name in self.network.in_play():
            self.blocks[name].step()
        self.rounds += 1

    def state(self) -> dict[str, np.ndarray]:
        """The number of rounds, and the states of all blocks by "block.name"."""
        found = {f"{name}.{key}": a for name, adam in self.blocks.items() for key, a in adam.state().items()}
        return {"rounds": np.array(self.rounds), **found}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError where it is of another network."""
        if different := sorted(state.keys() ^ self.state().keys()):
            raise ValueError(
                f"state is of another BlockAdam: {', '.join(different[:4])} are in one of the two only"
            )
        for name, adam in self.blocks.items():
            mine = {key: a for key, a in state.items() if key.startswith(f"{name}.")}
            adam.load_state({key.removeprefix(f"{name}."): a for key, a in mine.items()})
        self.rounds = int(state["rounds"])
