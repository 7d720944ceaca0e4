"""Everything that a GPU should be tried with, once, in one command; the result is a report in Markdown to paste.

    python benchmarks/gpu_report.py                # about a quarter of an hour; --quick: a few minutes
    python benchmarks/gpu_report.py --rehearse     # without a GPU: the same on NumPy and the double, in short

Runs the tests with the CuPy path on the real device, both benchmarks, the model beside them, and a short training
of lesson 9 with its pictures. Writes report.md and the pictures to out/gpu (--out).
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from timing import machine

from npgan.backend import REMEDY, gpu_status

ROOT = Path(__file__).parents[1]
LAST_LINES = 40  # of a section's output that go into the report


class Section(NamedTuple):
    """One command, by its arguments to Python, and the pictures it leaves in the output folder."""

    title: str
    arguments: list[str]
    pictures: tuple[str, ...] = ()


def sections(out: Path, quick: bool, rehearse: bool) -> list[Section]:
    """What is run, in order."""
    short = ["--quick"] if quick or rehearse else []
    device = "numpy" if rehearse else "cupy"
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if rehearse:
        tests += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_device*.py"))]
    else:
        tests += ["--device", "cupy"]
    training = ["lessons/09_conv_gan.py", "--device", device, "--out", str(out / "conv_gan")]
    training += ["--quick"] if rehearse else ["--steps", "300" if quick else "1500"]
    config = [] if rehearse else [Section("CuPy", ["-c", "import cupy; cupy.show_config()"])]
    return [
        *config,
        Section("Tests and parity", tests),
        Section("Layers", ["benchmarks/bench_layers.py", *short, "--csv", str(out / "layers.csv")]),
        Section("Training steps", ["benchmarks/bench_gan_step.py", *short, "--csv", str(out / "steps.csv")]),
        Section("The model", ["benchmarks/bench_gan_step.py", "--model", *short]),
        Section(
            "A short training",
            training,
            ("conv_gan/samples.png", "conv_gan/losses.png", "conv_gan/walk.png"),
        ),
    ]


def run_python(arguments: list[str]) -> tuple[int, str]:
    """Run Python in the repository's folder; (exit status, what it printed)."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def write_section(
    section: Section, out: Path, run: Callable[[list[str]], tuple[int, str]]
) -> tuple[bool, str]:
    """Run a section; (whether it went well, its part of the report)."""
    start = time.perf_counter()
    status, text = run(section.arguments)
    verdict = "passed" if status == 0 else f"FAILED with exit status {status}"
    lines = text.rstrip().splitlines()
    table = [line for line in lines if line.startswith("|")]
    shown = lines if table else lines[-LAST_LINES:]
    body = "\n".join(shown) if table else "```\n" + "\n".join(shown) + "\n```"
    pictures = [f"![{Path(name).stem}]({name})" for name in section.pictures if (out / name).exists()]
    command = " ".join(["python", *section.arguments])
    seconds = time.perf_counter() - start
    parts = [f"## {section.title}: {verdict} in {seconds:.0f} s", f"`{command}`", body, *pictures]
    return status == 0, "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None, run: Callable[[list[str]], tuple[int, str]] = run_python) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/gpu"), help="folder (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small benchmarks and 300 training steps")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, to see that the report works")
    args = parser.parse_args(argv)
    status = gpu_status()
    if not args.rehearse and not status.usable:
        parser.exit(2, f"error: {status.line}; {REMEDY.partition(', or')[0]}, or see --rehearse\n")

    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.md"
    title = "a rehearsal: NO GPU, nothing here is a measurement of one" if args.rehearse else status.line
    parts, good = [f"# npgan: {title}\n\n{machine(status)}\n"], True
    for section in sections(out, args.quick, args.rehearse):
        print(f"{section.title} ...", flush=True)
        passed, part = write_section(section, out, run)
        print("   " + part.splitlines()[0].removeprefix("## "), flush=True)
        good = good and passed
        parts.append(part)
        report.write_text("\n".join(parts), encoding="utf-8")  # after each: what is there stays there
    print(f"report: {report}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
