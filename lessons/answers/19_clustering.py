"""Answers for lesson 19, clusters: one start of K-means, more neighbours for a core point."""

from answers import Answers

answers = Answers("19_clustering")

answers.exercise(1, "One start")
names = answers.lesson({"STARTS = 10": "STARTS = 1"})
(by_rows,), (by_distance,) = names["found"].values()
answers.between("modes found from random rows", by_rows, 14, 22)
answers.between("from k-means++", by_distance, 22, 25)
rows, spread = (names["tries"][name][0].inertia for name in ("random rows", "k-means++"))
answers.between("inertia from random rows, over that of k-means++", rows / spread, 10, 500)

answers.exercise(2, "Fifteen neighbours")
shipped = answers.lesson({})
names = answers.lesson({"LEAST = 5": "LEAST = 15"})
answers.same("clusters", int(names["by_density"].max()) + 1, 2)
noise = [int((run["by_density"][1500:] == -1).sum()) for run in (shipped, names)]
answers.between("of 60 strewn points noise, 5 neighbours", noise[0], 30, 48)
answers.between("15 neighbours", noise[1], noise[0] + 1, 58)
answers.same("modes counted", names["counted"], {"ring": 8, "grid": 25})
