"""Lesson 13: its own stabilisers, a line or two each, and its own figures; cases by hand, and that games use them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from npgan.adversarial import r1
from npgan.layers import Dense, Sequential
from npgan.losses import binary_cross_entropy, wasserstein

LESSONS = Path(__file__).parents[1] / "lessons"


def names_of(name, folder, end=None):
    """The names of a lesson after --quick, or of its beginning up to the heading `end`."""
    path = LESSONS / name
    if end is not None:
        text = path.read_text()
        path = folder / name
        path.write_text(text[: text.index(f"# %% [markdown]\n# ## {end}")])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", [name, "--quick", "--out", str(folder / "out")])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        return runpy.run_path(str(path))


# The game of two numbers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collapse(tmp_path_factory):
    return names_of("13_mode_collapse.py", tmp_path_factory.mktemp("collapse"), "Cause it, see it")


def test_near_the_centre_the_game_of_two_numbers_is_what_the_formulas_say(collapse, monkeypatch):
    """With all sigmoids 1/2 a round is a matrix, whose determinant says by how much the radius changes."""
    rate, weight, rounds = 0.2, 0.3, 40
    monkeypatch.setitem(collapse["dirac"].__globals__, "ROUNDS", rounds)
    half = rate / 2
    d_step = np.array([[1, 0], [-half, 1]])  # psi -= rate / 2 * theta
    g_step = np.array([[1, half], [0, 1]])  # theta += rate / 2 * psi
    flatter = np.diag([1, 1 - rate * weight])
    start = np.array([1.0, 0.0])
    for game, matrix in (
        (dict(in_turn=False), d_step + g_step - np.eye(2)),
        ({}, g_step @ d_step),
        (dict(penalty=r1(weight)), g_step @ (d_step + flatter - np.eye(2))),
    ):
        path = collapse["dirac"](start=(1e-4, 0.0), **game)
        wanted = np.array([np.linalg.matrix_power(matrix, n) @ start for n in range(rounds + 1)])
        np.testing.assert_allclose(path, 1e-4 * wanted, atol=1e-9)
    assert np.linalg.det(g_step @ d_step) == pytest.approx(1)
    assert np.linalg.det(d_step + g_step - np.eye(2)) == pytest.approx(1 + rate**2 / 4)
    assert np.linalg.det(g_step @ (d_step + flatter - np.eye(2))) == pytest.approx(1 - rate * weight)


def test_half_of_the_coins_are_heads_and_nothing_lies_between(collapse):
    noise = collapse["draw_noise"](2000, 8, np.random.default_rng(0))
    assert noise.shape == (2000, 10) and noise.dtype == np.float32
    assert set(np.unique(noise[:, 2:])) == {-1.0, 1.0} and abs(noise[:, 2:].mean()) < 0.02
    assert len(np.unique(noise[:, :2])) == 4000


# Remedies --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return names_of("13_remedies.py", tmp_path_factory.mktemp("remedies"))


def test_clipping_by_hand(lesson):
    network = Sequential([Dense(2, 2)])
    network.layers[0].weight.value[...] = [[0.3, -0.05], [-2.0, 0.1]]
    network.layers[0].bias.value[...] = [0.0, -0.4]
    lesson["clip"](network, 0.1)
    np.testing.assert_array_equal(network.layers[0].weight.value, np.float32([[0.1, -0.05], [-0.1, 0.1]]))
    np.testing.assert_array_equal(network.layers[0].bias.value, np.float32([0.0, -0.1]))


def test_smoothed_labels_by_hand(lesson):
    loss = lesson["smoothed"](binary_cross_entropy, 0.9)
    best = np.array([[np.log(9.0)]])  # sigmoid 0.9: where D stops getting surer of real points
    assert loss(best, 1.0)[1] == pytest.approx(0, abs=1e-15)
    assert binary_cross_entropy(best, 1.0)[1] == pytest.approx(-0.1)
    assert loss(best, 0.0) == binary_cross_entropy(best, 0.0)  # one-sided


def test_instance_noise_by_hand(lesson):
    points = np.ones((4000, 2), np.float32)
    blurred = lesson["blurred"](points, 0.1, np.random.default_rng(0))
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred.mean(axis=0), 1, atol=0.01)
    np.testing.assert_allclose(blurred.std(axis=0), 0.1, rtol=0.05)
    assert lesson["blurred"](points, 0.0, np.random.default_rng(0)) is points


def test_the_game_clips_after_each_step_of_the_discriminator(lesson, monkeypatch):
    bounds = []
    play, clip = lesson["play"], lesson["clip"]

    def noted(network, bound):
        clip(network, bound)
        bounds.append(max(float(np.abs(p.value).max()) for p in network.parameters()))

    monkeypatch.setitem(play.__globals__, "clip", noted)
    play(
        lesson["Rules"](loss=wasserstein, clip=0.05, d_steps=2),
        lambda rounds: rounds / 3,
        np.random.default_rng(0),
    )
    assert len(bounds) == 6 and max(bounds) <= np.float32(0.05)
    play(lesson["Rules"](), lambda rounds: rounds / 2, np.random.default_rng(0))
    assert len(bounds) == 6


def test_every_remedy_changes_the_game(lesson):
    """From one seed, each row of the table draws points of its own: no setting is without effect."""
    seen = {}
    for name, rules in lesson["REMEDIES"].items():
        points, rounds = lesson["play"](rules, lambda rounds: rounds / 4, np.random.default_rng(0))
        assert rounds == 4 and points.shape == (2500, 2) and np.isfinite(points).all()
        seen[points.tobytes()] = name
    assert len(seen) == len(lesson["REMEDIES"])


# A thousand modes ------------------------------------------------------------------------------------------


def test_score_of_stacks_by_hand(tmp_path, monkeypatch):
    names = names_of("13_stacked_glyphs.py", tmp_path, "The games")
    score = names["score"]
    monkeypatch.setitem(score.__globals__, "TRUE", np.full(1000, 1e-3))

    def probabilities(classifier, images):  # the class is the brightness; 0.9 sure
        wanted = np.rint(images[:, 0, 0, 0] * 10).astype(int)
        return np.where(np.arange(10) == wanted[:, None], 0.9, 0.1 / 9)

    monkeypatch.setitem(score.__globals__, "class_probabilities", probabilities)
    stacks = np.zeros((4, 2, 2, 3), np.float32)
    stacks[:3] += np.float32([0.1, 0.2, 0.3])
    stacks[3] += np.float32([0.3, 0.2, 0.1])  # another mode than 123
    kl, confidence, modes = score(stacks)
    assert modes == 2 and confidence == pytest.approx(0.9)
    assert kl == pytest.approx(0.75 * np.log(750) + 0.25 * np.log(250))
