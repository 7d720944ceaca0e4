"""Losses: each returns (loss, gradient), the mean over all values and its derivative by the first argument.

The GAN's losses take logits, the discriminator's output before any sigmoid: log(sigmoid(x)) computed in one
piece never overflows, and keeps its accuracy however sure the discriminator is. With
softplus(x) = log(1 + exp(x)):

    -log sigmoid(x) = softplus(-x)          -log(1 - sigmoid(x)) = softplus(x)

A loss of the game is loss(logits, target), where target is 1 for real samples and 0 for generated ones; the
generator lowers that of its samples with target 1. A target is one number in [0, 1] for all logits, or an array of
the logits' shape. Between 0 and 1 (smoothed labels) it mixes both losses; with `least_squares` it is the aim.

A loss is a 0-d array on the logits' device, so that computing it does not wait for a GPU; float() it to show it.
"""

import numpy as np

from npgan import backend
from npgan.backend import Array, array_module
from npgan.layers.activations import sigmoid

Loss = tuple[Array, Array]


def binary_cross_entropy(logits: Array, target: float | Array) -> Loss:
    """Mean of -target log sigmoid(logits) - (1 - target) log(1 - sigmoid(logits)), in nats.

    Gradient: (sigmoid(logits) - target) / number of logits. (Goodfellow et al. 2014, equation 1; with target 1 for
    generated samples the generator's non-saturating loss, section 3.)

    Computed as target * softplus(-logits) + (1 - target) * softplus(logits), and its derivative likewise: neither
    subtracts two numbers that are nearly equal where the discriminator is sure and right.
    """
    target = _check_game("binary_cross_entropy", logits, target)
    if isinstance(target, float) and target in (
        0,
        1,
    ):  # one term alone: 0 times the other's infinity is no number
        sign = 1 - 2 * target
        return softplus(sign * logits).mean(), sign * sigmoid(sign * logits) / logits.size
    loss = (target * softplus(-logits) + (1 - target) * softplus(logits)).mean()
    return loss, ((1 - target) * sigmoid(logits) - target * sigmoid(-logits)) / logits.size


def generator_saturating(logits: Array, target: float | Array = 1.0) -> Loss:
    """Mean of log(1 - sigmoid(logits)) of generated samples, which the generator lowers: the minimax game.

    Gradient: -sigmoid(logits) / number of logits. It saturates: where the discriminator is sure of itself
    (logits far below zero) it vanishes, just when the generator has most to learn (Goodfellow et al. 2014,
    section 3). Whatever the target, it is minus the cross-entropy with the label turned round, 1 - target.
    """
    target = _check_game("generator_saturating", logits, target)
    loss, gradient = binary_cross_entropy(logits, 1 - target)
    return -loss, -gradient


def least_squares(logits: Array, target: float | Array) -> Loss:
    """Mean of (logits - target)**2 / 2: least squares GAN (Mao et al. 2017, equation 2, a = 0 and b = c = 1).

    Gradient: (logits - target) / number of logits. It pulls back what lies beyond the target too.
    """
    target = _check_game("least_squares", logits, target)
    difference = logits - target
    return (difference * difference / 2).mean(), difference / logits.size


def hinge(logits: Array, target: float | Array) -> Loss:
    """Mean of max(0, 1 - logits) for real samples, of max(0, 1 + logits) for generated ones.

    Gradient: -1 or 1, divided by the number of logits, within the margin; 0 beyond it. This is the discriminator's
    side; the generator's is `wasserstein`, which has no margin. (Lim and Ye 2017; Miyato et al. 2018, equations 16
    and 17.)
    """
    target = _check_game("hinge", logits, target)
    xp = array_module(logits)
    loss = target * xp.maximum(1 - logits, 0) + (1 - target) * xp.maximum(1 + logits, 0)
    inside_real, inside_fake = (logits < 1).astype(logits.dtype), (logits > -1).astype(logits.dtype)
    return loss.mean(), ((1 - target) * inside_fake - target * inside_real) / logits.size


def wasserstein(logits: Array, target: float | Array) -> Loss:
    """Mean of -logits for real samples, of logits for generated ones (Arjovsky et al. 2017, algorithm 1).

    Gradient: (1 - 2 target) / number of logits. The sum of both is minus the distance, if the discriminator's slope
    is bounded: with `one_centred_penalty`, or a spectral norm.
    """
    target = _check_game("wasserstein", logits, target)
    sign = 1 - 2 * target
    return (sign * logits).mean(), (sign + 0 * logits) / logits.size


def relativistic(real_logits: Array, fake_logits: Array) -> tuple[Array, Array, Array]:
    """Mean of softplus(fake_logits - real_logits), pair by pair: (loss, its gradients by real and by fake logits).

    The discriminator's side: a real sample shall look more real than the generated one beside it. The generator's is
    the same with the arguments exchanged: relativistic(fake_logits, real_logits) -> (loss, dfake, dreal). Gradients:
    -sigmoid(fake_logits - real_logits) / number of pairs, and minus that. (Jolicoeur-Martineau 2019;
    R3GAN: Huang et al. 2024, section 2.)
    """
    _check("relativistic", "real_logits", real_logits)
    _check_pair("relativistic", "real_logits", real_logits, "fake_logits", fake_logits)
    behind = fake_logits - real_logits
    dfake = sigmoid(behind) / behind.size
    return softplus(behind).mean(), -dfake, dfake


