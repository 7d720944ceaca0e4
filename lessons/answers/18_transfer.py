"""Answers for lesson 18: shorter steps, and a source of one letter."""

from answers import Answers

answers = Answers("18_transfer")


def thirty(**changed):
    """Mean Frechet distance and copying of each way over the time (PARTS, 2), with a setting changed."""
    lines = {"SOURCE": "SOURCE = data.UPPERCASE", "RATE": "RATE = 1e-3"}
    changes = {lines[name]: f"{name} = {value!r}" for name, value in changed.items()}
    names = answers.lesson({"MORE = True": "MORE = False"} | changes)
    means = {name: found.mean(axis=0) for name, found in names["thirty"].items()}
    for name, (distance, copying) in ((name, mean.T) for name, mean in means.items()):
        print(f"{name:<16} Frechet {distance.round(2)}   copying {copying.round(2)}")
    return names, means


answers.exercise(1, "Shorter steps")
names, means = thirty(RATE=3e-4)

answers.exercise(2, "A source of one letter")
names, means = thirty(SOURCE="O")
