"""Answers for lesson 11, the search through the noise: how long it searches, and the discriminator's opinion."""

from answers import Answers

answers = Answers("11_search")
steps = () if answers.args.quick else ("--steps", "300")
base = answers.lesson({"SEEDS = range(3)": "SEEDS = range(1)"}, *steps, script="11_conv_inpainting")
short = ("--trained", str(base["args"].out), *steps)
STEPS, FEWER = "SEARCH_STEPS = 100", {"IMAGES = 300": "IMAGES = 100"}


def psnr(what, changes):
    results = answers.lesson(FEWER | changes, *short)["results"]
    for name in ("search, best", "search, mean"):
        answers.between(f"{what}: {name}, dB", results[name].psnr, 0, 60, full=True)
    return results


answers.exercise(1, "How long it searches")
shipped = psnr("100 steps", {})
answers.between("harmonic fill, dB", shipped["harmonic"].psnr, 0, 60, full=True)
psnr("none", {STEPS: "SEARCH_STEPS = 0"})
psnr("400", {STEPS: "SEARCH_STEPS = 400"})

answers.exercise(2, "The discriminator's opinion")
OPINION = """
def opinion(drawn):
    from npgan.losses import softplus

    with discriminator.held(inference=True):
        logits = discriminator.forward(drawn)  # N, 1
        dlogits = -0.1 / (1 + array_module(logits).exp(logits))  # of -log s: -(1 - s)
        return 0.1 * softplus(-logits)[:, 0], discriminator.backward(dlogits)


OPINION = opinion  #"""
psnr("with it", {"\nOPINION = None  #": OPINION})
