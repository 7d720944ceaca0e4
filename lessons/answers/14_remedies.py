"""Answers for lesson 14, second part: what ails the deeper network, and 32 images."""

import numpy as np
from answers import Answers

answers = Answers("14_remedies")
QUICK = answers.args.quick
names = answers.lesson({}, "--steps", "1")  # for its images and its ruler
names["args"].steps = 2 if QUICK else 600
PLAIN, SEEDS = names["PLAIN"], range(1 if QUICK else 3)


def distance(**changes):
    """The mean over three seeds, printed with each of them."""
    rules = PLAIN._replace(**changes)
    scores = [names["score"](names["play"](rules, seed)[0]) for seed in SEEDS]
    print(f"{changes}: {np.round(scores, 2).tolist()}", flush=True)
    return float(np.mean(scores))


answers.exercise(1, "A layer more")
answers.between("He's weights", distance(smallest=2, he=True), 4, 9, full=True)
answers.between("D's rate a third", distance(smallest=2, d_rate=1 / 3), 10, 30, full=True)
# It is the weights: 6.03 (5.47 to 6.81) with He's, 21.58 (11.54 to 27.35) with 0.02, and a slower D does not mend it
# (17.44). The standard deviation that served a network of two convolutions does not serve one of three. But the plain
# game, a layer less deep, has 3.95: here the layer costs even when it is put in rightly.

answers.exercise(2, "32 images")
for seed in SEEDS:
    names["trained"][seed] = [player.state() for player in names["play"](PLAIN, seed, names["letters"])]
answers.between("from scratch", distance(images=32), 4, 8, full=True)
answers.between("from letters", distance(images=32, start="letters"), 4.5, 9, full=True)
# 5.75 (4.61 to 6.46) from scratch, 6.55 (5.96 to 6.99) from letters: not told apart; if anything they cost.
# In 600 rounds 32 images are seen 600 times each. What is lacking is not a start.
