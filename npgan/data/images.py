"""A set of images: checked once, then served as float32 batches in [-1, 1]."""

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from npgan.data.lazy import Lazy, holds, pieces
from npgan.errors import DataError

# (smallest, largest, divisor, shift): what values may mean. The first that holds them all is meant.
RANGES = ((0, 1, 0.5, -1.0), (-1, 1, 1.0, 0.0), (0, 255, 127.5, -1.0))
ROUNDING = 1e-5  # values may pass the ends of their range by this part of it
Part = Callable[[np.ndarray], np.ndarray]  # of the rows of a batch, one process's
SCANNED_BYTES = 2 * 2**30  # more are not looked through


class Images:
    """Images of one shape, with labels where there are any.

    pixels: `(n, h, w, c)` or `(n, h, w)`, c = 1 or 3; uint8 in 0..255, or other numbers, whole ones and booleans
        too, in [-1, 1], [0, 1] or [0, 255] (told apart by the smallest and the largest value of the set).
        Anything with a shape, a dtype and indexing by slice and integer array will do, so a file on the disk is
        never held in memory.
    labels: name -> array with n rows.     name: what error messages call the set.
    notes: what was done to make the set what it is, in sentences, one a line.
    names: of the classes that labels["class"] numbers, where they have some.
    Raises DataError if the array cannot be used.
    """

    def __init__(
        self,
        pixels,
        labels: dict[str, np.ndarray] | None = None,
        name: str = "images",
        notes: Sequence[str] = (),
        names: Sequence[str] = (),
    ):
        self.name, self.names = name, tuple(names)
        self.notes = tuple(notes)
        self.pixels = _nhwc(pixels, name)
        self.labels = {key: np.asarray(value) for key, value in (labels or {}).items()}
        for key, value in self.labels.items():
            if value.shape[:1] != (len(self),):
                raise DataError(f"{name}: {len(self)} images, but labels {key!r} have shape {value.shape}")
        self._divisor, self._shift, note = _to_unit_range(self.pixels, name)
        self.notes += note

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return tuple(int(n) for n in self.pixels.shape[1:])

    @property
    def classes(self) -> np.ndarray | None:
        """Of which class each image is, whole numbers (n,): labels["character"], or labels["class"], or None."""
        return self.labels.get("character", self.labels.get("class"))

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def __getitem__(self, rows) -> np.ndarray:
        """The images at `rows`: float32 in [-1, 1], a copy.

        A slice or an integer array gives (rows, h, w, c), a single number (h, w, c).
        """
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        x = np.array(self.pixels[rows], dtype=np.float32)
        x /= self._divisor
        x += self._shift
        return np.clip(x, -1, 1, out=x)  # rounding may pass the bounds by a hair

    def take(self, rows: np.ndarray) -> "Images":
        """The subset at the integer array `rows`, in that order; shares the pixels, copies the labels."""
        store, rows = self.pixels, np.asarray(rows)
        pixels = Lazy((len(rows), *store.shape[1:]), store.dtype, lambda i: store[rows[i]], holds(store))
        part = self.with_pixels(pixels)
        part.labels = {key: value[rows] for key, value in self.labels.items()}
        return part

    def with_pixels(self, pixels) -> "Images":
        """The same set with other pixels in the same range of values."""
        # Not the constructor: it would guess the range anew, and a part of the set may show less of it.
        other = copy.copy(self)
        other.pixels = pixels
        return other

    def split(self, count: int, rng: np.random.Generator) -> tuple["Images", "Images"]:
        """Two random disjoint parts, the second with `count` images; ValueError unless 0 < count < n.

        DataError if there are no two images.
        """
        if len(self) < 2:
            raise DataError(
                f"{self.name}: holds one image, wanted at least 2: some to learn from, some to be unseen"
            )
        count = check_whole("count", count, high=len(self) - 1)
        order = rng.permutation(len(self))
        return self.take(order[count:]), self.take(order[:count])

    def batches(self, batch_size: int, rng: np.random.Generator, part: Part | None = None) -> "Batches":
        """Endless float32 batches (batch_size, h, w, c); each epoch is shuffled anew, its short rest dropped.

        The order depends on `rng` alone: the same generator state gives the same batches. part: which rows of a
        batch are read and served, where several processes share it: `Ranks.part` (npgan/distributed.py).
        Raises DataError if the set is smaller than one batch.
        """
        if check_whole("batch_size", batch_size) > len(self):
            raise DataError(f"{self.name}: {len(self)} images do not fill one batch of {batch_size}")
        return Batches(self, batch_size, rng, part)


