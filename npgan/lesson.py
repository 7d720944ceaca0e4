"""Step-through: what every lesson script shares. Flags, headings, pauses, pictures."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from npgan import backend
from npgan.errors import DataError


class Lesson:
    """A lesson's flags and voice.

        lesson = Lesson("04_transposed_convolution", "The adjoint of a convolution")
        lesson.step("Output sizes")          # a heading; with --step, waits for Enter
        lesson.picture(figure, "sizes.png")  # saved in the output folder, shown in a notebook

    `steps` and `quick_steps` add --steps, for lessons that train; `data` adds --data, --size and --channels, for
    lessons that load images; `device` adds --device; `flags` (name -> help) adds flags of the lesson's own, each with
    a value, None where it is not given. The parsed flags are `lesson.args`; `args.steps` is already
    the number to run, with --quick or without.
    """

    def __init__(
        self,
        name: str,
        title: str,
        *,
        steps: int | None = None,
        quick_steps: int | None = None,
        data: str | None = None,
        device: bool = False,
        flags: dict[str, str] | None = None,
        argv: list[str] | None = None,
    ):
        sys.excepthook = _report_data_errors
        parser = argparse.ArgumentParser(prog=f"{name}.py", description=title)
        add = parser.add_argument
        add("--step", action="store_true", help="wait for Enter at each step")
        add("--quick", action="store_true", help="the whole lesson in seconds, to see that it runs")
        add("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
        add(
            "--out",
            type=Path,
            default=Path("out") / name,
            help="folder for what is written (default %(default)s)",
        )
        if steps is not None:
            add("--steps", type=int, help=f"training steps (default {steps})")
        if data is not None:
            add(
                "--data",
                default=data,
                help="glyphs, photo, mnist, fashion-mnist or a path (default %(default)s)",
            )
            add("--size", type=int, help="height and width of the images in pixels")
            add("--channels", type=int, choices=(1, 3), help="1: grey, 3: colour (default: as the data are)")
        if device:
            add("--device", choices=("numpy", "cupy", "auto"), default="auto", help="default %(default)s")
        for flag, meaning in (flags or {}).items():
            add(f"--{flag}", help=meaning)
        self._parser = parser
        self._settle(parser, steps, quick_steps, device, argv)
        self.rng = np.random.default_rng(self.args.seed)
        self._started = time.perf_counter()
        print(f"{name}: {title}")

    def _settle(self, parser, steps, quick_steps, device, argv) -> None:
        """Parse the flags (none in a notebook, whose command line is not ours) and fill in what depends on them."""
        if argv is None and _in_notebook():
            argv = []
        self.args = parser.parse_args(argv)
        if steps is not None:
            if self.args.steps is None:
                self.args.steps = quick_steps if self.args.quick else steps
            elif self.args.steps < 1:
                parser.error(f"--steps must be at least 1, got {self.args.steps}")
        if self.args.seed < 0:
            parser.error(f"--seed must not be negative, got {self.args.seed}")
        if device:
            try:
                self.args.device, line = backend.choose_device(self.args.device)
            except backend.DeviceError as error:
                parser.error(str(error))
            print(line)
        try:
            self.args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--out {self.args.out}: the folder cannot be made ({error.strerror})")

    def step(self, heading: str) -> None:
        """Begin a step: print its heading, after the learner's Enter where --step was given."""
        if self.args.step:
            pause("Enter for the next step: ")
        print(f"\n== {heading}")

    def save(self, picture: Figure | np.ndarray, name: str) -> Path:
        """Save a figure, or uint8 pixels (H, W, 3), as a PNG in the output folder."""
        path = self.args.out / name
        if isinstance(picture, Figure):
            picture.savefig(path, dpi=110, bbox_inches="tight")
        else:
            Image.fromarray(picture).save(path)
        return path

    def picture(self, picture: Figure | np.ndarray, name: str) -> Path:
        """Save a picture, and show it in a notebook or say where it is."""
        path = self.save(picture, name)
        if _in_notebook():
            from IPython.display import Image as Shown
            from IPython.display import display

            display(Shown(filename=str(path)))
        else:
            print(f"   picture: {path}")
        return path

    def end(self) -> None:
        """Say that the lesson ran to its end, its assertions included."""
        print(
            f"\n{self.args.out}: all checks of this lesson passed in {time.perf_counter() - self._started:.0f} s"
        )


def pause(prompt: str) -> str:
    """Wait for Enter; return what was typed before it ("" where nobody can type)."""
    try:
        return input(prompt)
    except EOFError:
        print()
        return ""


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _report_data_errors(kind, error, trace) -> None:
    """Print what is wrong with the user's data or device in one line; leave other errors their traceback."""
    if issubclass(kind, DataError | backend.DeviceError):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
