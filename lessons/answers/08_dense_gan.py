"""Answers for lesson 8: a sigmoid too many, a layer of 2 units, large first weights."""

from answers import Answers

answers = Answers("08_dense_gan")
short = ("--steps", "60")

answers.exercise(1, "The article's sigmoid in the mended discriminator")
shipped = answers.lesson({}, *short)
squashed = answers.lesson({"SQUASHED = False": "SQUASHED = True"}, *short)
answers.between("lowest loss of D with it", min(squashed["histories"]["mended"]["d_loss"]), 1.0064, 1.5)
answers.between("lowest without it", min(shipped["histories"]["mended"]["d_loss"]), 0.7, 1.0, full=True)

answers.exercise(2, "A layer of 2 units")
narrow = answers.lesson({"MENDED_G = (128, 128)": "MENDED_G = (128, 128, 2)"}, *short)
answers.same("local dimension", narrow["ranks"]["mended"], 2)
answers.between("components for 95% of the variance", narrow["needed"]["mended"], 1, 2, full=True)
answers.between("without the layer", shipped["needed"]["mended"], 2, 5, full=True)

answers.exercise(3, "Large first weights")
large = answers.lesson({"SMALL_AT_PIXELS = True": "SMALL_AT_PIXELS = False"}, *short)
answers.between("speckle", large["speckles"]["mended"], 0.7, 0.9, full=True)
answers.between("as shipped", shipped["speckles"]["mended"], 0.04, 0.09, full=True)
answers.between("of real images", shipped["speckles"]["real"], 0.02, 0.027, full=True)
