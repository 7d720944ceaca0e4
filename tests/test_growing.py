"""Networks that grow: the ends of a fade to the bit, gradients and checkpoints within it, the usual mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from parity import DEVICES, differences, watched

from npgan import checkpoint, growing, losses
from npgan.adversarial import discriminator_step, generator_step, penalise, r1, wgan_gp
from npgan.backend import to_device
from npgan.data import Images
from npgan.gradcheck import check_gradient, check_layer
from npgan.growing import BlockAdam, GrowingDiscriminator, GrowingGenerator, Now, Plan, shown
from npgan.layers.resize import repeat, sum_blocks
from npgan.optim import MovingAverage, linear_decay

LATENT, WIDEST = 5, 4


FIRST = Now(4, 1.0)


def players(largest=16, now=FIRST, dtype="float64", seed=0):
    """Both networks, small, at one stage; biases are not zero."""
    rng = np.random.default_rng(seed)
    generator = GrowingGenerator(largest, 3, LATENT, rng, WIDEST)
    discriminator = GrowingDiscriminator(largest, 3, rng, WIDEST)
    for network in (generator, discriminator):
        for parameter in network.parameters():
            if parameter.value.ndim == 1:
                parameter.value[...] = rng.standard_normal(parameter.value.shape)
        network.astype(dtype).grow(now)
    return generator, discriminator, rng


def pooled(x):
    return sum_blocks(x, (2, 2)) * 0.25


# Both ends of a fade ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_alpha_0_the_network_is_the_old_one_to_the_bit(size, dtype):
    generator, discriminator, rng = players(now=Now(size // 2, 1.0), dtype=dtype)
    z, x = (
        rng.standard_normal((4, LATENT)).astype(dtype),
        rng.standard_normal((4, size, size, 3)).astype(dtype),
    )
    old = repeat(generator.forward(z), (2, 2)), discriminator.forward(pooled(x))
    for network in (generator, discriminator):
        network.grow(Now(size, 0.0))
    np.testing.assert_array_equal(generator.forward(z), old[0])
    np.testing.assert_array_equal(discriminator.forward(x), old[1])


@pytest.mark.parametrize("size", [8, 16])
def test_at_alpha_1_the_network_is_the_new_one_alone_to_the_bit(size):
    generator, discriminator, rng = players(now=Now(size, 1.0), dtype="float32")
    z = rng.standard_normal((4, LATENT), dtype=np.float32)
    x = rng.standard_normal((4, size, size, 3), dtype=np.float32)
    h = z
    for s in growing.sizes(size):
        h = generator.blocks[f"body_{s}"].forward(h, train=False)
    np.testing.assert_array_equal(
        generator.forward(z), generator.blocks[f"to_rgb_{size}"].forward(h, train=False)
    )
    h = discriminator.blocks[f"from_rgb_{size}"].forward(x, train=False)
    for s in reversed(growing.sizes(size)):
        h = discriminator.blocks[f"body_{s}"].forward(h, train=False)
    np.testing.assert_array_equal(discriminator.forward(x), h)
    for network, colours in ((generator, "to_rgb"), (discriminator, "from_rgb")):
        for parameter in network.blocks[f"{colours}_{size // 2}"].parameters():
            parameter.value.fill(np.nan)  # the old way is not taken any more
    assert np.isfinite(generator.forward(z)).all() and np.isfinite(discriminator.forward(x)).all()


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("alpha", [0.25, 0.3])
def test_in_between_it_is_the_blend_with_the_new_one_weighted_by_alpha(size, alpha):
    """The fade on the wrong side gives 1 - alpha; one that is stuck, the same for both values."""
    generator, _, rng = players(now=Now(size // 2, 1.0))
    z = rng.standard_normal((4, LATENT))
    old = repeat(generator.forward(z), (2, 2))
    generator.grow(Now(size, 1.0))
    new = generator.forward(z)
    generator.grow(Now(size, alpha))
    np.testing.assert_allclose(generator.forward(z), old + alpha * (new - old), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.25, 0.3])
def test_the_discriminator_blends_features_by_alpha(alpha):
    _, discriminator, rng = players(now=Now(8, alpha))
    x = rng.standard_normal((4, 8, 8, 3))
    old = discriminator.blocks["from_rgb_4"].forward(pooled(x), train=False)
    new = discriminator.blocks["from_rgb_8"].forward(x, train=False)
    new = discriminator.blocks["body_8"].forward(new, train=False)
    wanted = discriminator.blocks["body_4"].forward(old + alpha * (new - old), train=False)
    np.testing.assert_allclose(discriminator.forward(x), wanted, rtol=1e-10)


def test_real_images_are_pooled_and_blurred_by_the_same_alpha(rng):
    x = rng.standard_normal((2, 16, 16, 3))
    np.testing.assert_array_equal(shown(x, Now(16, 1.0)), x)
    np.testing.assert_allclose(shown(x, Now(8, 1.0)), x.reshape(2, 8, 2, 8, 2, 3).mean((2, 4)))
    at_8 = shown(x, Now(8, 1.0))
    np.testing.assert_array_equal(shown(x, Now(16, 0.0)), repeat(at_8, (2, 2)))
    coarse = repeat(shown(x, Now(4, 1.0)), (2, 2))
    np.testing.assert_allclose(shown(x, Now(8, 0.3)), coarse + 0.3 * (at_8 - coarse), rtol=1e-12)


# The plan -----------------------------------------------------------------------------------------------------


def test_alpha_rises_over_the_first_half_of_each_stage_but_the_first():
    plan = Plan({4: 3, 8: 8, 16: 4})
    found = [plan.at(done) for done in range(plan.total)]
    assert found[:3] == [Now(4, 1.0)] * 3
    assert found[3:11] == [Now(8, alpha) for alpha in (0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0)]
    assert found[11:] == [Now(16, alpha) for alpha in (0.5, 1.0, 1.0, 1.0)]
    assert plan.at(plan.total) == plan.at(99) == Now(16, 1.0) and plan.total == 15
    assert Plan({4: 1, 8: 4}, fading=0.0).at(1) == Now(8, 1.0)
    assert Plan({4: 1, 8: 4}, fading=1.0).at(1) == Now(8, 0.25)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: growing.sizes(48), "growing: images must have 8, 16, 32, 64, ... pixels a side, got 48"),
        (lambda: growing.sizes(4), "growing: images must have 8, 16, 32, 64, ... pixels a side, got 4"),
        (lambda: Plan({4: 3, 16: 3}), r"Plan: wanted rounds for [4, 8, 16] in this order, got [4, 16]"),
        (lambda: Plan({4: 3, 8: 2}, fading=2), "Plan: fading must be in [0, 1], got 2"),
        (lambda: Plan({4: 3, 8: 0}), "Plan: wanted at least 1 round for each size, got {4: 3, 8: 0}"),
        (
            lambda: players()[0].grow(Now(32, 1.0)),
            "grow: wanted a size of [4, 8, 16] and an alpha in [0, 1], got Now(size=32, alpha=1.0)",
        ),
        (
            lambda: players()[0].grow(Now(4, 0.5)),
            "grow: wanted a size of [4, 8, 16] and an alpha in [0, 1], got Now(size=4, alpha=0.5)",
        ),
        (
            lambda: players()[0].grow(Now(8, 1.1)),
            "grow: wanted a size of [4, 8, 16] and an alpha in [0, 1], got Now(size=8, alpha=1.1)",
        ),
        (
            lambda: players()[1].grow(Now(8, -0.1)),
            "grow: wanted a size of [4, 8, 16] and an alpha in [0, 1], got Now(size=8, alpha=-0.1)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


# The networks -------------------------------------------------------------------------------------------------


def test_features_are_fewer_where_the_image_is_larger_as_many_in_both_networks(rng):
    generator, discriminator = GrowingGenerator(64, 3, 10, rng), GrowingDiscriminator(64, 3, rng)
    wanted = {4: 64, 8: 64, 16: 32, 32: 16, 64: 8}
    for network, axis, which in ((generator, 2, "to_rgb"), (discriminator, 3, "from_rgb")):
        blocks = {size: network.blocks[f"{which}_{size}"] for size in wanted}
        weights = {
            size: next(p.value for p in b.parameters() if p.value.ndim == 4) for size, b in blocks.items()
        }
        assert {size: weight.shape[axis] for size, weight in weights.items()} == wanted
    assert [growing.channels_at(size, 16) for size in (4, 32, 64, 256)] == [16, 16, 8, 4]


@pytest.mark.parametrize("size", [4, 8, 16])
def test_features_of_a_pixel_and_the_noise_have_a_mean_square_of_1_in_the_generator(size):
    generator, _, rng = players(now=Now(size, 1.0))
    z = rng.standard_normal((4, LATENT))
    h = z
    for s in generator.sizes[: generator.sizes.index(size) + 1]:
        h = generator.blocks[f"body_{s}"].forward(h, train=False)
        np.testing.assert_allclose((h * h).mean(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(generator.forward(7 * z), generator.forward(z), rtol=1e-5, atol=1e-6)


# Gradients ----------------------------------------------------------------------------------------------------


class InPlay(growing.Layer):
    """A growing network as a layer of the blocks that are in play, which alone have gradients to check."""

    def __init__(self, network):
        self.network = network

    def children(self):
        return {name: self.network.blocks[name] for name in self.network.in_play()}

    def forward(self, x, train=True):
        return self.remember(train, self.network.forward(x, train))

    def backward(self, dy):
        self.recall(dy)
        return self.network.backward(dy)


@pytest.mark.parametrize("now", [Now(4, 1.0), Now(8, 0.3), Now(16, 0.3), Now(16, 1.0)])
@pytest.mark.parametrize("which", [0, 1], ids=["generator", "discriminator"])
def test_gradients_by_input_and_by_every_parameter(which, now):
    *networks, rng = players(now=now)
    x = rng.standard_normal((4, LATENT) if which == 0 else (4, now.size, now.size, 3))
    check_layer(InPlay(networks[which]), x, rng=rng, tolerance=1e-6)


@pytest.mark.parametrize("now", [Now(8, 0.3), Now(16, 1.0)])
def test_backward_parameters_gathers_what_backward_does(now):
    for network, shape in zip(players(now=now)[:2], ((4, LATENT), (4, now.size, now.size, 3))):
        x = np.random.default_rng(1).standard_normal(shape)
        dy = np.ones_like(network.forward(x))
        network.backward(dy)
        wanted = [parameter.grad.copy() for parameter in network.parameters()]
        network.zero_grad()
        network.forward(x)
        network.backward_parameters(dy)
        for found, parameter in zip(wanted, network.parameters()):
            np.testing.assert_array_equal(parameter.grad, found)


@pytest.mark.parametrize("now", [Now(8, 0.3), Now(16, 0.3), Now(8, 1.0)])
@pytest.mark.parametrize("penalty", ["zero_centred_penalty", "one_centred_penalty"])
def test_the_penalty_in_a_fade_against_finite_differences_of_it(now, penalty):
    _, discriminator, rng = players(now=now)
    x = rng.standard_normal((8, now.size, now.size, 3))

    def measure(g):
        return getattr(losses, penalty)(g, 3.0)

    def value():
        with discriminator.held(inference=True):  # the deviation of the batch is a constant
            return measure(discriminator.backward(np.ones_like(discriminator.forward(x))))[0]

    np.testing.assert_allclose(penalise(discriminator, x, measure), value(), rtol=1e-12)
    for name in discriminator.in_play():
        for key, parameter in discriminator.blocks[name].named_parameters().items():
            if key.endswith("bias"):
                assert not parameter.grad.any()
            else:
                check_gradient(value, parameter.value, parameter.grad, rng, name=f"{name}.{key}", eps=1e-7)


# A game that grows --------------------------------------------------------------------------------------------


class Game:
    """A whole run in small, on images of 16 x 16."""

    PLAN = Plan({4: 6, 8: 8, 16: 8})
    rate = staticmethod(linear_decay(0.01, 0.001, 22, begin=15))

    def __init__(self, device="numpy", penalty=None):
        self.device, self.rng = device, np.random.default_rng(3)
        generator, discriminator, rng = players(dtype="float32")
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        pixels = rng.integers(256, size=(20, 16, 16, 3), dtype=np.uint8)
        self.batches = Images(pixels).batches(4, self.rng)
        self.g_optimizer = BlockAdam(self.generator, self.rate, 0, 0.99)
        self.d_optimizer = BlockAdam(self.discriminator, self.rate, 0, 0.99)
        self.average = MovingAverage(self.generator, 0.9)
        self.penalty = penalty or r1(1.0)
        self.done = 0

    def round(self):
        now = self.PLAN.at(self.done)
        for network in (self.generator, self.discriminator, self.average.layer):
            network.grow(now)
        z = to_device(self.rng.standard_normal((4, LATENT), dtype=np.float32), self.device)
        real = shown(to_device(next(self.batches), self.device), now)
        fake = self.generator.forward(z)
        d = discriminator_step(self.discriminator, real, fake, self.d_optimizer, penalty=self.penalty)
        g = generator_step(self.generator, self.discriminator, fake, self.g_optimizer)
        self.average.update()
        self.done += 1
        return d, g

    def parts(self):
        names = ("generator", "discriminator", "g_optimizer", "d_optimizer", "average", "batches", "rng")
        return {name: getattr(self, name) for name in names}

    def arrays(self):
        return {
            f"{name} {key}": array
            for name, part in self.parts().items()
            if name not in ("batches", "rng")
            for key, array in part.state().items()
        }


def test_what_stays_goes_on_and_what_is_new_starts_with_no_moments():
    game = Game()
    asleep = {key: array for key, array in game.arrays().items()}
    for _ in range(6):
        game.round()
    before = game.arrays()
    for key, array in before.items():
        if "_8" in key or "_16" in key:
            np.testing.assert_array_equal(
                array, asleep[key], err_msg=key
            )  # slept: as drawn, no moments, no steps
    assert before["d_optimizer body_4.steps"] == 6 and before["d_optimizer body_8.steps"] == 0
    assert before["g_optimizer body_4.1.EqualizedLearningRate.weight.square"].any()
    game.round()  # the first at 8 pixels
    after = game.arrays()
    assert after["d_optimizer body_4.steps"] == 7 and after["d_optimizer body_8.steps"] == 1
    key = "g_optimizer body_4.1.EqualizedLearningRate.weight.square"
    low = 0.99 * before[key]  # moments go on, they are not thrown away
    assert (after[key] >= low * (1 - 1e-5)).all()
    for key in before:
        if "steps" not in key and "_4" in key and before[key].ndim:
            assert after[key].shape == before[key].shape


def test_the_first_step_of_a_new_block_is_no_longer_than_its_rate():
    """One Adam for all would count the rounds that the block has slept through, and step ten times too far."""
    game = Game()
    for _ in range(6):
        game.round()
    before = {key: p.value.copy() for key, p in game.generator.named_parameters().items() if "body_8" in key}
    game.round()
    moved = [np.abs(game.generator.named_parameters()[key].value - old).max() for key, old in before.items()]
    assert 0 < max(moved) <= 0.01 * (1 + 1e-4)


@pytest.mark.parametrize(
    "done, sizes, colours", [(0, [4], [4]), (7, [4, 8], [4, 8]), (10, [4, 8], [8]), (14, [4, 8, 16], [8, 16])]
)
def test_a_round_trains_the_blocks_in_play_and_in_a_fade_the_old_colours_too(done, sizes, colours):
    game = Game()
    game.done = done
    before = [network.state() for network in (game.generator, game.discriminator)]
    game.round()
    for network, old, which in zip((game.generator, game.discriminator), before, ("to_rgb", "from_rgb")):
        moved = {
            name.split(".")[0]
            for name, array in network.state().items()
            if array.tobytes() != old[name].tobytes()
        }
        assert moved == {f"body_{s}" for s in sizes} | {f"{which}_{s}" for s in colours}
        assert moved == set(network.in_play())


def test_nothing_jumps_when_a_fade_begins():
    """Collapse at the start of a fade: G's images and D's logits change by alpha of the way, no more."""
    game = Game()
    for _ in range(6):
        game.round()
    z = np.random.default_rng(1).standard_normal((64, LATENT), dtype=np.float32)
    before = repeat(game.generator.forward(z, train=False), (2, 2))
    x = repeat(pooled(repeat(before, (1, 1))), (2, 2)).astype(np.float32)
    logits = game.discriminator.forward(pooled(x), train=False)
    for network in (game.generator, game.discriminator):
        network.grow(Now(8, 1e-3))
    change = np.abs(game.generator.forward(z, train=False) - before).max()
    assert change < 0.02 * np.abs(before).max()
    change = np.abs(game.discriminator.forward(x, train=False) - logits).max()
    assert change < 0.02 * max(1, np.abs(logits).max())


def test_groups_of_the_deviation_are_neighbours():
    """Real and generated images in one batch: each group of 4 is of one kind, and the numbers are not mixed up."""
    _, discriminator, rng = players()
    x = np.concatenate([np.zeros((4, 4, 4, 3)), rng.standard_normal((4, 4, 4, 3))])
    h = discriminator.blocks["from_rgb_4"].forward(x, train=False)
    seen = discriminator.blocks["body_4"].layers[0].forward(h, train=False)[..., -1]
    assert seen[:4].max() < 1e-3 < seen[4:].min()
    np.testing.assert_allclose(seen[4:], h[4:].std(axis=0).mean(), rtol=1e-6)


@pytest.mark.parametrize("at", [0, 7, 8, 12, 17])
def test_a_checkpoint_within_a_fade_goes_on_to_the_same_bits(at, tmp_path):
    whole, game = Game(), Game()
    for _ in range(Game.PLAN.total):
        whole.round()
    for _ in range(at):
        game.round()
    checkpoint.save(tmp_path / "c.npz", game.parts(), step=at, settings={}, history={})
    other = Game()
    other.done = checkpoint.load(tmp_path / "c.npz", other.parts()).step
    while other.done < Game.PLAN.total:
        other.round()
    found, wanted = other.arrays(), whole.arrays()
    assert found.keys() == wanted.keys()
    for key in wanted:
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)


def test_parts_of_a_state_are_loaded_by_name():
    generator, _, _ = players(dtype="float32")
    other, _, _ = players(dtype="float32", seed=1)
    before = other.state()
    other.load_state(generator.state(), only="body_8")
    for key, array in other.state().items():
        wanted = generator.state() if key.startswith("body_8.") else before
        np.testing.assert_array_equal(array, wanted[key], err_msg=key)
    optimizer = BlockAdam(generator, 0.01, 0, 0.99)
    with pytest.raises(
        ValueError, match="^state is of another BlockAdam: body_16.1.EqualizedLearningRate.layer.bias"
    ):
        optimizer.load_state({k: v for k, v in optimizer.state().items() if not k.startswith("body_16")})


def test_the_rate_is_of_the_rounds_of_all_and_not_of_a_blocks_own():
    game = Game()
    for _ in range(Game.PLAN.total - 1):
        game.round()
    before = game.generator.blocks["body_16"].parameters()[0].value.copy()
    game.round()  # the last: the rate is 0.01 - 6 / 7 * 0.009
    moved = np.abs(game.generator.blocks["body_16"].parameters()[0].value - before).max()
    rates = [adam.rate() for adam in game.g_optimizer.blocks.values()]
    assert len(set(rates)) == 1 and rates[0] == pytest.approx(0.001)
    assert 0 < moved < 0.01


# On the device ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["r1", "wgan_gp"])
def test_a_growing_game_uploads_the_batch_and_the_noise_waits_for_nothing_and_gives_the_numbers_of_numpy(
    cupy, leeway, loss
):
    problems, found = [], {}
    for device in DEVICES:
        penalty = r1(1.0) if loss == "r1" else wgan_gp(10.0, np.random.default_rng(5))
        game = Game(device, penalty)
        game.PLAN = Plan({4: 1, 8: 2, 16: 4})
        for _ in range(5):  # the last one in a fade
            with watched(problems, f"{device}, a round", uploads=2 + (loss == "wgan_gp")):
                game.round()
        if problems:
            break
        found[device] = {**game.generator.arrays(), **game.discriminator.arrays()}
        found[device] |= {f"average {key}": array for key, array in game.average.layer.arrays().items()}
    assert problems == []
    assert differences(found["numpy"], found["cupy"], leeway=20 * leeway) == []


def test_a_round_uploads_no_more_than_the_batch_and_the_noise(monkeypatch):
    strict_cupy.install(monkeypatch)
    game = Game("cupy")
    for done in (0, 6, 9, 15, 20):
        game.done = done
        strict_cupy.counters.reset()
        game.round()
        size = 4 * 4 * (16 * 16 * 3 + LATENT)
        assert strict_cupy.counters == strict_cupy.Counters(uploads=2, upload_bytes=size)


# Killed within a fade -----------------------------------------------------------------------------------------

KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from test_growing import Game
from npgan import checkpoint, training

STEPS, KILLS = Game.PLAN.total, 6
training.SAVE_SECONDS = 0.0  # a checkpoint at every step


def train(folder, resume):
    game = Game()
    run = training.Run(STEPS, parts=game.parts(), settings={}, folder=folder, resume=folder if resume else None)
    for game.done in run:
        d, g = game.round()
        run.log(d_loss=d.loss, g_loss=g.loss)


def child(folder, resume=False):
    folder.mkdir(exist_ok=True)
    number = os.fork()
    if number == 0:
        sys.stdout = open(os.devnull, "w")
        code = 1
        try:
            train(folder, resume)
            code = 0
        finally:
            os._exit(code)
    return number


def steps(folder):
    found = checkpoint.in_folder(folder)
    return int(found[-1].stem[-8:]) if found else 0


top = Path(sys.argv[1])
assert os.waitpid(child(top / "whole"), 0)[1] == 0
wanted = checkpoint.path_for(top / "whole", STEPS).read_bytes()
killed_at, same = [], 0
for number in range(KILLS):
    folder, at = top / str(number), 6 + random.Random(number).choice((1, 2, 9, 10))  # within both fades
    child_id = child(folder)
    while steps(folder) < at:
        time.sleep(0.0005)
    os.kill(child_id, signal.SIGKILL)
    os.waitpid(child_id, 0)
    killed_at.append(steps(folder))
    assert os.waitpid(child(folder, resume=True), 0)[1] == 0
    same += checkpoint.path_for(folder, STEPS).read_bytes() == wanted
print(json.dumps({"killed_at": killed_at, "same": same}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_within_a_fade_it_goes_on_to_the_same_bits(tmp_path):
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here.parent)}
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), str(here)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["same"] == 6, found
    fading = [step for step in found["killed_at"] if Game.PLAN.at(step).alpha < 1]
    assert len(fading) >= 3, f"not within a fade: {found}"
