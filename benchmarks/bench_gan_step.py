"""One training step of whole GANs on NumPy and on CuPy, with the transfers apart; or what a GPU should need for it.

    python benchmarks/bench_gan_step.py            # --quick in seconds, --csv FILE, --only NAME, --device numpy
    python benchmarks/bench_gan_step.py --model    # no GPU needed: a calculation, see benchmarks/model.py

A step is one round of the game with Adam on a batch that is already on the device. GFLOP and MB are the least it
has to do (benchmarks/work.py); GEMM is the machine's own speed, measured in the same run.
"""

import argparse
from pathlib import Path

import model
import numpy as np
from games import Game
from networks import WORKLOADS
from timing import (
    Timing,
    best,
    devices,
    gemm_line,
    gemm_speed,
    machine,
    markdown,
    measure,
    milliseconds,
    write_csv,
)
from work import step_work

from npgan.backend import to_device, to_numpy


class OnDevice:
    """A game with its batch on a device."""

    def __init__(self, game: Game, count: int, device: str, rng: np.random.Generator):
        self.game, self.device = game.start(device), device
        self.host_batch = game.draw(count, rng)
        self.upload()
        seen, _ = game.inputs(*self.batch)
        self.fake = game.generator.forward(*seen, train=False)

    def upload(self) -> None:
        """What each step brings to the device: a batch, its noise, and the masks where there are any."""
        self.batch = [to_device(array, self.device) for array in self.host_batch]

    def download(self) -> np.ndarray:
        """What a picture brings back: a batch of samples."""
        return to_numpy(self.fake)

    def step(self) -> None:
        """One round."""
        self.game.step(*self.batch)


def time_step(name: str, batch: int, device: str, seconds: float) -> tuple:
    """(device, FLOPs, bytes, time of a step, of an upload, of a download); no transfers on NumPy."""
    rng = np.random.default_rng(0)
    play = OnDevice(WORKLOADS[name](rng), batch, device, rng)
    operations, moved = step_work(play.game, *play.batch)
    transfers: list[Timing | None] = [None, None]
    if device == "cupy":
        transfers = [measure(act, device, seconds=0.2) for act in (play.upload, play.download)]
    return device, operations, moved, measure(play.step, device, seconds=seconds, least=3), *transfers


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="the small networks, seconds in all")
    add("--only", default="", help="only the networks whose names contain this")
    add("--batch", type=int, help="images in a batch (default 64; with --quick 16)")
    add("--device", choices=("numpy", "auto"), default="auto", help="auto: CuPy too, where there is a GPU")
    add("--csv", type=Path, help="write the table there as well")
    add("--model", action="store_true", help="calculate what a GPU should need, instead of timing")
    model.add_flags(parser)
    args = parser.parse_args(argv)
    names = [name for name in WORKLOADS if args.only in name]
    if not names:
        parser.error(f"--only {args.only}: none of {', '.join(WORKLOADS)}")
    if args.quick and not args.only:
        names = ["DCGAN 64x64x3, width 16", "DCGAN 28x28x1, width 32", "inpainting GAN 28x28x1"]
    batch = args.batch or (16 if args.quick else 64)
    if args.model:
        return model.report({name: WORKLOADS[name] for name in names}, batch, OnDevice, args)

    used, status = devices(args.device)
    print(f"{machine(status)}\nbatch {batch}, float32; times in ms as median (10%..90%)")
    seconds = 0.5 if args.quick else 3.0
    gemm = {device: gemm_speed(device) for device in used}
    found = [(name, *time_step(name, batch, device, seconds)) for name in names for device in used]
    gemm = best(gemm, {device: gemm_speed(device) for device in used})
    print(gemm_line(gemm) + "\n")
    headings = ["network", "device", "GFLOP", "MB", "step ms", "steps/s", "GFLOP/s", "of GEMM", "GB/s"]
    headings += ["upload ms", "download ms"]
    rows = []
    for name, device, operations, moved, timing, *transfers in found:
        speed = operations / timing.median
        rows.append(
            [name, device, f"{operations / 1e9:.3g}", f"{moved / 1e6:.3g}", milliseconds(timing)]
            + [f"{1 / timing.median:.3g}", f"{speed / 1e9:.3g}", f"{speed / gemm[device]:.0%}"]
            + [f"{moved / timing.median / 1e9:.3g}", *(milliseconds(t) if t else "none" for t in transfers)]
        )
        if "cupy" not in used:
            rows.append([name, f"cupy: {status.line}"] + [""] * (len(headings) - 2))
    print(markdown(headings, rows))
    if args.csv:
        write_csv(args.csv, headings, rows)


if __name__ == "__main__":
    main()
