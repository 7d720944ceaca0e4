"""Answers for lesson 17, all at 16 x 16: one size from the start, no fade, an average that goes on."""

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
answers.between("Frechet distance as shipped", shipped[-1], 3, 6, full=True)
answers.between("at full size from the start", found[-1], 3.5, 7, full=True)
# Seed 0: 4.3 and 5.2, both after 72 seconds. So growing gains a sixth here. At 64 x 64, where there is more to be
# saved, it is 8.6 and 11.9.

answers.exercise(2, "No fade")
found = grown({"FADING = 0.5": "FADING = 0.0"})
answers.between(
    "in the middle of the stage of 8 pixels, of what it is with a fade",
    found[2] / shipped[2],
    0.4,
    0.95,
    full=True,
)
answers.between("at the end, of what it is with a fade", found[5] / shipped[5], 1.05, 2.2, full=True)
# Seed 0: 10.0 for 15.8, and at the end 6.6 for 4.3. In the middle of a stage the network without a fade has had the
# whole time for its new block, so it is ahead there. At the end the fade has paid.

answers.exercise(3, "An average that goes on")
found = grown({"ANEW = True": "ANEW = False"})
answers.between(
    "in the middle of the stage of 16 pixels, of what it is anew", found[4] / shipped[4], 1.5, 3.5, full=True
)
answers.between("at the end, of what it is anew", found[5] / shipped[5], 0.8, 1.3, full=True)
# Seed 0: 17.9 for 7.6, and at the end 4.5 for 4.3. While alpha rises the average is of networks with a smaller one.
# Once alpha stands still, what is left of them fades away.
