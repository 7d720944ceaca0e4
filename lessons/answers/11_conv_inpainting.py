"""Answers for lesson 11: other holes, a discriminator without the mask, a generator without skips."""

import inspect

import numpy as np
from answers import Answers

from npgan.gradcheck import check_layer
from npgan.layers import Layer

answers = Answers("11_conv_inpainting")
short = () if answers.args.quick else ("--steps", "300")
ONE = {"SEEDS = range(3)": "SEEDS = range(1)"}


def psnr(changes, *flags):
    """PSNR in dB on the hole, of each method; SSIM of the GAN."""
    names = answers.lesson(ONE | changes, *short, *flags)
    results = names["results"]
    return {name: result.psnr for name, result in results.items()}, results["GAN"].ssim


answers.exercise(1, "Other holes")
shipped, _ = psnr({})
strokes, strokes_ssim = psnr({}, "--mask", "strokes")
half, _ = psnr({}, "--mask", "half")
expected = {  # in dB: in the centre; gained with strokes; with half
    "biharmonic": ((7.0, 7.2), (11.5, 12.1), (2.6, 3.0)),
    "guided": ((8.0, 8.2), (10.9, 11.6), (2.0, 2.4)),
    "nearest image": ((10.5, 10.8), (10.3, 11.0), (3.9, 4.4)),
    "GAN": ((10.3, 12.3), (4.8, 7.3), (1.6, 3.6)),
}
for name, (centre, by_strokes, by_half) in expected.items():
    answers.between(f"{name}: centre", shipped[name], *centre, full=True)
    answers.between(f"{name}: gained with strokes", strokes[name] - shipped[name], *by_strokes, full=True)
    answers.between(f"{name}: gained with half", half[name] - shipped[name], *by_half, full=True)
# With strokes the fills without training gain 11 to 12 dB, a network of 300 steps 6: each missing pixel has known
# ones beside it, and to carry them on is nearly all that is needed. With half of the image missing the nearest image
# gains most: it has much of the digit to compare.

answers.exercise(2, "A discriminator without the mask")


class Blind(Layer):
    """The last channel becomes 0: (N, H, W, C) -> the same shape."""

    def forward(self, x, train=True):
        y = x.copy()
        y[..., -1] = 0
        return self.remember(train, y)

    def backward(self, dy):
        self.recall(dy)
        dx = dy.copy()
        dx[..., -1] = 0
        return dx


rng = np.random.default_rng(0)
error = check_layer(Blind(), rng.standard_normal((2, 4, 4, 3)), rng=rng)["input"]
answers.below("relative error of the layer", error, 1e-6)
BLIND = f"""
from npgan.layers import Layer
{inspect.getsource(Blind)}

def blind(shape, rng):
    network = networks.inpainting_discriminator(shape, rng)
    return type(network)([Blind(), *network.layers])


DISCRIMINATOR = blind  #"""
blind = {"\nDISCRIMINATOR = networks.inpainting_discriminator  #": BLIND}
without, ssim_without = psnr(blind, "--mask", "strokes")
answers.between("change of the GAN's PSNR", without["GAN"] - strokes["GAN"], -0.1, 0.1, full=True)
answers.between("change of its SSIM", ssim_without - strokes_ssim, -0.01, 0.01, full=True)
# 0.002 dB and 0.0001: nothing. In 37 steps, with an adversarial weight of 0.01, D has hardly a say in anything.

answers.exercise(3, "Without skip connections")
SKIPS = {"SKIPS = True  #": "SKIPS = False  #"}
centre, _ = psnr(SKIPS)
thin, _ = psnr(SKIPS, "--mask", "strokes")
for what in ("reconstruction", "GAN"):
    lost = shipped[what] - centre[what], strokes[what] - thin[what]
    answers.between(f"{what}: lost without skips, centre", lost[0], 0, 0.6, full=True)
    answers.between(f"{what}: lost, strokes", lost[1], 0.5, 1.5, full=True)
# 0.2 dB in the centre, 0.8 to 1.0 with strokes: the skips carry exact places past the code, and there those count.
