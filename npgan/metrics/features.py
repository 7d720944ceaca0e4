"""What an image is, in 64 numbers: the ruler that the scores of npgan.metrics.scores measure with.

A small classifier learns the data at hand, in seconds. The numbers of its last hidden layer are the image's features:
what tells the classes apart is in them, and little else. Pixels would not do: an image that is shifted by one of them
is far from itself. 64 features, since a covariance of d features needs more than d images.

Distances by another classifier are other distances. Whoever compares two generators uses one and the same: keep it.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from npgan import checkpoint
from npgan.backend import Array, device_of, to_device, to_numpy
from npgan.data import Images
from npgan.errors import DataError
from npgan.layers import Sequential
from npgan.metrics.samples import make_classifier, train_classifier

WIDTH = 64
RANDOM_PASSES = 30  # of 64 images: the running statistics then hardly remember where they began


def train_extractor(
    images: Images,
    labels: np.ndarray | None,
    *,
    seed: int = 0,
    steps: int = 300,
    device: str = "numpy",
    kept: Path | None = None,
) -> Sequential:
    """A classifier of the images with whole-number labels (N,), whose last hidden layer is 64 wide.

    labels: None where there are none, or all images have the same. Then nothing is learned: the weights stay random,
        and only the running statistics are those of the images. Such features order good and bad sets, too (Naeem et
        al. 2020 use them where no fitting network is at hand), but know of no classes: they see less.
    kept: a file. Where it holds the extractor of these images, labels, seed and steps, that is read; else it is
        written once the extractor is made.
    """
    if labels is not None and len(np.unique(labels)) < 2:
        labels = None
    classes = 1 if labels is None else int(labels.max()) + 1
    settings = checkpoint.fingerprint(images) | {"seed": seed, "steps": steps, "width": WIDTH}
    settings["labels"] = None if labels is None else np.bincount(labels).tolist()
    rng = np.random.default_rng(seed)
    network = make_classifier(images.shape, classes, rng, features=WIDTH).to(device)
    if kept is not None:
        with suppress(DataError):  # it is not there, or another one
            checkpoint.load(kept, {"extractor": network}, settings)
            return network
    if labels is None:
        for _ in range(RANDOM_PASSES):
            network.forward(to_device(images[rng.integers(len(images), size=64)], device))
    else:
        rng = np.random.default_rng(seed)
        network = train_classifier(images, labels, classes, rng, steps=steps, features=WIDTH, device=device)
    if kept is not None:
        checkpoint.save(kept, {"extractor": network}, step=steps, settings=settings, history={})
    return network


def features(extractor: Sequential, images: Array) -> np.ndarray:
    """The features (N, 64) of images (N, H, W, C), float64 on the host, 256 images at a time.

    Always in inference mode: with the statistics of the batch in place of the running ones, an image's features
    would depend on the images beside it, and every set would be normalised to look like every other.
    """
    last_hidden, device = Sequential(extractor.layers[:-1]), device_of(extractor.parameters()[0].value)
    parts = (to_device(images[start : start + 256], device) for start in range(0, len(images), 256))
    found = [to_numpy(last_hidden.forward(part, train=False)) for part in parts]
    return np.concatenate(found).astype(np.float64)
