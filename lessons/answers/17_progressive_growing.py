"""Answers for lesson 17, all at 16 x 16: one size from the start, no fade, an average that goes on, nobody told."""

from answers import Answers

answers = Answers("17_progressive_growing")
ALONE = {"PLAIN_ROUNDS = 370": "PLAIN_ROUNDS = 2"}


def grown(changes: dict[str, str]) -> list[float]:
    """The Frechet distances in the middle and at the end of each stage."""
    return answers.lesson(ALONE | changes, "--size", "16")["grown"]["frechet"].tolist()


shipped = grown({})

answers.exercise(1, "All seconds at full size")
rounds = "ROUNDS = {4: 400, 8: 450, 16: 850, 32: 750, 64: 300}"
found = grown({rounds: "ROUNDS = {4: 1, 8: 1, 16: 1150, 32: 1, 64: 1}"})
answers.between("Frechet distance as shipped", shipped[-1], 2, 4.5, full=True)
answers.between("at full size from the start, of that", found[-1] / shipped[-1], 0.6, 1.6, full=True)
# Seeds 0 to 2: 3.1, 3.0 and 2.7 as shipped; 3.6, 2.5 and 3.0 at full size, after as many seconds. So growing gains
# nothing here. At 64 x 64, where there is more to be saved, it is 2.4, 1.8 and 2.8, and 4.0, 4.4 and 4.7.

answers.exercise(2, "No fade")
found = grown({"FADING = 0.5": "FADING = 0.0"})
part = found[2] / shipped[2]
answers.between(
    "in the middle of the stage of 8 pixels, of what it is with a fade", part, 0.3, 0.85, full=True
)
answers.between("at the end, of what it is with a fade", found[5] / shipped[5], 0.7, 1.15, full=True)
# Seeds 0 to 2: 10.0 for 21.3, 9.3 for 15.8 and 9.5 for 19.7; at the end 2.7 for 3.1, 2.7 for 3.0 and 2.6 for 2.7. In
# the middle of a stage the network without a fade has had the whole time for its new block, so it is ahead there. It
# stays ahead: these networks are so small that a new block does not upset them for long.

answers.exercise(3, "An average that goes on")
found = grown({"ANEW = True": "ANEW = False"})
part = found[4] / shipped[4]
answers.between("in the middle of the stage of 16 pixels, of what it is anew", part, 1.5, 4, full=True)
answers.between("at the end, of what it is anew", found[5] / shipped[5], 0.75, 1.3, full=True)
# Seeds 0 to 2: 17.0 for 6.6, 18.8 for 7.8 and 17.4 for 6.2; at the end 3.0 for 3.1, 3.1 for 3.0 and 2.5 for 2.7.
# While alpha rises the average is of networks with a smaller one. Once it stands still, what is left of them fades.

answers.exercise(4, "Nobody is told")
found = grown({"TOLD = True": "TOLD = False"})
answers.between("Frechet distance, of what it is told", found[5] / shipped[5], 1.3, 3, full=True)
# Seeds 0 to 2: 5.9 for 3.1, 6.7 for 3.0 and 4.6 for 2.7. One cloud of noise has to become ten digits then.
