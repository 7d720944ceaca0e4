"""Repair without training on photographs: dB on the hole, beside scikit-image's biharmonic fill.

    python benchmarks/bench_fills.py              # a few minutes; --quick: two pictures, seconds
    python benchmarks/bench_fills.py --out DIR    # also a picture of each case: original, damaged, the repairs
    python benchmarks/bench_fills.py --images a.jpg b.png

The photographs are those that scikit-image (pip install scikit-image) and matplotlib ship: without scikit-image it
is one photograph, and biharmonic_fill is compared with nothing. Each is halved where its smaller side has 400
pixels or more, and its middle 256 x 256 are taken. Damage: strokes of 4 to 9 pixels over 8% of the picture, thin
ones of 1 to 3 over 5%, a square of 40 x 40; three draws of each. The weights of guided_fill were chosen on the
first six photographs; what it believes in deep in a hole, on squares in all 14. What --images names is new.
"""

import argparse
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from timing import machine, markdown

from npgan.backend import Status
from npgan.data import photograph
from npgan.filling import biharmonic_fill, guided_fill, harmonic_fill, mean_fill
from npgan.metrics.repair import psnr

CHOSEN_ON = ("hopper", "astronaut", "chelsea", "coffee", "camera", "rocket")
NEW = ("coins", "motorcycle_left", "retina", "moon", "ihc", "brick", "clock_motion", "hubble_deep_field")
KINDS = ("strokes", "thin strokes", "square")
METHODS = {"mean": mean_fill, "harmonic": harmonic_fill, "biharmonic": biharmonic_fill, "guided": guided_fill}


class Case(NamedTuple):
    """One picture (1, H, W, C), damaged once: mask (1, H, W, 1)."""

    picture: str
    kind: str
    seed: int
    image: np.ndarray
    mask: np.ndarray


def pictures(files: list[Path] | None, quick: bool) -> dict[str, np.ndarray]:
    """Photographs by name: float64 (1, H, W, C) in [-1, 1], at most 256 x 256."""
    if files:
        return {file.stem: middle(Image.open(file)) for file in files}
    found = {"hopper": middle(Image.fromarray(photograph()))}
    package = importlib.util.find_spec("skimage")
    if package:
        folder = Path(package.origin).parent / "data"
        for name in ("chelsea",) if quick else (*CHOSEN_ON[1:], *NEW):
            found[name] = middle(Image.open(next(folder.glob(f"{name}.*"))))
    return found


