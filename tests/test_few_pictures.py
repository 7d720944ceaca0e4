"""Lessons 8 to 11 and 17 in full, without --quick, on few pictures of one's own: each ends with a verdict."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npgan import verdict
from npgan.errors import DataError

LESSONS = Path(__file__).parents[1] / "lessons"
DRAW = ["08_dense_gan", "09_conv_gan", "10_dense_inpainting", "11_conv_inpainting"]
GO_ON = ["11_trade_off", "11_search"]  # from what 11_conv_inpainting has trained


def run(name: str, out: Path, *flags) -> dict:
    """Run a lesson in full, in this process; return its names."""
    before, hook = sys.argv, sys.excepthook
    sys.argv = [name, "--out", str(out / name), "--steps", "2", *map(str, flags)]
    try:
        return runpy.run_path(str(LESSONS / f"{name}.py"), run_name="__main__")
    finally:
        sys.argv, sys.excepthook = before, hook


def pictures(folder: Path, count: int, labels: bool = False) -> Path:
    """`count` grey pictures of 12 x 12: dark ones with a bright square."""
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 60, (count, 12, 12), dtype=np.uint8)
    for picture in pixels:
        top, left = rng.integers(0, 8, 2)
        picture[top : top + 4, left : left + 4] = 220
    arrays = {"images": pixels} | ({"labels": np.arange(count) % 2} if labels else {})
    np.savez(folder / "pictures.npz", **arrays)
    return folder / "pictures.npz"


@pytest.mark.parametrize("count", [2, 3, 7, 12, 50])
@pytest.mark.parametrize("name", DRAW)
def test_a_lesson_runs_in_full_and_ends_with_a_verdict(tmp_path, capsys, name, count):
    run(name, tmp_path, "--data", pictures(tmp_path, count), *(["--size", 16] if name[:2] == "08" else []))
    verdict_of(capsys.readouterr().out, few=name[:2] in ("09", "10", "11"))


@pytest.mark.parametrize("count", [2, 50])
def test_what_goes_on_from_lesson_11_does_so_too(tmp_path, capsys, count):
    run("11_conv_inpainting", tmp_path, "--data", pictures(tmp_path, count))
    for name in GO_ON:
        capsys.readouterr()
        run(name, tmp_path)
        verdict_of(capsys.readouterr().out, few=True)


@pytest.mark.parametrize("count", [3, 7, 12])
def test_lesson_17_grows_with_few_pictures_of_one_channel(tmp_path, capsys, count):
    run("17_progressive_growing", tmp_path, "--data", pictures(tmp_path, count), "--size", 16)
    verdict_of(capsys.readouterr().out, few=True)


def test_lesson_17_grows_with_a_folder_of_pictures_of_mixed_sizes(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for number, (width, height) in enumerate([(20, 90), (200, 64), (33, 33), (64, 64), (70, 20), (8, 300)]):
        pixels = np.random.default_rng(number).integers(256, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / f"{number}.png")
    names = run("17_progressive_growing", tmp_path, "--data", tmp_path / "mine", "--size", 64)
    printed = capsys.readouterr().out
    assert "of 8x300 to 200x64 pixels: cut square and resized to 64x64" in printed
    verdict_of(printed, few=True)
    assert names["average"].layer.now == (64, 1.0)


def verdict_of(printed: str, few: bool) -> None:
    assert "all checks" not in printed
    _, _, said = printed.partition("verdict: ")
    *lines, done = said.strip().splitlines()
    assert lines and ": done in " in done, printed[-2000:]
    assert any(character.isdigit() for character in lines[0]), "a verdict states figures"
    assert "nan" not in said.split() and "inf" not in said.split()
    assert not few or any(line.strip().startswith("scored on ") for line in lines)


def test_lesson_9_says_what_a_classifier_sees_in_few_pictures_with_labels(tmp_path, capsys):
    data = pictures(tmp_path, 12, labels=True)
    run("09_conv_gan", tmp_path, "--data", data, "--quick")
    assert "mean confidence " in capsys.readouterr().out.partition("verdict: ")[2]


@pytest.mark.parametrize("name", DRAW)
def test_fewer_steps_on_the_shipped_data_end_with_a_verdict_too(tmp_path, capsys, name):
    run(name, tmp_path, "--quick")
    assert "\nverdict: " in capsys.readouterr().out


def test_one_picture_gets_one_line(tmp_path):
    with pytest.raises(DataError, match="wanted at least 2|one") as error:
        run("11_conv_inpainting", tmp_path, "--data", pictures(tmp_path, 1))
    assert "\n" not in str(error.value)


def test_lesson_12_scores_391_pictures_without_labels_and_says_in_one_line_that_50_are_too_few(
    tmp_path, capsys
):
    run("12_evaluating_gans", tmp_path, "--data", pictures(tmp_path, 391))
    said = capsys.readouterr().out.partition("verdict: ")[2]
    assert "GAN: Frechet distance " in said and "without labels" in said
    with pytest.raises(DataError, match="50 images are too few for scores, wanted 390"):
        run("12_evaluating_gans", tmp_path, "--data", pictures(tmp_path, 50))


def test_a_winning_discriminator_is_called_so_and_an_even_one_is_not():
    even = [1.386] * 200
    assert verdict.balance(even) == ""
    assert verdict.balance([1.2] * 90 + [0.9] * 10) == ""
    assert verdict.balance([1.4] * 90 + [0.05] * 10).startswith("D is winning (its loss is 0.05, ")
    assert verdict.balance([0.01]).startswith("D is winning")
    assert verdict.count(100) == "" and verdict.count(1).startswith("scored on 1 image:")
    assert verdict.lines("", "a", "", "b") == "a\n   b"
