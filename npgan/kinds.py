"""Kinds of images that nobody has named: clusters of small copies, found before a GAN learns.

A GAN whose players are told the kind of each image need not stretch one cloud of noise over all of them. Labels made
by K-means serve, too (Sage et al. 2018, "Logo synthesis and manipulation with clustered generative adversarial
networks", section 3.2), and every folder of pictures has them.
"""

import numpy as np

from npgan.clustering import k_means, pieces, spread_start, squared_distances
from npgan.data import Images

MOST = 100  # kinds
EACH = 190  # images of a kind, on average: of few images there are fewer kinds
SIDE = 14  # pixels: small copies have about so many a side; what is finer says little of the kind
SOME = 20_000  # images at most that the kinds are found on
ROUNDS = 20  # of K-means; whether one image in a hundred belongs elsewhere makes no difference here


class Kinds:
    """What kinds images of a shape (H, W, C) are of: `centres` (MOST, d) of small copies, and each kind's `shares`.

    `find` fills in as many as the images bear; the share of the others stays 0. A part of a checkpoint, too.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.centres = np.zeros((MOST, small(np.zeros((1, *shape), np.float32)).shape[1]), np.float32)
        self.shares = np.zeros(MOST)
        self.shares[0] = 1.0

    def find(self, images: Images, rng: np.random.Generator, count: int | None = None) -> "Kinds":
        """Find the kinds of images; `count` of them, or one for each EACH images. Returns itself."""
        rows = np.sort(rng.permutation(len(images))[:SOME])
        copies = np.concatenate([small(images[part]) for part in np.array_split(rows, -(-len(rows) // 1000))])
        count = min(count or max(1, len(copies) // EACH), MOST, len(copies))
        found = k_means(copies, spread_start(copies, count, rng), rounds=ROUNDS)
        self.centres[:count] = found.centres
        self.shares[:] = np.bincount(found.cluster, minlength=MOST) / len(copies)
        return self

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Kinds as often as they come: (count, MOST), float32, a 1 in each row, else 0."""
        return marked(rng.choice(MOST, count, p=self.shares))

    def tell(self, images: np.ndarray) -> np.ndarray:
        """Of what kind images (N, H, W, C) are, the nearest centre's: (N, MOST), as above."""
        copies, known = small(images), np.flatnonzero(self.shares)
        nearest = [
            squared_distances(copies[p], self.centres[known]).argmin(axis=1)
            for p in pieces(len(copies), MOST)
        ]
        return marked(known[np.concatenate(nearest)])

    def state(self) -> dict[str, np.ndarray]:
        """Copies of centres and shares."""
        return {"centres": self.centres.copy(), "shares": self.shares.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError where it is of images of another shape, or no state."""
        for name, mine in self.state().items():
            if state[name].shape != mine.shape or not np.isfinite(state[name]).all():
                raise ValueError(f"{name}: wanted {mine.shape} finite numbers, got {state[name].shape}")
        if (state["shares"] < 0).any() or abs(state["shares"].sum() - 1) > 1e-8:  # as `draw` wants them
            raise ValueError(
                f"shares: wanted no negative ones, and 1 in all, got {state['shares'].sum():g} in all"
            )
        self.centres, self.shares = state["centres"].copy(), state["shares"].copy()


def told_apart(images: Images, rng: np.random.Generator) -> np.ndarray:
    """What each image is of, whole numbers (N,): its class, or where nobody has named any its kind."""
    if images.classes is not None:
        return images.classes
    kinds = Kinds(images.shape).find(images, rng)
    parts = np.array_split(np.arange(len(images)), -(-len(images) // 1000))
    return np.concatenate([kinds.tell(images[part]).argmax(axis=1) for part in parts])


def marked(kind: np.ndarray) -> np.ndarray:
    """Whole numbers (N,) as rows (N, MOST) with a 1 in the column of that number, else 0; float32."""
    return (kind[:, None] == np.arange(MOST)).astype(np.float32)


def small(images: np.ndarray) -> np.ndarray:
    """Copies (N, d) of images (N, H, W, C): the means of squares of pixels, about SIDE a side."""
    n, h, w, c = images.shape
    f = max(1, round(min(h, w) / SIDE))
    h, w = h // f, w // f
    squares = images[:, : h * f, : w * f].reshape(n, h, f, w, f, c)
    return squares.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1)
