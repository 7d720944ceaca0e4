"""Lesson 18: what goes on and what stays, to the bit; which end of D is frozen; its scores by hand."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy

from npgan.adversarial import discriminator_step, generator_step, judge, r1
from npgan.backend import to_device, to_numpy
from npgan.errors import DataError
from npgan.optim import Adam

LESSONS = Path(__file__).parents[1] / "lessons"


def names_of(name, folder, end, *flags, changes=()):
    """The names of a lesson's beginning, up to the heading `end`, with --quick."""
    text = (LESSONS / name).read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text[: text.index(f"# %% [markdown]\n# ## {end}")])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", [name, "--quick", "--out", str(folder / "out"), *flags])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        return runpy.run_path(str(path))


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return names_of("18_transfer.py", tmp_path_factory.mktemp("transfer"), "Thirty images")


def test_games_of_one_source_are_not_taken_for_those_of_another(tmp_path):
    """An exercise changes SOURCE; --resume would find the letters' games."""
    few = ("18_transfer.py", tmp_path, "What goes on, and what stays")
    names_of(*few, "--steps", "1")
    with pytest.raises(DataError, match="was made with other settings. source: 'ABC.*' there, 'O' here"):
        names_of(*few, "--resume", changes=[("SOURCE = data.UPPERCASE", 'SOURCE = "O"')])


@pytest.fixture(scope="module")
def source(lesson):
    return lesson["sources"][lesson["TASKS"][0].name, 0]


def begin(lesson, source, way, seed=3):
    """Both players of a way, and a game of theirs with thirty images."""
    few = lesson["few_images"](lesson["TASKS"][0], 0, 30)
    return lesson["game"](
        *lesson["start"](way, source, np.random.default_rng(seed)), few, np.random.default_rng(0)
    )


def moved(network, before):
    """The names of the parameters and statistics that are no longer the same bits."""
    return {name for name, value in network.state().items() if value.tobytes() != before[name].tobytes()}


def named(network, block):
    return {name for name in network.state() if name.startswith(f"{block}.")}


