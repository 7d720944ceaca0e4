"""Captions of glyphs, "a bold red 7 on blue": grammar, numbers, and images of which every word is true."""

import numpy as np

from npgan.data.glyphs import DIGITS
from npgan.data.images import Images, check_whole
from npgan.errors import DataError

# No two are alike: each is at least 0.4 of the way from black to red away from every other.
PALETTE = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "green": (20, 140, 50),
    "blue": (40, 60, 220),
    "yellow": (250, 220, 30),
    "cyan": (60, 200, 230),
    "pink": (240, 120, 200),
}
# The places of a caption, in their order. In a row of whole numbers, one a place, 0 means left out.
PLACES = ("weight", "size", "slant", "foreground", "character", "background")
WEIGHT, SIZE, SLANT, FOREGROUND, CHARACTER, BACKGROUND = range(len(PLACES))

# Between the two bounds neither word is true of a glyph (see the labels of `glyphs`).
SMALL, LARGE = 0.62, 0.68
UPRIGHT, SLANTED = 0.05, 0.15

SEEN, HELD_OUT, HELD_OUT_PAIR, ALIKE = range(4)  # kinds of combinations
NOUN = "character"  # stands where the character is left out


class Grammar:
    """Which captions there are: a [bold|thin] [small|large] [slanted|upright] [colour] [character] [on colour].

    Words before "on" may stand in any order; one that is left out means anything. Where the character is, "character"
    may stand in its place.
    """

    places, main = PLACES, (FOREGROUND, CHARACTER, BACKGROUND)

    def __init__(self, characters: str = DIGITS, palette: dict[str, tuple[int, int, int]] = PALETTE):
        colours = tuple(palette)
        choices = (
            ("bold", "thin"),
            ("small", "large"),
            ("slanted", "upright"),
            colours,
            tuple(characters),
            colours,
        )
        self.words = dict(zip(PLACES, choices))
        self.palette = np.array(list(palette.values()), np.float32) / 127.5 - 1  # colours, 3; in [-1, 1]
        sizes = [1 + len(words) for words in choices]
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.count = sum(sizes)  # of the numbers that `tokens` gives

    def read(self, caption: str) -> np.ndarray:
        """The row (6,) of a caption. DataError, one line, where it cannot be understood."""
        spoken = [word if len(word) == 1 else word.lower() for word in caption.split()]
        if not spoken:
            raise DataError(
                f"caption: it is empty, wanted one such as 'a bold red 7 on blue'; {self._known()}"
            )
        alone = spoken[0] == "A" or spoken[1:2] in ([], ["on"])  # then it is the letter, where there is one
        if spoken[0] in ("a", "A", "an") and not (alone and spoken[0] in self.words["character"]):
            del spoken[0]  # an article
        row, said = np.zeros(len(PLACES), int), {}
        if "on" in spoken:
            at = spoken.index("on")
            if len(spoken) != at + 2 or spoken[-1] not in self.words["background"]:
                raise DataError(
                    f"caption {caption!r}: wanted one colour after 'on', the last word; {self._known()}"
                )
            row[BACKGROUND] = 1 + self.words["background"].index(spoken[-1])
            spoken = spoken[:at]
        for word in spoken:
            places = [name for name in PLACES[:BACKGROUND] if word in self.words[name]]
            if not places and word != NOUN:
                raise DataError(f"caption {caption!r}: {word!r} is no word of the grammar; {self._known()}")
            for name in places:
                if said.setdefault(name, word) != word:
                    raise DataError(f"caption {caption!r}: {said[name]!r} and {word!r} contradict each other")
                row[PLACES.index(name)] = 1 + self.words[name].index(word)
        if row[FOREGROUND] and row[FOREGROUND] == row[BACKGROUND]:
            raise DataError(
                f"caption {caption!r}: on its own colour nothing can be seen; name two different ones"
            )
        return row

    def write(self, row: np.ndarray) -> str:
        """The caption of a row (6,)."""
        said = {name: self.words[name][k - 1] for name, k in zip(PLACES, row) if k}
        before = [said[name] for name in PLACES[:CHARACTER] if name in said]
        after = ["on", said["background"]] if "background" in said else []
        caption = " ".join(["a", *before, said.get("character", NOUN), *after])
        return caption.replace("a upright", "an upright")

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Rows (N, 6) as numbers for an Embedding, from 0 to `count` - 1: each word in each place has its own."""
        return rows + self.starts

    def kinds(self, seed: int = 0) -> np.ndarray:
        """Which combinations are seen in training: (characters, colours, colours), by character, fore-, background.

        ALIKE: both colours are the same. HELD_OUT_PAIR: the character is never seen in this foreground; each
        character has one. HELD_OUT: a fifth of the rest.
        """
        characters, colours = len(self.words["character"]), len(self.palette)
        kinds = np.full((characters, colours, colours), SEEN, np.int8)
        kinds[np.random.default_rng(seed).random(kinds.shape) < 0.2] = HELD_OUT
        kinds[np.arange(characters), (3 * np.arange(characters) + 2) % colours] = HELD_OUT_PAIR
        kinds[:, np.arange(colours), np.arange(colours)] = ALIKE
        for axis in range(3):  # where only one would be left to see, none is held out: `wrong` needs another
            few = (kinds == SEEN).sum(axis=axis, keepdims=True) < 2
            kinds[few & (kinds == HELD_OUT)] = SEEN
        return kinds

    def _known(self) -> str:
        *others, last = ["a", "on", NOUN, *(w for name in PLACES[:CHARACTER] for w in self.words[name])]
        return f"known are {', '.join([*others, last])} and the characters {''.join(self.words['character'])}"


class CaptionedGlyphs:
    """Painted glyphs, and captions that are true of them.

    ink: glyphs in grey, whose labels say which words are true.     allowed: booleans (characters, colours, colours),
        by character, foreground and background: which combinations are drawn.
    """

    def __init__(self, ink: Images, grammar: Grammar, allowed: np.ndarray):
        self.ink, self.grammar, self.allowed = ink, grammar, allowed
        self.combinations = (
            np.argwhere(allowed)[:, [1, 0, 2]] + 1
        )  # M, 3: in the order of a row's last three places
        self.true = true_words(ink)
        self._alike: dict[tuple, list[int]] = {}  # glyphs by the words that are true of them
        for n, row in enumerate(self.true.tolist()):
            self._alike.setdefault(tuple(row), []).append(n)
        self._of = [np.flatnonzero(self.true[:, CHARACTER] == k + 1) for k in range(len(allowed))]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.ink.shape[:2], 3)

    def draw(self, count: int, rng: np.random.Generator, *, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Images (count * copies, H, W, 3), float32 in [-1, 1], and the rows (count * copies, 6) of all true words.

        copies: so many different images of each caption, side by side.
        """
        colour = self.combinations[rng.integers(len(self.combinations), size=check_whole("count", count))]
        chosen = np.array([rng.choice(self._of[k - 1]) for k in colour[:, 1]])
        true = self.true[chosen]
        true[:, FOREGROUND:] = colour
        true = np.repeat(true, check_whole("copies", copies), axis=0)
        return self.paint(true, rng), true

    def fill(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (N, 6) in which words are left out -> rows of all words that are true of a glyph like that.

        What was left out is drawn as often as it comes. A 0 that stays, in size or slant, means that neither of the
        two words is true.
        """
        true, have = np.empty_like(rows), self.true[:, [WEIGHT, SIZE, SLANT, CHARACTER]]
        for n, row in enumerate(rows):
            wanted = row[FOREGROUND:]
            fitting = np.flatnonzero(((wanted == 0) | (wanted == self.combinations)).all(axis=1))
            if len(fitting):
                true[n, FOREGROUND:] = self.combinations[rng.choice(fitting)]
                wanted = np.append(row[:FOREGROUND], true[n, CHARACTER])
                fitting = np.flatnonzero(((wanted == 0) | (wanted == have)).all(axis=1))
            if not len(fitting):
                raise DataError(f"caption {self.grammar.write(row)!r}: no glyph of this set is like that")
            true[n, :FOREGROUND] = self.true[rng.choice(fitting), :FOREGROUND]
        return true

    def paint(self, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An image (H, W, 3) of a glyph, drawn among those alike, for each row (N, 6) of all true words."""
        alike = true.copy()
        alike[:, [FOREGROUND, BACKGROUND]] = 0
        share = (
            self.ink[[rng.choice(self._alike[tuple(row)]) for row in alike.tolist()]] + 1
        ) / 2  # N, H, W, 1
        fore, back = self.colours(true)[:, :, None, None].swapaxes(0, 1)  # each N, 1, 1, 3
        return back + share * (fore - back)

    def colours(self, true: np.ndarray) -> np.ndarray:
        """Foreground and background (N, 2, 3), in [-1, 1], of rows (N, 6) in which both are said."""
        return self.grammar.palette[true[:, [FOREGROUND, BACKGROUND]] - 1]

    def wrong(self, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (6 N, 6): the captions wrong in their first word, all in their second, and so on; each in one word.

        Only combinations that are drawn are named: otherwise those held out would be known for being always wrong.
        ValueError where there is none.
        """
        rows = np.repeat(true[None], len(PLACES), axis=0)  # 6, N, 6
        for place in (WEIGHT, SIZE, SLANT):
            own = true[:, place]
            rows[place, :, place] = np.where(
                own > 0, 3 - own, rng.integers(1, 3, len(own))
            )  # the other of two
        fore, character, back = true[:, FOREGROUND:].T - 1
        for place, own, others in (
            (FOREGROUND, fore, self.allowed[character, :, back]),
            (CHARACTER, character, self.allowed[:, fore, back].T),
            (BACKGROUND, back, self.allowed[character, fore]),
        ):
            others = others.copy()  # N, words
            others[np.arange(len(own)), own] = False
            if not others.any(axis=1).all():
                raise ValueError(f"allowed: some combination has no other beside it in its {PLACES[place]}")
            rows[place, :, place] = 1 + (others * rng.random(others.shape)).argmax(axis=1)
        return rows.reshape(-1, len(PLACES))


def true_words(ink: Images) -> np.ndarray:
    """The rows (N, 6) of the words that are true of grey glyphs; without colours, which they do not have."""
    true, labels = np.zeros((len(ink), len(PLACES)), int), ink.labels
    true[:, WEIGHT] = np.where(labels["weight"] == 1, 1, 2)
    true[:, SIZE] = np.select([labels["height"] < SMALL, labels["height"] > LARGE], [1, 2])
    true[:, SLANT] = np.select([labels["slant"] > SLANTED, labels["slant"] < UPRIGHT], [1, 2])
    true[:, CHARACTER] = 1 + labels["character"]
    return true
