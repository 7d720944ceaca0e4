"""Lesson 14: its score and its settings by hand, and that each variation is another game."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

LESSONS = Path(__file__).parents[1] / "lessons"


def names_of(name, folder, end):
    """The names of a lesson's beginning, up to the step `end`, with --quick."""
    text = (LESSONS / name).read_text()
    path = folder / name
    path.write_text(text[: text.index(f'lesson.step("{end}")')])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", [name, "--quick", "--out", str(folder / "out")])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        return runpy.run_path(str(path))


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    return names_of("14_sensitivity.py", tmp_path_factory.mktemp("points"), "Initial weights")


def test_the_overlap_by_hand(points):
    centres = points["MIXTURE"].centres
    assert points["score"](np.repeat(centres, 3, axis=0)) == pytest.approx(1)
    assert points["score"](np.repeat(centres[:1], 80, axis=0)) == pytest.approx(
        1 / 8
    )  # one mode, of quality 1
    uneven = np.concatenate([np.repeat(centres[:1], 6, axis=0), centres[1:3], np.zeros((8, 2))])
    assert points["score"](uneven) == pytest.approx(1 / 8 + 2 / 16)  # 6 count as 2, 8 lie between the modes
    assert points["score"](np.full((10, 2), np.inf)) == 0


def test_weights_have_the_size_that_their_name_says(points):
    for name, first, hidden in (
        ("He", 1, 0.25),
        ("He / 100", 0.01, 0.0025),
        ("DCGAN, 0.02", 0.02, 0.02),
        ("Glorot", (2 / 202) ** 0.5, (2 / 400) ** 0.5),
        ("He * 5", 5, 0.5),
    ):
        width = {"Glorot": 200, "He": 32, "He / 100": 32}.get(name, 200)
        settings = points["Settings"](weights=name, width=width)
        player = points["make_player"](settings, 1, np.random.default_rng(0))
        found = [p.value.std() for key, p in player.named_parameters().items() if key.endswith("weight")]
        np.testing.assert_allclose(found[:2], (first, hidden), rtol=0.15)


def test_a_game_ends_after_its_rounds_or_its_seconds_and_one_that_runs_off_has_nothing(points, monkeypatch):
    steps = []
    play = points["play"]
    step = play.__globals__["generator_step"]
    monkeypatch.setitem(play.__globals__, "generator_step", lambda *a: steps.append(1) or step(*a))
    assert 0 <= play(points["Settings"](rounds=7), 0) <= 1 and len(steps) == 7
    steps.clear()
    play(points["Settings"](rounds=7, seconds=0.05), 0)
    assert len(steps) > 7
    steps.clear()
    with np.errstate(all="ignore"):
        assert play(points["Settings"](optimizer="SGD", g_rate=1e30, d_rate=1e30, rounds=50), 0) == 0
    assert len(steps) < 50


def test_each_optimiser_and_each_fall_is_another_game(points):
    """Eight games from one seed; with rates that fall the second half differs."""
    play = points["play"]
    seen = set()
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setitem(play.__globals__, "score", lambda drawn: seen.add(drawn.tobytes()))
    for optimizer in ("SGD", "momentum", "Nesterov", "Adam"):
        for falling in (False, True):
            play(points["Settings"](optimizer=optimizer, falling=falling, rounds=6), 0)
    monkeypatch.undo()
    assert len(seen) == 8


def test_each_remedy_is_another_game(tmp_path):
    names = names_of("14_remedies.py", tmp_path, "Samples")
    # Two rounds, and 700 images in all, are too few for some of them.
    alike = {
        "SGD, too fast",
        "- with a falling rate",
        "half as many rounds more",
        "falling rate",
        "20,000 images",
        "SGD, falling rate",  # but for the fall it is "- with a third of the rate"
    }
    rest = {name: samples.tobytes() for name, samples in names["drawn"].items() if name not in alike}
    names["ask"]("plain", names["PLAIN"])  # with the seeds of the others
    rest["plain"] = names["drawn"]["plain"].tobytes()
    assert len(rest) >= 24 and len(set(rest.values())) == len(rest), sorted(rest, key=rest.get)
    rules = names["PLAIN"]
    names["args"].steps = 4
    longer = [
        names["play"](rules._replace(**change), 0)[0].parameters()[0].value.tobytes()
        for change in ({}, {"falling": True}, {"rounds": 1.5})
    ]
    assert len(set(longer)) == 3