def check_the_image_end_is_frozen(lesson, source, way):
    """Blocks of D that get the image first keep their bits in a game, all others move."""
    parts = begin(lesson, source, way)
    discriminator, before = parts["discriminator"], parts["discriminator"].state()
    x = lesson["TASKS"][0].unseen[:4]
    edges = discriminator.children()["from_image"].forward(
        x, train=False
    )  # takes images: it is the image's end
    assert edges.shape[:3] == (4, x.shape[1] // 2, x.shape[2] // 2)
    for _ in range(3):
        lesson["play_round"](parts)
    assert moved(discriminator, before) == named(discriminator, "judge")
    return parts


def test_blocks_have_names_and_the_same_layers(lesson):
    _, discriminator = lesson["make_players"](np.random.default_rng(0))
    assert list(discriminator.children()) == ["from_image", "halve", "judge"]
    kinds = [type(layer).__name__ for block in discriminator.layers for layer in block.layers]
    assert kinds == ["Conv2D", "LeakyReLU", "Conv2D", "LeakyReLU", "Flatten", "Dense"]


def test_d_frozen_keeps_the_blocks_next_to_the_image_and_the_wrong_end_is_found(lesson, source):
    parts = check_the_image_end_is_frozen(lesson, source, lesson["WAYS"]["D frozen"])
    assert moved(parts["generator"], source[0]) >= set(
        parts["generator"].named_parameters()
    )  # all of G plays on
    with pytest.raises(AssertionError):
        check_the_image_end_is_frozen(lesson, source, lesson["Way"](frozen=slice(1, None)))
    with pytest.raises(AssertionError):
        check_the_image_end_is_frozen(lesson, source, lesson["WAYS"]["all weights"])


def test_gradients_pass_through_what_is_frozen_and_a_round_leaves_it_frozen(lesson, source):
    frozen, free = (begin(lesson, source, lesson["WAYS"][name]) for name in ("D frozen", "all weights"))
    x = lesson["TASKS"][0].unseen[:4]
    ours, theirs = (judge(parts["discriminator"], x)[2] for parts in (frozen, free))
    assert np.abs(ours).max() > 0
    np.testing.assert_array_equal(ours, theirs)
    lesson["play_round"](frozen)
    flags = {name: block.frozen for name, block in frozen["discriminator"].children().items()}
    assert flags == {"from_image": True, "halve": True, "judge": False}


def test_scale_and_shift_are_all_that_learns_in_g(lesson, source):
    parts = begin(lesson, source, lesson["WAYS"]["scale and shift"])
    generator = parts["generator"]
    for _ in range(3):
        lesson["play_round"](parts)
    changed = moved(generator, source[0])
    statistics = {name for name in generator.state() if "running" in name}
    learned = changed - statistics
    assert statistics < changed and {name.rsplit(".")[-1] for name in learned} == {"gamma", "beta"}
    assert sum(generator.named_parameters()[name].value.size for name in learned) == 96  # as the lesson says
    assert moved(parts["discriminator"], source[1]) == set(parts["discriminator"].state())


def test_an_optimiser_that_remembers_would_move_what_is_frozen(lesson, source):
    """Why Adam is new in each game."""
    parts = begin(lesson, source, lesson["WAYS"]["all weights"])
    lesson["play_round"](parts)
    before = parts["discriminator"].state()
    parts["discriminator"].children()["from_image"].freeze()
    lesson["play_round"](parts)
    assert moved(parts["discriminator"], before) & named(parts["discriminator"], "from_image")


@pytest.mark.parametrize("g, blocks", [(True, 0), (False, 3), (True, 1), (False, 0)])
def test_what_goes_on_is_the_source_and_the_rest_is_new(lesson, source, g, blocks):
    way = lesson["Way"](g=g, d=slice(blocks))
    generator, discriminator = lesson["start"](way, source, np.random.default_rng(4))
    fresh = lesson["make_players"](np.random.default_rng(4))
    assert moved(generator, source[0] if g else fresh[0].state()) == set()
    names = list(discriminator.children())
    for place, name in enumerate(names):
        wanted = source[1] if place < blocks else fresh[1].state()
        assert moved(discriminator, wanted) & named(discriminator, name) == set()


def test_the_scores_by_hand(lesson):
    task, few = lesson["TASKS"][0], lesson["few_images"](lesson["TASKS"][0], 0, 30)[:]
    copies = np.resize(few, task.unseen.shape)
    distance, copying = lesson["score"](task, few, copies)
    assert copying == 1 and distance > task.floor
    assert lesson["score"](task, few, task.unseen) == (pytest.approx(0, abs=1e-6), 0.5)
    spoilt = task.unseen.copy()
    spoilt[0] = np.nan
    assert lesson["score"](task, few, spoilt) == (np.inf, 0)


def test_the_few_are_others_for_each_seed_more_hold_fewer_and_none_is_unseen(lesson):
    task = lesson["TASKS"][0]
    pick = lesson["few_images"]
    ten, thirty, other = pick(task, 0, 10)[:], pick(task, 0, 30)[:], pick(task, 1, 30)[:]
    np.testing.assert_array_equal(ten, thirty[:10])
    assert (thirty != other).any()
    unseen = {image.tobytes() for image in task.unseen}
    assert not unseen & {image.tobytes() for image in task.rest[:]}


def test_every_way_plays_for_the_same_seconds(lesson, source, monkeypatch):
    """On a clock of the test's own, a second a round."""
    seconds = iter(range(1000))
    play_for = lesson["play_for"]
    monkeypatch.setitem(
        play_for.__globals__, "time", type("Clock", (), {"process_time": lambda: next(seconds)})
    )
    played = []
    monkeypatch.setitem(play_for.__globals__, "play_round", lambda parts: played.append(parts))
    play_for({}, 7)
    assert len(played) == 6  # each look at the clock is a second later


def test_a_way_is_scored_by_its_average_after_parts_of_one_time(lesson, monkeypatch):
    task, names, played, asked = lesson["TASKS"][0], lesson["ask"].__globals__, [], []

    def generate(network, z):
        asked.append(network)
        return task.unseen

    monkeypatch.setitem(names, "play_for", lambda players, seconds: played.append((players, seconds)))
    monkeypatch.setitem(names, "generate", generate)
    found = lesson["ask"](task, "all weights", lesson["WAYS"]["all weights"], parts=(0.5, 1.0, 3.0))
    assert found.shape == (2, 3, 2)
    assert [seconds / lesson["SECONDS"] for _, seconds in played] == pytest.approx([0.5, 0.5, 2.0] * 2)
    assert all(
        network is players["average"].layer for network, (players, _) in zip(asked, played, strict=True)
    )


def test_the_ruler_tells_the_kinds_of_the_target_and_those_of_the_source(lesson):
    assert lesson["TASKS"][0].extractor.layers[-1].weight.value.shape[1] == 36  # as the lesson says


def test_frozen_layers_cost_no_waiting_on_the_device(cupy, lesson, source, leeway):
    """A round with frozen blocks: two uploads, no wait, the figures of NumPy, and the same bits stay."""
    task = lesson["TASKS"][0]
    logits = {}
    for device in ("numpy", "cupy"):
        generator, discriminator = lesson["start"](
            lesson["WAYS"]["D frozen"], source, np.random.default_rng(3)
        )
        generator.to(device), discriminator.to(device)
        optimizers = [Adam(network.named_parameters(), 1e-3) for network in (generator, discriminator)]
        for _ in range(2):
            strict_cupy.counters.reset()
            real = to_device(task.unseen[:8], device)
            fake = generator.forward(to_device(lesson["noise"](8, np.random.default_rng(5)), device))
            discriminator_step(discriminator, real, fake, optimizers[1], penalty=r1(0.5))
            last = generator_step(generator, discriminator, fake, optimizers[0])
            if device == "cupy" and leeway == 1:
                assert vars(strict_cupy.counters)["synchronisations"] == 0
                assert vars(strict_cupy.counters)["uploads"] == 2
        logits[device] = to_numpy(last.logits)
        assert moved(discriminator, source[1]) == named(discriminator, "judge")
    np.testing.assert_allclose(logits["cupy"], logits["numpy"], rtol=1e-4 * leeway, atol=1e-4 * leeway)


# Repairs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repairs(tmp_path_factory):
    return names_of("18_transfer_repair.py", tmp_path_factory.mktemp("repairs"), "Repairs")


def test_two_images_are_refused_in_one_line_and_three_are_enough(tmp_path, repairs):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "few.npz", images=pixels)
    with pytest.raises(DataError, match="few.npz.*: 2 images, wanted at least 3: one is to score on$"):
        names_of("18_transfer_repair.py", tmp_path, "The ways", "--data", str(tmp_path / "few.npz"))
    network, two = repairs["Inpainter"](repairs["SHAPE"], np.random.default_rng(0)), np.arange(2)
    ((_, psnr),) = repairs["learn"](network, repairs["rest"].take(two), np.random.default_rng(0), (0.02,))
    assert np.isfinite(psnr)


