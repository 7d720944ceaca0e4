"""How the time of a training step and the memory grow with the batch and with the pixels; and how long imports take.

    python benchmarks/bench_scaling.py            # a few minutes; --quick: seconds, too short to judge by

The sizes of a series take turns, A B C A B C, so that what else the machine does falls on all of them; each is
compared with the smallest round by round. Where the pixels grow the network keeps its channels and its number of
layers: the generator starts at a sixteenth of the size, so that all convolutions have the same weights. (The dense
layers at its inner end grow with the pixels.) Peak memory is the resident set of a process that runs nothing else;
Python and NumPy are part of it.
"""

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from memory import peak_memory
from networks import dcgan
from timing import machine, markdown, measure

from npgan.backend import Status

ROOT = Path(__file__).parents[1]
IMPORTS = [  # the first is what the others are compared with
    "import numpy",
    "import npgan",  # loads nothing else, not even NumPy
    "import npgan.layers, npgan.optim, npgan.adversarial",  # what a lesson needs
    "pass",  # Python alone
]


class Point(NamedTuple):
    """A network, by the arguments of `dcgan`: size, channels, width, latent, start; and the images in a batch."""

    network: tuple[int, int, int, int, int]
    batch: int

    @property
    def pixels(self) -> int:
        """Of a whole batch."""
        return self.batch * self.network[0] ** 2


def series(quick: bool) -> dict[str, list[Point]]:
    """What grows, by name; the smallest first."""
    batches, sizes, width = ([4, 16], [16, 32], 4) if quick else ([16, 32, 64, 128, 256], [32, 64, 128], 16)
    return {
        f"batch, DCGAN 28x28x1, width {2 * width}": [Point((28, 1, 2 * width, 64, 7), n) for n in batches],
        f"batch, DCGAN 64x64x3, width {width}": [Point((64, 3, width, 100, 4), n) for n in batches],
        f"pixels, DCGAN, width {width}": [Point((s, 3, width, 100, s // 16), batches[1]) for s in sizes],
    }


def make_step(network: tuple[int, ...], batch: int) -> Callable[[], object]:
    """A function that plays one round of the game."""
    rng = np.random.default_rng(0)
    game = dcgan(*network, rng).start()
    return functools.partial(game.step, *game.draw(batch, rng))


def take_steps(network: tuple[int, ...], batch: int) -> None:
    """Five steps, for `peak_memory`."""
    step = make_step(network, batch)
    for _ in range(5):
        step()


def take_turns(turns: Sequence[Callable[[], float]], rounds: int) -> np.ndarray:
    """Seconds (rounds, turns): every turn once a round."""
    return np.array([[turn() for turn in turns] for _ in range(rounds)])


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and two of the values that hold the true one between them with a probability of 95%.

    Each value is as likely to lie above the true median as below it, whatever the noise looks like. So the number
    above is that of heads among n tosses of a coin: n / 2, give or take 1.96 sqrt(n) / 2.
    """
    values, n = sorted(values), len(values)
    cut = max(0, int((n - 1.96 * n**0.5) / 2))
    return float(np.median(values)), values[cut], values[n - 1 - cut]


def shown(values: Sequence[float]) -> str:
    """ "1.02 (0.98..1.05)": the median and its interval."""
    return "{:.3g} ({:.3g}..{:.3g})".format(*middle(values))


def time_series(name: str, points: list[Point], rounds: int) -> list[tuple[str, bool]]:
    """Print the table of one series; return its claims, each with whether it held."""
    steps = [make_step(*point) for point in points]
    turns = [lambda step=step: measure(step, "numpy", seconds=0.1, least=1).median for step in steps]
    times = take_turns(turns, rounds)
    memory = [peak_memory(f"import bench_scaling as b; b.take_steps({p.network}, {p.batch})") for p in points]

    per_pixel = times / [point.pixels for point in points]
    per_pixel /= per_pixel[:, :1]
    labels = [f"{point.network[0]}x{point.network[0]}, batch {point.batch}" for point in points]
    rows = [
        [label, shown(1e3 * column), shown(share), f"{mb:.0f}", f"{mb / memory[0]:.2f}"]
        for label, column, share, mb in zip(labels, times.T, per_pixel.T, memory)
    ]
    headings = ["", "step ms", "time per pixel, to the smallest's", "peak MB", "to the smallest's"]
    print(f"\n{name}\n\n{markdown(headings, rows)}", flush=True)

    # A claim fails only where the noise cannot explain it: where even the interval's lower end is above 1.
    worst = max(range(1, len(points)), key=lambda i: middle(per_pixel[:, i])[1])
    claim = f"{name}: time grows no faster than linearly; per pixel, worst at {labels[worst]}"
    claims = [(f"{claim}: {shown(per_pixel[:, worst])}", middle(per_pixel[:, worst])[1] <= 1)]
    if points[0].batch < points[-1].batch:
        quarter = [point.batch for point in points].index(points[-1].batch // 4)
        ratio = memory[-1] / memory[quarter]
        claim = f"{name}: memory at {points[-1].batch} images is at most 4.2 times that at {points[quarter].batch}"
        claims.append((f"{claim}: {ratio:.2f}", ratio <= 4.2))
    return claims


def time_imports(rounds: int) -> tuple[str, bool]:
    """Print how long fresh processes take from their start to their end; return the claim, and whether it held."""

    def turn(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - start

    turns = [functools.partial(turn, code) for code in IMPORTS]
    times = take_turns(turns, rounds + 1)[1:]  # the first reads the files from the disk
    ratios = times / times[:, :1]
    rows = [
        [f"`{code}`", shown(1e3 * column), shown(ratio)]
        for code, column, ratio in zip(IMPORTS, times.T, ratios.T)
    ]
    print("\nA fresh process\n\n" + markdown(["", "ms", "to NumPy's"], rows), flush=True)
    ours = float(np.median(ratios[:, 1]))
    return f"`{IMPORTS[1]}` takes at most 1.2 times `{IMPORTS[0]}`: {ours:.2f}", ours <= 1.2


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds, in seconds")
    args = parser.parse_args(argv)
    rounds = 3 if args.quick else 15
    print(f"{machine(Status(False, 'NumPy alone'))}\nfloat32; median (95% interval) of {rounds} rounds")
    claims = []
    for name, points in series(args.quick).items():
        claims += time_series(name, points, rounds)
    claims.append(time_imports(rounds))
    print()
    for claim, held in claims:
        print(f"{'holds' if held else 'FAILS'}  {claim}")
    if args.quick:
        print("(--quick: too short to judge by)")
    return 0 if args.quick or all(held for _, held in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