class Batches:
    """The iterator that `Images.batches` returns. It knows its place in the epoch, which is its state."""

    def __init__(self, images: Images, batch_size: int, rng: np.random.Generator, part: Part | None = None):
        self.images, self.batch_size, self.rng, self._part = images, batch_size, rng, part
        self.order = np.arange(len(images))  # of this epoch
        self.position = len(images)  # how many of them have been served; all, so the first epoch comes next

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        if self.position + self.batch_size > len(self.order):
            self.order, self.position = self.rng.permutation(len(self.order)), 0
        self.position += self.batch_size
        return self.images[self.rows if self._part is None else self._part(self.rows)]

    @property
    def rows(self) -> np.ndarray:
        """Which images the last batch was made of, for their labels."""
        return self.order[self.position - self.batch_size : self.position]

    def state(self) -> dict[str, np.ndarray]:
        """The order of this epoch and the place in it; the generator keeps a state of its own."""
        return {"order": self.order.copy(), "position": np.array(self.position)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError where it is of a set of another size."""
        order, position = state["order"], int(state["position"])
        if not np.array_equal(np.sort(order), np.arange(len(self.order))):
            raise ValueError(f"order is not one of {len(self.order)} images")
        if not 0 <= position <= len(order):
            raise ValueError(f"position is {position}, wanted 0 to {len(order)}")
        self.order, self.position = order.copy(), position


def check_whole(name: str, value, low: int = 1, high: int | None = None) -> int:
    """`value` as an int; ValueError naming the argument if it is not a whole number in low..high."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}: wanted a whole number, got {value!r}") from None
    if number < low or (high is not None and number > high):
        wanted = f"at least {low}" if high is None else f"a number in {low}..{high}"
        raise ValueError(f"{name}: wanted {wanted}, got {number}")
    return number


def _nhwc(pixels, name: str):
    """`pixels` as (n, h, w, c), or a DataError that says what is wrong with its shape or dtype."""
    if not (hasattr(pixels, "shape") and hasattr(pixels, "dtype")):
        raise DataError(f"{name}: wanted an array of images, got {type(pixels).__name__}")
    shape = tuple(pixels.shape)
    if pixels.dtype.kind not in "buif":
        raise DataError(f"{name}: wanted uint8, or other numbers, got dtype {pixels.dtype}")
    if 0 in shape:
        raise DataError(f"{name}: is empty, shape {shape}")
    if len(shape) == 3 and shape[2] > 3:
        if isinstance(pixels, Lazy):
            return Lazy((*shape, 1), pixels.dtype, lambda rows: pixels[rows][..., None], pixels.holds)
        return pixels[..., None]  # (n, h, w) -> (n, h, w, 1)
    if len(shape) == 4 and shape[3] in (1, 3):
        return pixels
    hint = ""
    if len(shape) == 4 and shape[1] in (1, 3):
        hint = "; channels come last here: np.transpose(images, (0, 2, 3, 1))"
    raise DataError(
        f"{name}: wanted shape (n, height, width, 1 or 3) or (n, height, width), got {shape}{hint}"
    )


def _to_unit_range(pixels, name: str) -> tuple[float, float, tuple[str, ...]]:
    """(divisor, shift, notes) such that pixels / divisor + shift lies in [-1, 1]; uint8 needs no note."""
    if pixels.dtype == np.uint8:
        return 127.5, -1.0, ()
    if pixels.dtype == bool:
        return 0.5, -1.0, ()
    nbytes = math.prod(pixels.shape) * pixels.dtype.itemsize
    if nbytes > SCANNED_BYTES:
        raise DataError(
            f"{name}: {nbytes:,} bytes of {pixels.dtype} would have to be looked through for their range, "
            f"the limit is {SCANNED_BYTES:,}; save the images as uint8"
        )
    low, high = _range(pixels, name)
    for bottom, top, divisor, shift in RANGES:
        leeway = ROUNDING * (top - bottom)
        if bottom - leeway <= low and high <= top + leeway:
            note = f"{name}: values from {low:g} to {high:g}, taken as those of the range [{bottom}, {top}]"
            return divisor, shift, (note,)
    hint = f"; if {low:g} is black and {high:g} white, save (images - ({low:g})) / {high - low:g}"
    raise DataError(
        f"{name}: values must lie in [-1, 1], [0, 1] or [0, 255], these lie in [{low:g}, {high:g}]"
        + (hint if low < high else "")
    )


def _range(pixels, name: str) -> tuple[float, float]:
    """(smallest, largest) value; DataError if any is not finite."""
    low, high, bad, first = np.inf, -np.inf, 0, None
    row_bytes = math.prod(pixels.shape[1:]) * pixels.dtype.itemsize
    for rows in pieces(pixels.shape[0], row_bytes):  # the set may be larger than the memory
        piece = np.asarray(pixels[rows])
        smallest, largest = float(piece.min()), float(piece.max())  # NaN if any is
        if not np.isfinite([smallest, largest]).all():
            wrong = ~np.isfinite(piece)
            bad += int(wrong.sum())
            if first is None:
                image, *rest = (int(i) for i in np.argwhere(wrong)[0])
                first = (rows.start + image, *rest)
        low, high = min(low, smallest), max(high, largest)
    if bad:
        raise DataError(f"{name}: {bad} values are NaN or infinite, the first at index {first}")
    return low, high
