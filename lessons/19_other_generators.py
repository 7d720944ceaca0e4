# %% [markdown]
# # Lesson 19, what follows. The relatives of the GAN, on one table
#
# Are images of a GAN better than those of an autoencoder, a mixture, or a K-means? Ten ways to draw images, the same
# images to learn from, the same scores, and a clock. `19_autoencoders.py` explains the autoencoders,
# `19_clustering.py` K-means and DBSCAN, lesson 12 the scores.
#
#     python lessons/19_other_generators.py
#     python lessons/19_other_generators.py --data train-images-idx3-ubyte.gz

# %%
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from npgan import data, networks, show, verdict
from npgan.adversarial import discriminator_step, generator_step
from npgan.autoencoding import autoencoder_loss, decoder, draw, encoder, halves, variational_loss
from npgan.backend import to_device
from npgan.clustering import k_means, spread_start
from npgan.errors import DataError
from npgan.gaussian_mixture import GaussianMixture, fit_mixture
from npgan.layers import Layer
from npgan.lesson import Lesson
from npgan.metrics import scores
from npgan.metrics.features import WIDTH, features, train_extractor
from npgan.metrics.known import gaussian
from npgan.metrics.samples import class_report, generate, sliced_wasserstein
from npgan.optim import Adam, MovingAverage, cosine_decay, linear_decay
from npgan.series import Series
from npgan.training import Run

TRAINING = dict(steps=1500, quick_steps=10, data="glyphs", device=True, resume=True)
FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("19_other_generators", "The relatives of the GAN, on one table", FLAGS, **TRAINING)
args, rng = lesson.args, np.random.default_rng(lesson.args.seed)

# %% [markdown]
# ## What the exercises change

# %%
LATENT = 20  # numbers of a code
COMPONENTS = 50  # Gaussians of each mixture
NOISE = 0.1  # on training images
AS_SHIPPED = lesson.shipped and (LATENT, COMPONENTS, NOISE) == (20, 50, 0.1)

# %% [markdown]
# ## The images, and the ruler
#
# One in ten is held out, at most 1,000. Every generator below is asked for as many samples. The ruler is lesson
# 12's: the features of a small classifier.


# %%
class Generator(NamedTuple):
    """One way to draw images."""

    draw: Callable[[int], np.ndarray]  # how many -> images (N, H, W, C)
    rebuild: (
        Callable[[np.ndarray], np.ndarray] | None
    )  # images -> the nearest that it can draw, where it can say
    numbers: int  # that it must keep
    seconds: float  # that it took to learn


lesson.step("The images, and the ruler")
images = data.load(
    args.data, size=args.size, channels=args.channels, count=1500 if args.quick else 10_000, seed=args.seed
)
if len(images) < 10 * (WIDTH + 1):
    raise DataError(f"{images.name}: {len(images)} images are too few for scores, wanted {10 * (WIDTH + 1)}")
if np.prod(images.shape) > 3072:
    raise DataError(f"{images.name}: {images.shape} is too much for a covariance of pixels, try --size 32")
