"""Training on the device: the numbers of NumPy from the same seed, two uploads a round, and no waiting.

On the strict double, or with --device cupy on a GPU, where traffic is not counted.
"""

import importlib.util

import numpy as np
import pytest
import strict_cupy
from parity import DEVICES, differences, watched

from npgan.adversarial import discriminator_step, generator_step
from npgan.backend import device_of, to_device, to_numpy
from npgan.data import Images
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.losses import binary_cross_entropy, generator_saturating
from npgan.masks import blend, damage, make
from npgan.metrics import modes, repair, samples
from npgan.optim import SGD, Adam, MovingAverage, cosine_decay, linear_decay, step_decay
from npgan.training import Run

ROUNDS, BATCH, LATENT = 4, 6, 5
OPTIMISERS = {
    "Adam": lambda parameters: Adam(parameters, 0.01),
    "SGD": lambda parameters: SGD(parameters, step_decay(0.01, 0.5, 2)),
    "Nesterov": lambda parameters: SGD(
        parameters, linear_decay(0.01, 0, ROUNDS), momentum=0.9, nesterov=True
    ),
    "Adam-cosine": lambda parameters: Adam(parameters, cosine_decay(0.01, 1e-4, ROUNDS)),
}


class Game:
    """A small convolutional GAN on 8 x 8 x 3 images, played on one device."""

    def __init__(self, device, make_optimiser=OPTIMISERS["Adam"], loss=binary_cross_entropy):
        self.device, self.loss, self.rng = device, loss, np.random.default_rng(3)
        rng = np.random.default_rng(4)
        pixels = rng.integers(256, size=(20, 8, 8, 3), dtype=np.uint8)
        self.batches = Images(pixels).batches(BATCH, self.rng)
        self.generator = Sequential(
            [
                Dense(LATENT, 4 * 4 * 4, bias=False, rng=rng),
                Reshape((4, 4, 4)),
                BatchNormalization(4),
                ReLU(),
                Conv2DTranspose(4, 3, 4, stride=2, padding=1, rng=rng),
                Tanh(),
            ]
        ).to(device)
        self.discriminator = Sequential(
            [
                Conv2D(3, 4, 4, stride=2, padding=1, bias=False, rng=rng),
                BatchNormalization(4),
                LeakyReLU(),
                Flatten(),
                Dense(4 * 4 * 4, 1, rng=rng),
            ]
        ).to(device)
        self.g_optimizer = make_optimiser(self.generator.parameters())
        self.d_optimizer = make_optimiser(self.discriminator.parameters())
        self.average = MovingAverage(self.generator)

    def round(self):
        noise = self.rng.standard_normal((BATCH, LATENT), dtype=np.float32)
        real = to_device(next(self.batches), self.device)
        fake = self.generator.forward(to_device(noise, self.device))
        d = discriminator_step(self.discriminator, real, fake, self.d_optimizer)
        g = generator_step(self.generator, self.discriminator, fake, self.g_optimizer, self.loss)
        self.average.update()
        return d, g

    def arrays(self):
        networks = {"G": self.generator, "D": self.discriminator, "average": self.average.layer}
        found = {f"{n} {key}": a for n, network in networks.items() for key, a in network.arrays().items()}
        for name, optimiser in (("G", self.g_optimizer), ("D", self.d_optimizer)):
            for index, memory in optimiser.memory.items():
                found |= {f"{name}'s optimiser {index} {slot}": array for slot, array in memory.items()}
        return found


def game_problems(leeway=1.0, alter=lambda game: None, **settings):
    """What is wrong with a few rounds of the game on the device."""
    problems, found = [], {}
    for device in DEVICES:
        game = Game(device, **settings)
        alter(game)
        for _ in range(ROUNDS):
            with watched(problems, f"{device}, a round", uploads=2):
                d, g = game.round()
            if problems:
                return problems
        found[device] = {**game.arrays(), "d_loss": d.loss, "g_loss": g.loss, "logits": g.logits}
        found[device] |= {"real_logits": d.real_logits, "fake_logits": d.fake_logits}
    return problems + differences(found["numpy"], found["cupy"], leeway=leeway)


@pytest.mark.parametrize("loss", [binary_cross_entropy, generator_saturating])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_game_uploads_the_batch_and_the_noise_waits_for_nothing_and_gives_the_numbers_of_numpy(
    cupy, leeway, name, loss
):
    assert game_problems(leeway, make_optimiser=OPTIMISERS[name], loss=loss) == []


def test_a_round_makes_two_uploads_of_the_size_of_the_batch_and_the_noise(monkeypatch):
    strict_cupy.install(monkeypatch)
    game = Game("cupy")
    strict_cupy.counters.reset()
    game.round()
    size = 4 * BATCH * (8 * 8 * 3 + LATENT)
    assert strict_cupy.counters == strict_cupy.Counters(uploads=2, upload_bytes=size)


def wrapped(name, extra):
    """Hang a call of `extra(game)` behind a part of the game."""

    def alter(game):
        owner = getattr(game, name.split(".")[0])
        method = name.split(".")[1]
        right = getattr(owner, method)

        def wrong(*args, **keywords):
            result = right(*args, **keywords)
            extra(game)
            return result

        setattr(owner, method, wrong)

    return alter


@pytest.mark.parametrize(
    "place", ["g_optimizer.step", "d_optimizer.step", "average.update", "generator.zero_grad"]
)
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (lambda game: float(game.generator.parameters()[0].grad.sum()), "1 synchronisations"),
        (lambda game: to_device(np.zeros(3, np.float32), game.device), "3 uploads, wanted 2"),
        (lambda game: to_numpy(game.generator.parameters()[0].grad), "1 downloads"),
        (lambda game: game.generator.parameters()[0].value * np.float64(1), "Float64Error"),
        (lambda game: np.sum(game.generator.parameters()[0].grad), "TypeError"),
    ],
    ids=["float", "upload", "download", "float64", "NumPy"],
)
def test_mistake_planted_in_the_game_is_reported(monkeypatch, place, extra, expected):
    strict_cupy.install(monkeypatch)
    assert expected in " ".join(game_problems(alter=wrapped(place, extra)))


