"""Answers for lesson 13, second part: the ring, and a row of one's own."""

import numpy as np
from answers import Answers

from npgan import losses

answers = Answers("13_remedies")
QUICK = answers.args.quick


def rows(names, rules, rounds=20 if QUICK else 2000):
    """Modes, quality, KL and width by these rules, mean over three seeds, after as many rounds for each."""
    found = [
        names["score"](names["play"](rules, lambda done: done / rounds, np.random.default_rng(seed))[0])
        for seed in range(1 if QUICK else 3)
    ]
    return np.mean(found, axis=0)


answers.exercise(1, "The ring")
names = answers.lesson({"MIXTURE = Mixture.grid()  #": "MIXTURE = Mixture.ring()  #"}, "--quick")
for remedy, low, high in (("plain", 0.3, 0.8), ("packing of 4", 0.01, 0.3), ("cured", 0.7, 1)):
    modes, share, *_ = rows(names, names["REMEDIES"][remedy])
    answers.between(f"{remedy}: modes of 8", modes, 6, 8, full=True)
    answers.between(f"{remedy}: share of high quality", share, low, high, full=True)

answers.exercise(2, "A row of your own")
names = answers.lesson({}, "--quick")
rules = names["Rules"](losses.hinge, losses.wasserstein, spectral=True, packing=2, average=True)
modes, share, *_ = rows(names, rules)
answers.between("hinge, spectral norm, packing, average: modes of 25", modes, 0, 20, full=True)
answers.between("share of high quality", share, 0, 0.3, full=True)
