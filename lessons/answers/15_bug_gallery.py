"""Answers for lesson 15: how large a rate may be, a mistake that no figure shows, and another data set."""

import contextlib
import io

from answers import Answers

from npgan import data
from npgan.bugs import play
from npgan.diagnose import diagnose

answers = Answers("15_bug_gallery")
steps = 20 if answers.args.quick else 400
images = data.glyphs(600 if answers.args.quick else 4000, size=16)


def healthy_run(images, rates):
    """The first finding on a run without a mistake, and how much its samples differ: a part of what real ones do."""
    with contextlib.redirect_stdout(io.StringIO()):
        played = play(images, rates=rates, steps=steps)
    watched = played.run.watched
    return diagnose(watched)[0].name, watched["fake spread"][-1] / watched["real spread"][-1]


answers.exercise(1, "How large a rate may be")
for factor, wanted in ((1, 0), (2, 0), (4, 1), (10, 1)):
    found, spread = healthy_run(images, (factor * 2e-3, factor * 4e-4))
    print(f"   {factor} times the rates: {found}; its samples differ by {spread:.2f} of what real ones do")
    answers.between(f"{factor} times: named", int(found == "rate too high"), wanted, wanted, full=True)

answers.exercise(2, "Upside down")
found, _ = healthy_run(images.with_pixels(images.pixels[:, ::-1]), (2e-3, 4e-4))
answers.between(f"healthy ({found})", int(found == "healthy"), 1, 1, full=True)
# Both players only ever see these images, so they are a data set like any other. Look at real.png before training.

answers.exercise(3, "Crops of a photograph")
names = answers.lesson({}, "--data", "photo")
answers.between("mistakes named, of 23", len(names["named"]), 20, 23, full=True)