@pytest.mark.parametrize("way", ["from scratch", "all weights", "blocks frozen", "scale and shift"])
def test_a_network_that_repairs_learns_what_its_way_leaves_free(repairs, way):
    network = repairs["Inpainter"](repairs["SHAPE"], np.random.default_rng(0))
    assert network.down1.layers[0].weight.value.shape[2] == repairs["C"] + 1  # it gets the image and the mask
    before, parameters = network.state(), set(network.named_parameters())
    repairs["freeze"](network, way)
    few = repairs["rest"].take(np.arange(30))
    ((repaired, psnr),) = repairs["learn"](network, few, np.random.default_rng(0), (0.05,))
    changed = moved(network, before)
    if way == "blocks frozen":
        assert changed == {name for name in before if name.split(".")[0] not in ("down1", "down2")}
    elif way == "scale and shift":
        assert changed & parameters == {name for name in parameters if name.endswith(("gamma", "beta"))}
    else:
        assert changed == set(before)
    known = repairs["mask"] < 0.5
    kept = np.broadcast_to(known, repaired.shape)
    np.testing.assert_array_equal(repaired[kept], repairs["truth"][kept])
    assert 5 < psnr < 15


def test_the_frozen_blocks_use_the_statistics_with_which_they_will_repair(repairs):
    network = repairs["Inpainter"](repairs["SHAPE"], np.random.default_rng(0))
    repairs["freeze"](network, "blocks frozen")
    x = np.random.default_rng(1).standard_normal((4, 16, 16, 2)).astype(np.float32)
    np.testing.assert_array_equal(network.down1.forward(x), network.down1.forward(x, train=False))
    assert not network.up2.frozen
