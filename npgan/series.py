"""Many trainings in one lesson, one after the other, that --resume continues as one.

    series = Series(lesson, ["reconstruction", "GAN"], {"images": len(train), "shape": train.shape})
    for step in series.run("reconstruction", 2000, {"network": network, "optimizer": optimizer, "rng": rng}):
        ...

Each training has a folder of its own in the lesson's, named after it, where its `Run` saves all that it changes, the
generator of its random numbers too. `--resume` takes the newest checkpoint, or the one that it names. The trainings
before that one are done: they get their last state. It goes on, and those after it start from the beginning. So a
lesson ends with the same weights, to the bit, as if it had never been interrupted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from npgan import checkpoint
from npgan.errors import DataError
from npgan.layers import Layer
from npgan.lesson import Lesson
from npgan.live import Look, run_window
from npgan.optim import MovingAverage
from npgan.training import Run


class Series:
    """The trainings of a lesson by name, in their order.

    settings: what the checkpoints say beside the lesson's flags; who resumes must have the same.
    Raises DataError where --resume names a checkpoint of no training of these.
    """

    def __init__(self, lesson: Lesson, names: Sequence[str], settings: dict[str, Any]):
        self.lesson, self.names, self.settings = lesson, list(names), settings
        self.resume: Path | None = lesson.args.resume
        self.window = run_window(lesson.name) if getattr(lesson.args, "live", False) else None
        self.reached = 0  # the place in `names` of the training that --resume goes on with
        if self.resume:
            found = checkpoint.read_settings(self.resume).get("training")
            if found not in self.names:
                raise DataError(
                    f"{self.resume}: is of the training {found!r}, wanted one of {', '.join(self.names)}"
                )
            self.reached = self.names.index(found)

    def run(self, name: str, steps: int, parts: checkpoint.Parts, look: Look | None = None) -> Run:
        """The run of one training. Where it goes on, the parts get their state from there.

        look: what the window shows of it, where --live has opened one.
        Raises DataError where the checkpoint is missing, broken, or was made with other settings.
        """
        if self.window is not None:
            self.window.looks(look, title=name)
        run = Run(
            steps,
            window=self.window,
            step_through=self.lesson.args.step,
            parts=parts,
            settings=self.lesson.settings()
            | self.settings
            | {"training": name, "training_number": self.names.index(name), "training_steps": steps},
            folder=self.lesson.folder(name),
            resume=self._checkpoint_of(name, steps),
        )
        if run.done and not checkpoint.path_for(run.folder, run.done).exists():
            run.save()  # --out is another folder: it gets all that a further --resume needs
        return run

    def _checkpoint_of(self, name: str, steps: int) -> Path | None:
        """Where a training goes on: at its end, at the file of --resume, or (None) at its beginning."""
        place = self.names.index(name)
        if not self.resume or place > self.reached:
            return None
        if place == self.reached:
            return self.resume
        return checkpoint.path_for(self.resume.absolute().parent.parent / name, steps)


class Trained(NamedTuple):
    """The last checkpoint of a training that an earlier lesson has done."""

    path: Path
    settings: dict[str, Any]  # the flags of that lesson, and what it added to them

    def into(self, network: Layer) -> Layer:
        """Give the network the moving average of the weights that were trained; return it."""
        average = MovingAverage(network)
        checkpoint.load(self.path, {"average": average})
        return average.layer


def trained_by(name: str, training: str | None, folder: str | Path | None, out: Path) -> Trained:
    """What lesson `name` has trained: of its training `training` the last checkpoint (None: it has but one).

    folder: where that lesson wrote; None: the folder `name` beside `out`, this lesson's own. Raises DataError, in
    one line that says what to run first, where there is none or the training did not come to its end.
    """
    above = Path(folder) if folder is not None else out.absolute().parent / name
    first = f"run python lessons/{name}.py --out {above}"
    where, steps = (above / training, "training_steps") if training else (above, "steps")
    found = {path: checkpoint.load(path, {}) for path in checkpoint.in_folder(where)}
    if not found:
        raise DataError(
            f"{above}: holds no {training or 'checkpoint'}, which this lesson goes on from; {first} first"
        )
    ends = [path for path, it in found.items() if it.step == it.settings.get(steps)]
    if not ends:
        raise DataError(f"{where}: this training was interrupted; {first} --resume first")
    if len(ends) > 1:  # an earlier run in the same folder had other steps
        raise DataError(f"{where}: holds the ends of several runs, {ends[0]} and {ends[1]}; keep one")
    path, settings = ends[0], found[ends[0]].settings
    if settings.get("lesson") != name or settings.get("training") != training:
        of = f"the {training} of {name!r}" if training else repr(name)
        raise DataError(f"{path}: is of {settings.get('lesson')!r}, wanted {of}")
    return Trained(path, settings)
