"""Lesson 16 as a user meets it: captions that are drawn from a checkpoint, from a file, from one's own labels."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from npgan.data import DataError
from npgan.data.captions import Grammar
from npgan.live import CaptionWindow

SCRIPT = Path(__file__).parents[1] / "lessons" / "16_text_to_image.py"


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, flags)])
    return runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesson16")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, "--quick", "--out", folder)
    return folder


def test_captions_are_drawn_from_the_checkpoint(trained, monkeypatch, capsys):
    for flags in (["a bold red 7 on blue", "a 3"], ["a small character"]):
        (trained / "drawn.png").unlink(missing_ok=True)
        with pytest.raises(SystemExit) as end:
            run(monkeypatch, "--resume", "--out", trained, "--draw", *flags)
        assert not end.value.code and (trained / "drawn.png").exists()
    assert "step 1/" not in capsys.readouterr().out  # nothing is trained


def test_a_file_of_captions_is_drawn_in_pictures_of_twenty(trained, tmp_path, monkeypatch):
    (tmp_path / "captions.txt").write_text("\n".join(["a 7 on blue", ""] * 21))
    with pytest.raises(SystemExit):
        run(monkeypatch, "--resume", "--out", trained, "--draw", tmp_path / "captions.txt")
    heights = [plt.imread(trained / name).shape[0] for name in ("drawn.png", "drawn-2.png")]
    assert heights[0] > 10 * heights[1]


@pytest.mark.parametrize(
    "captions, message",
    [
        (["a puce 7"], "'puce' is no word of the grammar; known are a, on, character, bold"),
        ([""], "it is empty"),
        (["a red blue 7"], "'red' and 'blue' contradict each other"),
    ],
)
def test_a_caption_that_cannot_be_understood_is_one_line(trained, monkeypatch, captions, message):
    with pytest.raises(DataError, match=message) as error:
        run(monkeypatch, "--resume", "--out", trained, "--draw", *captions)
    assert "\n" not in str(error.value)


def test_drawing_needs_a_checkpoint(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "--out", tmp_path, "--draw", "a 7")
    assert end.value.code == 2 and "--draw needs --resume" in capsys.readouterr().err


def paint_classes(folder, rng, names, count):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 100, (20, 24, 3)) + 150 * (name == names[-1])
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")


def test_one_s_own_classes_are_learned_and_drawn(tmp_path, monkeypatch, capsys, rng):
    paint_classes(tmp_path / "pictures", rng, ("dark", "light"), 12)
    out = tmp_path / "out"
    run(monkeypatch, "--quick", "--data", tmp_path / "pictures", "--out", out)
    assert "verdict: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(monkeypatch, "--resume", "--out", out, "--draw", "a light", "dark")
    with pytest.raises(DataError, match="names no class; known are dark, light"):
        run(monkeypatch, "--resume", "--out", out, "--draw", "a cat")
    (tmp_path / "pictures" / "light").rename(tmp_path / "pictures" / "bright")  # now the first of the two
    with pytest.raises(DataError, match="learned were the classes .'dark', 'light'., here are .'bright', "):
        run(monkeypatch, "--resume", "--out", out, "--draw", "dark")


def test_six_images_with_odd_names_reach_the_verdict(tmp_path, monkeypatch, capsys, rng):
    """One of them is left to be unseen: nothing says how far two real images are apart."""
    paint_classes(tmp_path / "pictures", rng, ("a$b$c", "tab\there"), 3)
    run(monkeypatch, "--quick", "--steps", 2, "--data", tmp_path / "pictures", "--out", tmp_path / "out")
    said = capsys.readouterr().out
    assert "the unseen images of a class are one and the same: too few" in said and "\t" not in said


def test_a_size_that_cannot_be_halved_three_times_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="--size 28: wanted a size divisible by 8"):
        run(monkeypatch, "--quick", "--size", 28, "--out", tmp_path)


def test_a_typed_caption_is_drawn_and_a_wrong_one_told():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    drawn = []

    def draw(caption):
        if caption == "puce":
            raise DataError("no such word")
        drawn.append(caption)
        return np.zeros((4, 4, 3), np.uint8)

    window = CaptionWindow(figure, draw)
    window.box.set_val("a 7")  # as typing and Enter do
    window.show("a 7")
    assert window.status.get_text() == "a 7" and len(window.axes.images) == 1
    window.show("puce")
    assert window.status.get_text() == "no such word" and len(window.axes.images) == 1
    window.show("  ")
    assert drawn[-1] == "a 7"


def test_the_window_shows_the_whole_of_a_long_error_and_no_formula():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 7.0))
    FigureCanvasAgg(figure)
    window = CaptionWindow(figure, Grammar().read)
    window.show("a puce $x_{$ 7")
    figure.canvas.draw()
    box = window.status.get_window_extent()
    assert "'puce' is no word" in window.status.get_text()
    assert box.x0 > 0 and box.x1 < figure.bbox.width and box.y0 > window.axes.bbox.y1
