"""Answers for lesson 13, third part: how many modes a thousand samples have, a missing digit, and packing."""

import numpy as np
from answers import Answers

answers = Answers("13_stacked_glyphs")
ONLY = "for name in GAMES:\n    print"

answers.exercise(1, "Few samples, and a missing digit")
names = answers.lesson({ONLY: "for name in ():\n    print"}, "--steps", "1")
shares = np.bincount(names["held_out"].labels["character"], minlength=10) / len(names["held_out"])
each = np.einsum("i,j,k->ijk", shares, shares, shares)
real, _ = names["data"].stacked(names["held_out"], 1000, np.random.default_rng(0))
expected = float((1 - (1 - each) ** 1000).sum())
answers.between(
    "modes of 1,000 real stacks", names["score"](real).modes, expected - 40, expected + 40, full=True
)
# A mode is missed by all 1,000 with probability (1 - p)^1000, 0.368 where p = 1/1,000. So about 632 are found.
found = names["scores"]["one digit less"]
answers.between("one digit less: modes", found.modes, 729, 760, full=True)
zeros = names["share"][0]  # of the data that are zeros
lost = -3 * np.log(1 - zeros)
answers.between("its KL", found.kl, lost, lost + 0.05, full=True)
# 9^3 = 729, and a few that the classifier invents. Each share grows by 1 / (1 - zeros)^3, the KL is the logarithm of
# it, 0.316 where a tenth are zeros; and the floor.

answers.exercise(2, "Which half of the weak cure")
for new, modes, kl in (
    ("Game(4, 1e-3, 2e-3)", (850, 980), (0.5, 1.2)),
    ("Game(4, deviation=True)", (930, 1000), (0.3, 0.8)),
):
    names = answers.lesson(
        {
            "CHECKED = True  #": "CHECKED = False  #",
            '"weak-cured": Game(4, 1e-3, 2e-3, deviation=True)': f'"weak-cured": {new}',
            ONLY: 'for name in ("weak-cured",):\n    print',
        }
    )
    answers.between(f"{new}: modes", names["scores"]["weak-cured"].modes, *modes, full=True)
    answers.between(f"{new}: KL", names["scores"]["weak-cured"].kl, *kl, full=True)
# Seed 0: 929 modes and KL 0.83 with the rates alone, 981 and 0.52 with the deviation alone, 982 and 0.52 with both
# (105 and 4.35 with neither). So the deviation does nearly all of it, and the rates add nothing to it.
