"""Autoencoders: an encoder squeezes an image into a code, a decoder draws it again; and the variational one.

An encoder maps images (N, H, W, C) in [-1, 1] to numbers (N, outputs), a decoder codes (N, latent) to logits
(N, H, W, C): a pixel x stands for the probability (x + 1) / 2 of white, and sigmoid(logit) is what is drawn. Both are
learned together and with one aim: there is no game.

Every loss is a sum over an image's pixels, or over its code, and a mean over images: nats an image.
"""

import math

import numpy as np

from npgan.backend import Array, array_module
from npgan.layers import Dense, Flatten, Layer, Reshape, Sequential
from npgan.losses import binary_cross_entropy
from npgan.metrics.samples import generate
from npgan.networks import Shape, dense_stack

HIDDEN = (400, 200)  # units of the encoder's hidden layers; the decoder's are the same, the other way round


def encoder(
    shape: Shape, outputs: int, rng: np.random.Generator, *, hidden: tuple[int, ...] = HIDDEN
) -> Sequential:
    """Images (N, *shape) -> (N, outputs), by dense layers with LeakyReLU."""
    body = dense_stack((math.prod(shape), *hidden), rng, normalize=False)
    return Sequential([Flatten(), *body, Dense(hidden[-1], outputs, rng=rng)])


def decoder(
    shape: Shape, latent: int, rng: np.random.Generator, *, hidden: tuple[int, ...] = HIDDEN
) -> Sequential:
    """Codes (N, latent) -> logits (N, *shape): the encoder's widths, the other way round."""
    body = dense_stack((latent, *hidden[::-1]), rng, normalize=False)
    return Sequential([*body, Dense(hidden[0], math.prod(shape), rng=rng), Reshape(shape)])


def draw(decoder: Layer, codes: np.ndarray, device: str = "numpy") -> np.ndarray:
    """Images of codes (N, latent): 2 sigmoid(logit) - 1, which is tanh(logit / 2)."""
    return np.tanh(generate(decoder, codes, device) / 2)


def reconstruction_loss(logits: Array, x: Array) -> tuple[Array, Array]:
    """-log probability of images x (N, H, W, C) in [-1, 1], in nats an image, and its gradient by the logits.

    The sum over pixels of the cross-entropy with p = (x + 1) / 2; for greys too, where it is no probability but is
    least at the same place.
    """
    pixels = x[0].size
    loss, dlogits = binary_cross_entropy(logits, (x + 1) / 2)
    return pixels * loss, pixels * dlogits


def kl_divergence(mean: Array, log_variance: Array) -> tuple[Array, Array, Array]:
    """KL(N(mean, variance) || N(0, 1)) in nats an image, summed over the code: (value, dmean, dlog_variance).

    1/2 sum of mean^2 + variance - 1 - log variance (Kingma and Welling 2014, appendix B); mean, log_variance (N, L).
    """
    xp, n = array_module(mean, log_variance), len(mean)
    variance = xp.exp(log_variance)
    value = (mean * mean + variance - 1 - log_variance).sum() / (2 * n)
    return value, mean / n, (variance - 1) / (2 * n)


def halves(code: Array) -> tuple[Array, Array]:
    """The means and the log variances of a variational encoder's output: (N, 2 L) -> (N, L) and (N, L)."""
    latent = code.shape[1] // 2
    return code[:, :latent], code[:, latent:]


def autoencoder_loss(encoder: Layer, decoder: Layer, x: Array) -> Array:
    """The reconstruction loss of x; adds its gradients to both networks."""
    loss, dlogits = reconstruction_loss(decoder.forward(encoder.forward(x)), x)
    encoder.backward_parameters(decoder.backward(dlogits))
    return loss


def variational_loss(
    encoder: Layer, decoder: Layer, x: Array, noise: Array, beta: float = 1.0
) -> tuple[Array, Array]:
    """(reconstruction loss, KL); adds the gradients of reconstruction + beta * KL to both networks.

    With beta = 1 the sum is -ELBO, minus the evidence lower bound of log p(x) (Kingma and Welling 2014, equation 10);
    another beta as in Higgins et al. 2017. noise (N, L) from N(0, 1) is an input, so that the draw
    z = mean + deviation * noise has a derivative by both: the reparameterisation.
    """
    xp = array_module(x, noise)
    mean, log_variance = halves(encoder.forward(x))
    deviation = xp.exp(log_variance / 2)
    reconstruction, dlogits = reconstruction_loss(decoder.forward(mean + deviation * noise), x)
    kl, dmean, dlog_variance = kl_divergence(mean, log_variance)
    dz = decoder.backward(dlogits)
    dcode = xp.concatenate(
        [dz + beta * dmean, dz * noise * deviation / 2 + beta * dlog_variance], axis=1
    )  # N, 2 L
    encoder.backward_parameters(dcode)
    return reconstruction, kl
