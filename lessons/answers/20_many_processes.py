"""Answers for lesson 20: smaller parts, a sum in place of a mean with plain descent, and larger networks."""

from answers import Answers

answers = Answers("20_many_processes")

answers.exercise(1, "Smaller parts")
names = answers.lesson({"PARTS = (2, 4, 16)  #": "PARTS = (2, 8, 32)  #"})
errors = names["errors"]
for size in (8, 32):
    answers.between(f"{size} parts against 2", errors[size, False] / errors[2, False], 1.1, 6)
answers.below("32 parts, normalised by all ranks", errors[32, True], 1e-12)
# Parts of 2 images still have 196 or 49 values a channel, pixels of one image: alike, but not the same. So the error
# grows more slowly than the parts shrink.

answers.exercise(2, "A sum in place of a mean")
answers.between("Adam: off after the first round", names["away"]["sum"][0], 0, 0.05)
names = answers.lesson({"MAKE = optim.Adam  #": "MAKE = optim.SGD  #"})
answers.between("SGD: off after the first round", names["away"]["sum"][0], 0.9, 1.3)
# Adam's step is mean / root of mean square: a factor of 2 in the gradients is in both, and goes out but for epsilon.
# To plain descent it is twice the rate: it goes twice as far, so it is off by the whole way. (D's step was twice as
# long as well, and what it teaches G has changed a little: hence not quite 1.)

answers.exercise(3, "Wider networks")
names = answers.lesson({"WIDER = 1  #": "WIDER = 4  #"})


def gain(name, wider):
    """How many times as fast as one 64 ranks are; for both widths from the times that this run has measured."""
    fixed, each = wider**2 * names["fixed"] / 4**2, wider**2 * names["each"] / 4**2
    latency, bandwidth = names["NETWORKS"][name]
    talk = names["messages"] * latency * 6 + 2 * 63 / 64 * 4 * wider**2 * names["numbers"] / bandwidth
    return (fixed + 64 * each) / (fixed + each + talk)


for name in ("10 Gbit/s", "1 Gbit/s"):
    answers.between(f"{name}: times as fast as one, WIDER = 1", gain(name, 1), 0.2, 64)
    answers.between(f"{name}: WIDER = 4, as a part of that", gain(name, 4) / gain(name, 1), 1, 16)
answers.below("the lesson's own figure", abs(gain(name, 4) / names["gains"][name][-1] - 1), 1e-9)
# Work and gradients have grown alike, by 16; the latency of the short messages has not, so they count for less. What
# is lost to bandwidth is lost as before. (`fixed` has grown too: most of it is Adam, which each rank does for all.)
