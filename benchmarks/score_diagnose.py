"""How often does npgan.diagnose name a fault that was planted, and how often does it see one where there is none?

    python benchmarks/score_diagnose.py                   # about 130 small trainings; prints the confusion matrix
    python benchmarks/score_diagnose.py --data t10k-images-idx3-ubyte.gz
    python benchmarks/score_diagnose.py --quick

The rules were chosen while looking at digits, capital letters and coloured digits, 16 x 16 pixels, with networks of
widths 8 and 16 and seeds 0 and 1. Here they meet crops of a photograph and small letters, widths 12 and 24, and other
seeds. What counts, fixed beforehand: a fault is named if the first finding is one of the names in npgan.bugs.BUGS;
"not sure" is a miss. A finding in a run without a mistake is a false alarm; "not sure" there is counted beside.

Every run's history is kept in out/score_diagnose/. Stopped and called again it goes on with what is missing.
"""

import argparse
import contextlib
import hashlib
import io
import time
from collections import Counter
from pathlib import Path

from npgan import data, diagnose
from npgan.adversarial import r1
from npgan.bugs import BUGS, play
from npgan.errors import TrainingError
from npgan.losses import hinge

SIZE, STEPS, WIDTHS = 16, 400, (12, 24)
# Games without a mistake: what play takes beside its defaults.
HEALTHY = {
    "lesson 9's game": {},
    "equal, small rates": {"rates": (2e-4, 2e-4)},
    "hinge": {"loss": hinge},
    "R1, no normalization": {"penalty": r1(1.0), "normalize": False},
    "wasserstein, penalty": {"game": "wasserstein"},
    "growing": {"game": "growing"},
}
SOURCES = {
    "photo": lambda seed: data.photo(4000, size=SIZE, seed=seed),
    "small letters": lambda seed: data.glyphs(4000, size=SIZE, characters=data.LOWERCASE, seed=seed),
}


def runs(sources, widths) -> list[tuple[str, int, int, str, str, dict]]:
    """(data, width, seed, planted fault or "", name, what play takes) of each run."""
    found = []
    for place, name in enumerate(sources):
        for width in widths:
            seed = 1000 * (place + 1) + width
            found += [(name, width, seed, bug, bug, {}) for bug in BUGS]
            found += [(name, width, seed, "", kind, options) for kind, options in HEALTHY.items()]
    return found


def history_of(
    folder: Path, images, width: int, seed: int, bug: str, name: str, options: dict, steps: int
) -> Path:
    """Train, unless that has been done, and keep the history."""
    plain = "".join(c if c.isalnum() else "_" for c in f"{images.name} {width} {seed} {name}")
    path = folder / f"{plain}-{steps}.csv"
    if not path.exists():
        with contextlib.redirect_stdout(io.StringIO()):
            played = play(images, bug, width=width, seed=seed, steps=steps, **options)
        played.run.save_history(path)
    return path


def table(rows: list[str], found: dict[str, Counter]) -> str:
    """The confusion matrix: what was planted, against what the first finding said."""
    names = [rule.name for rule in diagnose.RULES] + [diagnose.NOT_SURE, diagnose.HEALTHY]
    lines = [f"{number:>4} {name}" for number, name in enumerate(names, start=1)]
    lines += ["", f"{'planted':24}" + "".join(f"{number:>4}" for number in range(1, len(names) + 1))]
    for row in rows:
        lines.append(f"{row:24}" + "".join(f"{found[row][name] or '.':>4}" for name in names))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score npgan.diagnose on planted faults.")
    parser.add_argument("--quick", action="store_true", help="one set, one width, few steps")
    parser.add_argument("--data", help="other images in place of the two sets, as for the lessons")
    parser.add_argument("--out", type=Path, default=Path("out/score_diagnose"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sources = SOURCES
    if args.data:
        sources = {Path(args.data).name: lambda seed: data.load(args.data, size=SIZE, count=4000, seed=seed)}
    widths, steps = ((8,), 20) if args.quick else (WIDTHS, STEPS)
    planned = runs(list(sources)[:1] if args.quick else sources, widths)
    rules = hashlib.sha256(Path(diagnose.__file__).read_bytes()).hexdigest()[:12]
    print(f"rules {rules}; {len(planned)} runs of {steps} steps", flush=True)
    found: dict[str, Counter] = {name: Counter() for name in [*BUGS, *HEALTHY]}
    named = alarms = unsure = 0
    started, loaded = time.perf_counter(), {}
    for source, width, seed, bug, name, options in planned:
        if (source, seed) not in loaded:
            loaded = {(source, seed): sources[source](seed)}
        try:
            path = history_of(args.out, loaded[source, seed], width, seed, bug, name, options, steps)
            first = diagnose.diagnose(diagnose.read(path)[1])[0]
        except TrainingError as error:
            first = diagnose.Finding("training error", str(error), "")
        found[name][first.name] += 1
        if bug:
            right = first.name in BUGS[bug].names
            named += right
        else:
            right = first.name == diagnose.HEALTHY
            unsure += first.name == diagnose.NOT_SURE
            alarms += first.name not in (diagnose.HEALTHY, diagnose.NOT_SURE)
        print(
            f"{'  ' if right else '! '}{source}, width {width}, {name}: {first.name} ({first.figure})",
            flush=True,
        )
    faults = sum(bug != "" for _, _, _, bug, _, _ in planned)
    healthy = len(planned) - faults
    print(f"\n{table([*BUGS, *HEALTHY], found)}\n")
    print(f"named {named} of {faults} planted faults ({named / faults:.1%})")
    print(f"false alarms {alarms} of {healthy} healthy runs ({alarms / healthy:.1%}); not sure {unsure}")
    print(f"{len(planned)} runs in {time.perf_counter() - started:.0f} s, those that were kept included")


if __name__ == "__main__":
    main()
