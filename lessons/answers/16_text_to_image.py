"""Answers for lesson 16: what an emphasis, pairs of one caption, and 36 characters do, over a fifth of the rounds."""

from answers import Answers

answers = Answers("16_text_to_image")
QUICK = answers.args.quick
SHORT = () if QUICK else ("--steps", "840")


def held(number, title, changes):
    """What the lesson says of captions that were held out, with a setting changed."""
    answers.exercise(number, title)
    return answers.lesson(changes, *SHORT)["report"]["held-out"]


base = held(0, "As shipped, to compare with", {})
answers.between("main", base["main"], 0.6, 1, full=True)

plain = held(1, "No emphasis on the weight", {'SHARES = {"weight": 0.24}': "SHARES = {}"})
answers.between("weight: what the emphasis gains", base["weight"] - plain["weight"], -0.1, 0.3, full=True)
# The other words lose nothing that a seed could not explain.

alone = held(2, "Pairs of different captions", {"COPIES = 2  #": "COPIES = 1  #"})
answers.between("diversity without", alone["diversity"], 0.3, 1, full=True)
answers.between("main without", alone["main"], 0.5, 1, full=True)

letters_too = {
    "from npgan.data import DIGITS": "from npgan.data import DIGITS, UPPERCASE",
    "CHARACTERS = DIGITS  #": "CHARACTERS = DIGITS + UPPERCASE  #",
}
many = held(3, "36 characters", letters_too)
answers.between("main", many["main"], 0, 0.9, full=True)
# O and 0, I and 1 are nearly one in some fonts: the judge, too, takes them for one another.