def zero_centred_penalty(g: Array, weight: float) -> Loss:
    """weight / 2 * mean of |g_i|**2 over the samples: g (N, ...) holds the discriminator's gradient by each sample.

    Gradient by g: weight * g / N. |g_i| is the length of g_i as one vector. On real samples this is R1, on generated
    ones R2, with weight = gamma (Mescheder et al. 2018, equations 9 and 10).
    """
    weight = _check_penalty("zero_centred_penalty", g, weight)
    return weight / 2 * (g * g).sum() / len(g), weight / len(g) * g


def one_centred_penalty(g: Array, weight: float) -> Loss:
    """weight * mean of (|g_i| - 1)**2 over the samples: g (N, ...) holds the discriminator's gradient by each sample.

    Gradient by g: 2 weight / N * (|g_i| - 1) * g_i / |g_i|; zero where g_i is zero and so has no direction. On points
    between real and generated samples this is the penalty of WGAN-GP, with weight = lambda (Gulrajani et al. 2017,
    equation 3).
    """
    weight = _check_penalty("one_centred_penalty", g, weight)
    xp = array_module(g)
    length = xp.sqrt((g * g).sum(axis=tuple(range(1, g.ndim)), keepdims=True))  # N, 1, ...
    excess = length - 1
    gradient = 2 * weight / len(g) * excess * (g / xp.where(length > 0, length, 1))
    return weight * (excess * excess).mean(), gradient


def softmax_cross_entropy(logits: Array, labels: Array) -> Loss:
    """Mean of -log softmax(logits)[label], in nats: logits (N, classes), labels (N,) whole numbers.

    Gradient: (softmax(logits) - one_hot(labels)) / N.

    Computed from d = logits - logits[label] as log(1 + sum of exp(d) over the other classes): a generalised
    softplus, which is as accurate where the classifier is sure and right.
    """
    xp = array_module(logits, labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            "softmax_cross_entropy: wanted logits (N, classes) and whole-number labels (N,), got "
            f"{backend.describe(logits)} and {backend.describe(labels)}"
        )
    n, classes = logits.shape
    if (
        array_module(labels) is np and n and not 0 <= labels.min() <= labels.max() < classes
    ):  # a GPU is not asked
        raise ValueError(
            f"softmax_cross_entropy: labels are {labels.min()} to {labels.max()}, wanted 0 to {classes - 1}"
        )
    one_hot = (xp.arange(classes) == labels[:, None]).astype(logits.dtype)
    d = logits - (one_hot * logits).sum(axis=1, keepdims=True)
    top = xp.maximum(d.max(axis=1, keepdims=True), 0)  # exp(d - top) cannot overflow
    others = (1 - one_hot) * xp.exp(d - top)
    sum_of_others = others.sum(axis=1, keepdims=True)
    loss = (top + xp.log1p(sum_of_others + xp.expm1(-top))).sum() / n
    gradient = (others - one_hot * sum_of_others) / (sum_of_others + xp.exp(-top))
    return loss, gradient / n


def mean_squared_error(prediction: Array, target: Array) -> Loss:
    """Mean of (prediction - target)**2. Gradient: 2 (prediction - target) / number of values."""
    target = _check_target("mean_squared_error", "prediction", prediction, target)
    difference = prediction - target
    return (difference * difference).mean(), 2 * difference / prediction.size


def mean_absolute_error(prediction: Array, target: Array) -> Loss:
    """Mean of |prediction - target|. Gradient: sign(prediction - target) / number of values; 0 where equal."""
    target = _check_target("mean_absolute_error", "prediction", prediction, target)
    xp = array_module(prediction)
    difference = prediction - target
    return xp.abs(difference).mean(), xp.sign(difference) / prediction.size


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); the second form never overflows."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _check(loss: str, name: str, value: Array) -> None:
    array_module(value)
    if value.dtype.kind != "f":
        raise TypeError(f"{loss}: {name} is {value.dtype}, wanted a floating type")
    if value.size == 0:
        raise ValueError(f"{loss}: {name} is empty")


def _check_pair(loss: str, name: str, value: Array, other_name: str, other: Array) -> None:
    array_module(value, other)
    if other.shape != value.shape or other.dtype != value.dtype:
        raise ValueError(
            f"{loss}: {other_name} is {backend.describe(other)}, {name} is {backend.describe(value)}; "
            "they must agree in shape and dtype"
        )


def _check_target(loss: str, name: str, value: Array, target: float | Array) -> float | Array:
    """Check value and target; return the target, a number as Python's: NumPy's may turn float32 into float64."""
    _check(loss, name, value)
    if isinstance(target, int | float | np.number | np.bool_):
        return float(target)
    _check_pair(loss, name, value, "target", target)
    return target


def _check_game(loss: str, logits: Array, target: float | Array) -> float | Array:
    target = _check_target(loss, "logits", logits, target)
    if isinstance(target, float) and not 0 <= target <= 1:  # an array is not asked: that would wait for a GPU
        raise ValueError(f"{loss}: target must be in [0, 1] (1: real, 0: generated), got {target!r}")
    return target


def _check_penalty(penalty: str, g: Array, weight: float) -> float:
    _check(penalty, "g", g)
    if g.ndim == 0:
        raise ValueError(f"{penalty}: wanted g of shape (N, ...), got {backend.describe(g)}")
    if not weight >= 0:
        raise ValueError(f"{penalty}: weight must be at least 0, got {weight!r}")
    return float(weight)
