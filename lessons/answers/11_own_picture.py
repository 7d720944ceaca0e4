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
    psnr = names["rehearsal_scores"]["GAN, all of it"]
    answers.between(f"{weight}: sharpness of the GAN", values["GAN, all of it"], 0.25, 0.4, full=True)
    answers.between(f"{weight}: PSNR in the rehearsal, dB", psnr, 15.5, 17, full=True)
# Sharpness 0.321 and 0.319, 16.3 and 16.2 dB: in a game of 33 steps even the larger weight changes next to nothing.

answers.exercise(2, "The mouth")
mouth, _ = run({"CORNER = (104, 104)": "CORNER = (26, 0)"})
for where, names, guided, learned in (
    ("as shipped", shipped, (18.3, 18.5), (18.6, 20.5)),
    ("mouth", mouth, (14.2, 14.5), (14.8, 16.6)),
):
    answers.between(f"{where}: guided, dB", names["scores"]["guided"], *guided, full=True)
    all_of_it = names["scores"][f"{names['best']}, all of it"]
    answers.between(f"{where}: what was learned, all of it, dB", all_of_it, *learned, full=True)
# 18.42 and 19.34 as shipped, 14.35 and 15.69 on the mouth: in both places the network finds better colours, and the
# picture has smooth skin and no mouth. It would have to learn from other faces.

answers.exercise(3, "Fewer views")
fewer, _ = run({"VIEWS = 10": "VIEWS = 3"})
for views, names in ((10, shipped), (3, fewer)):
    psnr = names["rehearsal_scores"]["network"]
    answers.between(f"{views} views: part believed", names["believed"]["network"], 0.1, 0.8, full=True)
    answers.between(f"{views} views: PSNR in the rehearsal, dB", psnr, 15.8, 18, full=True)
# 0.31 of it with 10 views and 0.50 with 3 (seed 0): not less, as one might expect of a network that knows its few
# windows by heart. In 100 steps it does not get that far, and one run with one rehearsal says little.
