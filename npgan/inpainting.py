"""The game of repair: one step of both players, with the error in the hole as a second teacher.

G fills the hole of a damaged image; D sees an image with its mask and says whether it is undamaged (Pathak et al.
2016, section 3). The gradient that reaches the repaired image is a sum:

    dfake  =  reconstruction * d(mean squared error in the hole)  +  adversarial * d(-log D(fake, mask))

The squared error asks for one answer, the mean. `energy_score`, in its place, lets the noise choose among many.
"""

from collections.abc import Callable

from npgan.adversarial import discriminator_step, judge, nobody
from npgan.backend import Array, array_module
from npgan.layers import Layer
from npgan.losses import Loss
from npgan.optim import Optimizer


def energy_score(error: Array, counted: Array, seeking: float) -> Loss:
    """What two repairs a and b of one image x cost that are paid for being different: (value, gradient by error).

    error (2 N, H, W, C): a - x of N images, then b - x of the same images, zero outside the hole. counted (2 N, H,
    W, 1): 1 in the hole. With |.| the root mean square over the hole of one image, the mean over the images of

        (|a - x| + |b - x|) / 2  -  seeking / 2 * |a - b|

    The last term is mode seeking (Mao et al. 2019, who divide by |z1 - z2|). Gradient by a, times 2 N and the number
    of values in the hole: (a - x) / |a - x| - seeking * (a - b) / |a - b|; by b likewise. Where a length is zero, so
    is its part; an image without a value that counts costs nothing.

    With seeking = 1 it is the energy score, lowest just where repairs are spread as the true completions are
    (Gneiting and Raftery 2007; for networks: Bouchacourt et al. 2016). With less they come nearer to the mean: for
    many pixels about seeking / sqrt(2 - seeking^2) of that spread.
    """
    xp, n, channels = array_module(error), len(error) // 2, error.shape[3]
    if len(error) != 2 * n or n == 0:
        raise ValueError(f"energy_score: wanted two repairs of each image, got {len(error)} repairs in all")
    values = xp.maximum(counted.sum(axis=(1, 2, 3), keepdims=True) * channels, 1)  # 2 N, 1, 1, 1
    length, slope = _root_mean_square(error, values)
    apart, slope_apart = _root_mean_square(error[:n] - error[n:], values[:n])  # a - b
    derror = (slope - seeking * xp.concatenate([slope_apart, -slope_apart])) / (2 * n)
    return length.mean() - seeking / 2 * apart.mean(), derror


def _root_mean_square(x: Array, values: Array) -> Loss:
    """Of each image x[i], which has values[i] that count: the length (N, 1, 1, 1), and its derivative by x."""
    length = array_module(x).sqrt((x * x).sum(axis=(1, 2, 3), keepdims=True) / values)
    return length, x / (values * array_module(x).where(length > 0, length, 1))


def inpainting_step(
    generator: Layer,
    discriminator: Layer,
    g_optimizer: Optimizer,
    d_optimizer: Optimizer,
    fake: Array,
    real: Array,
    mask: Array,
    undamaged: Array | None = None,
    *,
    reconstruction: float = 1.0,
    adversarial: float = 0.0,
    counted: Array | None = None,
    seeking: float = 0.0,
    after: Callable[..., None] = nobody,
) -> dict[str, Array]:
    """Let D learn once and then G; return the figures mse, and d_loss and g_loss where D takes part.

    fake: what generator.forward has just returned for `real`, damaged: (N, H, W, C).     mask: 1 = missing.
    undamaged: other images with masks, (N, H, W, C + 1), the best not those of `real`; None leaves D out.
    counted: 1 where the error counts (N, H, W, 1), where the truth is not known in the whole hole; None: `mask`.
    seeking: above 0, the energy score (its figure: energy) replaces the squared error; then the batch holds N / 2
    images twice, with two noises.
    after: called after each part of the step with its name and figures, as in `discriminator_step`.
    """
    channels = real.shape[3]
    error = fake - real  # zero where the pixels are known
    if counted is not None:
        error = error * counted
    where = mask if counted is None else counted
    values = where.sum() * channels
    figures = {"mse": (error * error).sum() / values}
    if seeking:
        figures["energy"], derror = energy_score(error, where, seeking)
    else:
        derror = 2 * error / values
    dfake = reconstruction * derror

    if undamaged is not None:
        judged = array_module(fake).concatenate([fake, mask], axis=3)  # N, H, W, C + 1
        d = discriminator_step(discriminator, undamaged, judged, d_optimizer, after=after)
        figures["d_loss"] = d.loss
        figures["g_loss"], _, djudged = judge(discriminator, judged)
        dfake = dfake + adversarial * djudged[..., :channels]

    generator.zero_grad()
    generator.backward_parameters(dfake)
    g_optimizer.step()
    after("G's update", **figures)
    return figures
