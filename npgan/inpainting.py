"""The game of repair: one step of both players, with the error in the hole as a second teacher.

G fills the hole of a damaged image; D sees an image with its mask and says whether it is undamaged (Pathak et al.
2016, section 3). The gradient that reaches the repaired image is a sum:

    dfake  =  reconstruction * d(mean squared error in the hole)  +  adversarial * d(-log D(fake, mask))
"""

from npgan.adversarial import discriminator_step, judge
from npgan.backend import Array, array_module
from npgan.layers import Layer
from npgan.optim import Optimizer


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
) -> dict[str, Array]:
    """Let D learn once and then G; return the figures mse, and d_loss and g_loss where D takes part.

    fake: what generator.forward has just returned for `real`, damaged: (N, H, W, C).     mask: 1 = missing.
    undamaged: other images with masks, (N, H, W, C + 1), the best not those of `real`; None leaves D out.
    counted: 1 where the error counts (N, H, W, 1), where the truth is not known in the whole hole; None: `mask`.
    """
    channels = real.shape[3]
    error = fake - real  # zero where the pixels are known
    if counted is not None:
        error = error * counted
    values = (mask if counted is None else counted).sum() * channels
    figures = {"mse": (error * error).sum() / values}
    dfake = (2 * reconstruction) * error / values

    if undamaged is not None:
        judged = array_module(fake).concatenate([fake, mask], axis=3)  # N, H, W, C + 1
        figures["d_loss"] = discriminator_step(discriminator, undamaged, judged, d_optimizer).loss
        figures["g_loss"], _, djudged = judge(discriminator, judged)
        dfake = dfake + adversarial * djudged[..., :channels]

    generator.zero_grad()
    generator.backward_parameters(dfake)
    g_optimizer.step()
    return figures