def middle(image: Image.Image, side: int = 256) -> np.ndarray:
    """The middle of an image, halved if it is large: (1, H, W, C) in [-1, 1], H and W at most `side`."""
    image = image.convert("L" if image.mode in ("1", "L", "I;16", "I") else "RGB")
    if min(image.size) >= 400:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    if min(image.size) < 64:
        raise SystemExit(f"--images: wanted at least 64 x 64 pixels, got {image.width} x {image.height}")
    left, top = (max(0, (length - side) // 2) for length in image.size)
    image = image.crop((left, top, min(image.width, left + side), min(image.height, top + side)))
    return np.asarray(image, float).reshape(1, image.height, image.width, -1) / 127.5 - 1


def draw_strokes(height: int, width: int, widths: tuple[int, int], part: float, seed: int) -> np.ndarray:
    """Walks of six pieces, drawn with a pen, until `part` of the pixels is missing: (1, H, W, 1)."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    while np.asarray(image).mean() / 255 < part:
        y, x, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, 2 * np.pi)
        broad, points = int(rng.integers(widths[0], widths[1] + 1)), [(x, y)]
        for _ in range(6):
            angle += rng.normal(0, 0.5)
            x, y = x + np.cos(angle) * height / 10, y + np.sin(angle) * height / 10
            points.append((x, y))
        pen.line(points, fill=255, width=broad, joint="curve")
    return (np.asarray(image) > 127).astype(np.float32)[None, :, :, None]


def square(height: int, width: int, side: int, seed: int) -> np.ndarray:
    """A square anywhere, 8 pixels from the border: (1, H, W, 1)."""
    rng = np.random.default_rng(1000 + seed)
    top, left = rng.integers(8, height - side - 8), rng.integers(8, width - side - 8)
    mask = np.zeros((1, height, width, 1), np.float32)
    mask[:, top : top + side, left : left + side] = 1
    return mask


def cases(images: dict[str, np.ndarray], seeds: int) -> Iterator[Case]:
    """Each picture with each kind of damage, `seeds` times."""
    for name, image in images.items():
        h, w = image.shape[1:3]
        for seed in range(seeds):
            yield Case(name, KINDS[0], seed, image, draw_strokes(h, w, (4, 9), 0.08, seed))
            yield Case(name, KINDS[1], seed, image, draw_strokes(h, w, (1, 3), 0.05, 50 + seed))
            yield Case(name, KINDS[2], seed, image, square(h, w, 40, seed))


def repair(case: Case) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """What each method makes of a case, and its seconds; scikit-image too, where it is installed."""
    damaged = np.where(case.mask == 1, np.nan, case.image)
    repairs, seconds = {}, {}
    for name, fill in METHODS.items():
        start = time.perf_counter()
        repairs[name] = fill(damaged, case.mask)
        seconds[name] = time.perf_counter() - start
    if importlib.util.find_spec("skimage"):
        from skimage.restoration import inpaint_biharmonic

        hole = case.mask[0, :, :, 0] == 1
        start = time.perf_counter()
        theirs = inpaint_biharmonic(np.where(case.mask == 1, 0, case.image)[0], hole, channel_axis=-1)
        seconds["scikit-image"] = time.perf_counter() - start
        repairs["scikit-image"] = theirs[None]
    return repairs, seconds


def table(scores: list[tuple[Case, dict[str, float]]]) -> str:
    """A line for each picture and kind of damage: mean dB of each method; the gain of guided, mean and least."""
    methods = list(scores[0][1])
    rows = []
    for kind in KINDS:
        of_kind = [(case.picture, score) for case, score in scores if case.kind == kind]
        names = list(dict.fromkeys(name for name, _ in of_kind))
        groups = [(name, (name,)) for name in names]
        groups += [("**all**", names), ("**new ones**", [name for name in names if name not in CHOSEN_ON])]
        for title, members in groups:
            group = [score for name, score in of_kind if name in members]
            if group:
                gains = [score["guided"] - score["biharmonic"] for score in group]
                means = [f"{np.mean([score[method] for score in group]):.2f}" for method in methods]
                rows.append([kind, title, *means, f"{np.mean(gains):+.2f}", f"{min(gains):+.2f}"])
    return markdown(["damage", "picture", *methods, "guided - biharmonic", "least"], rows)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="two pictures, one draw of each damage")
    add("--seeds", type=int, help="draws of each damage (default 3; with --quick 1)")
    add("--images", type=Path, nargs="+", help="photographs of your own instead")
    add("--out", type=Path, help="write a picture of each case there: original, damaged, and the repairs")
    args = parser.parse_args(argv)
    scores, seconds, differences = [], [], []
    print(machine(Status(False, "not asked for")))
    for case in cases(pictures(args.images, args.quick), args.seeds or (1 if args.quick else 3)):
        repairs, times = repair(case)
        scores.append(
            (
                case,
                {name: float(psnr(repaired, case.image, case.mask)[0]) for name, repaired in repairs.items()},
            )
        )
        seconds.append(times)
        if "scikit-image" in repairs:
            differences.append(np.abs(repairs["scikit-image"] - repairs["biharmonic"]).max())
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            damaged = np.where(case.mask == 1, 0, case.image)
            row = np.concatenate([case.image, damaged, *repairs.values()], axis=2)[0]
            pixels = np.round((row + 1) * 127.5).clip(0, 255).astype(np.uint8)
            name = f"{case.picture}_{case.kind.replace(' ', '_')}_{case.seed}.png"
            Image.fromarray(pixels.squeeze()).save(args.out / name)
    print(table(scores))
    print("Seconds:", ", ".join(f"{name} {np.mean([t[name] for t in seconds]):.2f}" for name in seconds[0]))
    if differences:
        ratios = [times["biharmonic"] / times["scikit-image"] for times in seconds]
        print(
            f"biharmonic beside scikit-image's: greatest difference {max(differences):.1e}, "
            f"time {np.median(ratios):.1f} times (at most {max(ratios):.1f})"
        )
        if max(differences) > 1e-6:
            raise SystemExit("biharmonic_fill is not scikit-image's")


if __name__ == "__main__":
    main()
