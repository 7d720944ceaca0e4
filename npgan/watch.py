"""What a diagnosis needs of a training: measured now and then, kept with the run's history."""

from collections.abc import Iterator

import numpy as np

from npgan.adversarial import DiscriminatorStep, GeneratorStep
from npgan.backend import Array, array_module, device_of, to_device, to_numpy
from npgan.layers import Conv2DTranspose, Layer
from npgan.losses import softplus
from npgan.training import Run

SAMPLE = 1000  # weights of each player
TINY = 1e-12  # beside which nothing is divided by zero


class Watch:
    """Measures a round of the game at some of the steps, for `python -m npgan.diagnose`.

        watch = Watch(generator, discriminator)
        run = Run(steps, parts={..., "watch": watch}, ...)
        for step in run:
            ...                              # one round of the game
            watch(run, batch_of_real, fake, d, g)

    every: at how many steps once; None: about 100 times in a run, at most each 50 steps, at least each 5 (where the
    run is so long). What is measured goes to `Run.watch`. Neither the networks nor the random numbers are changed.
    How far a step moves the weights, and whether the gradient keeps its direction, is seen on SAMPLE weights of each
    player, whose values and gradients of the step before are kept: the part's state.
    """

    def __init__(self, generator: Layer, discriminator: Layer, every: int | None = None):
        self.players, self.every = {"G": generator, "D": discriminator}, every
        self._before = self._samples()

    def __call__(self, run: Run, real: Array, fake: Array, d: DiscriminatorStep, g: GeneratorStep) -> None:
        """Look at the round that has just been played. Where a batch is a list (image and caption), at its first."""
        every = self.every or max(1, min(run.steps // 100, 50), min(run.steps // 20, 5))
        if run.done % every == 0:
            run.watch(self._figures(real, fake, d, g))
        if (run.done + 1) % every == 0:
            self._before = self._samples()

    def state(self) -> dict[str, np.ndarray]:
        """The sampled weights and gradients of the step before the next look, as NumPy arrays."""
        return {name: to_numpy(array).copy() for name, array in self._before.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, array in self._before.items():
            array[...] = to_device(state[name], device_of(array))

    def _samples(self) -> dict[str, Array]:
        """Of each player, the same weights and their gradients each time, spread over all that mix channels.

        Biases and scales are left out: they start at 0 and 1, and would hide how far the others move.
        """
        found = {}
        for name, player in self.players.items():
            parameters = player.parameters()
            parameters = [p for p in parameters if p.value.ndim > 1] or parameters
            stride = -(-sum(p.value.size for p in parameters) // SAMPLE)
            for kind in ("value", "grad"):
                parts = [getattr(p, kind).reshape(-1)[::stride] for p in parameters]
                found[f"{name}.{kind}"] = array_module(*parts).concatenate(parts)
        return found

    def _figures(self, real, fake, d, g) -> dict[str, Array | float]:
        real_logits, fake_logits, judged = d.real_logits, d.fake_logits, g.logits
        xp = array_module(judged)
        with self.players["D"].held():
            again = self.players["D"].forward(fake)  # as it judged in G's step, if it has not changed since
        real, fake = (x[0] if isinstance(x, list | tuple) else x for x in (real, fake))
        figures = {
            "D loss": d.loss,
            "G loss": g.loss,
            "penalty": d.penalty,
            # The cross-entropies of these logits, with the targets of the game and with the two exchanged.
            "D cross-entropy": softplus(-real_logits).mean() + softplus(fake_logits).mean(),
            "D exchanged": softplus(real_logits).mean() + softplus(-fake_logits).mean(),
            "G cross-entropy": softplus(-judged).mean(),
            "G exchanged": softplus(judged).mean(),
            "real logit": real_logits.mean(),
            "fake logit": fake_logits.mean(),
            "judged logit": judged.mean(),  # of the same samples, after D's step
            "real logit spread": real_logits.std(),
            "fake logit spread": fake_logits.std(),
            "lowest logit": xp.minimum(real_logits.min(), fake_logits.min()),
            "highest logit": xp.maximum(real_logits.max(), fake_logits.max()),
            "real right": (real_logits > 0).astype(judged.dtype).mean(),
            "fake right": (fake_logits < 0).astype(judged.dtype).mean(),
            "D moved in G's step": xp.abs(again - judged).max(),
            "real lowest": real.min(),
            "real highest": real.max(),
            "real mean": real.mean(),
            "real spread": real.std(axis=0).mean(),  # over the batch, at a pixel
            "fake lowest": fake.min(),
            "fake highest": fake.max(),
            "fake mean": fake.mean(),
            "fake spread": fake.std(axis=0).mean(),
        }
        now = self._samples()
        for name, player in self.players.items():
            weights, grad = now[f"{name}.value"], now[f"{name}.grad"]
            weights_before, grad_before = self._before[f"{name}.value"], self._before[f"{name}.grad"]
            figures[f"{name} update"] = norm(weights - weights_before) / (norm(weights_before) + TINY)
            figures[f"{name} gradient's cosine"] = (grad * grad_before).sum() / (
                norm(grad) * norm(grad_before) + TINY
            )
            units = dead = 0
            for path, layer in _with_weights(player):
                figures[f"{name} gradient {path}"] = norm(*(p.grad for p in layer.own_parameters().values()))
                weight = getattr(layer, "weight", None)
                if weight is not None and weight.grad.ndim > 1:
                    unit = weight.grad.ndim - (2 if isinstance(layer, Conv2DTranspose) else 1)
                    others = tuple(axis for axis in range(weight.grad.ndim) if axis != unit)
                    # A unit that is 0 for all samples passes nothing on to its own weights.
                    dead = dead + (xp.abs(weight.grad).max(axis=others) == 0).astype(judged.dtype).sum()
                    units += weight.grad.shape[unit]
            figures[f"{name} dead"] = dead / max(units, 1)
        return figures


def norm(*arrays: Array) -> Array:
    """The length of all the arrays as one vector."""
    return sum((array * array).sum() for array in arrays) ** 0.5


def _with_weights(network: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers that have parameters of their own, with their paths ("3.Conv2D")."""
    if network.own_parameters():
        yield path, network
    for name, child in network.children().items():
        yield from _with_weights(child, f"{path}.{name}" if path else name)
