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
for name in ("biharmonic", "guided", "nearest image", "GAN"):
    answers.between(f"{name}: centre", shipped[name], 0, 60, full=True)
    answers.between(f"{name}: gained with strokes", strokes[name] - shipped[name], -60, 60, full=True)
    answers.between(f"{name}: gained with half", half[name] - shipped[name], -60, 60, full=True)

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
answers.between("change of the GAN's PSNR", without["GAN"] - strokes["GAN"], -1, 1, full=True)
answers.between("change of its SSIM", ssim_without - strokes_ssim, -1, 1, full=True)

answers.exercise(3, "Without skip connections")
SKIPS = {"SKIPS = True  #": "SKIPS = False  #"}
centre, _ = psnr(SKIPS)
thin, _ = psnr(SKIPS, "--mask", "strokes")
for what in ("reconstruction", "GAN"):
    answers.between(f"{what}: lost without skips, centre", shipped[what] - centre[what], -9, 9, full=True)
    answers.between(f"{what}: lost, strokes", strokes[what] - thin[what], -9, 9, full=True)
