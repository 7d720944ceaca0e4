"""What the scripts of lesson 16 share: captioned images, the two players, samples of captions, and their scores."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import data, show
from npgan.backend import to_device, to_numpy
from npgan.captioned import CaptionedGenerator, PairScore, Projection, image_features, text_encoder
from npgan.data import DIGITS, Images, glyphs
from npgan.data.captions import ALIKE, HELD_OUT, HELD_OUT_PAIR, SEEN, CaptionedGlyphs, Grammar
from npgan.data.named import NamedImages, named
from npgan.errors import DataError
from npgan.layers import Layer
from npgan.metrics.captions import ClassJudge, Judge, pairwise_distance, word_scores

SIZE = 32
NOISE, CODE, FEATURES = 48, 64, 128
Source = CaptionedGlyphs | NamedImages


class Problem(NamedTuple):
    """Images with captions to learn from, and others that nobody learns from."""

    train: Source
    everything: (
        Source  # the same images in all combinations, also those held out: it fills in what is left out
    )
    unseen: dict[str, Source]  # other images: combinations that were seen, and those that were held out
    images: Images  # what the judge learns from

    def judge(self, rng: np.random.Generator, *, steps: int) -> Judge | ClassJudge:
        if isinstance(self.train, CaptionedGlyphs):
            return Judge(self.images, self.train.grammar, rng, steps=steps)
        return ClassJudge(self.images, rng, steps=steps)


def load(settings: dict[str, Any], characters: str = DIGITS) -> Problem:
    """The captioned images of a run, from its settings (`Lesson.settings`).

    "glyphs" are painted and have whole captions; of all other data the classes are the captions. Raises DataError
    where there are none, or others than settings["classes"] (where a checkpoint's settings have that), and where the
    size is not divisible by 8.
    """
    source, size, seed = settings["data"], settings["size"] or SIZE, settings["seed"]
    if size % 8:
        raise DataError(f"--size {size}: wanted a size divisible by 8: the generator doubles it three times")
    if source != "glyphs":
        count = 1000 if settings["quick"] else None
        images = data.load(source, size=size, channels=settings["channels"], count=count, seed=seed)
        grammar = named(images, source).grammar
        names = list(grammar.words["class"])
        if settings.get("classes", names) != names:
            raise DataError(
                f"{source}: learned were the classes {settings['classes']!r:.80}, here are {names!r:.80}"
            )
        train, test = images.split(max(1, min(1000, len(images) // 6)), np.random.default_rng(seed))
        named(train, f"{source}, {len(train)} to learn from")  # two classes at least are left there
        learned = np.flatnonzero(np.isin(test.classes, train.classes))
        if not len(learned):
            raise DataError(
                f"{source}: {len(images)} images are too few: of no class is one left to be unseen"
            )
        seen, unseen = NamedImages(train, grammar), NamedImages(test.take(learned), grammar)
        return Problem(seen, seen, {"unseen": unseen}, train)
    if settings["channels"] not in (None, 3):
        raise DataError(f"--channels {settings['channels']}: captions name colours; wanted 3")
    many, few = (1500, 800) if settings["quick"] else (10_000, 4_000)
    ink = glyphs(many, size=size, characters=characters, seed=2 * seed)
    test = glyphs(few, size=size, characters=characters, seed=2 * seed + 1)
    grammar = Grammar(characters)
    kinds = grammar.kinds()
    parts = {"seen": SEEN, "held-out": HELD_OUT, "held-out pairs": HELD_OUT_PAIR}
    return Problem(
        CaptionedGlyphs(ink, grammar, kinds == SEEN),
        CaptionedGlyphs(ink, grammar, kinds != ALIKE),
        {name: CaptionedGlyphs(test, grammar, kinds == kind) for name, kind in parts.items()},
        ink,
    )


def make_generator(shape: tuple[int, int, int], grammar, rng: np.random.Generator) -> CaptionedGenerator:
    encoder = text_encoder(grammar.count, len(grammar.places), CODE, rng)
    return CaptionedGenerator(shape, encoder, CODE, rng, noise=NOISE)


def make_discriminator(
    shape: tuple[int, int, int], grammar, rng: np.random.Generator, *, width: int = 32, halvings: int = 3
) -> Projection:
    features = image_features(shape, FEATURES, rng, width=width, halvings=halvings)
    encoder = text_encoder(grammar.count, len(grammar.places), FEATURES, rng)
    return Projection(features, FEATURES, encoder, PairScore(FEATURES, rng))


def draw_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((count, NOISE), dtype=np.float32)


def sample(generator: Layer, tokens: np.ndarray, noise: np.ndarray, device: str = "numpy") -> np.ndarray:
    """Pictures (N, H, W, C) of captions in which no word is left out: numbers for the Embedding (N, places)."""
    parts = [
        generator.forward([to_device(a[start : start + 256], device) for a in (noise, tokens)], train=False)
        for start in range(0, len(tokens), 256)
    ]
    return np.concatenate([to_numpy(images) for images, _ in parts])


# Scores --------------------------------------------------------------------------------------------------------


def test_captions(unseen: Source, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (count, places) of captions: the main words are said, each other one in half of the captions."""
    _, rows = unseen.draw(count, rng)
    said = rng.random(rows.shape) < 0.5
    said[:, list(unseen.grammar.main)] = True
    return np.where(said, rows, 0)


def judged(
    rows: np.ndarray, images: np.ndarray, judge: Judge | ClassJudge, source: Source
) -> tuple[dict[str, float], float]:
    """What the judge says of pictures (captions * samples, H, W, C), and how far two of a caption are apart."""
    samples = len(images) // len(rows)
    scores = word_scores(np.repeat(rows, samples, axis=0), judge.read(images), source.grammar)
    return scores, pairwise_distance(images.reshape(len(rows), samples, *images.shape[1:]))


def part_of_real(distance: float, real: float) -> float:
    """How far two samples of a caption are apart, by that for real images; NaN where those are one and the same."""
    return distance / real if real else float("nan")


def varieties(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How many different words are seen on average in the samples of a caption that leaves that word out: (places,).

    rows (captions, places); seen (captions, samples, places). NaN where no caption leaves the word out.
    """
    found = np.full(rows.shape[1], np.nan)
    for place in range(rows.shape[1]):
        if (out := rows[:, place] == 0).any():
            found[place] = np.mean([len(np.unique(words)) for words in seen[out][:, :, place]])
    return found


def read_captions(given: Sequence[str], grammar) -> tuple[list[str], np.ndarray]:
    """The captions that --draw was given, or those in the one file that it was given; and their rows.

    Raises DataError, one line, where one of them cannot be understood, or the file cannot be read.
    """
    captions = list(given)
    if len(captions) == 1 and os.path.isfile(captions[0]):  # Path's raises OSError at a long caption
        try:
            lines = Path(captions[0]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--draw {captions[0]}: cannot be read ({error})") from error
        captions = [line.strip() for line in lines if line.strip()]
        if not captions:
            raise DataError(f"--draw {given[0]}: holds no caption; wanted one a line")
    return captions, np.array([grammar.read(caption) for caption in captions])


def pages(captions: Sequence[str], images: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """The pictures that --draw writes, by file name: a row for each caption, twenty at most in a picture.

    images (captions * samples, H, W, C): the samples of each caption, one caption after the other.
    """
    samples, scale = len(images) // len(captions), max(1, 64 // images.shape[1])
    for number, start in enumerate(range(0, len(captions), 20), start=1):
        part = images[samples * start : samples * (start + 20)]
        grid = show.image_grid(part, samples, scale=scale)
        name = "drawn.png" if number == 1 else f"drawn-{number}.png"
        yield name, show.titled(grid, "", rows=captions[start : start + 20])
