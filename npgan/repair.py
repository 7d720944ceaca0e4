"""Training networks that repair, repairing with them, and scoring what they did, for the scripts of lesson 11.

Every score is counted on the hole alone, on images that no network has seen.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import checkpoint, data, masks, show
from npgan.backend import Array, array_module, to_device, to_numpy
from npgan.data import Images
from npgan.errors import DataError
from npgan.inpainting import inpainting_step
from npgan.layers import Layer
from npgan.metrics.repair import psnr, ssim
from npgan.networks import Inpainter, inpainting_discriminator
from npgan.optim import Adam, MovingAverage, cosine_decay
from npgan.series import Series
from npgan.training import Run

STEPS = 2200  # of lesson 11's reconstruction

# The images and their holes ------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Images to learn from, others to be scored on, and the holes."""

    train: Images
    truth: np.ndarray  # N, H, W, C in [-1, 1]: undamaged, never trained on
    masks: np.ndarray  # N, H, W, 1: their holes, 1 = missing
    kind: str  # of holes: see npgan.masks.make
    damaged: np.ndarray  # N, H, W, C: the hole in the mean colour of what is known

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self.train.shape

    def draw(self, count: int, rng: np.random.Generator, device: str) -> list[Array]:
        """A batch to learn from: images, masks, and noise (count, 16)."""
        rows = rng.integers(len(self.train), size=count)
        mask = masks.make(self.kind, count, *self.shape[:2], rng)
        noise = rng.standard_normal((count, 16), dtype=np.float32)
        return [to_device(array, device) for array in (self.train[rows], mask, noise)]


