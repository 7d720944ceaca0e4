"""Answers for lesson 12: less noise, copies, a ruler that has learned nothing."""

from answers import Answers

answers = Answers("12_evaluating_gans")
shipped = answers.lesson({})["found"]
trained = ("--trained", str(answers.args.out / "1"))

answers.exercise(1, "Samples from noise nearer to 0")
shrunk = answers.lesson({"SHRINK = 1.0": "SHRINK = 0.4"}, *trained)["found"]["GAN"]
answers.between("recall", shrunk.recall, 0.4, 0.75, full=True)
answers.between("as shipped", shipped["GAN"].recall, 0.8, 1, full=True)
answers.between("precision", shrunk.precision, 0.35, 0.8, full=True)
answers.between("as shipped", shipped["GAN"].precision, 0.2, 0.5, full=True)
answers.between("Frechet distance", shrunk.frechet, 8, 40, full=True)

answers.exercise(2, "A generator that knows its images by heart")
copies = answers.lesson({"MEMORISE = False": "MEMORISE = True"}, *trained)
answers.between("copying", copies["copying"]["GAN"], 0.95, 1)
distance = copies["found"]["GAN"].frechet / copies["found"]["real"].frechet
answers.between("Frechet distance, in floors", distance, 0.5, 3)
answers.between("precision", copies["found"]["GAN"].precision, 0.7, 1)

answers.exercise(3, "A ruler that has learned nothing")
blind = answers.lesson({"LABELS = True": "LABELS = False"}, *trained)
answers.same("order of both distances", blind["ordered"]["frechet"] or answers.args.quick, True)
floors = blind["found"]["GAN"].frechet / blind["found"]["real"].frechet
answers.between("the GAN, in floors", floors, 1.05, 2, full=True)
floors = shipped["GAN"].frechet / shipped["real"].frechet
answers.between("with labels", floors, 1.8, 5, full=True)
