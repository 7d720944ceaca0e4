"""Step-through: what every lesson script shares. Flags, headings, pauses, pictures."""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from npgan import backend, checkpoint, show
from npgan.errors import DataError, TrainingError
from npgan.whole_file import whole_file

# The flags that shape a run, and their types: saved in checkpoints, and taken from there by --resume.
SETTINGS = {"data": str, "size": int, "channels": int, "seed": int, "steps": int, "quick": bool}
SIZE_LIMIT = 1024  # pixels: --generate builds no network for larger images, whatever a file says


class Lesson:
    """A lesson's flags and voice.

        lesson = Lesson("04_transposed_convolution", "The adjoint of a convolution")
        lesson.step("Output sizes")          # a heading; with --step, waits for Enter
        lesson.picture(figure, "sizes.png")  # saved in the output folder, shown in a notebook

    `steps` and `quick_steps` add --steps, for lessons that train; `data` adds --data, --size and --channels, for
    lessons that load images; `device` adds --device; `resume` adds --resume, `generate` and `repair` add --generate
    and --repair to it; `flags` (name -> help) adds flags of the lesson's own, each with a value, None where it is
    not given. The parsed flags are `lesson.args`; `args.steps` is already the number to run, with --quick or
    without. With --resume the flags that are not given, --out too, are those of the run that goes on;
    `args.resume` is its checkpoint or None.
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
        resume: bool = False,
        generate: bool = False,
        repair: bool = False,
        flags: dict[str, str] | None = None,
        argv: list[str] | None = None,
    ):
        sys.excepthook = _report_errors
        self.name = name
        self._kinds = SETTINGS | dict.fromkeys(flags or {}, str)
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
        if resume:
            add(
                "--resume",
                nargs="?",
                const="",
                metavar="FILE",
                help="go on from a checkpoint (without FILE: the newest in the output folder)",
            )
        if generate:
            add(
                "--generate",
                type=int,
                metavar="N",
                help="do not train: draw N samples with the weights of the checkpoint of --resume",
            )
        if repair:
            add(
                "--repair",
                metavar="PICTURES",
                help="do not train: repair these (what --data takes) with the weights of the checkpoint of --resume",
            )
        for flag, meaning in (flags or {}).items():
            add(f"--{flag}", help=meaning)
        self._settle(parser, steps, quick_steps, device, argv)
        self._default = {"data": data, "size": None, "channels": None} | dict.fromkeys(flags or {})
        self._default_steps = steps or 0
        self.rng = np.random.default_rng(self.args.seed)
        self._started = time.perf_counter()
        print(f"{name}: {title}")

    def _settle(self, parser, steps, quick_steps, device, argv) -> None:
        """Parse the flags (none in a notebook, whose command line is not ours) and fill in what depends on them."""
        if argv is None and _in_notebook():
            argv = []
        self.args = parser.parse_args(argv)
        if getattr(self.args, "resume", None) is not None:
            path = checkpoint.find(Path(self.args.resume or self.args.out))
            parser.set_defaults(**self._settings_of(path))
            self.args = parser.parse_args(argv)
            self.args.resume = path
        for name in ("generate", "repair"):
            if getattr(self.args, name, None) is not None and self.args.resume is None:
                parser.error(f"--{name} needs --resume: the checkpoint whose weights {name}")
        if getattr(self.args, "generate", None) is not None and self.args.generate < 1:
            parser.error(f"--generate must be at least 1, got {self.args.generate}")
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

    @property
    def shipped(self) -> bool:
        """Whether the flags that choose the data are the default, without --quick, and the steps at least."""
        args = vars(self.args)
        same = not args["quick"] and all(
            args.get(name, value) == value for name, value in self._default.items()
        )
        return same and args.get("steps", self._default_steps) >= self._default_steps

    def settings(self) -> dict[str, str | int | bool | None]:
        """The flags that shape the run, for its checkpoints: who resumes one must have the same."""
        args = vars(self.args)
        return {"lesson": self.name, **{name: args[name] for name in self._kinds if name in args}}

    def resumed_shape(self) -> tuple[int, int, int]:
        """The shape of the images of the run that --resume names, from its settings."""
        shape = checkpoint.read_settings(self.args.resume).get("shape")
        if not (
            isinstance(shape, list)
            and len(shape) == 3
            and all(type(n) is int and 1 <= n <= SIZE_LIMIT for n in shape)
        ):
            raise DataError(
                f"{self.args.resume}: wanted the shape of its images, sides of 1 to {SIZE_LIMIT}, got {shape!r:.80}"
            )
        return tuple(shape)

    def _settings_of(self, path: Path) -> dict[str, str | int | bool | Path | None]:
        """The flags of the run that wrote a checkpoint; --out is above its folder where each training has one."""
        found = checkpoint.read_settings(path)
        if found.get("lesson") != self.name:
            raise DataError(f"{path}: is of {found.get('lesson')!r}, this is {self.name!r}")
        for name, kind in self._kinds.items():
            if type(found.get(name)) not in (kind, type(None)):
                raise DataError(
                    f"{path}: its setting {name} should be {kind.__name__}, is {found[name]!r:.80}"
                )
        out = path.parent
        if path.absolute().parent.name == found.get("training"):
            out = path.absolute().parent.parent
        return {"out": out} | {name: found[name] for name in self._kinds if name in found}

    def step(self, heading: str) -> None:
        """Begin a step: print its heading, after the learner's Enter where --step was given."""
        if self.args.step:
            pause("Enter for the next step: ")
        print(f"\n== {heading}")

    def save(self, picture: Figure | np.ndarray, name: str) -> Path:
        """Save a figure, or uint8 pixels (H, W, 3), as a PNG in the output folder."""
        path = self.args.out / name
        with whole_file(path) as file:
            if isinstance(picture, Figure):
                picture.savefig(file, format="png", dpi=110, bbox_inches="tight")
            else:
                Image.fromarray(picture).save(file, format="PNG")
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

    def folder(self, name: str) -> Path:
        """A folder in the output folder, made if it is not there. Raises DataError where it cannot be."""
        folder = self.args.out / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: the folder cannot be made ({error.strerror})") from error
        return folder

    def pictures(
        self, images: np.ndarray, name: str, first: int = 0, before: Sequence[np.ndarray] = ()
    ) -> None:
        """Save images (N, H, W, 1 or 3) in [-1, 1] as PNG files name/0000.png, ..., numbered from `first`.

        The first call, first=0, shows them as a grid too, each behind those of `before`: arrays like `images`.
        """
        folder = self.folder(name)
        for number, image in enumerate(images, start=first):
            self.save(show.image_grid(image[None], gap=0), f"{name}/{number:04d}.png")
        if first == 0:
            rows = np.stack([*before, images], axis=1)  # N, how many side by side, H, W, C
            columns = rows.shape[1] * math.ceil(math.sqrt(len(images) / rows.shape[1]))
            rows, scale = rows.reshape(-1, *images.shape[1:]), max(1, 56 // images.shape[1])
            self.picture(show.image_grid(rows, columns, scale=scale), f"{name}.png")
        print(f"   {len(images)} images: {folder}")

    def end(self, verdict: str | None = None) -> None:
        """Say that the lesson ran to its end: its verdict, or that its assertions held."""
        took = f"in {time.perf_counter() - self._started:.0f} s"
        if verdict is None:
            print(f"\n{self.args.out}: all checks of this lesson passed {took}")
        else:
            print(f"\nverdict: {verdict}\n{self.args.out}: done {took}")


def pause(prompt: str) -> str:
    """Wait for Enter; return what was typed before it ("" where nobody can type)."""
    try:
        return input(prompt)
    except EOFError:
        print()
        return ""


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _report_errors(kind, error, trace) -> None:
    """Print in one line what is wrong with the user's data, device or run; leave other errors their traceback."""
    if issubclass(kind, DataError | TrainingError | backend.DeviceError):
        print(f"error: {error}", file=sys.stderr)
    elif not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
