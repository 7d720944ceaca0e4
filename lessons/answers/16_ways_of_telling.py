"""Answers for lesson 16, second part: an auxiliary classifier that reads less, and one whose G is not modulated."""

from answers import Answers

answers = Answers("16_ways_of_telling")

answers.exercise(1, "Words count less")
found = answers.lesson({"READS = 1.0  #": "READS = 0.3  #"})["results"]["auxiliary classifier"]
answers.between("main", found["main"], 0.4, 0.95, full=True)
answers.between("diversity", found["diversity"], 0.3, 1.2, full=True)
# The seed decides: 80%, 41% and 7% are right with seeds 0 to 2 (diversity 0.63, 0.58, and 1.84: no pictures yet). The
# mean, 43%, is no better than the 46.6 +- 3.3% at 1.0; seed 0 alone would say that it is.

answers.exercise(2, "Not modulated, and read")
row = '    "mine": Way("classifier", modulated=False, wrong="none", pairs=False),\n'
found = answers.lesson({'    "the same, with pairs"': row + '    "the same, with pairs"'})["results"]["mine"]
for word, least, most in (("character", 0.15, 0.6), ("foreground", 0.25, 0.75), ("background", 0, 0.3)):
    answers.between(word, found[word], least, most, full=True)
answers.between("main", found["main"], 0, 0.05, full=True)
# None well. Seed 0 gives 35% and 49% (by chance 10% and 13%), the background is a guess, 9%: 0.2% are right.
