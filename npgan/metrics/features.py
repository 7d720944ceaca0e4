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
from npgan.show import to_pixels

WIDTH = 64
TURNED = 2000  # images that are turned, where there are no labels


def train_extractor(
    images: Images,
    labels: np.ndarray | None,
    *,
    seed: int = 0,
    steps: int = 600,
    device: str = "numpy",
    kept: Path | None = None,
) -> Sequential:
    """A classifier of the images with whole-number labels (N,), whose last hidden layer is 64 wide.

    labels: None where there are none, or all images have the same: then it learns a task that needs none, to tell how
        far an image has been turned: by 0, 90, 180 or 270 degrees (Gidaris et al. 2018); where images are not square
        by 0 or 180. Its features know shapes, but nothing makes them know what the classes would have been.
    kept: a file. Where it holds the extractor of these images, labels, seed and steps, that is read; else it is
        written once the extractor is trained.
    """
    if labels is not None and len(np.unique(labels)) < 2:
        labels = None
    settings = checkpoint.fingerprint(images) | {"seed": seed, "steps": steps, "width": WIDTH}
    settings["labels"] = None if labels is None else np.bincount(labels).tolist()
    if labels is None:
        images, labels = turned(images, np.random.default_rng(seed))
    classes = int(labels.max()) + 1
    if kept is not None:
        network = make_classifier(images.shape, classes, np.random.default_rng(0), features=WIDTH).to(device)
        with suppress(DataError):  # it is not there, or another one
            checkpoint.load(kept, {"extractor": network}, settings)
            return network
    network = train_classifier(
        images, labels, classes, np.random.default_rng(seed), steps=steps, features=WIDTH, device=device
    )
    if kept is not None:
        checkpoint.save(kept, {"extractor": network}, step=steps, settings=settings, history={})
    return network


def turned(images: Images, rng: np.random.Generator) -> tuple[Images, np.ndarray]:
    """Some of the images, at most TURNED, turned in each way, and by how many quarters (N,)."""
    height, width, _ = images.shape
    quarters = (0, 1, 2, 3) if height == width else (0, 2)
    pixels = to_pixels(images[rng.permutation(len(images))[:TURNED]])
    turns = [np.rot90(pixels, quarter, axes=(1, 2)) for quarter in quarters]
    which = np.arange(len(quarters)).repeat(len(pixels))
    return Images(np.concatenate(turns), name=f"{images.name}, turned"), which


def features(extractor: Sequential, images: Array) -> np.ndarray:
    """The features (N, 64) of images (N, H, W, C), float64 on the host, 256 images at a time.

    Always in inference mode: with the statistics of the batch in place of the running ones, an image's features
    would depend on the images beside it, and every set would be normalised to look like every other.
    """
    last_hidden, device = Sequential(extractor.layers[:-1]), device_of(extractor.parameters()[0].value)
    parts = (to_device(images[start : start + 256], device) for start in range(0, len(images), 256))
    found = [to_numpy(last_hidden.forward(part, train=False)) for part in parts]
    return np.concatenate(found).astype(np.float64)
