"""Answers for lesson 17: all sizes at once, no fade, an average that goes on."""

from answers import Answers

answers = Answers("17_progressive_growing")


def grown(old: str, new: str):
    """The Frechet distances after the first and the second half of each stage."""
    names = answers.lesson({old: new, "PLAIN_ROUNDS = 370": "PLAIN_ROUNDS = 2"})
    return names["grown"]["frechet"].tolist()


answers.exercise(1, "All sizes at once")
found = grown(
    "ROUNDS = {4: 400, 8: 450, 16: 850, 32: 750, 64: 300}", "ROUNDS = {4: 1, 8: 1, 16: 1, 32: 1, 64: 1100}"
)
answers.between("Frechet distance at the end", found[-1], 0, 100, full=True)

answers.exercise(2, "No fade")
found = grown("FADING = 0.5", "FADING = 0.0")
for size, k in ((32, 6), (64, 8)):
    answers.between(f"Frechet distance after half of the stage of {size} pixels", found[k], 0, 100, full=True)
answers.between("at the end", found[-1], 0, 100, full=True)

answers.exercise(3, "An average that goes on")
found = grown("ANEW = True", "ANEW = False")
for size, k in ((32, 6), (64, 8)):
    answers.between(f"Frechet distance after half of the stage of {size} pixels", found[k], 0, 100, full=True)
answers.between("at the end", found[-1], 0, 100, full=True)
