"""Step-through: what every lesson script shares. Flags, headings, pauses, pictures."""

import argparse
import base64
import io
import math
import shlex
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from npgan import backend, checkpoint, distributed, show
from npgan.claim import claim
from npgan.data.images import Images
from npgan.errors import DataError
from npgan.fast import parallel
from npgan.flags import ALWAYS, AT_LEAST_ONE, GROUPS, OF_A_CHECKPOINT, SETTINGS, SIZE_LIMIT
from npgan.pauses import pause
from npgan.voice import prepare, printable, say
from npgan.whole_file import sweep, whole_file, write_kept, write_or_keep


class Lesson:
    """A lesson's flags and voice.

        FLAGS = ""  # in a notebook the flags stand here
        lesson = Lesson("04_transposed_convolution", "The adjoint of a convolution", FLAGS)
        lesson.step("Output sizes")          # a heading; with --step, waits for Enter
        lesson.picture(figure, "sizes.png")  # saved in the output folder, shown in a notebook
        lesson.end()

    A lesson asks for groups of flags by keyword (see npgan.flags): `steps=6000` (with `quick_steps`, for --quick)
    where it trains, `data="glyphs"` where it loads images, `device=True`, `live=True`, `resume=True`,
    `generate=True`, `repair=True`, `draw=True`, and `ranks=True` where mpiexec may start it. `flags` (name -> help)
    adds flags of its own, each with a value, None where it is not given.

    `line` has flags as one would type them behind the script's name, for notebooks, which have no command line. Where
    there is one, its flags come after those of `line`, and win.

    The parsed flags are `lesson.args`; `args.steps` is already the number to run, with --quick or without. With
    --resume the flags that are not given, --out too, are those of the run that goes on; `args.resume` is its
    checkpoint or None. No other run can write in the output folder while this one lives (see npgan.claim).
    `lesson.ranks` are the processes that run it together (see npgan.distributed); rank 0 alone speaks and writes.
    """

    def __init__(
        self,
        name: str,
        title: str,
        line: str = "",
        *,
        quick_steps: int | None = None,
        flags: dict[str, str] | None = None,
        argv: list[str] | None = None,
        **groups: str | int | bool | None,
    ):
        prepare()
        self.ranks = distributed.start()
        if unknown := groups.keys() - GROUPS.keys():
            raise TypeError(f"Lesson: no group of flags is called {', '.join(sorted(unknown))}")
        self.name, self._own = name, flags or {}
        self._groups = {group: value for group, value in groups.items() if value}
        self._kinds = SETTINGS | dict.fromkeys(self._own, str)
        parser = self._parser(title)
        self.args = self._parse(parser, self._given(parser, line, argv))
        self._steps_given = True
        if "steps" in self._groups and self.args.steps is None:
            self._steps_given = self.args.quick
            self.args.steps = quick_steps if self.args.quick else self._groups["steps"]
        self._check(parser)
        if self.ranks.rank == 0:
            self._claim = claim(self.args.out)
            sweep(self.args.out)
        self.rng = self._random_numbers()
        self._folders: dict[str, Path] = {}  # name -> where `pictures` writes
        self._started = time.perf_counter()
        say(f"{name}: {title}")
        if self.args.quick:
            say("--quick: a short run, to see that all works; the text describes the full one")
        if not __debug__:
            say("python -O: the checks of this lesson are turned off")
        if self.ranks.size > 1:
            say(f"{self.ranks.size} ranks share each batch")
        if self._asks_a_checkpoint():
            self.ranks.leave()

    # Flags

    def _parser(self, title: str) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog=f"{self.name}.py", description=title)
        wanted = {flag: (options, "") for flag, options in ALWAYS.items()}
        for group, value in self._groups.items():
            wanted |= {flag: (options, value) for flag, options in GROUPS[group].items()}
        wanted |= {flag: (dict(help=meaning), "") for flag, meaning in self._own.items()}
        for flag, (options, value) in wanted.items():
            parser.add_argument(f"--{flag}", **options | {"help": options["help"].replace("{}", str(value))})
        parser.set_defaults(out=Path("out") / self.name)
        if "data" in self._groups:
            parser.set_defaults(data=self._groups["data"])
        return parser

    def _given(self, parser: argparse.ArgumentParser, line: str, argv: list[str] | None) -> list[str]:
        """The flags of the line, then those of the command line. A notebook has none: there it is the kernel's."""
        if argv is None:
            argv = [] if in_notebook() else sys.argv[1:]
        try:
            return shlex.split(line) + argv
        except ValueError as error:
            parser.error(f"FLAGS = {line!r}: {error}")

    def _parse(self, parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
        """Parse the flags; with --resume, those that are not given are the checkpoint's."""
        args = parser.parse_args(argv)
        if getattr(args, "resume", None) is not None:
            path = checkpoint.find(Path(args.resume or args.out))
            parser.set_defaults(**self._settings_of(path))
            args = parser.parse_args(argv)
            args.resume = path
        return args

    def _check(self, parser: argparse.ArgumentParser) -> None:
        """End with one line where a flag cannot be followed, before anything has been computed."""
        args = vars(self.args)
        for name, value in args.items():
            if name in AT_LEAST_ONE and value is not None and not 1 <= value < 2**63:
                parser.error(
                    f"--{name} must be at least 1, got {value}" if value < 2**63 else f"--{name} is too large"
                )
            if isinstance(value, str | Path) and any(ord(c) < 32 or ord(c) == 127 for c in str(value)):
                parser.error(f"--{name} {str(value)!r} has control characters in it, rename it")
            if name in OF_A_CHECKPOINT and value is not None and args["resume"] is None:
                parser.error(f"--{name} needs --resume: the checkpoint whose weights {name}")
        if self.ranks.size > 1 and args.get("live"):
            parser.error("--live is for one process: start it without mpiexec")
        if args["step"] and args.get("live"):
            parser.error("--step waits at the terminal and --live in its window: take one of them")
        if args.get("channels") not in (None, 1, 3):  # as a checkpoint may say
            parser.error(f"--channels must be 1 or 3, got {args['channels']}")
        if self.args.seed < 0:
            parser.error(f"--seed must not be negative, got {self.args.seed}")
        try:
            parallel.threads()  # what NPGAN_THREADS says
            if "device" in args:
                self.args.device, line = backend.choose_device(self.args.device)
        except (ValueError, backend.DeviceError) as error:
            parser.error(str(error))
        if self.ranks.size > 1 and "ranks" not in self._groups:
            parser.error("runs in one process; 09_conv_gan.py is the one for mpiexec")
        if "device" in args:
            say(line)
            if self.args.device == "cupy":
                self.ranks.use_gpus()
        try:
            self.args.out.mkdir(parents=True, exist_ok=True)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or error
            parser.error(f"--out {self.args.out}: the folder cannot be made ({reason})")

    def fit_steps(self, shape: tuple[int, int, int]) -> None:
        """Where no --steps was given and the images (H, W, C) are larger than 28 x 28: take fewer, and say so.

        The time of a step grows with the pixels. The number of steps falls with them, so that a run takes about as
        long at any size: at 64 x 64 a fifth of the steps.
        """
        part = 28 * 28 / (shape[0] * shape[1])
        if part < 1 and not self._steps_given:
            self.args.steps = round(self.args.steps * part)
            self._steps_given = True
            say(
                f"{shape[0]} x {shape[1]} pixels: {self.args.steps} steps in place of {self._groups['steps']}"
            )

    @property
    def shipped(self) -> bool:
        """Whether this is the run that the text describes: the lesson's own data, at least as many steps as there.

        The lesson's assertions are for that run; any other ends with a verdict.
        """
        args, groups = self.args, self._groups
        same_data = all(getattr(args, flag, None) is None for flag in ("size", "channels", *self._own))
        same_data = same_data and getattr(args, "data", None) == groups.get("data")
        return same_data and not args.quick and getattr(args, "steps", 0) >= groups.get("steps", 0)

    def settings(self, images: Images | None = None) -> dict:
        """What shapes the run, for its checkpoints: the flags, and a fingerprint of the images it learns from.

        Who resumes a checkpoint must have the same.
        """
        args = vars(self.args)
        flags = {"lesson": self.name, **{name: args[name] for name in self._kinds if name in args}}
        return flags | (checkpoint.fingerprint(images) if images is not None else {})

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
            raise DataError(f"{path}: is of {found.get('lesson')!r:.80}, this is {self.name!r}")
        for name, kind in self._kinds.items():
            if type(found.get(name)) not in (kind, type(None)):
                raise DataError(
                    f"{path}: its setting {name} should be {kind.__name__}, is {found[name]!r:.80}"
                )
        out = path.parent
        if path.absolute().parent.name == found.get("training"):
            out = path.absolute().parent.parent
        return {"out": out} | {name: found[name] for name in self._kinds if name in found}

    def _random_numbers(self) -> np.random.Generator:
        """The lesson's random numbers, from --seed.

        Where a checkpoint is asked for pictures, it says what shape they have, and so how large the network is. Then
        no more are drawn at once than its largest array has, or 2**20: larger weights are not in it.
        """
        random = np.random.default_rng(self.args.seed)
        if not self._asks_a_checkpoint():
            return random
        most = max(math.prod(shape) for shape, _ in checkpoint.arrays(self.args.resume).values())
        return _Bounded(random.bit_generator, max(most, 2**20), self.args.resume)

    def _asks_a_checkpoint(self) -> bool:
        """Whether a checkpoint is asked for something, in place of a training."""
        return any(getattr(self.args, name, None) is not None for name in OF_A_CHECKPOINT)

    # Voice

    def step(self, heading: str) -> None:
        """Begin a step: print its heading, after the learner's Enter where --step was given."""
        if self.args.step:
            pause("Enter for the next step: ")
        say(f"\n== {heading}")

    def save(self, picture: Figure | np.ndarray, name: str) -> Path:
        """Save a figure, or uint8 pixels (H, W, 3), as a PNG in the output folder.

        Where the disk does not take it, it is kept and tried again (see npgan.whole_file).
        """
        return self._save(_png(picture), name)

    def _save(self, content: bytes, name: str) -> Path:
        path = self.args.out / name
        if self.ranks.rank == 0:
            write_or_keep(path, content)
        return path

    def picture(self, picture: Figure | np.ndarray, name: str) -> None:
        """Save a picture, and show it in a notebook or say where it is."""
        self._show("picture", _png(picture), name)

    def animation(self, frames: Sequence[np.ndarray], name: str, *, scale: int = 1) -> None:
        """Save uint8 frames as a GIF (see npgan.show), and show it in a notebook or say where it is."""
        self._show("animation", show.animation(frames, scale=scale), name)

    def _show(self, kind: str, content: bytes, name: str) -> None:
        path = self._save(content, name)
        if in_notebook():
            from IPython.display import Image as Shown
            from IPython.display import display

            if kind == "picture":
                display(Shown(data=content, alt=name))
            else:  # pages that are made of notebooks show a GIF only so
                display(Shown(url=f"data:image/gif;base64,{base64.b64encode(content).decode()}", alt=name))
        else:
            say(f"   {kind}: {printable(path)}")

    def folder(self, name: str) -> Path:
        """A folder in the output folder, made if it is not there. Raises DataError where it cannot be."""
        folder = self.args.out / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: the folder cannot be made ({error.strerror})") from error
        return folder

    def pictures(
        self,
        images: np.ndarray,
        name: str,
        first: int = 0,
        before: Sequence[np.ndarray] = (),
        names: Sequence[str] | None = None,
    ) -> None:
        """Save images (N, H, W, 1 or 3) in [-1, 1] as PNG files in the folder `name`.

        They are called as in `names` (their files' names; one that is there already gets -2, -3, ... at its end), or
        0000.png, ..., numbered from `first`. The first call, first=0, takes a fresh folder: where an earlier run has
        left something in `name` it is name-2, or the next that is free. It shows the images as a grid too, each
        behind those of `before`: arrays like `images`. Raises DataError where something cannot be written.
        """
        if first == 0:
            self._folders[name] = self._fresh(name)
        folder = self._folders[name]
        for number, image in enumerate(images, start=first):
            stem = Path(names[number - first]).stem[:50] if names is not None else f"{number:04d}"
            paths = (folder / f"{stem}{'' if n == 1 else f'-{n}'}.png" for n in count(1))
            with whole_file(next(path for path in paths if not path.exists())) as file:
                file.write(_png(show.image_grid(image[None], gap=0)))
        if first == 0:
            rows = np.stack([*before, images], axis=1)  # N, how many side by side, H, W, C
            columns = rows.shape[1] * math.ceil(math.sqrt(len(images) / rows.shape[1]))
            rows, scale = rows.reshape(-1, *images.shape[1:]), max(1, 56 // images.shape[1])
            self.picture(show.image_grid(rows, columns, scale=scale), f"{folder.name}.png")
        say(f"   {len(images)} images: {printable(folder)}")

    def _fresh(self, name: str) -> Path:
        """An empty folder in the output folder: `name`, name-2, ...: the first that holds nothing."""
        for number in count(1):
            folder = self.folder(name if number == 1 else f"{name}-{number}")
            if not any(folder.iterdir()):
                return folder

    def end(self, verdict: str | None = None) -> None:
        """Say that the lesson ran to its end: with its assertions, or with a verdict where they are not for this run.

        Raises DataError where something that it had to write could not be written to the last.
        """
        if missing := write_kept():
            raise DataError(f"{', '.join(map(str, missing))}: could not be written")
        checked = "all checks of this lesson passed" if __debug__ else "no check was made (python -O)"
        seconds = time.perf_counter() - self._started
        if verdict is None:
            say(f"\n{printable(self.args.out)}: {checked} in {seconds:.0f} s")
        else:
            say(f"\nverdict: {verdict}\n{printable(self.args.out)}: done in {seconds:.0f} s")


class _Bounded(np.random.Generator):
    """Draws what any generator draws, but not more normal numbers at once than `most`."""

    def __init__(self, bits: np.random.BitGenerator, most: int, path: Path):
        super().__init__(bits)
        self._most, self._path = most, path

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        if size is not None and math.prod(np.atleast_1d(size).tolist()) > self._most:
            raise DataError(
                f"{self._path}: its images would need weights of shape {size}, and it holds none so large"
            )
        return super().standard_normal(size, dtype, out)


def _png(picture: Figure | np.ndarray) -> bytes:
    file = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(file, format="png", dpi=110, bbox_inches="tight")
    else:
        Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def in_notebook() -> bool:
    return "ipykernel" in sys.modules
