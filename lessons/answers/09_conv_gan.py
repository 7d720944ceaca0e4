"""Answers for lesson 9: kernels of 3, the saturating loss, and the generator without its average."""

import numpy as np
from answers import Answers

answers = Answers("09_conv_gan")
short = () if answers.args.quick else ("--steps", "600")


def edge_share(images):
    """The share of the power at the highest frequencies along rows or columns: (N, 28, 28, 1) -> a number."""
    power = (np.abs(np.fft.fft2(images[..., 0])) ** 2).mean(axis=0)
    middle = len(power) // 2
    edges = power[middle].sum() + power[:, middle].sum() - power[middle, middle]
    return float(edges / (power.sum() - power[0, 0]))


def scores(names, images):
    """The distance to real images, and the classifier's mean confidence."""
    return names["distance"](images), names["class_report"](names["classifier"], images).confidence


answers.exercise(1, "Kernels of 3")
OF_THREE = """
def of_three(shape, latent, rng):
    from npgan.layers import Conv2DTranspose

    network = networks.dcgan_generator(shape, latent, rng)
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Conv2DTranspose):
            channels = layer.weight.value.shape[3], layer.weight.value.shape[2]
            bias = layer.bias is not None
            network.layers[number] = Conv2DTranspose(
                *channels, 3, stride=2, padding=1, output_padding=1, bias=bias, rng=rng
            )
    return network


GENERATOR = of_three  #"""
shipped = answers.lesson({}, *short)
three = answers.lesson({"\nGENERATOR = networks.dcgan_generator  #": OF_THREE}, *short)
answers.between("share at the edges, real", edge_share(shipped["real"]), 0, 1, full=True)
answers.between("kernels of 4", edge_share(shipped["drawn"]), 0, 1, full=True)
answers.between("kernels of 3", edge_share(three["drawn"]), 0, 1, full=True)

answers.exercise(2, "The saturating loss")
saturating = answers.lesson(
    {
        "import binary_cross_entropy\n": "import binary_cross_entropy, generator_saturating\n",
        "G_LOSS = binary_cross_entropy  #": "G_LOSS = generator_saturating  #",
    },
    *short,
)
for name, names in (("as shipped", shipped), ("saturating", saturating)):
    first = {key: float(np.mean(names["run"].history[key][:200])) for key in ("d_loss", "g_loss")}
    distance, confidence = scores(names, names["drawn"])
    answers.between(f"{name}: d_loss, mean of the first 200 steps", first["d_loss"], 0, 3, full=True)
    answers.between(f"{name}: g_loss", first["g_loss"], -3, 3, full=True)
    answers.between(f"{name}: distance", distance, 0, 1, full=True)
    answers.between(f"{name}: confidence", confidence, 0, 1, full=True)

answers.exercise(3, "The generator without its average")
stays = answers.lesson({"FALLS = True  #": "FALLS = False  #"}, *short)
for name, names in (("rates that stay", stays), ("rates that fall", shipped)):
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((1000, names["LATENT"]), dtype=np.float32)
    for who, network in (("average", names["average"].layer), ("generator", names["generator"])):
        drawn = names["generate"](network, noise, names["args"].device)
        distance, confidence = scores(names, drawn)
        answers.between(f"{name}, {who}: distance", distance, 0, 1, full=True)
        answers.between(f"{name}, {who}: confidence", confidence, 0, 1, full=True)
