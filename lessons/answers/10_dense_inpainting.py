"""Answers for lesson 10: holes anywhere, networks that do not see the mask, an image painted whole."""

from answers import Answers

answers = Answers("10_dense_inpainting")
short = ("--steps", "100")
HOLES, SEES = 'HOLES = "centre"', "G_SEES_MASK = D_SEES_MASK = True"


def score(changes, *flags):
    names = answers.lesson(changes, *short, *flags)
    return names, names["scores"]["mended"].psnr, names["scores"]["mended"].ssim


answers.exercise(1, "Holes anywhere")
_, centre, similar = score({})
_, anywhere, _ = score({HOLES: 'HOLES = "rectangle"'})
_, unseen, _ = score({HOLES: 'HOLES = "rectangle"', SEES: "G_SEES_MASK, D_SEES_MASK = False, True"})
answers.between("holes in the centre, PSNR in dB", centre, 9.0, 10.0, full=True)
answers.between("lost with holes anywhere", centre - anywhere, 0.8, 1.9, full=True)
answers.between("lost besides without the mask", anywhere - unseen, -0.2, 0.5, full=True)
# The hole holds one colour, the mean of the known pixels, so a network can recognise it; the mask adds little.

answers.exercise(2, "A discriminator without the mask")
_, without, similar_without = score({SEES: "G_SEES_MASK, D_SEES_MASK = True, False"})
_, seed, similar_seed = score({}, "--seed", "1")
answers.between("change of PSNR in dB", without - centre, -0.1, 0.1, full=True)
answers.between("change of SSIM", similar_without - similar, -0.01, 0.01, full=True)
answers.between("change of PSNR with another seed", seed - centre, -0.4, 0.4, full=True)
# The mask was the same for every image, real or repaired: it could tell D nothing.

answers.exercise(3, "An image painted whole")
# y is the painted image alone, so all of dy goes to the network, and none past it to the damaged image.
names, psnr, _ = score({"BLENDS = True": "BLENDS = False"})
answers.below("relative error of the backward pass", max(names["errors"].values()), 1e-6)
known = names["psnr"](names["repairs"]["mended"], names["truth"], 1 - names["test_masks"]).mean()
answers.between("known pixels come back with, in dB", float(known), 12.5, 14.5, full=True)