def test_logging_waits_only_when_figures_are_shown(monkeypatch, capsys):
    strict_cupy.install(monkeypatch)
    game = Game("cupy")
    run = Run(5)
    for step in run:
        problems = []
        with watched(problems, f"step {step}", uploads=2):
            d, g = game.round()
            run.log(d_loss=d.loss, g_loss=g.loss)
        assert problems == []
    assert all(type(value) is float for values in run.history.values() for value in values)
    assert len(run.history["d_loss"]) == len(run.history["g_loss"]) == 5


# What is measured on the device --------------------------------------------------------------------------


def test_classifier_trains_on_the_device_with_two_uploads_a_step(cupy, leeway, monkeypatch):
    found = {}
    for device in DEVICES:
        rng = np.random.default_rng(5)
        pixels, labels = rng.integers(256, size=(40, 8, 8, 1), dtype=np.uint8), rng.integers(3, size=40)
        images = Images(pixels)
        strict_cupy.counters.reset()
        with strict_cupy.forbid_float64():
            classifier = samples.train_classifier(images, labels, 3, rng, steps=4, device=device)
        traffic = strict_cupy.counters
        arrays = len(classifier.arrays()) + len(classifier.parameters())  # moved once, with their gradients
        if device == "cupy" and traffic.uploads:  # a real GPU counts nothing
            assert traffic.uploads == arrays + 2 * 4 and traffic.synchronisations == 0
        assert all(device_of(array) == device for array in classifier.arrays().values())
        found[device] = samples.class_probabilities(classifier, images[:])
        assert isinstance(found[device], np.ndarray)
        assert 0 <= samples.accuracy(classifier, images[:], labels) <= 1
        assert samples.class_report(classifier, to_device(images[:], device)).shares.shape == (3,)
    np.testing.assert_allclose(found["cupy"], found["numpy"], rtol=1e-3 * leeway, atol=1e-4 * leeway)


def test_samples_come_back_in_one_download_for_256(cupy, leeway):
    noise = np.random.default_rng(0).standard_normal((300, LATENT), dtype=np.float32)
    drawn = {}
    for device in DEVICES:
        game = Game(device)
        strict_cupy.counters.reset()
        drawn[device] = samples.generate(game.generator, noise, device)
    if strict_cupy.counters.uploads:
        assert strict_cupy.counters.uploads == strict_cupy.counters.downloads == 2
    np.testing.assert_allclose(drawn["cupy"], drawn["numpy"], rtol=1e-5 * leeway, atol=1e-6 * leeway)


def test_metrics_take_arrays_of_the_device(cupy, rng):
    truth, repaired = rng.uniform(-1, 1, (2, 3, 12, 12, 3)).astype(np.float32)
    masks = make("centre", 3, 12, 12, rng)
    on_device = [to_device(array, "cupy") for array in (repaired, truth, masks)]
    for measure in (repair.l1, repair.psnr, repair.ssim):
        np.testing.assert_array_equal(measure(*on_device), measure(repaired, truth, masks))
    points, centres = rng.standard_normal((2, 50, 2)).astype(np.float32)
    assert modes.count_modes(to_device(points, "cupy"), centres[:5], 0.5) == modes.count_modes(
        points, centres[:5], 0.5
    )


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_damage_and_blend_work_on_the_device_without_waiting(cupy, leeway, rng, fill):
    images = rng.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    masks = make("strokes", 3, 8, 8, rng)
    expected = damage(images, masks, fill)
    x, holes = to_device(images, "cupy"), to_device(masks, "cupy")
    problems = []
    with watched(problems, fill):
        damaged = damage(x, holes, fill)
        blended = blend(x, damaged, holes)
    assert problems == []
    for array in (damaged, blended):
        np.testing.assert_allclose(to_numpy(array), expected, rtol=1e-5 * leeway, atol=1e-6 * leeway)


# Checkpoints, once there are any -------------------------------------------------------------------------

if importlib.util.find_spec("npgan.checkpoint"):

    @pytest.mark.parametrize(("first", "second"), [("cupy", "numpy"), ("numpy", "cupy"), ("cupy", "cupy")])
    def test_run_goes_on_from_a_checkpoint_of_either_device(cupy, leeway, tmp_path, first, second):
        def play(device, steps, **settings):
            game = Game(device)
            parts = {
                "generator": game.generator,
                "discriminator": game.discriminator,
                "average": game.average,
            }
            parts |= {"g_optimizer": game.g_optimizer, "d_optimizer": game.d_optimizer}
            parts |= {"batches": game.batches, "rng": game.rng}
            run = Run(steps, parts=parts, **settings)
            for _ in run:
                d, g = game.round()
                run.log(d_loss=d.loss, g_loss=g.loss)
            return game, run.history

        whole, history = play("numpy", 6)
        play(first, 3, folder=tmp_path)
        resumed, resumed_history = play(second, 6, resume=tmp_path)
        assert all(device_of(array) == second for array in resumed.arrays().values())
        for name, array in whole.arrays().items():
            theirs = to_numpy(resumed.arrays()[name])
            np.testing.assert_allclose(theirs, array, rtol=1e-4 * leeway, atol=1e-5 * leeway, err_msg=name)
        for name, values in history.items():
            np.testing.assert_allclose(resumed_history[name], values, rtol=1e-5 * leeway)
