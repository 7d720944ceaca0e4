"""Captions of one word, "a cat": the class of an image, of whatever images have classes."""

import unicodedata

import numpy as np

from npgan.data.images import Images, check_whole
from npgan.errors import DataError


class Names:
    """Captions that name a class, with an article or without. A row is (1,): 1 + the class; 0 where none is said.

    Capital letters, spaces and how an accent is stored (some disks keep it beside its letter) make no difference.
    """

    places, main = ("class",), (0,)

    def __init__(self, names: tuple[str, ...]):
        self.words = {"class": names}
        self.count = 1 + len(names)  # of the numbers that `tokens` gives

    def read(self, caption: str) -> np.ndarray:
        """The row (1,) of a caption. DataError, one line, where it names no class."""
        names = {_plain(name): 1 + k for k, name in reversed([*enumerate(self.words["class"])])}
        spoken = _plain(caption)
        article, _, rest = spoken.partition(" ")
        for name in (spoken, rest if article in ("a", "an") else spoken):
            if name in names:
                return np.array([names[name]])
        known = ", ".join(self.words["class"][:50]) + (", ..." if self.count > 51 else "")
        raise DataError(f"caption {caption!r}: names no class; known are {known}")

    def write(self, row: np.ndarray) -> str:
        """The caption of a row (1,)."""
        return f"a {self.words['class'][row[0] - 1]}" if row[0] else "anything"

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Rows (N, 1) as numbers for an Embedding, from 0 to `count` - 1."""
        return rows


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


class NamedImages:
    """Images with classes, as CaptionedGlyphs has glyphs."""

    def __init__(self, images: Images, grammar: Names):
        self.images, self.grammar = images, grammar
        self.classes = images.labels["class"]
        self._of = {k: np.flatnonzero(self.classes == k) for k in np.unique(self.classes)}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    def draw(self, count: int, rng: np.random.Generator, *, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Images (count * copies, H, W, C) and rows (count * copies, 1); `copies` of each caption, side by side."""
        rows = self.fill(np.zeros((check_whole("count", count), 1), int), rng)
        rows = np.repeat(rows, check_whole("copies", copies), axis=0)
        return self.paint(rows, rng), rows

    def fill(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (N, 1) -> rows in which each 0 has become a class, drawn as often as it comes.

        DataError, one line, where a class is said of which there is no image.
        """
        for row in rows:
            if row[0] and row[0] - 1 not in self._of:
                raise DataError(f"caption {self.grammar.write(row)!r}: no image of this set is of that class")
        drawn = 1 + self.classes[rng.integers(len(self.classes), size=len(rows))]
        return np.where(rows > 0, rows, drawn[:, None])

    def paint(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An image of the class that each row (N, 1) names."""
        return self.images[np.array([rng.choice(self._of[k - 1]) for k in rows[:, 0]])]

    def colours(self, rows: np.ndarray) -> np.ndarray:
        """Foreground and background (N, 2, 1) of images of one channel: white and black."""
        return np.tile(np.float32([[[1.0], [-1.0]]]), (len(rows), 1, 1))

    def wrong(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (N, 1) of other classes, each as likely."""
        there = np.array(list(self._of))
        place = np.searchsorted(there, rows[:, 0] - 1)
        return 1 + there[(place + rng.integers(1, len(there), len(rows))) % len(there)][:, None]


def named(images: Images, source: str) -> NamedImages:
    """Images of which `source` says the classes. Raises DataError, one line, where there are not at least two."""
    classes = images.labels.get("class")
    if classes is None or len(np.unique(classes)) < 2:
        have = "have none" if classes is None else "are all of one"
        raise DataError(
            f"{source}: these images {have}; wanted classes, such as a folder with a sub-folder for each"
        )
    names = images.names or tuple(str(k) for k in range(int(classes.max()) + 1))
    return NamedImages(images, Names(names))
