"""Answers for lesson 11, a picture of your own: more of the discriminator, the mouth, fewer views."""

from answers import Answers

answers = Answers("11_own_picture")
short = () if answers.args.quick else ("--steps", "100")


def run(changes):
    """dB on the hole by method, the sharpness in the rehearsal by method, and what is believed of each network."""
    names = answers.lesson(changes, *short)
    sharp = {
        name: names["sharpness"](repaired[0], names["rehearsal"]) / names["of_truth"]
        for name, repaired in names["tried"].items()
    }
    return names, sharp


answers.exercise(1, "More of the discriminator")
WEIGHT = "ADVERSARIAL_WEIGHT = 0.01"
shipped, sharp = run({})
more, sharper = run({WEIGHT: "ADVERSARIAL_WEIGHT = 0.2"})
for weight, names, values in ((0.01, shipped, sharp), (0.2, more, sharper)):
    scores = names["rehearsal_scores"]
    answers.between(f"{weight}: sharpness of the GAN, all of it", values["GAN, all of it"], 0, 9, full=True)
    answers.between(f"{weight}: PSNR in the rehearsal", scores["GAN, all of it"], 0, 60, full=True)

answers.exercise(2, "The mouth")
mouth, _ = run({"CORNER = (104, 104)": "CORNER = (26, 0)"})
for where, names in (("as shipped", shipped), ("mouth", mouth)):
    for name in ("guided", f"{names['best']}, all of it"):
        answers.between(f"{where}: {name}, dB", names["scores"][name], 0, 60, full=True)

answers.exercise(3, "Fewer views")
fewer, _ = run({"VIEWS = 10": "VIEWS = 3"})
for views, names in ((10, shipped), (3, fewer)):
    answers.between(f"{views} views: part believed", names["believed"]["network"], 0, 1, full=True)
    answers.between(
        f"{views} views: gain in the rehearsal", names["rehearsal_scores"]["network"], 0, 60, full=True
    )
