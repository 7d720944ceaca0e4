"""A verdict in words on data that nobody has measured before: what came out, and what to try next."""

from collections.abc import Sequence

import numpy as np

EVEN = 2 * np.log(2)  # the discriminator's loss where it can tell nothing, in nats
FEW = 100  # images: below, a mean over them says little


def balance(d_loss: Sequence[float]) -> str:
    """Who is winning, by the discriminator's cross-entropy over the last tenth of the steps; "" if nobody is.

    Sure of nearly every image (below a fifth of even play's 1.39 nats) it has little left to teach: with few images
    it knows them by heart.
    """
    last = float(np.mean(d_loss[-max(1, len(d_loss) // 10) :]))
    if last < EVEN / 5:
        return f"D is winning (its loss is {last:.2f}, in even play {EVEN:.2f}): more data or fewer steps"
    return ""


def count(images: int) -> str:
    """What so few images to score on cannot tell; "" where there are enough."""
    if images >= FEW:
        return ""
    return f"scored on {images} image{'s' * (images != 1)}: {FEW} or more would tell how far this holds"


def lines(*found: str) -> str:
    """The parts of a verdict that say something, one a line, for `Lesson.end`."""
    return "\n".join(f"{'   ' if number else ''}{text}" for number, text in enumerate(filter(None, found)))
