"""Answers for lesson 16, second stage: no game, a cloud that costs nothing, a teacher less."""

from answers import Answers

answers = Answers("16_twice_the_size")
base = answers.lesson({}, *(() if answers.args.quick else ("--steps", "1200")), script="16_text_to_image")
short = ("--trained", str(base["args"].out), *(() if answers.args.quick else ("--steps", "400")))


def told(names: dict) -> dict[str, float]:
    return names["report"]["second stage"]


shipped = answers.lesson({}, *short)
for who, near, far, least, most in (("bicubic", 1.4, 2.5, 0.7, 0.9), ("second stage", 1.1, 1.9, 0.93, 1)):
    scores = shipped["report"][who]
    answers.between(f"as shipped, {who}: Frechet distance", scores["frechet"], near, far, full=True)
    answers.between(f"as shipped, {who}: main", scores["main"], least, most, full=True)

answers.exercise(1, "No game")
found = told(answers.lesson({"GAME = 1.0  #": "GAME = 0.0  #"}, *short))
answers.between("Frechet distance", found["frechet"], 1.1, 1.9, full=True)
answers.between("main", found["main"], 0.93, 1, full=True)
# Nothing: 1.48 and 1.49, and 97% right both times. The real pictures that were made small teach the edges, too.

answers.exercise(2, "A cloud that costs nothing")
names = answers.lesson({"DIVERGENCE = 0.02  #": "DIVERGENCE = 0.0  #"}, *short)
last = {name: run["run"].history["divergence"][-1] for name, run in (("0.02", shipped), ("0", names))}
answers.between("divergence at 0.02", last["0.02"], 0, 1, full=True)
answers.between("divergence at 0", last["0"], 100, 1000, full=True)
answers.between("Frechet distance", told(names)["frechet"], 1.1, 1.9, full=True)
# It listens, 331 nats, and gains nothing: 1.50. The ink has said it already.

answers.exercise(3, "Without real pictures that were made small")
found = told(answers.lesson({"NEAR = 10.0  #": "NEAR = 0.0  #"}, *short))
answers.between("Frechet distance", found["frechet"], 1.1, 2.5, full=True)
# Nothing either: 1.51. Each teacher does it alone. (By the whole lesson, seed 0: 0.45 each, 0.44 both.)
