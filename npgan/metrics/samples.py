"""How good are samples? What a classifier of real images sees in them, and how far they lie from real ones.

Neither figure means much alone. Show it beside the same figure for real images that nobody trained on (the best
that can be had: the floor of a distance, the ceiling of a confidence) and for noise or an untrained generator.
"""

from typing import NamedTuple

import numpy as np

from npgan.backend import Array, describe, device_of, to_device, to_numpy
from npgan.data import Images
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    Sequential,
)
from npgan.losses import softmax_cross_entropy
from npgan.optim import Adam, cosine_decay


class ClassReport(NamedTuple):
    """What a classifier sees in a set of images."""

    shares: np.ndarray  # (classes,) share of the images that it takes for each class; adds up to 1
    confidence: float  # mean of its largest probability: near 1 where every image is clearly some class

    @property
    def smallest(self) -> float:
        """The share of the rarest class: 0 where a class is never drawn."""
        return float(self.shares.min())

    @property
    def found(self) -> int:
        """How many classes have an image at least. Read `divergence` and the confidence first: noise has many."""
        return int((self.shares > 0).sum())

    def divergence(self, real: np.ndarray) -> float:
        """The Kullback-Leibler divergence from the true shares of the classes, in nats: sum of p log(p / real).

        0 for equal shares; log(classes) for a single one of equally frequent classes. `real` (classes,) is above 0.
        """
        if real.shape != self.shares.shape or not (real > 0).all():
            raise ValueError(
                f"divergence: real must be {self.shares.shape} shares above 0, got shape {real.shape}, "
                f"the smallest {real.min()}"
            )
        p = self.shares[self.shares > 0]  # 0 log 0 is 0
        return float((p * np.log(p / real[self.shares > 0])).sum())


def make_classifier(
    shape: tuple[int, int, int], classes: int, rng: np.random.Generator, *, features: int | None = None
) -> Sequential:
    """A small convolutional network: images (N, *shape) to logits (N, classes).

    With `features`, a last hidden layer so wide: what it says of an image is what npgan.metrics.features reads.
    """
    h, w, c = shape
    width = (h // 2 // 2) * (w // 2 // 2) * 32
    layers = [
        Conv2D(c, 16, 4, stride=2, padding=1, bias=False, rng=rng),  # h/2, w/2
        BatchNormalization(16),
        LeakyReLU(0.1),
        Conv2D(16, 32, 4, stride=2, padding=1, bias=False, rng=rng),  # h/4, w/4
        BatchNormalization(32),
        LeakyReLU(0.1),
        Flatten(),
    ]
    if features is not None:
        layers += [
            Dense(width, features, bias=False, rng=rng),
            BatchNormalization(features),
            LeakyReLU(0.1),
        ]
        width = features
    return Sequential([*layers, Dense(width, classes, rng=rng)])


def train_classifier(
    images: Images,
    labels: np.ndarray,
    classes: int,
    rng: np.random.Generator,
    *,
    steps: int = 600,
    features: int | None = None,
    device: str = "numpy",
) -> Sequential:
    """Train `make_classifier` on images with whole-number labels (N,), in batches of 64, with Adam."""
    if len(labels) != len(images):
        raise ValueError(f"train_classifier: {len(images)} images, but {len(labels)} labels")
    network = make_classifier(images.shape, classes, rng, features=features).to(device)
    optimizer = Adam(network.parameters(), cosine_decay(2e-3, 1e-5, steps), beta_1=0.9)
    for _ in range(steps):
        rows = rng.integers(len(images), size=64)
        x, wanted = to_device(images[rows], device), to_device(labels[rows], device)
        network.zero_grad()
        _, dlogits = softmax_cross_entropy(network.forward(x), wanted)
        network.backward(dlogits)
        optimizer.step()
    return network


def class_probabilities(classifier: Layer, images: Array) -> np.ndarray:
    """The classifier's probabilities (N, classes), in inference mode, 256 images at a time."""
    found, device = [], device_of(classifier.parameters()[0].value)
    for start in range(0, len(images), 256):
        logits = to_numpy(classifier.forward(to_device(images[start : start + 256], device), train=False))
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        found.append(exp / exp.sum(axis=1, keepdims=True))
    return np.concatenate(found)


def accuracy(classifier: Layer, images: Array, labels: np.ndarray) -> float:
    """The share of images whose most probable class is their label."""
    return float((class_probabilities(classifier, images).argmax(axis=1) == labels).mean())


def class_report(classifier: Layer, images: Array) -> ClassReport:
    """Which classes the classifier finds in the images, how often, and how sure it is."""
    probabilities = class_probabilities(classifier, images)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return ClassReport(counts / len(images), float(probabilities.max(axis=1).mean()))


def sliced_wasserstein(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, directions: int = 256
) -> float:
    """How far apart two sets of equally many images lie (Rabin et al. 2011; Bonneel et al. 2015, section 3).

    Along a line, the cheapest way to move one set of points onto another pairs them in order of size. Take the
    mean of |sorted(a @ v) - sorted(b @ v)| over the points and over random unit vectors v. In units of the pixel
    values: moving every image by one and the same vector w counts |w| times the mean of |v_1|, so that t added to
    every pixel counts about sqrt(2 / pi) t = 0.8 t. Zero for equal sets in any order, and small but not zero for
    two samples of one distribution: print that floor beside it.

    a and b are floating NumPy arrays of one shape, (N, ...). An `rng` of one seed gives one set of vectors: distances
    that are compared should share it.
    """
    if a.shape != b.shape:
        raise ValueError(f"sliced_wasserstein: the sets must have one shape, got {a.shape} and {b.shape}")
    if a.dtype.kind != "f" or b.dtype.kind != "f" or a.ndim < 2 or a.size == 0:
        raise ValueError(
            "sliced_wasserstein: wanted floating images (N, ...), at least one, got "
            f"{describe(a)} and {describe(b)}"
        )
    if directions < 1:
        raise ValueError(f"sliced_wasserstein: directions must be at least 1, got {directions!r}")
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)  # N, values
    v = rng.standard_normal((a.shape[1], directions)).astype(a.dtype)
    v /= np.linalg.norm(v, axis=0)
    return float(np.abs(np.sort(a @ v, axis=0) - np.sort(b @ v, axis=0)).mean())


def generate(generator: Layer, noise: np.ndarray, device: str = "numpy") -> np.ndarray:
    """Samples for noise (N, latent), in inference mode, 256 at a time, as a NumPy array."""
    parts = [noise[start : start + 256] for start in range(0, len(noise), 256)]
    return np.concatenate([to_numpy(generator.forward(to_device(z, device), train=False)) for z in parts])
