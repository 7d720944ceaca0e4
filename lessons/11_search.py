# %% [markdown]
# # Lesson 11, what follows. Repair by a search through the noise
#
# Another way to repair (Yeh et al. 2017): take a generator that draws whole images from noise (lesson 9, in small),
# freeze it, and change z until its image agrees with the known pixels. Then paste the drawn hole between the known
# pixels. The generator has never seen a mask: it serves any hole.
#
#     python lessons/11_conv_inpainting.py          # first: the images, the hole, and the GAN to compare with
#     python lessons/11_search.py                   # the same images, hole and seed
#     python lessons/11_search.py --resume          # go on with a run that was interrupted

# %%
import numpy as np

from npgan import filling, masks, networks, repair, show, verdict
from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import to_device, to_numpy
from npgan.layers import Layer, Parameter
from npgan.lesson import Lesson
from npgan.optim import Adam, MovingAverage, cosine_decay
from npgan.series import Series, trained_by

lesson = Lesson(
    "11_search",
    "Repair by a search through the noise",
    steps=1466,
    quick_steps=20,
    device=True,
    resume=True,
    flags={"trained": "folder of 11_conv_inpainting (default: the one of that name beside --out)"},
)
args, rng = lesson.args, np.random.default_rng(lesson.args.seed + 30)
LATENT = 32

# %% [markdown]
# ## The images and the hole
#
# Those of `11_conv_inpainting.py`, and its GAN of the first seed. The search is slow: 500 images are repaired.

# %%
lesson.step("The images and the hole")
first = trained_by("11_conv_inpainting", "GAN-0", args.trained, args.out)
problem = repair.load(first.settings)
few = slice(0, 40 if args.quick else 500)
truth, holes, damaged = problem.truth[few], problem.masks[few], problem.damaged[few]
H, W, CHANNELS = SHAPE = problem.shape
print(f"{first.path}; {len(problem.train)} images of shape {SHAPE} to learn from, {len(truth)} to repair")

# %% [markdown]
# ## A generator that draws
#
# DCGAN in small: two doublings in the generator, two halvings in the discriminator, weights from N(0, 0.02).