def load(settings: dict[str, Any]) -> Problem:
    """The images and holes of a run, from its settings (`Lesson.settings`): one in five images is to be scored on.

    Where they are those of a training that is done, the data must be as they were. Raises DataError.
    """
    source, seed, kind = settings["data"], settings["seed"], settings["mask"] or "centre"
    count = 900 if settings["quick"] else 10_000
    images = data.load(source, size=settings["size"], channels=settings["channels"], count=count, seed=seed)
    height, width, _ = images.shape
    check_size(source, height, width)
    if len(images) < 2:
        raise DataError(
            f"{source}: {len(images)} image, wanted at least 2: one to learn from, one to score on"
        )
    train, test = images.split(max(1, len(images) // 5), np.random.default_rng(seed))
    now = checkpoint.fingerprint(train)
    then = {name: settings.get(name, now[name]) for name in now}
    if then != now:
        same = (
            "of the same number and shape, but others" if then["images"] == now["images"] else now["images"]
        )
        raise DataError(
            f"{source}: has changed since the training: {then['images']} images of shape {then['shape']} to learn "
            f"from then, now {same} of {now['shape']}"
        )
    truth = test[:]
    holes = masks.make(kind, len(truth), height, width, np.random.default_rng(seed + 1000))
    return Problem(train, truth, holes, kind, masks.damage(truth, holes))


def shipped(settings: dict[str, Any]) -> bool:
    """Whether a run of lesson 11 had the images, the hole and at least the steps that it ships."""
    flags = [settings[name] for name in ("data", "size", "channels", "quick")]
    centre = settings["mask"] in (None, "centre")
    return flags == ["glyphs", None, None, False] and centre and settings["steps"] >= STEPS


def check_size(source: Any, height: int, width: int) -> None:
    """The network halves the size twice, and the window of SSIM has 11 x 11 pixels.

    Raises DataError, which names `source`, where one of the two cannot be.
    """
    if height % 4 or width % 4 or min(height, width) < 12:
        raise DataError(
            f"{source}: {height} x {width} pixels; both must be divisible by 4 and at least 12, "
            f"try --size {4 * max(3, height // 4)}"
        )


# Training and repairing ----------------------------------------------------------------------------------------


def train(
    series: Series,
    problem: Problem,
    name: str,
    network: Inpainter,
    steps: int,
    rng: np.random.Generator,
    *,
    reconstruction: float = 1.0,
    adversarial: float = 0.0,
    seeking: float = 0.0,
    rate: float = 2e-3,
    batch: int = 32,
    make_discriminator: Callable[..., Layer] = inpainting_discriminator,
) -> tuple[Layer, Run]:
    """Do the training `name`, with `network` in place; return the moving average of its weights, and the run.

    seeking: see `inpainting_step`. Above 0 a batch holds half as many images, each repaired with two noises.
    make_discriminator: a function of (shape, rng) that returns a new one.
    """
    device = series.lesson.args.device
    xp = array_module(network.parameters()[0].value)
    discriminator = make_discriminator(problem.shape, rng).to(device)
    g_optimizer = Adam(network.parameters(), cosine_decay(rate, rate / 100, steps), beta_1=0.9)
    d_optimizer = Adam(discriminator.parameters(), cosine_decay(4e-4, 4e-6, steps))
    average = MovingAverage(network)
    parts = {
        "network": network,
        "discriminator": discriminator,
        "g_optimizer": g_optimizer,
        "d_optimizer": d_optimizer,
        "average": average,
        "rng": rng,
    }

    run = series.run(name, steps, parts, lambda: look(problem, average.layer, device))
    for _ in run:
        real, mask, noise = problem.draw(batch, rng, device)
        if seeking:
            real, mask = (xp.concatenate([array[: batch // 2]] * 2) for array in (real, mask))
        fake = network.forward(masks.damage(real, mask), mask, noise)
        undamaged = None
        if adversarial:
            other, other_mask, _ = problem.draw(batch, rng, device)
            undamaged = xp.concatenate([other, other_mask], axis=3)  # N, H, W, C + 1
        figures = inpainting_step(
            *(network, discriminator, g_optimizer, d_optimizer),
            *(fake, real, mask, undamaged),
            reconstruction=reconstruction,
            adversarial=adversarial,
            seeking=seeking,
            after=run.part,
        )
        average.update()
        run.log(**figures)
    return average.layer, run


def look(problem: Problem, network: Layer, device: str) -> tuple[np.ndarray, dict[str, float]]:
    """For --live: images of those to be scored on, original, damaged and repaired, and their scores."""
    truth, holes, damaged = problem.truth[:32], problem.masks[:32], problem.damaged[:32]
    repaired = repair(network, truth, holes, np.random.default_rng(0), device)
    triples = np.stack([truth, damaged, repaired], axis=1)[:24].reshape(-1, *problem.shape)
    scores = {"PSNR in the hole, dB": float(each_psnr(repaired, truth, holes).mean())}
    return show.image_grid(triples, 9), scores | {"SSIM": float(ssim(repaired, truth, holes).mean())}


def repair(
    network: Inpainter, images: np.ndarray, holes: np.ndarray, rng: np.random.Generator, device: str
) -> np.ndarray:
    """Repair images of the host (N, H, W, C), 250 at a time, each with noise of its own, in inference mode."""
    parts = []
    for start in range(0, len(images), 250):
        x, m = images[start : start + 250], holes[start : start + 250]
        z = rng.standard_normal((len(x), network.noise), dtype=np.float32)
        x, m, z = (to_device(array, device) for array in (masks.damage(x, m), m, z))
        parts.append(to_numpy(network.forward(x, m, z, train=False)))
    return np.concatenate(parts)


# Scores --------------------------------------------------------------------------------------------------------


class Score(NamedTuple):
    """On the hole, over n images: mean and spread (standard deviation) of PSNR in dB and of SSIM.

    PSNR is taken image by image and then averaged, as is usual; an exact copy, whose PSNR would be infinite, counts
    60 dB. `pooled` is the PSNR of the mean squared error of all images together: a few lucky copies cannot lift it.
    """

    n: float
    psnr: float
    spread: float
    pooled: float
    ssim: float
    ssim_spread: float


def each_psnr(repaired: np.ndarray, truth: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """PSNR in dB, at most 60, of each repaired image (n, H, W, C), on the first n of `truth` and `holes`: (n,)."""
    n = len(repaired)
    return np.minimum(psnr(repaired, truth[:n], holes[:n]), 60)


def score(repaired: np.ndarray, truth: np.ndarray, holes: np.ndarray) -> Score:
    """Score repaired images (n, H, W, C) beside the first n of `truth`, on the first n of the holes."""
    n = len(repaired)
    each = each_psnr(repaired, truth, holes)
    pooled = 10 * np.log10(4 / np.mean(4 / 10 ** (each / 10)))
    similarity = ssim(repaired, truth[:n], holes[:n])
    return Score(n, each.mean(), each.std(), pooled, similarity.mean(), similarity.std())


def table(results: dict[str, Score], seeds: dict[str, Sequence[Score]] | None = None) -> str:
    """The results as lines of text; `seeds` adds the range of the means of several trainings."""
    head = f"{'method':<16} {'images':>6}  {'PSNR, dB':>14}  {'pooled':>6}  {'SSIM':>15}"
    lines = [head + f"  {'seeds, dB':>12}" if seeds else head]
    for name, r in results.items():
        each = [s.psnr for s in (seeds or {}).get(name, [])]
        span = f"{min(each):.2f}-{max(each):.2f}" if each else ""
        psnr_text = f"{r.psnr:.2f} +- {r.spread:.2f}"
        ssim_text = f"{r.ssim:.3f} +- {r.ssim_spread:.3f}"
        line = f"{name:<16} {r.n:6.0f}  {psnr_text:>14}  {r.pooled:6.2f}  {ssim_text:>15}  {span:>12}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def comparison(problem: Problem, repairs: dict[str, np.ndarray], rows: int = 6) -> Figure:
    """Original, mask, damaged and each repair of the first images, with PSNR and SSIM on the hole."""
    truth, holes = problem.truth, problem.masks
    rows = min(rows, *(len(repaired) for repaired in repairs.values()))
    columns = {"original": truth, "mask": 2 * holes - 1, "damaged": problem.damaged, **repairs}
    figure = Figure(figsize=(1.25 * len(columns), 1.5 * rows))
    for row in range(rows):
        for column, (name, pictures) in enumerate(columns.items()):
            axes = figure.add_subplot(
                rows, len(columns), row * len(columns) + column + 1, xticks=[], yticks=[]
            )
            axes.imshow(show.to_pixels(pictures[row]).squeeze(), cmap="gray", vmin=0, vmax=255)
            if row == 0:
                axes.set_title(name, fontsize=9)
            if name in repairs:
                one = slice(row, row + 1)
                p, s = (measure(pictures[one], truth[one], holes[one])[0] for measure in (psnr, ssim))
                axes.set_xlabel(f"{p:.1f} dB  {s:.2f}", fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure
