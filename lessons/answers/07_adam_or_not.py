"""Answers for lesson 7, third part: a discriminator that learns more often, and plain descent at half the rate."""

import numpy as np
from answers import Answers

answers = Answers("07_adam_or_not")
SGD = '"SGD": (optim.SGD, 0.1, 0.1),'
SLOWER = '"SGD, G slower": (optim.SGD, 0.1, 0.05),'
ADAM = '"Adam": (optim.Adam, 3e-3, 3e-3),'


def play(changes):
    """For each loss: modes, shares of high quality and mean logits of the games, one row for each seed."""
    return {loss: np.array(games) for (_, loss), games in answers.lesson(changes)["found"].items()}


answers.exercise(1, "Five steps of D in a round")
modes = {"non-saturating": (3, 8), "saturating": (0, 2.7)}
for loss, games in play({"D_STEPS = 1  #": "D_STEPS = 5  #", SGD: "", SLOWER: ""}).items():
    print(f"{loss}: modes, share, logit of each seed: {games.round(2).tolist()}")
    answers.between(f"{loss}: modes of 8, mean", games[:, 0].mean(), *modes[loss], full=True)
# They do not tie any more: 4, 4 and 7 modes with the one, 1, 2 and 0 with the other (seeds 0 to 2; the ranges leave
# room for other machines, which play other games). Two of the saturating games sit on a mode or two, the third on
# none. Adam divides by one size for all points: it cannot help those of which D is surer than of others.

answers.exercise(2, "Plain descent at half the rate")
for loss, games in play({ADAM: "", SLOWER: "", SGD: '"both slower": (optim.SGD, 0.05, 0.05),'}).items():
    print(f"{loss}: modes, share, logit of each seed: {games.round(2).tolist()}")
    answers.between(f"{loss}: share of high quality, mean", games[:, 1].mean(), 0.005, 0.05, full=True)
# Yes: none of the six games runs off, and the losses tie: 2.2% and 1.8%. At 0.1 the saturating loss had 9% to 17%. So
# the lower rate costs nearly all: in 1,500 rounds the points hardly get anywhere.