train, held_out = images.split(min(1000, len(images) // 10), np.random.default_rng(args.seed))
lesson.fit_steps(train.shape)
real, n, SHAPE, PIXELS = held_out[:], len(held_out), train.shape, int(np.prod(train.shape))
x = train[:].reshape(len(train), -1)
extractor = train_extractor(
    train, train.classes, seed=args.seed, steps=60 if args.quick else 300, device=args.device
)
real_features, unseen = features(extractor, real), scores.nearest(train, real)[0]
print(f"{len(train)} images of shape {SHAPE} to learn from, {n} unseen")
generators: dict[str, Generator] = {}
series = Series(lesson, ["AE", "VAE", "GAN"], {"images": len(train), "shape": list(SHAPE)})


def to_images(rows: np.ndarray) -> np.ndarray:
    """(N, H*W*C) -> float32 (N, H, W, C) in [-1, 1]."""
    return np.clip(rows, -1, 1).astype(np.float32).reshape(-1, *SHAPE)


# %% [markdown]
# ## Without a network
#
# - **copies**: a training image, with a little noise on it. It has learned nothing, by heart.
# - **K-means**: 100 centres of the images; a centre, drawn by its share, with noise as large as the images of the
#   cluster are off it, pixel by pixel. **DBSCAN** gives no row: it says which images belong together, and has neither
#   centres nor spreads to draw from.
# - **Gaussian**: mean and covariance of all pixels, which are principal components with one Gaussian.
# - **mixture**: the images in 60 principal components, and there 50 Gaussians, by expectation and maximisation
#   (`npgan/gaussian_mixture.py`).
#
# What a GAN learns is worth what it has ahead of these.

# %%
lesson.step("Without a network")


def copy(count: int) -> np.ndarray:
    return to_images(x[rng.integers(len(x), size=count)] + NOISE * rng.standard_normal((count, PIXELS)))


generators["copies"] = Generator(copy, None, x.size, 0.0)

started = time.perf_counter()
centres, cluster, _ = k_means(x, spread_start(x, min(100, len(x) // 10), rng))
share = np.bincount(cluster, minlength=len(centres)) / len(x)
spread = np.stack([x[cluster == number].std(axis=0) for number in range(len(centres))])


def draw_k_means(count: int) -> np.ndarray:
    which = rng.choice(len(centres), count, p=share)
    return to_images(centres[which] + spread[which] * rng.standard_normal((count, PIXELS)))


def nearest_centre(pictures: np.ndarray) -> np.ndarray:
    return to_images(centres[scores.nearest(centres, pictures)[1]])


seconds = time.perf_counter() - started
generators["K-means"] = Generator(draw_k_means, nearest_centre, 2 * centres.size + len(share), seconds)

started = time.perf_counter()
middle, covariance = x.mean(axis=0, dtype=np.float64), np.cov(x, rowvar=False)
axes = np.linalg.eigh(covariance)[1][:, ::-1]  # principal components in columns, the largest variance first
seconds = time.perf_counter() - started


def fitted(codes: np.ndarray) -> GaussianMixture:
    rounds = 2 if args.quick else 20
    return fit_mixture(codes, spread_start(codes, COMPONENTS, rng), rounds=rounds, floor=0.01)[0]


def project(pictures: np.ndarray, count: int) -> np.ndarray:
    """Images with their first `count` principal components alone."""
    codes = (pictures.reshape(len(pictures), -1) - middle) @ axes[:, :count]
    return to_images(middle + codes @ axes[:, :count].T)


generators["Gaussian"] = Generator(
    lambda count: gaussian(train[:4000], count, rng).astype(np.float32),
    lambda pictures: project(pictures, LATENT),
    PIXELS * (PIXELS + 3) // 2,
    seconds,
)

started, few = time.perf_counter(), min(60, PIXELS, len(x) // COMPONENTS)
codes = (x - middle) @ axes[:, :few]
mixture = fitted(codes)
seconds += time.perf_counter() - started
generators["mixture"] = Generator(
    lambda count: to_images(middle + mixture.sample(count, rng) @ axes[:, :few].T),
    lambda pictures: project(pictures, few),
    PIXELS * (few + 1) + COMPONENTS * (1 + few + few * (few + 1) // 2),
    seconds,
)

# %% [markdown]
# ## Autoencoders
#
# Two networks, one loss. The plain one has no say in how its codes lie; to draw, one must know. So it gives two rows:
# one Gaussian fitted to the codes of the training images, and a mixture of 50. The variational one has been told to
# have N(0, 1). A third row draws its codes from a mixture that is fitted to them, too.


# %%
def size(*parts: Layer) -> int:
    return sum(parameter.value.size for part in parts for parameter in part.parameters())


def train_both(name: str, outputs: int, loss: Callable) -> tuple[list[Layer], Run]:
    """An encoder and a decoder that have learned together: loss(encoder, decoder, batch) gives their gradients."""
    both = [encoder(SHAPE, outputs, rng).to(args.device), decoder(SHAPE, LATENT, rng).to(args.device)]
    steps = 2 * args.steps
    parameters = [parameter for part in both for parameter in part.parameters()]
    optimizer = Adam(parameters, cosine_decay(1e-3, 1e-5, steps), beta_1=0.9)
    parts = {"encoder": both[0], "decoder": both[1], "optimizer": optimizer, "rng": rng}
    run = series.run(name, steps, parts)
    for _ in run:
        batch = to_device(train[rng.integers(len(train), size=64)], args.device)
        for part in both:
            part.zero_grad()
        figures = loss(*both, batch)
        optimizer.step()
        run.log(**figures)
    return both, run


def plain_loss(enc: Layer, dec: Layer, batch) -> dict:
    return {"reconstruction": autoencoder_loss(enc, dec, batch)}


def vae_loss(enc: Layer, dec: Layer, batch) -> dict:
    noise = to_device(rng.standard_normal((len(batch), LATENT), dtype=np.float32), args.device)
    reconstruction, kl = variational_loss(enc, dec, batch, noise)
    return {"reconstruction": reconstruction, "kl": kl}


def codes_of(enc: Layer, pictures: np.ndarray) -> np.ndarray:
    """The code of each image; of a variational encoder the mean."""
    return generate(enc, pictures, args.device)[:, :LATENT]


def with_mixture(both: list[Layer], codes: np.ndarray, seconds: float) -> Generator:
    """The same networks with a mixture on their codes (N, LATENT)."""
    started, found = time.perf_counter(), fitted(codes.astype(np.float64))
    return Generator(
        lambda count: draw(both[1], found.sample(count, rng).astype(np.float32), args.device),
        None,
        size(*both) + COMPONENTS * (1 + LATENT + LATENT * (LATENT + 1) // 2),
        seconds + time.perf_counter() - started,
    )


lesson.step("Autoencoders")
plain, run = train_both("AE", LATENT, plain_loss)
seconds = sum(run.seconds)
codes = codes_of(plain[0], train[:])
codes_mean = codes.mean(axis=0)
root = np.linalg.cholesky(np.cov(codes, rowvar=False) + 1e-6 * np.eye(LATENT))


def draw_plain(count: int) -> np.ndarray:
    z = codes_mean + rng.standard_normal((count, LATENT)) @ root.T
    return draw(plain[1], z.astype(np.float32), args.device)


generators["AE, Gaussian"] = Generator(
    draw_plain,
    lambda pictures: draw(plain[1], codes_of(plain[0], pictures), args.device),
    size(*plain) + LATENT * (LATENT + 3) // 2,
    seconds,
)
generators["AE, mixture"] = with_mixture(plain, codes, seconds)

vae, run = train_both("VAE", 2 * LATENT, vae_loss)
seconds = sum(run.seconds)
generators["VAE"] = Generator(
    lambda count: draw(vae[1], rng.standard_normal((count, LATENT), dtype=np.float32), args.device),
    lambda pictures: draw(vae[1], codes_of(vae[0], pictures), args.device),
    size(*vae),
    seconds,
)
means, log_variances = halves(generate(vae[0], train[:], args.device))
z = means + np.exp(log_variances / 2) * rng.standard_normal(means.shape, dtype=np.float32)
generators["VAE, mixture"] = with_mixture(vae, z, seconds)

# %% [markdown]
# ## The GAN
#
# The networks and rates of lesson 9, without its kinds, for 1,500 steps.

# %%
lesson.step("The GAN")
g_net = networks.normal_weights(networks.dcgan_generator(SHAPE, 64, rng), rng).to(args.device)
d_net = networks.normal_weights(networks.dcgan_discriminator(SHAPE, rng), rng).to(args.device)
rates = (linear_decay(rate, 0, args.steps, begin=args.steps // 2) for rate in (2e-3, 4e-4))
g_optimizer, d_optimizer = (Adam(net.parameters(), rate) for net, rate in zip((g_net, d_net), rates))
average, batch = MovingAverage(g_net), 8 if args.quick else 64
parts = {"generator": g_net, "discriminator": d_net, "average": average, "rng": rng}
run = series.run("GAN", args.steps, parts | {"g_optimizer": g_optimizer, "d_optimizer": d_optimizer})
for _ in run:
    batch_of_real = to_device(train[rng.integers(len(train), size=batch)], args.device)
    fake = g_net.forward(to_device(rng.standard_normal((batch, 64), dtype=np.float32), args.device))
    d = discriminator_step(d_net, batch_of_real, fake, d_optimizer)
    g = generator_step(g_net, d_net, fake, g_optimizer)
    average.update()
    run.log(d_loss=d.loss, g_loss=g.loss)
generators["GAN"] = Generator(
    lambda count: generate(average.layer, rng.standard_normal((count, 64), dtype=np.float32), args.device),
    None,
    size(g_net),
    sum(run.seconds),
)
generators["noise"] = Generator(
    lambda count: rng.uniform(-1, 1, (count, *SHAPE)).astype(np.float32), None, 0, 0.0
)

# %% [markdown]
# ## The table

# %%
COLUMNS = "Frechet kernel precision recall sliced copying confidence classes rebuilt learn,s draw,ms numbers".split()
lesson.step("The table")
table, drawn = {}, {}


def row(
    name: str, pictures: np.ndarray, generator: Generator | None = None, milliseconds: float = 0.0
) -> None:
    """Score pictures and print their line; `rebuilt` is the root mean square error of unseen images drawn again."""
    report = None if train.classes is None else class_report(extractor, pictures)
    sides = {"real": real_features, "generated": features(extractor, pictures)}
    far = scores.nearest(train, pictures)[0]
    rebuilt = generator.rebuild(real) if generator and generator.rebuild else None
    table[name] = dict(
        Frechet=scores.frechet(**sides),
        kernel=scores.kernel(**sides),
        **dict(zip(("precision", "recall"), scores.precision_recall(**sides))),
        sliced=sliced_wasserstein(pictures, real, np.random.default_rng(1)),
        copying=scores.copying(real=unseen, generated=far),
        confidence=report.confidence if report else np.nan,
        classes=report.found if report else np.nan,
        rebuilt=np.nan if rebuilt is None else float(np.sqrt(((rebuilt - real) ** 2).mean())),
    )
    if generator:
        table[name] |= {"learn,s": generator.seconds, "draw,ms": milliseconds, "numbers": generator.numbers}
    formats = [".2f", ".3f", ".2f", ".2f", ".3f", ".2f", ".2f", ".0f", ".3f", ".0f", ".0f", ",.0f"]
    cells = [f"{value:{form}}".replace("nan", "-") for value, form in zip(table[name].values(), formats)]
    print(f"{name:<13}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


print(" " * 13 + "".join(f"{column:>11}" for column in COLUMNS))
row("real", train[rng.permutation(len(train))[:n]])
for name, generator in generators.items():
    started = time.perf_counter()
    drawn[name] = generator.draw(n)
    row(name, drawn[name], generator, 1e3 * (time.perf_counter() - started) * 1000 / n)

# %% [markdown]
# ## Side by side

# %%
lesson.step("Side by side")
shown = {"real": real, **{name: pictures for name, pictures in drawn.items() if name != "noise"}}
figure = Figure(figsize=(12, 5.2), layout="constrained")
for number, (name, pictures) in enumerate(shown.items()):
    axis = figure.add_subplot(2, 5, number + 1, title=name, xticks=[], yticks=[])
    axis.imshow(show.image_grid(pictures[:64], 8, gap=1), interpolation="nearest")
lesson.picture(figure, "side_by_side.png")

# %% [markdown]
# ## What it says
#
# Frechet distances, seeds 0 to 2 (the README has the whole table): GAN 1.56, 1.21, 1.37; the autoencoder with a
# mixture 0.83, 1.00, 0.70, with one Gaussian 3.19, 3.38, 3.04; the VAE 3.69, 4.42, 3.76, with a mixture 1.05, 1.48,
# 0.98; mixture 2.72, 3.73, 3.31; K-means 3.54, 4.27, 3.40. So the GAN has learned more than any method without a
# network. And a decoder draws as well as its codes are drawn: with a mixture in place of N(0, 1) the same VAE beats
# or ties the GAN. `copying` says that it is no copying: 0.32, 0.27, 0.29. The GAN has the most kinds: recall 0.89,
# 0.89, 0.88, of the autoencoder 0.84, 0.83, 0.81; it has the fewest good ones: precision 0.32, 0.28, 0.28 and 0.65,
# 0.66, 0.64.

# %% [markdown]
# ## Checks, or a verdict
#
# Beside each bound stands what was measured with seeds 0 to 2 on glyphs.

# %%
order = [name for name in table if name in ("AE, mixture", "GAN", "mixture", "Gaussian", "noise")]
order.sort(key=lambda name: table[name]["Frechet"])
gan, ae, copies, far = table["GAN"], table["AE, mixture"], table["copies"], table["mixture"]["Frechet"]
if AS_SHIPPED:
    assert order[2:] == ["mixture", "Gaussian", "noise"], order  # so in every seed
    assert gan["Frechet"] < 0.8 * far  # the GAN over the mixture: 0.57, 0.32, 0.41
    assert ae["Frechet"] < 1.5 * gan["Frechet"]  # 0.53, 0.83, 0.51
    assert ae["Frechet"] < 0.5 * table["AE, Gaussian"]["Frechet"]  # 0.26, 0.30, 0.23
    assert table["VAE, mixture"]["Frechet"] < 0.6 * table["VAE"]["Frechet"]  # 0.28, 0.33, 0.26
    assert copies["copying"] > 0.95 and ae["copying"] < 0.5  # 1.00; 0.32, 0.27, 0.29
    assert gan["recall"] > table["mixture"]["recall"] + 0.2  # 0.89, 0.89, 0.88; 0.39, 0.38, 0.43
    assert table["AE, Gaussian"]["rebuilt"] < 0.8 * table["Gaussian"]["rebuilt"]  # 0.60, 0.58, 0.60
    lesson.end()
else:
    lesson.end(
        verdict.lines(
            "Frechet distance: "
            + ", ".join(f"{name} {table[name]['Frechet']:.2f}" for name in ["real", *order]),
            f"the GAN: precision {gan['precision']:.2f}, recall {gan['recall']:.2f}; AE with a mixture: "
            f"{ae['precision']:.2f} and {ae['recall']:.2f}",
            ""
            if gan["Frechet"] < table["mixture"]["Frechet"]
            else "the GAN does not beat a mixture: more steps",
            "without labels the ruler is coarse, and the classes are left out"
            if train.classes is None
            else "",
            verdict.count(n),
        )
    )

# %% [markdown]
# ## Exercises
#
# `--resume out/19_other_generators/GAN --out out/19_changed` (in one line) keeps what was trained.
#
# 1. `COMPONENTS = 1`: each mixture is one Gaussian. Which rows become which? What are fifty worth?
# 2. `NOISE = 0.5`. Which scores does it cost the copies, and does `copying` still find them?
#
# Worked answers, with the figures to expect: `python lessons/answers/19_other_generators.py`.
