"""The two games that the benchmarks play: drawing images from noise, and repairing damaged ones."""

from collections.abc import Sequence

import numpy as np

from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import Array, array_module
from npgan.distributed import Ranks, synchronise
from npgan.inpainting import inpainting_step
from npgan.layers import Layer
from npgan.optim import Adam


class Game:
    """Two networks, the shape (H, W, C) of their images, and the number of noise values a sample.

    A subclass says what a batch consists of, what of it the networks see, and how a round goes.
    """

    batch = 64  # images, where nothing else is asked for
    g_adam, d_adam = {}, {}  # what differs from Adam's defaults

    def __init__(self, generator: Layer, discriminator: Layer, shape: tuple[int, int, int], latent: int):
        self.generator, self.discriminator = generator, discriminator
        self.shape, self.latent = shape, latent

    def start(self, device: str = "numpy", dtype: type = np.float32, ranks: Ranks | None = None) -> "Game":
        """Convert the networks and make their optimisers; return the game, ready for `step`.

        ranks: processes that share each batch; `step` is then given this one's part.
        """
        for network in (self.generator, self.discriminator):
            network.to(device).astype(dtype)
            synchronise(network, ranks or Ranks())
        self.g_optimizer = Adam(self.generator.parameters(), **self.g_adam, ranks=ranks)
        self.d_optimizer = Adam(self.discriminator.parameters(), **self.d_adam, ranks=ranks)
        return self

    def draw(self, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        """What a step is given, float32 on the host; the images' content does not matter for the time."""
        raise NotImplementedError

    def inputs(self, *batch: Array) -> tuple[Sequence[Array], Array]:
        """What the generator gets, and what the discriminator gets of real images."""
        raise NotImplementedError

    def step(self, *batch: Array) -> tuple[Array, ...]:
        """Play one round; return its losses."""
        raise NotImplementedError


class Drawing(Game):
    """G draws images from noise. A batch: real images (N, H, W, C), noise (N, latent)."""

    def draw(self, count, rng):
        real = rng.uniform(-1, 1, (count, *self.shape)).astype(np.float32)
        return [real, rng.standard_normal((count, self.latent), dtype=np.float32)]

    def inputs(self, real, noise):
        return [noise], real

    def step(self, real, noise):
        fake = self.generator.forward(noise)
        d = discriminator_step(self.discriminator, real, fake, self.d_optimizer)
        g = generator_step(self.generator, self.discriminator, fake, self.g_optimizer)
        return d.loss, g.loss


class Repairing(Game):
    """G repairs images with a hole, D sees images with their masks: the game of lesson 11, with its settings.

    A batch: images (N, H, W, C), masks (N, H, W, 1), 1 = missing, noise (N, latent), and other images with masks,
    which D sees undamaged. Holes are cut and filled here, not by npgan.masks, which brings Pillow and matplotlib
    along: 30 MB that no step needs.
    """

    batch = 32
    g_adam = {"learning_rate": 5e-4, "beta_1": 0.9}  # the lesson lowers both rates from here
    d_adam = {"learning_rate": 4e-4}
    adversarial = 0.01  # the weight of D's opinion beside the squared error

    def draw(self, count, rng):
        h, w, _ = self.shape
        real, other = rng.uniform(-1, 1, (2, count, *self.shape)).astype(np.float32)
        mask = np.zeros((count, h, w, 1), np.float32)
        mask[:, h // 4 : h // 4 + h // 2, w // 4 : w // 4 + w // 2] = (
            1  # a quarter of the area, in the middle
        )
        return [real, mask, rng.standard_normal((count, self.latent), dtype=np.float32), other, mask.copy()]

    def inputs(self, real, mask, noise, other, other_mask):
        xp, missing = array_module(real), mask > 0.5
        known = xp.where(missing, xp.zeros_like(real), real).sum(axis=(1, 2), keepdims=True)  # N, 1, 1, C
        mean = known / (~missing).sum(axis=(1, 2), keepdims=True).astype(real.dtype)
        damaged = xp.where(missing, mean, real)
        return [damaged, mask, noise], xp.concatenate([other, other_mask], axis=3)

    def step(self, real, mask, noise, other, other_mask):
        seen, undamaged = self.inputs(real, mask, noise, other, other_mask)
        fake = self.generator.forward(*seen)
        figures = inpainting_step(
            *(self.generator, self.discriminator, self.g_optimizer, self.d_optimizer),
            *(fake, real, mask, undamaged),
            adversarial=self.adversarial,
        )
        return figures["d_loss"], figures["g_loss"], figures["mse"]
