"""Answers for lesson 16, second part: an auxiliary classifier that reads less, and one whose G is not modulated."""

from answers import Answers

answers = Answers("16_ways_of_telling")

answers.exercise(1, "Words count less")
found = answers.lesson({"READS = 1.0  #": "READS = 0.3  #"})["results"]["auxiliary classifier"]
answers.between("main", found["main"], 0, 0.8, full=True)
answers.between("diversity", found["diversity"], 0.3, 1.2, full=True)

answers.exercise(2, "Not modulated, and read")
names = answers.lesson({}, "--quick")
way = names["Way"]("classifier", modulated=False, wrong="none", pairs=False)
_, rounds = names["play"](way, names["np"].random.default_rng(0))
answers.between("rounds", rounds, 1, 2000)
