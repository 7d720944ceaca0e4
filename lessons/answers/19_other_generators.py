"""Answers for lesson 19, the table: mixtures of one Gaussian, noisier copies."""

from answers import Answers

answers = Answers("19_other_generators")
shipped = answers.lesson({})["table"]
trained = ("--resume", str(answers.args.out / "1" / "GAN"))

answers.exercise(1, "Mixtures of one Gaussian")
one = answers.lesson({"COMPONENTS = 50": "COMPONENTS = 1"}, *trained)["table"]
same = one["AE, mixture"]["Frechet"] / one["AE, Gaussian"]["Frechet"]
answers.between("AE: one Gaussian of a mixture, over the Gaussian", same, 0.85, 1.2)
better = shipped["AE, mixture"]["Frechet"] / one["AE, mixture"]["Frechet"]
answers.between("fifty over one: Frechet distance of the AE", better, 0.1, 0.6, full=True)
better = shipped["mixture"]["Frechet"] / one["mixture"]["Frechet"]
answers.between("fifty over one: of pixels", better, 0.2, 0.6, full=True)

answers.exercise(2, "Noisier copies")
noisy = answers.lesson({"NOISE = 0.1": "NOISE = 0.5"}, *trained)["table"]["copies"]
answers.between("Frechet distance", noisy["Frechet"], 1.5, 8, full=True)
answers.between("as shipped", shipped["copies"]["Frechet"], 0.2, 1, full=True)
answers.between("copying", noisy["copying"], 0, 0.3, full=True)
answers.between("as shipped", shipped["copies"]["copying"], 0.9, 1)
