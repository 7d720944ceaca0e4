"""Answers for lesson 6, second part: an optimiser of one's own, the radius of an average, Adam after a long rest."""

import numpy as np
from answers import Answers

from npgan import optim
from npgan.layers import Parameter

answers = Answers("06_optimizers")

answers.exercise(1, "Only the second moment")


class Scaled(optim.Optimizer):
    """value -= rate * grad / (root of the corrected mean of grad**2 + 1e-8)."""

    slots = ("square",)  # made as zeros for each parameter, and saved with the optimiser

    def update(self, parameter, rate, square):
        square *= 0.999
        square += 0.001 * parameter.grad**2
        parameter.value -= rate * parameter.grad / (np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8)


names = answers.lesson({})
mine = names["by_npgan"](lambda parameters: Scaled(parameters, 0.05))
answers.below("largest difference", np.abs(mine - names["paths"]["scaled, corrected"]).max(), 1e-12)

answers.exercise(2, "Other decays")
angle = 2 * np.arcsin(names["TURN"] / 2)
for decay, in_fact in ((0.9, 0.9), (0.999, 1 - 9 / 1009)):
    found = answers.lesson({"DECAY = 0.99  #": f"DECAY = {decay}  #"})["radius"]["in turn"][1]
    for name, d in (("as set", decay), ("as it is in the end", in_fact)):
        print(f"   derived with the decay {name}, {d:.4f}: {abs((1 - d) / (1 - d * np.exp(1j * angle))):.4f}")
    radius = abs((1 - in_fact) / (1 - in_fact * np.exp(1j * angle)))
    answers.between(f"decay {decay}: distance of the average", found, 0.94 * radius, 1.06 * radius)
# The circle is squeezed by 5%, so the distance changes by as much on its way round. With 0.999 the average still goes
# 9 / 1009 of the way in the last step, which is more than 0.001: its decay is 0.9911. (Of 1,000 steps the last has
# number 999, for the first has number 0: 9 / (10 + 999).)

answers.exercise(3, "After a long rest")
number = Parameter(np.zeros(1))
optimizer = optim.Adam([number], 1.0, beta_1=0.5)
for step in range(1001):
    number.grad[...] = step == 1000
    optimizer.step()
# The mean is 0.5, the corrected square 0.001 / (1 - 0.999**1001): its root still knows nothing but rest.
derived = 0.5 / np.sqrt(0.001 / (1 - 0.999**1001))
answers.between("length of the step, in rates", abs(float(number.value[0])), derived * 0.999, derived * 1.001)
