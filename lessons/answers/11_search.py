"""Answers for lesson 11, the search through the noise: how long it searches, and the discriminator's opinion."""

from answers import Answers

answers = Answers("11_search")
steps = () if answers.args.quick else ("--steps", "300")
base = answers.lesson({"SEEDS = range(3)": "SEEDS = range(1)"}, *steps, script="11_conv_inpainting")
short = ("--trained", str(base["args"].out), *steps)


def psnr(changes):
    """PSNR in dB of the harmonic fill, of the search of least cost, and of the mean of eight searches."""
    results = answers.lesson({"IMAGES = 300": "IMAGES = 100"} | changes, *short)["results"]
    return [results[name].psnr for name in ("harmonic", "search, best", "search, mean")]


answers.exercise(1, "How long it searches")
harmonic, best, mean = psnr({})
answers.between("harmonic fill, dB", harmonic, 7.5, 7.8, full=True)
answers.between("100 steps: one search", best, 7, 9, full=True)
answers.between("100 steps: mean of eight", mean, 7.8, 9.5, full=True)
for number, low, high in ((0, 5, 7), (400, 7, 9)):
    _, one, eight = psnr({"SEARCH_STEPS = 100": f"SEARCH_STEPS = {number}"})
    answers.between(f"{number} steps: one search", one, low, high, full=True)
    answers.between(f"{number} steps: mean of eight", eight, 7.4, 9.5, full=True)
# Seed 0: one search has 6.1 dB without a step, 8.1 with 100, 8.1 with 400; the mean of eight 8.5, 8.6, 8.3. So the
# gradient wins 2 dB for one search, all of it in the first 100 steps, and next to nothing for the mean: eight good
# random z are as good there, and with 400 steps the searches fit the known pixels better and the truth less.

answers.exercise(2, "The discriminator's opinion")
OPINION = """
def opinion(drawn):
    from npgan.losses import softplus

    with discriminator.held(inference=True):
        logits = discriminator.forward(drawn)  # N, 1
        dlogits = -0.1 / (1 + array_module(logits).exp(logits))  # of -log s: -(1 - s)
        return 0.1 * softplus(-logits)[:, 0], discriminator.backward(dlogits)


OPINION = opinion  #"""
_, one, eight = psnr({"\nOPINION = None  #": OPINION})
answers.between("change of one search, dB", one - best, -1.2, 0.6, full=True)
answers.between("change of the mean of eight", eight - mean, -0.4, 1.2, full=True)
# -0.4 and +0.6 dB, seed 0. The opinion also changes which searches count as good, and so the weights of the mean.
# A discriminator of 300 steps is no great judge of a single image.
