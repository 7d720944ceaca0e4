"""The training loop's book-keeping: progress, history, checkpoints, pauses. The loop itself stays in the lesson."""

import csv
import io
import math
import shutil
import signal
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from npgan import checkpoint
from npgan.backend import Array
from npgan.errors import DataError, TrainingError
from npgan.lesson import pause
from npgan.whole_file import PARTIAL, whole_file

SAVE_SECONDS = 30.0  # between two checkpoints: what a crash may cost
KEEP = 3  # how many checkpoints of a run are kept


class Run:
    """Counts training steps, keeps their figures, shows how far the training is, and saves it.

        run = Run(2500, parts={"network": network, "optimizer": optimizer, "rng": rng}, folder=Path("out"))
        for step in run:
            ...                              # one round of the game
            run.log(d_loss=d.loss, g_loss=g.loss)

    `log` takes 0-d arrays and leaves them where they are; they are read, which makes a GPU wait, only when a
    progress line is shown. On a terminal the line is rewritten in place about twice a second; in a pipe or a
    log file it is a plain line each 10 seconds. With `step_through` each step waits for Enter, or for a number
    of steps to run before the next wait.

    parts: all that the training changes (see npgan.checkpoint): networks, optimisers, moving averages, batches,
        random generators.     settings: what a run that goes on from a checkpoint must have in common with it.
    folder: where checkpoints are written: every SAVE_SECONDS, at the end, and after Ctrl-C, which lets the step
        under way end and raises KeyboardInterrupt then (a second one raises it at once). The last KEEP stay. A
        checkpoint that cannot be written is a warning, not the end: the next one may.
    resume: a checkpoint, or a folder with some; the parts get its state, and the loop goes on after its step.

    Where a logged figure (looked at when it is shown) or a part (when it is saved) is NaN or infinite,
    TrainingError says when and where; so each checkpoint is a good one.
    """

    def __init__(
        self,
        steps: int,
        *,
        step_through: bool = False,
        parts: checkpoint.Parts | None = None,
        settings: dict[str, Any] | None = None,
        folder: Path | None = None,
        resume: Path | None = None,
    ):
        self.steps = steps
        self.step_through = step_through
        self.parts, self.settings, self.folder = parts or {}, settings or {}, folder
        self.done = 0  # steps
        self.history: dict[str, array] = {}  # arrays of doubles: a fourth of the memory of a list
        self.seconds = array("d")  # that each step of this process took
        self.peak_memory = array("d")  # MB of the process, after each of them
        self._pending: list[tuple[int, dict[str, Array]]] = []
        self._saved: list[Path] = []  # checkpoints of this run that are kept
        self._good: Path | None = None  # the last of them, or the one it goes on from
        self._terminal = sys.stdout.isatty()
        if resume is not None:
            self._resume(checkpoint.find(resume))

    def __iter__(self) -> Iterator[int]:
        started = shown = saved = time.perf_counter()
        first, free_steps = self.done, 0  # with step_through: how many more to run before the next wait
        try:
            while self.done < self.steps:
                with interrupts_wait():
                    before = time.perf_counter()
                    yield self.done
                    now = time.perf_counter()
                    self.done += 1
                    self.seconds.append(now - before)
                    self.peak_memory.append(peak_memory())
                    last = self.done == self.steps
                    due = now - shown >= (0.5 if self._terminal else 10.0) or self.done == first + 1
                    if last or due or self.step_through:
                        self._show((now - started) / (self.done - first))
                        shown = now
                    if last or now - saved >= SAVE_SECONDS:
                        self.save()
                        saved = time.perf_counter()
                if self.step_through and not last:
                    if free_steps == 0:
                        waiting = time.perf_counter()
                        answer = pause("\nEnter for one step, a number for so many: ").strip()
                        started += time.perf_counter() - waiting
                        free_steps = int(answer) if answer.isdecimal() and int(answer) > 0 else 1
                    free_steps -= 1
        except KeyboardInterrupt:
            print(f"\nstopped after step {self.done}")
            self.save()
            if self._good:
                print(f"to go on: --resume {self._good}")
            raise
        if self._terminal:
            print()
        if self.done > first:
            print(
                f"{self.done - first} steps in {minutes(sum(self.seconds))}, "
                f"{1000 * np.median(self.seconds):.0f} ms a step, peak memory {self.peak_memory[-1]:.0f} MB"
            )

    def log(self, **values: Array | float) -> None:
        """Keep this step's figures under their names; every step gives the same names."""
        self._pending.append((self.done + 1, values))

    def save(self) -> None:
        """Write a checkpoint of the step that has just been done, after a look at its health."""
        self._read()
        self._check_parts()
        if self.folder is None:
            return
        path = checkpoint.path_for(self.folder, self.done)
        try:
            checkpoint.save(path, self.parts, step=self.done, settings=self.settings, history=self.history)
            self._good = path
            self._saved = [*(p for p in self._saved if p != path), path]
            self._tidy()
        except (DataError, OSError) as error:
            print(
                f"\nwarning: no checkpoint of step {self.done}. {error}. {self._last_good()}", file=sys.stderr
            )

    def save_history(self, path: Path) -> None:
        """Write the history as CSV: a row for each step, with its seconds and the process's peak memory so far.

        Both are empty for steps that were done before the run was resumed.
        """
        self._read()
        resumed = [""] * (self.done - len(self.seconds))
        columns = {
            "step": range(1, self.done + 1),
            **self.history,
            "seconds": [*resumed, *(f"{value:.4f}" for value in self.seconds)],
            "peak_memory_mb": [*resumed, *(f"{value:.1f}" for value in self.peak_memory)],
        }
        with whole_file(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = csv.writer(text)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values()))
            text.detach()  # flushes, and leaves the file open

    def _resume(self, path: Path) -> None:
        found = checkpoint.load(path, self.parts, self.settings)
        if found.step > self.steps:
            raise DataError(f"{path}: has {found.step} steps done, this run ends after {self.steps}")
        self.done, self._good = found.step, path
        self.history = {name: array("d", values) for name, values in found.history.items()}
        beside = checkpoint.in_folder(self.folder) if self.folder else []
        if path in beside:  # the earlier ones are of this run; later ones are of another: leave them alone
            self._saved = beside[: beside.index(path) + 1]
        print(f"going on from {path}, after step {self.done}")

    def _tidy(self) -> None:
        """Delete the older checkpoints of this run, and what a killed process left half written."""
        while len(self._saved) > KEEP:
            self._saved.pop(0).unlink(missing_ok=True)
        for partial in self.folder.glob(f"checkpoint-*{PARTIAL}"):
            partial.unlink(missing_ok=True)

    def _read(self) -> None:
        """Move the pending figures to the history, and stop at the first that is not finite."""
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

    def _show(self, seconds_per_step: float) -> None:
        self._read()
        left = minutes(seconds_per_step * (self.steps - self.done))
        figures = "  ".join(f"{name} {sum(v[-20:]) / len(v[-20:]):.3f}" for name, v in self.history.items())
        line = f"step {self.done}/{self.steps}  {1 / seconds_per_step:.1f} steps/s  {left} left  {figures}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1  # a longer line would wrap, and not be rewritten
            print(f"\r{line:<{width}.{width}}", end="", flush=True)
        else:
            print(line, flush=True)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done, for arrays half updated are worth nothing; a second one does not."""
    came = False

    def remember(number, frame) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    ours = (
        threading.current_thread() is threading.main_thread()  # no other may set it
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # neither ignored nor another's
    )
    if ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB; NaN where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # there in bytes, elsewhere in KiB


def minutes(seconds: float) -> str:
    """Write a duration as minutes and seconds, "3:07"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
