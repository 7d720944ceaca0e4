"""Lesson 13's own stabilisers, a line or two each: cases by hand, and that the game uses them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from npgan.layers import Dense, Sequential
from npgan.losses import binary_cross_entropy, wasserstein

LESSON = Path(__file__).parents[1] / "lessons" / "13_remedies.py"


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """The names of the lesson after --quick."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        out = tmp_path_factory.mktemp("remedies")
        monkeypatch.setattr(sys, "argv", [str(LESSON), "--quick", "--out", str(out)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        return runpy.run_path(str(LESSON))


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
    play(lesson["Rules"](loss=wasserstein, clip=0.05, d_steps=2), 3, np.random.default_rng(0))
    assert len(bounds) == 6 and max(bounds) <= np.float32(0.05)
    play(lesson["Rules"](), 2, np.random.default_rng(0))
    assert len(bounds) == 6


def test_every_remedy_changes_the_game(lesson):
    """From one seed, each row of the table draws points of its own: no setting is without effect."""
    seen = {}
    for name, rules in lesson["REMEDIES"].items():
        points = lesson["play"](rules, 4, np.random.default_rng(0))
        assert points.shape == (2500, 2) and np.isfinite(points).all()
        seen[points.tobytes()] = name
    assert len(seen) == len(lesson["REMEDIES"])


def test_score_by_hand(lesson):
    centres, sigma = lesson["MIXTURE"].centres, lesson["MIXTURE"].sigma
    beside = np.repeat(centres[:1] + [sigma, 0], 6, axis=0)
    points = np.concatenate([beside, centres[1:3], [[0.3, 0.3], [9, 9]]])  # 8 of 10 on a mode
    modes, share, kl, width = lesson["score"](points)
    assert modes == 3 and share == 0.8
    n = len(centres)
    assert kl == pytest.approx(0.75 * np.log(0.75 * n) + 2 * 0.125 * np.log(0.125 * n))
    assert width == pytest.approx(np.sqrt(6 / 8 / 2))
