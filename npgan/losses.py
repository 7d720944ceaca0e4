"""Losses: each returns (loss, gradient), the mean over all values and its derivative by the first argument.

The GAN's losses take logits, the discriminator's output before any sigmoid: log(sigmoid(x)) computed in one
piece never overflows, and its gradient keeps its accuracy however sure the discriminator is.
With softplus(x) = log(1 + exp(x)):

    -log sigmoid(x) = softplus(-x)          -log(1 - sigmoid(x)) = softplus(x)

A loss is a 0-d array on the logits' device, so that computing it does not wait for a GPU; float() it to show it.
"""

from npgan import backend
from npgan.backend import Array, array_module
from npgan.layers.activations import sigmoid

Loss = tuple[Array, Array]


def binary_cross_entropy(logits: Array, target: float | Array) -> Loss:
    """Mean of -target log sigmoid(logits) - (1 - target) log(1 - sigmoid(logits)), in nats.

    target is one number in [0, 1] for all logits (1: real, 0: generated), or an array of the logits' shape.
    Gradient: (sigmoid(logits) - target) / number of logits. (Goodfellow et al. 2014, equation 1.)
    """
    target = _check("binary_cross_entropy", "logits", logits, target, "target")
    loss = (softplus(logits) - target * logits).mean()
    return loss, (sigmoid(logits) - target) / logits.size


def generator_saturating(logits: Array) -> Loss:
    """Mean of log(1 - sigmoid(logits)) of generated samples, which the generator lowers: the minimax game.

    Gradient: -sigmoid(logits) / number of logits. It saturates: where the discriminator is sure of itself
    (logits far below zero) it vanishes, just when the generator has most to learn (Goodfellow et al. 2014,
    section 3).
    """
    _check("generator_saturating", "logits", logits)
    return -softplus(logits).mean(), -sigmoid(logits) / logits.size


def generator_non_saturating(logits: Array) -> Loss:
    """Mean of -log sigmoid(logits) of generated samples: the same fixed point, but a gradient that stays.

    Gradient: (sigmoid(logits) - 1) / number of logits, near -1 / number where the discriminator is sure.
    """
    _check("generator_non_saturating", "logits", logits)
    return softplus(-logits).mean(), (sigmoid(logits) - 1) / logits.size


def softmax_cross_entropy(logits: Array, labels: Array) -> Loss:
    """Mean of -log softmax(logits)[label], in nats: logits (N, classes), labels (N,) whole numbers.

    Gradient: (softmax(logits) - one_hot(labels)) / N.
    """
    xp = array_module(logits, labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            "softmax_cross_entropy: wanted logits (N, classes) and whole-number labels (N,), got "
            f"{backend.describe(logits)} and {backend.describe(labels)}"
        )
    n, classes = logits.shape
    one_hot = (xp.arange(classes) == labels[:, None]).astype(logits.dtype)
    shifted = logits - logits.max(axis=1, keepdims=True)  # softmax is the same, exp cannot overflow
    log_softmax = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(one_hot * log_softmax).sum() / n
    return loss, (xp.exp(log_softmax) - one_hot) / n


def mean_squared_error(prediction: Array, target: Array) -> Loss:
    """Mean of (prediction - target)**2. Gradient: 2 (prediction - target) / number of values."""
    target = _check("mean_squared_error", "prediction", prediction, target, "target")
    difference = prediction - target
    return (difference * difference).mean(), 2 * difference / prediction.size


def mean_absolute_error(prediction: Array, target: Array) -> Loss:
    """Mean of |prediction - target|. Gradient: sign(prediction - target) / number of values; 0 where equal."""
    target = _check("mean_absolute_error", "prediction", prediction, target, "target")
    xp = array_module(prediction)
    difference = prediction - target
    return xp.abs(difference).mean(), xp.sign(difference) / prediction.size


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); the second form never overflows."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _check(loss: str, name: str, value: Array, target: float | Array = 0.0, target_name: str = ""):
    array_module(value)
    if value.dtype.kind != "f":
        raise TypeError(f"{loss}: {name} is {value.dtype}, wanted a floating type")
    if value.size == 0:
        raise ValueError(f"{loss}: {name} is empty")
    if isinstance(target, int | float):
        return float(target)  # NumPy's float64 is a float too, and would turn float32 into float64
    array_module(value, target)
    if target.shape != value.shape or target.dtype != value.dtype:
        raise ValueError(
            f"{loss}: {target_name} is {backend.describe(target)}, {name} is {backend.describe(value)}; "
            "they must agree in shape and dtype"
        )
    return target
