"""Answers for lesson 19, other uses: empty images among digits, a search of no steps."""

from answers import Answers

answers = Answers("19_other_uses")
answers.lesson({}, script="19_other_generators")
trained = ("--trained", str(answers.args.out / "1"))
shipped = answers.lesson({}, *trained)

answers.exercise(1, "Empty images")
told = answers.lesson({"OUTLIERS = None": "OUTLIERS = np.full((200, 28, 28, 1), -1, np.float32)"}, *trained)[
    "told"
]
for name, low, high in (
    ("AE, error", 0, 0.1),
    ("VAE, -ELBO", 0, 0.1),
    ("K-means", 0.5, 0.9),
    ("nearest image", 0.8, 1),
    ("D, -logit", 0.4, 0.95),
):
    answers.between(f"{name}: an empty image is the stranger one", told[name], low, high, full=True)

answers.exercise(2, "No search")
found = answers.lesson({"SEARCH_STEPS = 100": "SEARCH_STEPS = 0"}, *trained)["results"]
for name in ("VAE", "GAN"):
    gain = shipped["results"][name].psnr - found[name].psnr
    answers.between(f"{name}: dB that the search gains", gain, 0.5, 6, full=True)
