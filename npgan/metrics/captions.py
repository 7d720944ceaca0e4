"""Is a picture what its caption says? A judge that no generator sees reads every word off the picture."""

import numpy as np

from npgan.data import Images
from npgan.data.captions import (
    BACKGROUND,
    CHARACTER,
    FOREGROUND,
    LARGE,
    PLACES,
    SIZE,
    SLANT,
    SLANTED,
    SMALL,
    UPRIGHT,
    WEIGHT,
    Grammar,
)
from npgan.data.named import Names
from npgan.metrics.samples import class_probabilities, train_classifier

INK = 10  # pixels: so many are of a glyph's own colour, not mixed with that behind it


class Judge:
    """Reads pictures of glyphs: colours by the nearest of the palette, all else by classifiers of their ink.

    They learn from glyphs in grey. In size and slant a glyph may be between two words; the judge takes the nearer.
    """

    def __init__(self, ink: Images, grammar: Grammar, rng: np.random.Generator, *, steps: int = 1500):
        self.grammar, labels = grammar, ink.labels
        classes = 2 * len(grammar.words["character"])
        shape = 2 * labels["character"] + (1 - labels["weight"])
        self.shape = train_classifier(ink, shape, classes, rng, steps=steps)
        large = (labels["height"] > (SMALL + LARGE) / 2).astype(int)
        self.size = train_classifier(ink, large, 2, rng, steps=steps // 2)
        upright = (labels["slant"] < (UPRIGHT + SLANTED) / 2).astype(int)
        self.slant = train_classifier(ink, upright, 2, rng, steps=steps // 2)

    def read(self, images: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) in [-1, 1] -> rows (N, 6) of what is seen in them."""
        rows = np.empty((len(images), len(PLACES)), int)
        fore, back = self.colours(images)
        rows[:, FOREGROUND], rows[:, BACKGROUND] = 1 + fore, 1 + back
        ink = self.ink(images, fore, back)
        shape = class_probabilities(self.shape, ink).argmax(axis=1)
        rows[:, CHARACTER], rows[:, WEIGHT] = 1 + shape // 2, 1 + shape % 2
        rows[:, SIZE] = 1 + class_probabilities(self.size, ink).argmax(axis=1)
        rows[:, SLANT] = 1 + class_probabilities(self.slant, ink).argmax(axis=1)
        return rows

    def colours(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the palette the ink and the border have: whole numbers (N,), (N,)."""
        n, h, w, _ = images.shape
        edge = np.ones((h, w), bool)
        edge[1:-1, 1:-1] = False
        border = np.median(images[:, edge], axis=1)  # N, 3
        pixels = images.reshape(n, h * w, 3)
        away = ((pixels - border[:, None]) ** 2).sum(axis=2)  # N, H*W
        inked = np.argpartition(-away, INK, axis=1)[:, :INK, None]
        ink = np.take_along_axis(pixels, inked, axis=1).mean(axis=1)  # N, 3
        return self._nearest(ink), self._nearest(border)

    def ink(self, images: np.ndarray, fore: np.ndarray, back: np.ndarray) -> np.ndarray:
        """How far each pixel is on the way from the background's colour to the ink's: (N, H, W, 1), -1 to 1."""
        fore, back = (self.grammar.palette[k][:, None, None] for k in (fore, back))
        whole = np.sqrt(((fore - back) ** 2).sum(axis=3, keepdims=True))  # N, 1, 1, 1
        part = np.sqrt(((images - back) ** 2).sum(axis=3, keepdims=True)) / np.where(whole > 0, whole, 1)
        return (2 * np.minimum(part, 1) - 1).astype(np.float32)

    def _nearest(self, colours: np.ndarray) -> np.ndarray:
        return ((colours[:, None] - self.grammar.palette) ** 2).sum(axis=2).argmin(axis=1)


class ClassJudge:
    """Reads the class off a picture, as Judge reads words: a classifier that learned from real images."""

    def __init__(self, images: Images, rng: np.random.Generator, *, steps: int = 1500):
        classes = images.labels["class"]
        self.network = train_classifier(images, classes, int(classes.max()) + 1, rng, steps=steps)

    def read(self, images: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, C) in [-1, 1] -> rows (N, 1): 1 + the class that is seen in them."""
        return 1 + class_probabilities(self.network, images).argmax(axis=1)[:, None]


def word_scores(said: np.ndarray, seen: np.ndarray, grammar: Grammar | Names) -> dict[str, float]:
    """Shares of right words among those that were said, for each place; and of captions that are right.

    said, seen: rows (N, places). "main": the words that must not be wrong (of glyphs: character and both colours) are
    right, as far as they were said. "all": every word is. A place that no caption names is NaN.
    """
    right = (said == 0) | (said == seen)
    scores = {}
    for place, name in enumerate(grammar.places):
        named = said[:, place] > 0
        scores[name] = float(right[named, place].mean()) if named.any() else float("nan")
    scores["main"] = float(right[:, list(grammar.main)].all(axis=1).mean())
    scores["all"] = float(right.all(axis=1).mean())
    return scores


def pairwise_distance(images: np.ndarray) -> float:
    """The mean Euclidean distance between two samples of a caption: images (captions, samples, H, W, C)."""
    captions, samples = images.shape[:2]
    if samples < 2:
        raise ValueError(f"pairwise_distance: wanted at least 2 samples a caption, got {samples}")
    flat = images.reshape(captions, samples, -1).astype(np.float64)
    i, j = np.triu_indices(samples, 1)
    return float(np.mean([np.sqrt(((each[i] - each[j]) ** 2).sum(axis=1)).mean() for each in flat]))
