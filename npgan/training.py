"""The training loop's book-keeping: progress, history, pauses. The loop itself stays in the lesson, in the open."""

import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from npgan.backend import Array
from npgan.lesson import pause


class Run:
    """Counts training steps, keeps their figures, and shows how far the training is.

        run = Run(steps=2500)
        for step in run:
            ...                              # one round of the game
            run.log(d_loss=d.loss, g_loss=g.loss)

    `log` takes 0-d arrays and leaves them where they are; they are read, which makes a GPU wait, only when a
    progress line is shown. On a terminal the line is rewritten in place about twice a second; in a pipe or a
    log file it is a plain line each 10 seconds. With `step_through` each step waits for Enter, or for a number
    of steps to run before the next wait.
    """

    def __init__(self, steps: int, *, step_through: bool = False):
        self.steps = steps
        self.step_through = step_through
        self.history: dict[str, list[float]] = {}
        self._pending: list[dict[str, Array]] = []
        self._terminal = sys.stdout.isatty()

    def __iter__(self) -> Iterator[int]:
        started = shown = time.perf_counter()
        free_steps = 0  # with step_through: how many more to run before the next wait
        for step in range(self.steps):
            yield step
            now = time.perf_counter()
            due = now - shown >= (0.5 if self._terminal else 10.0) or step + 1 == self.steps
            if due or self.step_through:
                self._show(step + 1, now - started)
                shown = now
            if self.step_through and step + 1 < self.steps:
                if free_steps == 0:
                    answer = pause("\nEnter for one step, a number for so many: ").strip()
                    free_steps = int(answer) if answer.isdecimal() and int(answer) > 0 else 1
                free_steps -= 1
        if self._terminal:
            print()

    def log(self, **values: Array | float) -> None:
        """Keep this step's figures under their names; every step gives the same names."""
        self._pending.append(values)

    def save_history(self, path: Path) -> None:
        """Write the history as CSV, a row for each step."""
        self._read()
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *self.history])
            writer.writerows(zip(range(1, self.steps + 1), *self.history.values()))

    def _read(self) -> None:
        for values in self._pending:
            for name, value in values.items():
                self.history.setdefault(name, []).append(float(value))
        self._pending.clear()

    def _show(self, done: int, seconds: float) -> None:
        self._read()
        left = seconds / done * (self.steps - done)
        figures = "  ".join(f"{name} {sum(v[-20:]) / len(v[-20:]):.3f}" for name, v in self.history.items())
        line = f"step {done}/{self.steps}  {done / seconds:.1f} steps/s  {minutes(left)} left  {figures}"
        print(f"\r{line:<100}" if self._terminal else line, end="" if self._terminal else "\n", flush=True)


def minutes(seconds: float) -> str:
    """Write a duration as minutes and seconds, "3:07"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
