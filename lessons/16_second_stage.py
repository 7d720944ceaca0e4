# %% [markdown]
# # Lesson 16, third part. A second stage
#
# Lesson 16's generator draws 32 pixels a side. A second one takes its pictures *and* the caption and draws them
# again, twice as large: edges become sharp, spots go, and what does not fit the caption may be mended (StackGAN,
# Zhang et al. 2017). It must beat the usual enlargement, bicubic, which knows neither captions nor glyphs.
#
#     python lessons/16_text_to_image.py                                  # first
#     python lessons/16_second_stage.py                                   # then this
#     python lessons/16_second_stage.py --resume --draw "a bold red 7 on blue"

# %%
from pathlib import Path

import numpy as np
from PIL import Image

from npgan import checkpoint, live, show, text_to_image
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device, to_numpy
from npgan.captioned import captioned_r1, matching, text_encoder
from npgan.data import Images
from npgan.data.captions import PLACES
from npgan.errors import DataError
from npgan.lesson import Lesson
from npgan.metrics.features import features, train_extractor
from npgan.metrics.scores import frechet
from npgan.optim import Adam, MovingAverage, linear_decay
from npgan.second_stage import SecondStage
from npgan.text_to_image import CODE, draw_noise, judged, read_captions
from npgan.training import Run
from npgan.watch import Watch

STEPS, QUICK_STEPS = 2500, 6
FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "16_second_stage",
    "A second stage: twice the size",
    FLAGS,
    steps=STEPS,
    quick_steps=QUICK_STEPS,
    device=True,
    live=True,
    resume=True,
    draw=True,
    flags={"first": "folder of 16_text_to_image (default: the one of that name beside --out)"},
)
args, rng = lesson.args, lesson.rng

# What the exercises change.
DIVERGENCE = 0.02  # what a nat costs by which a caption's cloud of codes differs from N(0, 1)
TOLD = True  # False: the second stage gets the picture and an empty caption
AS_SHIPPED = (DIVERGENCE, TOLD) == (0.02, True)

# %% [markdown]
# ## The first stage
#
# Its moving average is loaded and never changed again. The images are the same glyphs, drawn at 64 pixels, with the
# same captions and the same combinations held out.

# %%
lesson.step("The first stage")
folder = Path(args.first) if args.first else args.out.absolute().parent / "16_text_to_image"
if not folder.exists():
    raise DataError(
        f"{folder}: there is no such run; python lessons/16_text_to_image.py --out {folder} first"
    )
path = checkpoint.find(folder)
settings = checkpoint.read_settings(path)
if settings.get("lesson") != "16_text_to_image":
    raise DataError(f"{path}: is of {settings.get('lesson')!r:.80}, wanted '16_text_to_image'")
h, w, c = small = tuple(settings["shape"][:2]) + (
    (3,) if settings["data"] == "glyphs" else (settings["shape"][2],)
)
problem = text_to_image.load(settings | {"size": 2 * h, "quick": settings["quick"] or args.quick})
grammar, shape = problem.train.grammar, problem.train.shape
first = MovingAverage(text_to_image.make_generator(small, grammar, rng).to(args.device))
checkpoint.load(path, {"average": first})
print(
    f"{path}: {settings['data']}, {settings['steps']} steps, seed {settings['seed']}; {small} becomes {shape}"
)
captions, asked = read_captions(args.draw, grammar) if args.draw else ([], np.zeros((0, 0), int))

# %% [markdown]
# ## The second
#
# The network (`npgan/second_stage.py`) starts as an enlargement, a block of four for each pixel, and learns what to
# add to it. The caption bends its features as in the first stage, with one thing more: *conditioning augmentation*.
# A caption's code becomes a mean and a log variance, and what is used is drawn from there:
#
#     code' = mean + deviation * noise        loss += DIVERGENCE * KL(N(mean, variance) || N(0, 1))
#
# So nearby codes mean nearly the same, and there are no gaps between captions. The divergence keeps the cloud from
# shrinking to a point. In one public version a ReLU stands behind mean and log variance: there no mean is negative
# and no deviation below 1.
#
# The discriminator is lesson 16's with one more halving.

# %%
lesson.step("The second")
encoder = text_encoder(grammar.count, len(grammar.places), CODE, rng)
generator = SecondStage(small, encoder, CODE, rng, weight=DIVERGENCE).to(args.device)
average = MovingAverage(generator, 0.998)
for name, network in (("first", first.layer), ("second", generator)):
    print(f"{name} generator: {sum(p.value.size for p in network.parameters()):,} parameters")


def told(rows: np.ndarray, rng: np.random.Generator) -> list:
    """What the second stage gets for captions of whole rows (N, places): small pictures, words, noise."""
    words = to_device(grammar.tokens(rows), args.device)
    noise = to_device(draw_noise(len(rows), rng), args.device)
    images, _ = first.layer.forward([noise, words], train=False)
    more = to_device(rng.standard_normal((len(rows), CODE), dtype=np.float32), args.device)
    return [images, words if TOLD else 0 * words, more]


