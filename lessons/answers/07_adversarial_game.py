"""Answers for lesson 7, first part: a loss of one's own, the best judge on paper, small judges."""

import numpy as np
from answers import Answers

from npgan.gradcheck import check_loss
from npgan.losses import wasserstein
from npgan.plane import probability

answers = Answers("07_adversarial_game")
rng = np.random.default_rng(0)

answers.exercise(1, "A loss of one's own")


def mine(logits, target):
    sign = 1 - 2 * target  # -1 for "real": descent raises the logits
    return (sign * logits).mean(), np.full_like(logits, sign / logits.size)


logits = rng.standard_normal((6, 1))
answers.below("relative error", check_loss(lambda x: mine(x, 1.0), logits, rng), 1e-6)
answers.same(
    "npgan's gives the same", np.array_equal(mine(logits, 1.0)[1], wasserstein(logits, 1.0)[1]), True
)
names = answers.lesson(
    {
        "entropy, generator_saturating\n": "entropy, generator_saturating, wasserstein\n",
        '"saturating": generator_saturating}': '"saturating": generator_saturating, "mine": wasserstein}',
    }
)
longest = names["lengths"]["mine"] / max(names["lengths"]["saturating"], names["lengths"]["non-saturating"])
answers.between("its push, divided by the longer of both others", longest, 1.1, 2.5)
# Its slope by the logit is -1 everywhere, the others' s - 1 and -s are smaller. So the length of the push depends on
# the slope of D's surface alone, not on how sure D is.

answers.exercise(2, "The best judge at (1, 0), with pencil and paper")
p = 1 / (4 * 2 * np.pi * 0.25**2)  # one of four modes, at its centre
q = np.exp(-1 / (2 * 0.7**2)) / (2 * np.pi * 0.7**2)
here = np.array([[1.0, 0.0]])
answers.between("p", float(names["density"](here, names["WIDE"])[0]), p, p * 1.001)
answers.between("q", float(names["density"](here, names["ROUND"])[0]), q * 0.999, q * 1.001)
answers.between("s = p / (p + q)", p / (p + q), 0.844, 0.846)
learned = float(probability(names["alone"], here.astype(np.float32))[0])
answers.between("what D has learned", learned, 0.80, 0.88, full=True)
# The other modes of p are 1.41 away and more, 5.7 of their standard deviations: exp(-16) of their height.

answers.exercise(3, "A smaller judge")
small = {width: answers.lesson({"WIDTH = 128": f"WIDTH = {width}"}) for width in (8, 32)}
error = {width: found["judge_error"] for width, found in small.items()}
answers.between("mean error of D with 8 units", error[8], 0.06, 0.11, full=True)
answers.between("with 32", error[32], 0.018, 0.036, full=True)
answers.between("with 128, as shipped", names["judge_error"], 0.012, 0.022, full=True)
middle = float(probability(small[8]["alone"], np.zeros((1, 2), np.float32))[0])
answers.between("in the middle, where the formula has 0.003, with 8 units", middle, 0.02, 0.2, full=True)
# The pictures show where: few units make few kinks, so D's surface is made of a few straight pieces. With 8 units the
# discs become wedges that stay open outward. The middle and the corners, dark red in the formula, are too pale: 0.07
# in the middle, 0.16 in the upper right corner instead of 0.00. The upper disc is too weak: 0.72 at (0, 1), not 0.85.
