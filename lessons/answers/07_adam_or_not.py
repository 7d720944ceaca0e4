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
for loss, games in play({"D_STEPS = 1  #": "D_STEPS = 5  #", SGD: "", SLOWER: ""}).items():
    print(f"{loss}: modes, share, logit of each seed: {games.round(2).tolist()}")
    answers.between(f"{loss}: modes of 8, mean", games[:, 0].mean(), 0, 8, full=True)
    answers.between(f"{loss}: share of high quality, mean", games[:, 1].mean(), 0, 1, full=True)

answers.exercise(2, "Plain descent at half the rate")
for loss, games in play({ADAM: "", SLOWER: "", SGD: '"both slower": (optim.SGD, 0.05, 0.05),'}).items():
    print(f"{loss}: modes, share, logit of each seed: {games.round(2).tolist()}")
    answers.between(f"{loss}: modes of 8, mean", games[:, 0].mean(), 0, 8, full=True)
    answers.between(f"{loss}: share of high quality, mean", games[:, 1].mean(), 0, 1, full=True)
