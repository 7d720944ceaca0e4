"""Answers for lesson 19, autoencoders: other weights of the KL, a code of two numbers."""

from answers import Answers

answers = Answers("19_autoencoders")

answers.exercise(1, "Other weights of the KL")
found = answers.lesson({"MORE_BETAS = ()": "MORE_BETAS = (0.5, 2.0)"})["found"]
order = ["KL a mean", "beta 0.5", "right", "beta 2", "beta 4", "reconstruction a mean"]
kl = [found[name]["kl"] for name in order]
answers.same("KL falls with beta", kl == sorted(kl, reverse=True) or answers.args.quick, True)
least = min(order, key=lambda name: found[name]["elbo"])
answers.same("the least -ELBO", "right" if answers.args.quick else least, "right")
answers.between("of beta 1", found["right"]["elbo"], 100, 115, full=True)
answers.between("of beta 1/2", found["beta 0.5"]["elbo"], 105, 120, full=True)
answers.between("of beta 2", found["beta 2"]["elbo"], 105, 125, full=True)

answers.exercise(2, "A code of two numbers")
names = answers.lesson({"LATENT = 20": "LATENT = 2"})
few = names["found"]["right"]
answers.between("root mean square error", names["plain_error"], 0.35, 0.55, full=True)
answers.between("-ELBO", few["elbo"], 135, 175, full=True)
answers.between("nats that a number tells", few["kl"] / 2, 1.8, 4, full=True)
answers.between("of a code of 20", found["right"]["kl"] / 20, 1, 1.5, full=True)
