"""What the answers share: a figure beside the expected one, and a lesson with its settings changed."""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

LESSONS = Path(__file__).parents[1]


class Answers:
    """The flags and the voice of one file of answers.

        answers = Answers("03_convolution")
        answers.exercise(1, "Average pooling")
        answers.below("relative error", error, 1e-6)
        answers.between("kinks", kinks, 14, 18, full=True)
        names = answers.lesson({'EXAMPLES = "noise"': 'EXAMPLES = "photograph"'})

    With --quick the lessons run with --quick too. A figure that is expected of a full run is then printed beside what
    is expected there, and not compared. All others are: one that is not as expected ends in an AssertionError.
    """

    def __init__(self, lesson: str):
        parser = argparse.ArgumentParser(
            prog=f"answers/{lesson}.py", description=f"Answers for lesson {lesson}"
        )
        parser.add_argument("--quick", action="store_true", help="in seconds: the lessons run with --quick")
        parser.add_argument(
            "--out", type=Path, default=Path("out/answers") / lesson, help="default %(default)s"
        )
        self.args = parser.parse_args()
        self.path, self.runs = LESSONS / f"{lesson}.py", 0

    def exercise(self, number: int, title: str) -> None:
        print(f"\n== Exercise {number}: {title}")

    def between(self, what: str, found: float, low: float, high: float, *, full: bool = False) -> None:
        """Print a figure beside the range in which it is expected; with `full`, of a full run only."""
        expected = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        self._beside(what, f"{found:.4g}", expected, low <= found <= high, full)

    def below(self, what: str, found: float, bound: float) -> None:
        self._beside(what, f"{found:.1e}", f"below {bound:.0e}", found < bound, False)

    def same(self, what: str, found: Any, expected: Any) -> None:
        self._beside(what, str(found), str(expected), found == expected, False)

    def _beside(self, what: str, found: str, expected: str, holds: bool, full: bool) -> None:
        when = " in a full run" if full and self.args.quick else ""
        print(f"{what}: {found}, expected{when} {expected}")
        assert holds or when, f"{what}: {found}, expected {expected}"

    def lesson(self, changes: dict[str, str], *flags: str, script: str | None = None) -> dict[str, Any]:
        """Run the lesson with lines changed as a learner would change them; return its names and their values.

        Each key of `changes` stands in the lesson exactly once. What the lesson prints is not shown; its assertions
        hold, or it ends here. script: another lesson that must be run before this one.
        """
        path = self.path if script is None else LESSONS / f"{script}.py"
        text = path.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{path.name} has {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        self.runs += 1
        out = self.args.out / f"{self.runs}"
        quick = ["--quick"] if self.args.quick else []
        print("   " + " ".join([path.name, *flags, *quick]), flush=True)
        for old, new in changes.items():
            print(f"      with {new.strip()}" if new else f"      without {old.strip()}", flush=True)
        names, argv = {"__name__": "__main__", "__file__": str(path)}, sys.argv
        sys.argv = [str(path), "--out", str(out), *flags, *quick]
        try:
            with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
                exec(compile(text, str(path), "exec"), names)
        finally:
            sys.argv = argv
        return names
