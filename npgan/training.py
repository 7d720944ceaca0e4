"""The training loop's book-keeping: progress, history, checkpoints, pauses. The loop itself stays in the lesson."""

import csv
import io
import math
import shutil
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from npgan import checkpoint
from npgan.backend import Array
from npgan.claim import claim
from npgan.distributed import Ranks
from npgan.errors import DataError, TrainingError
from npgan.lesson import in_notebook
from npgan.live import RunWindow
from npgan.pauses import StepThrough, Stops, stops_wait
from npgan.voice import printable, say, silence, warn
from npgan.whole_file import sweep, write_kept, write_or_keep

SAVE_SECONDS = 30.0  # between two checkpoints: what a crash may cost
KEEP = 3  # how many checkpoints of a run are kept
WATCHED = "watched/"  # before the names of what `Run.watch` keeps, in files
DIVERGED = 1000.0  # times its first value, and above itself: no loss of a training that goes well


class Run:
    """Counts training steps, keeps their figures, shows how far the training is, and saves it.

        run = Run(2500, parts={"network": network, "optimizer": optimizer, "rng": rng}, folder=Path("out"))
        for step in run:
            ...                              # one round of the game
            run.log(d_loss=d.loss, g_loss=g.loss)

    `log` takes 0-d arrays and leaves them where they are; they are read, which makes a GPU wait, only when a
    progress line is shown. On a terminal and in a notebook the line is rewritten in place about twice a second; in
    a pipe or a log file it is a plain line each 10 seconds. With `step_through` the run waits for Enter (or a number:
    so many more before the next wait) at each `run.part("D on real", loss=...)` in the loop, or after each step where
    there is none, and says what has changed in the networks among `parts`. `window` shows the run (see npgan.live).

    parts: all that the training changes (see npgan.checkpoint): networks, optimisers, moving averages, batches,
        random generators.     settings: what a run that goes on from a checkpoint must have in common with it.
    folder: where checkpoints are written: every SAVE_SECONDS, at the end, and when the run is stopped. The last
        KEEP stay. A checkpoint that cannot be written is a warning, not the end: the next one may. Another process
        that would write in the folder gets a DataError (see npgan.claim).
    resume: a checkpoint, or a folder with some; the parts get its state, and the loop goes on after its step.
    ranks: processes that share each batch. All start from rank 0's state; it alone writes. Figures are means over the
        ranks. What asks one of them to stop stops all, after the same step.

    Ctrl-C lets the step under way end, saves and raises KeyboardInterrupt (a second one raises it at once). So do
    SIGTERM, a terminal that is closed (SIGHUP) and an output that nobody reads any more, which raise SystemExit.

    Where a logged figure (looked at when it is shown) or a part (when it is saved) is NaN or infinite,
    TrainingError says when and where; so each checkpoint is a good one. A warning says that a training diverges:
    the median of a figure's last 20 values is above DIVERGED, and above DIVERGED times its first value.
    """

    def __init__(
        self,
        steps: int,
        *,
        step_through: bool = False,
        window: RunWindow | None = None,
        parts: checkpoint.Parts | None = None,
        settings: dict[str, Any] | None = None,
        folder: Path | None = None,
        resume: Path | None = None,
        ranks: Ranks | None = None,
    ):
        self.steps, self.ranks = steps, ranks or Ranks()
        self.parts, self.settings, self.folder = parts or {}, settings or {}, folder
        self.done = 0  # steps
        self.history: dict[str, array] = {}  # arrays of doubles: a fourth of the memory of a list
        self.watched: dict[str, array] = {}  # "step" and what `watch` was given at some steps
        self.seconds = array("d")  # that each step of this process took
        self.peak_memory = array("d")  # MB of the process, after each of them
        self._pending: list[tuple[int, dict[str, Array]]] = []
        self._pending_watched: list[dict[str, Array | float]] = []
        self._saved: list[Path] = []  # checkpoints of this run that are kept
        self._good: Path | None = None  # the last of them, or the one it goes on from
        self._warned = False  # that it diverges
        self.window = window
        self.waited = 0.0  # seconds at prompts and in a window's pause, which are no training
        self._terminal = in_notebook() or (sys.stdout is not None and sys.stdout.isatty())
        if folder is not None and self.ranks.rank == 0:
            self._claim = claim(folder)
            sweep(folder)
        if resume is not None:
            self._resume(checkpoint.find(resume))
        self.ranks.broadcast(self.parts, self.settings)
        self._seconds_per_step = 0.0
        self._stepper = StepThrough(self.parts) if step_through else None

    def __iter__(self) -> Iterator[int]:
        started = shown = saved = time.perf_counter()
        first, self.waited = self.done, 0.0
        try:
            with stops_wait() as stops:
                if self._stepper is not None:
                    self._stepper.stops = stops
                while self.done < self.steps:
                    before = time.perf_counter() - self.waited
                    yield self.done
                    now = time.perf_counter() - self.waited
                    self.done += 1
                    self.seconds.append(now - before)
                    self.peak_memory.append(peak_memory())
                    last = self.done == self.steps
                    due = now - shown >= (0.5 if self._terminal else 10.0) or self.done == first + 1
                    self._seconds_per_step = (now - started) / (self.done - first)
                    show, save = self._agree(
                        last or due or self._stepper is not None, last or now - saved >= SAVE_SECONDS, stops
                    )
                    if show:
                        self._show(self._seconds_per_step)
                        shown = now
                    if save:
                        self.save()
                        saved = time.perf_counter() - self.waited
                    stops.obey()
                    if self._stepper is not None and not last:
                        self._wait(self._stepper.round_ends)
                    if self.window is not None:
                        self.waited += self.window.between_steps(self, stops)
                    stops.obey()
        except (KeyboardInterrupt, SystemExit, BrokenPipeError) as stop:
            unread = isinstance(stop, BrokenPipeError)
            if unread:
                silence()
            self.save()
            hint = f"to go on: --resume {printable(self._good)}" if self._good else "nothing is saved"
            if unread:
                warn(f"nobody reads the output any more: stopped after step {self.done}; {hint}")
                raise SystemExit(1) from None
            say(f"\nstopped after step {self.done}\n{hint}")
            raise
        if self._terminal:
            say("")
        if self.done > first:
            say(
                f"{self.done - first} steps in {minutes(sum(self.seconds))}, "
                f"{1000 * np.median(self.seconds):.0f} ms a step, peak memory {self.peak_memory[-1]:.0f} MB"
            )

    @property
    def waits(self) -> bool:
        """Whether the next `part` will wait at the prompt."""
        return self._stepper is not None and self._stepper.waits

    def part(self, name: str, **figures: Array | float) -> None:
        """A part of the step under way is done: with `step_through`, show what it changed, and wait."""
        if self._stepper is not None:
            self._wait(self._stepper.after, f"round {self.done + 1}, {name}", **figures)

    def _wait(self, call: Callable[..., None], *arguments, **figures) -> None:
        began = time.perf_counter()
        try:
            call(*arguments, **figures)
        finally:
            self.waited += time.perf_counter() - began

    def log(self, **values: Array | float) -> None:
        """Keep this step's figures under their names; every step gives the same names."""
        self._pending.append((self.done + 1, values))

    def watch(self, figures: dict[str, Array | float]) -> None:
        """Keep figures that only some steps have, under the same names each time (see npgan.watch)."""
        self._pending_watched.append({"step": self.done + 1, **figures})

    def save(self) -> None:
        """Write a checkpoint of the step that has just been done, after a look at its health."""
        self._read()
        self._check_parts()
        if self.folder is not None and self.ranks.rank == 0:
            self._write()
        write_kept()  # pictures that the disk has not taken

    def _agree(self, show: bool, save: bool, stops: Stops) -> tuple[bool, bool]:
        """Let all ranks do what one of them wants: show, save, stop. The figures that are due become means."""
        if self.ranks.size == 1:
            return show, save
        show, save, number = map(int, self.ranks.largest([show, save, stops.number]))
        if number:
            stops.asked = SystemExit(128 + number)  # for Ctrl-C too: mpiexec comments on a KeyboardInterrupt
        if show or save or number:
            values = [[float(value) for value in step.values()] for _, step in self._pending]
            means = self.ranks.mean(np.array(values))
            self._pending = [
                (step, dict(zip(logged, row.tolist()))) for (step, logged), row in zip(self._pending, means)
            ]
        return bool(show), bool(save)

    def _write(self) -> None:
        path = checkpoint.path_for(self.folder, self.done)
        try:
            history = self.history | {f"{WATCHED}{name}": values for name, values in self.watched.items()}
            checkpoint.save(path, self.parts, step=self.done, settings=self.settings, history=history)
            self._good = path
            self._saved = [*(p for p in self._saved if p != path), path]
            self._tidy()
        except (DataError, OSError) as error:
            warn(f"no checkpoint of step {self.done}. {error}. {self._last_good()}")

    def save_history(self, path: Path) -> None:
        """Write the history as CSV: a row for each step, with its seconds and the process's peak memory so far.

        Both are empty for steps that were done before the run was resumed, what was watched ("watched/...") for steps
        that were not. Where the disk does not take it, it is
        kept and tried again (see npgan.whole_file).
        """
        self._read()
        resumed = [""] * (self.done - len(self.seconds))
        columns = {
            "step": range(1, self.done + 1),
            **self.history,
            "seconds": [*resumed, *(f"{value:.4f}" for value in self.seconds)],
            "peak_memory_mb": [*resumed, *(f"{value:.1f}" for value in self.peak_memory)],
        }
        for name in [name for name in self.watched if name != "step"]:
            columns[f"{WATCHED}{name}"] = sparse = [""] * self.done
            for step, value in zip(self.watched["step"], self.watched[name]):
                sparse[int(step) - 1] = f"{value:.7g}"
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(zip_longest(*columns.values(), fillvalue=""))
        write_or_keep(path, text.getvalue().encode("utf-8", "backslashreplace"))

    def _resume(self, path: Path) -> None:
        found = checkpoint.load(path, self.parts, self.settings)
        if found.step > self.steps:
            raise DataError(f"{path}: has {found.step} steps done, this run ends after {self.steps}")
        self.done, self._good = found.step, path
        columns = {name: array("d", values) for name, values in found.history.items()}
        self.history = {name: values for name, values in columns.items() if not name.startswith(WATCHED)}
        self.watched = {
            name.removeprefix(WATCHED): v for name, v in columns.items() if name not in self.history
        }
        beside = checkpoint.in_folder(self.folder) if self.folder else []
        if path in beside:  # earlier ones with the same settings are of this run; others are left alone
            self._saved = [p for p in beside[: beside.index(path)] if _settings_of(p) == found.settings] + [
                path
            ]
        say(f"going on from {printable(path)}, after step {self.done}")

    def _tidy(self) -> None:
        """Delete the older checkpoints of this run."""
        while len(self._saved) > KEEP:
            self._saved.pop(0).unlink(missing_ok=True)

    def _read(self) -> None:
        """Move the pending figures to the history, and stop at the first logged one that is not finite."""
        watched, self._pending_watched = self._pending_watched, []
        for name, value in (item for figures in watched for item in figures.items()):
            self.watched.setdefault(name, array("d")).append(float(value))
        pending, self._pending = self._pending, []
        for step, values in pending:
            for name, value in values.items():
                self.history.setdefault(name, array("d")).append(float(value))
                if not math.isfinite(float(value)):
                    raise TrainingError(
                        f"step {step}: {name} is {float(value)}; {self._not_finite() or 'all parts are finite'}. "
                        f"{self._last_good()}"
                    )

    def _check_parts(self) -> None:
        if found := self._not_finite():
            raise TrainingError(f"after step {self.done}: {found}. {self._last_good()}")

    def _not_finite(self) -> str:
        """Name the first array of the parts that is NaN or infinite somewhere; "" where all are finite."""
        bad = [
            f"{part} {name}"
            for part, held in self.parts.items()
            if not isinstance(held, np.random.Generator)
            for name, values in held.state().items()
            if values.dtype.kind == "f" and not np.isfinite(values).all()
        ]
        more = f", as {len(bad) - 1} more arrays are" if len(bad) > 1 else ""
        return f"{bad[0]} is NaN or infinite{more}" if bad else ""

    def _last_good(self) -> str:
        return f"The last good checkpoint is {self._good}" if self._good else "There is no checkpoint yet"

    def figures(self) -> dict[str, array]:
        """The history as it is now, of the step under way too."""
        self._read()
        return self.history

    def left(self) -> str:
        """How long the rest will take, as minutes and seconds."""
        return minutes(self._seconds_per_step * (self.steps - self.done))

    def _show(self, seconds_per_step: float) -> None:
        self._read()
        left = minutes(seconds_per_step * (self.steps - self.done))
        recent = {name: values[-20:] for name, values in self.history.items() if values}
        figures = "  ".join(f"{name} {sum(last) / len(last):.3f}" for name, last in recent.items())
        line = f"step {self.done}/{self.steps}  {1 / seconds_per_step:.1f} steps/s  {left} left  {figures}"
        line = printable(line)
        if self._terminal:
            # On a terminal a longer line would wrap, and not be rewritten.
            width = 115 if in_notebook() else shutil.get_terminal_size().columns - 1
            say(f"\r{line:<{width}.{width}}", end="")
        else:
            say(line)
        for name, last in recent.items():
            size, first = median(map(abs, last)), self.history[name][0]
            if size > DIVERGED * max(1.0, abs(first)) and len(last) == 20 and not self._warned:
                self._warned = True
                warn(
                    f"step {self.done}: {name} is about {size:.1g}, it began at {first:.3g}. The training diverges; "
                    "try a smaller learning rate"
                )


def _settings_of(path: Path) -> dict[str, Any] | None:
    """The settings in a checkpoint; None where it cannot be read."""
    try:
        return checkpoint.read_settings(path)
    except DataError:
        return None


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB; NaN where the system does not tell (Windows)."""
    try:  # Linux: the other figure, below, counts what the program held that started this one
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # there in bytes, elsewhere in KiB


def minutes(seconds: float) -> str:
    """Write a duration as minutes and seconds, "3:07"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