def both(rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of captions in which words may be left out: the first stage's, and the second's of those."""
    rows, found = problem.everything.fill(rows, rng), []
    for start in range(0, len(rows), 256):
        given = told(rows[start : start + 256], rng)
        large, _ = average.layer.forward(given, train=False)
        found.append((to_numpy(given[0]), np.clip(to_numpy(large), -1, 1)))
    first_ones, second_ones = zip(*found)
    return np.concatenate(first_ones), np.concatenate(second_ones)


def eight(row: np.ndarray) -> np.ndarray:
    """What the window shows of a caption: eight samples, as pixels."""
    return show.image_grid(both(np.repeat(row[None], 8, axis=0), rng)[1], 4, scale=2)


if args.draw:
    checkpoint.load(args.resume, {"average": average})
    images = both(np.repeat(asked, 8, axis=0), rng)[1]
    for start in range(0, len(captions), 20):  # a picture of so many rows at most
        name = "drawn.png" if start == 0 else f"drawn-{start // 20 + 1}.png"
        part = show.image_grid(images[8 * start : 8 * (start + 20)], 8)
        lesson.picture(show.titled(part, "", rows=captions[start : start + 20]), name)
    if args.live:
        live.type_captions("Lesson 16", lambda caption: eight(grammar.read(caption)))
    raise SystemExit

# %%
lesson.step("The game")
discriminator = text_to_image.make_discriminator(shape, grammar, rng, width=16, halvings=4).to(args.device)
batch, every = (4, 4) if args.quick else (16, 4)
whole = grammar.places == PLACES
loss = matching([0.24, *[0.08] * (len(PLACES) - 1)] if whole else [0.5])
penalty = captioned_r1(0.05 * every)
generator_optimizer, discriminator_optimizer = (
    Adam(
        network.named_parameters(),
        linear_decay(1e-3, 0, args.steps, begin=args.steps // 2),
        beta_1=0.5,
        beta_2=0.99,
    )
    for network in (generator, discriminator)
)
shown = np.repeat(next(iter(problem.unseen.values())).draw(2, rng)[1], 8, axis=0)


def look() -> tuple[np.ndarray, dict[str, float]]:
    """What the window shows: eight samples for each of two captions."""
    return show.image_grid(both(shown, np.random.default_rng(0))[1], 8), {}


window = live.run_window("Lesson 16, second stage", look) if args.live else None
watch = Watch(generator, discriminator)
run = Run(
    args.steps,
    step_through=args.step,
    window=window,
    parts={
        "generator": generator,
        "discriminator": discriminator,
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
        "average": average,
        "rng": rng,
        "watch": watch,
    },
    settings=lesson.settings(problem.images) | {"shape": list(shape)},
    folder=args.out,
    resume=args.resume,
)
for step in run:
    images, rows = problem.train.draw(batch // 2, rng, copies=2)
    words = np.concatenate([grammar.tokens(rows), grammar.tokens(problem.train.wrong(rows, rng))])
    real = [to_device(images, args.device), to_device(words, args.device)]
    given = told(rows, rng)
    fake = [generator.forward(given)[0], real[1][:batch]]

    paid = penalty if step % every == 0 else None
    d = discriminator_step(discriminator, real, fake, discriminator_optimizer, loss, paid, after=run.part)
    g = generator_step(generator, discriminator, fake, generator_optimizer, after=run.part)

    average.update()
    run.log(d_loss=d.loss, g_loss=g.loss, divergence=generator.augment.divergence)
    watch(run, real, fake, d, g)
if window:
    window.stay()
run.save_history(args.out / "history.csv")
lesson.picture(show.curves(run.history, title="Losses", window=max(1, args.steps // 50)), "losses.png")

# %% [markdown]
# ## Against bicubic
#
# Captions of held-out combinations. In each pair of rows: the first stage's picture enlarged by the bicubic method,
# and what the second stage makes of it.

# %%
lesson.step("Against bicubic")


def bicubic(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) twice as large, as Pillow does it."""
    pixels = show.to_pixels(images)
    modes = [Image.fromarray(image[..., 0] if image.shape[2] == 1 else image) for image in pixels]
    large = [np.asarray(image.resize((2 * w, 2 * h), Image.Resampling.BICUBIC)) for image in modes]
    return np.stack(large).reshape(-1, *shape).astype(np.float32) / 127.5 - 1


name, unseen = [*problem.unseen.items()][min(1, len(problem.unseen) - 1)]
rng = np.random.default_rng(args.seed + 1)
rows = text_to_image.test_captions(unseen, 6, rng)
little, large = both(np.repeat(rows, 8, axis=0), rng)
bands = [part for k in range(0, 48, 8) for part in (bicubic(little[k : k + 8]), large[k : k + 8])]
names = [text for row in rows for text in (grammar.write(row), "second stage")]
lesson.picture(show.titled(show.image_grid(np.concatenate(bands), 8), name, rows=names), "samples.png")

# %% [markdown]
# Scores: the judge of lesson 16, which has now learned from glyphs of this size; and the Frechet distance (lesson 12)
# of 1,000 pictures from real ones, by the features of a classifier of real pictures. The same captions for all.

# %%
count = 10 if args.quick else 150
judge = problem.judge(np.random.default_rng(args.seed), steps=30 if args.quick else 1500)
rows = text_to_image.test_captions(unseen, count, rng)
eightfold = np.repeat(rows, 8, axis=0)
little, large = both(eightfold, rng)
sets = {
    "real": unseen.paint(unseen.fill(eightfold, rng), rng),
    "bicubic": bicubic(little),
    "second stage": large,
}
many, true = problem.train.draw(500 if args.quick else 5000, rng)
place = grammar.places.index("character") if whole else 0
extractor = train_extractor(Images(many), true[:, place] - 1, seed=args.seed, steps=20 if args.quick else 300)
others = features(extractor, unseen.paint(unseen.fill(eightfold, rng), rng))
report = {}
print(f"{'':14}{'Frechet':>9}{'main':>9}{'all':>9}{'diversity':>11}")
for who, images in sets.items():
    scores, apart = judged(rows, images, judge, problem.train)
    report[who] = scores | {
        "apart": apart,
        "frechet": frechet(real=others, generated=features(extractor, images)),
    }
    line = f"{scores['main']:9.1%}{scores['all']:9.1%}{apart / report['real']['apart']:11.2f}"
    print(f"{who:14}{report[who]['frechet']:9.2f}{line}")