# %%
lesson.step("A generator that draws")
generator = networks.dcgan_generator(SHAPE, LATENT, rng, width=24, smallest=max(H, W) // 4).to(args.device)
discriminator = networks.inpainting_discriminator((H, W, CHANNELS - 1), rng).to(args.device)  # without a mask
for name, parameter in generator.named_parameters().items():
    if name.endswith("weight"):
        parameter.value *= 0.02 / parameter.value.std()
print(generator.summary((LATENT,)))
g_optimizer = Adam(generator.parameters(), cosine_decay(1e-3, 1e-5, args.steps))
d_optimizer = Adam(discriminator.parameters(), cosine_decay(4e-4, 4e-6, args.steps))
average = MovingAverage(generator)
parts = {
    "generator": generator,
    "discriminator": discriminator,
    "g_optimizer": g_optimizer,
    "d_optimizer": d_optimizer,
    "average": average,
    "rng": rng,
}
series = Series(lesson, ["synthesis"], {"start": first.settings, "shape": SHAPE})
run = series.run("synthesis", args.steps, parts)
for _ in run:
    real, _, _ = problem.draw(32, rng, args.device)
    fake = generator.forward(to_device(rng.standard_normal((32, LATENT), dtype=np.float32), args.device))
    d = discriminator_step(discriminator, real, fake, d_optimizer)
    g = generator_step(generator, discriminator, fake, g_optimizer)
    average.update()
    run.log(d_loss=d.loss, g_loss=g.loss)
noise = np.random.default_rng(args.seed).standard_normal((32, LATENT), dtype=np.float32)
drawn = to_numpy(average.layer.forward(to_device(noise, args.device), train=False))
lesson.picture(show.image_grid(drawn, 16, scale=max(1, 56 // H)), "drawn.png")

# %% [markdown]
# ## The search
#
# The gradient by z is what `backward` returns at the generator's input. `held(inference=True)` keeps weights and
# statistics fixed. Only the error at known pixels counts here; Yeh et al. add the discriminator's opinion and blend
# the gradients. It can be no better than its generator.


# %%
def search(generator: Layer, images: np.ndarray, mask: np.ndarray, rng, steps: int, latent: int = LATENT):
    """Repair by the z whose image fits the known pixels best: the best of 1,000 random ones, then Adam."""
    h, w = images.shape[1:3]
    target, mask = to_device(images, args.device), to_device(mask, args.device)
    candidates = to_device(rng.standard_normal((1000, latent), dtype=np.float32), args.device)
    drawn = generator.forward(candidates, train=False).reshape(1000, -1)  # 1000, h*w*C
    known = ((1 - mask) + 0 * target).reshape(len(images), -1)  # N, h*w*C
    cost = known @ (drawn * drawn).T - 2 * (known * target.reshape(len(images), -1)) @ drawn.T  # N, 1000

    z = Parameter(candidates[cost.argmin(axis=1)])  # N, latent
    optimizer = Adam([z], cosine_decay(0.1, 0.01, steps), beta_1=0.9)
    with generator.held(inference=True):
        for _ in range(steps):
            drawn = generator.forward(z.value)
            dimage = (
                2 * (drawn - target) * (1 - mask) / (h * w)
            )  # each image's own mean: they are searched apart
            z.zero_grad()
            z.grad += generator.backward(dimage)
            optimizer.step()
    drawn = generator.forward(z.value, train=False)
    return to_numpy(masks.blend(target, drawn, mask))


lesson.step("The search")
found = [
    search(average.layer, damaged[i : i + 100], holes[i : i + 100], rng, 8 if args.quick else 100)
    for i in range(0, len(truth), 100)
]

# %% [markdown]
# ## What it is worth
#
# Measured on glyphs (500 images): 6.8 dB, below the harmonic fill. Few steps make a poor synthesis generator; where
# it cannot draw the known pixels, what it draws between them is wrong as well, though it looks like strokes.

# %%
lesson.step("What it is worth")
network = first.into(networks.Inpainter(SHAPE, np.random.default_rng(0)).to(args.device))
repairs = {
    "mean": filling.mean_fill(damaged, holes),
    "harmonic": filling.harmonic_fill(damaged, holes, tolerance=1e-4),
    "search": np.concatenate(found),
    "GAN": repair.repair(network, truth, holes, np.random.default_rng(args.seed), args.device),
}
results = {name: repair.score(repaired, truth, holes) for name, repaired in repairs.items()}
print(repair.table(results))
lesson.picture(repair.comparison(problem, repairs), "repairs.png")

# %% [markdown]
# ## Checks, or a verdict

# %%
for name, repaired in repairs.items():
    assert np.array_equal(repaired * (holes < 0.5), truth * (holes < 0.5)), name
if lesson.shipped and repair.shipped(first.settings):
    assert results["search"].psnr > results["mean"].psnr + 0.3, "the known pixels say nothing about the hole"
    lesson.end()
else:
    gain = {name: results["search"].psnr - other.psnr for name, other in results.items()}
    lesson.end(
        verdict.lines(
            f"the search: {gain['mean']:+.1f} dB over the mean colour, {gain['harmonic']:+.1f} over the harmonic "
            f"fill, {gain['GAN']:+.1f} over the GAN that was trained to repair",
            verdict.balance(run.history["d_loss"]),
            verdict.count(len(truth)),
        )
    )

# %% [markdown]
# ## Exercises
#
# 1. Search with 400 steps of Adam, then with none. How much is won by the best of 1,000, how much by the gradient?
# 2. Add the discriminator's opinion of the drawn image to the cost, with weight 0.1 (Yeh et al. 2017, equation 4).
