"""The plane: what a discriminator of points says at every place of a square, drawn with the points themselves."""

import numpy as np
from matplotlib.axes import Axes

from npgan.backend import Array, device_of, to_device, to_numpy
from npgan.layers.activations import sigmoid
from npgan.layers.base import Layer

EDGE, SIDE = 1.5, 81  # the square reaches from -EDGE to EDGE, with SIDE points a row
_TICKS = np.linspace(-EDGE, EDGE, SIDE, dtype=np.float32)
LATTICE = np.stack(np.meshgrid(_TICKS, _TICKS), axis=-1).reshape(
    -1, 2
)  # SIDE * SIDE, 2: row by row, y rising


def probability(discriminator: Layer, points: Array = LATTICE) -> np.ndarray:
    """sigmoid(logit) of points (N, 2), the discriminator's probability that each is real: NumPy, (N,)."""
    device = device_of(discriminator.parameters()[0].value)
    logits = discriminator.forward(to_device(points, device), train=False)  # N, 1
    return to_numpy(sigmoid(logits))[:, 0]


def draw_surface(
    axes: Axes, surface: np.ndarray, real: Array | None = None, fake: Array | None = None, title: str = ""
) -> None:
    """Draw probabilities on LATTICE as colours, and points (N, 2) over them.

    Blue: taken for real. Red: for generated. White: 1/2. Real points are black, generated ones orange.
    """
    extent = (-EDGE, EDGE, -EDGE, EDGE)
    axes.imshow(surface.reshape(SIDE, SIDE), extent=extent, origin="lower", cmap="RdBu", vmin=0, vmax=1)
    for points, colour, size in ((real, "black", 5), (fake, "darkorange", 4)):
        if points is not None:
            axes.scatter(*to_numpy(points).T, s=size, color=colour, linewidths=0)
    axes.set(title=title, xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
