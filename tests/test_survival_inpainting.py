"""Lesson 11, which trains several networks: killed, resumed to the same end, and repairing with its checkpoints."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_survival import digest

from npgan import checkpoint, data, masks
from npgan.errors import DataError

ROOT = Path(__file__).parents[1]
LESSON, OWN_PICTURE = (ROOT / "lessons" / f"11_{name}.py" for name in ("conv_inpainting", "own_picture"))
SHORT = ["--quick", "--steps", 4, "--size", 12]  # the games take 8 steps, as does the synthesis generator
PICTURES = ["losses.png", "trade_off.png", "diversity.png", "repairs.png"]

# Runs a lesson. Where it is to be killed it saves each step, and ends at once when this checkpoint is written.
KILLED_AFTER = """
import os, runpy, sys
from npgan import training

last, *sys.argv = sys.argv[1:]
if last != "never":
    training.SAVE_SECONDS = 0.0
save = training.Run.save


def save_and_die(run):
    save(run)
    if run._good.match(last):
        os._exit(9)


training.Run.save = save_and_die
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except AssertionError:
    pass  # so few steps cannot meet what the lesson promises
"""


def lesson(path: Path, *flags, killed_after: str = "never") -> str:
    """What a lesson prints, in a process of its own; it must end well, or be killed where that is asked for."""
    command = [sys.executable, "-c", KILLED_AFTER, killed_after, path, "--device", "numpy", *flags]
    done = subprocess.run(
        [*map(str, command)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == (0 if killed_after == "never" else 9), done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def error_of(monkeypatch, *flags) -> str:
    """The message with which lesson 11 ends, in this process."""
    monkeypatch.setattr(sys, "argv", [str(LESSON), *map(str, flags)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(DataError) as error:
        runpy.run_path(str(LESSON), run_name="__main__")
    return str(error.value)


def last_checkpoints(out: Path) -> dict[str, str]:
    """Training -> digest of its last checkpoint."""
    return {
        folder.name: digest(checkpoint.in_folder(folder)[-1]) for folder in out.iterdir() if folder.is_dir()
    }


def table(printed: str) -> str:
    return re.search(r"== The table\n(.*?)\n   picture", printed, re.DOTALL).group(1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a short run that nothing interrupted, and what it printed."""
    out = tmp_path_factory.mktemp("finished")
    return out, lesson(LESSON, *SHORT, "--out", out)


def test_killed_twice_it_ends_with_the_same_weights_pictures_and_table(finished, tmp_path):
    """Killed in a game and at the end of a training; the last time it goes on in another folder."""
    first, other = tmp_path / "first", tmp_path / "other"
    for name in ("GAN-1", "weight-0"):  # what an earlier run has left in the folder is not to be read
        stray = checkpoint.path_for(first / name, 8)
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"old")
        os.utime(stray, (1, 1))
    lesson(LESSON, *SHORT, "--out", first, killed_after="GAN-0/checkpoint-00000003.npz")
    printed = lesson(LESSON, "--resume", first, killed_after="GAN-2/checkpoint-00000008.npz")
    assert "GAN-0/checkpoint-00000003.npz, after step 3\n" in printed
    printed = lesson(LESSON, "--resume", first / "GAN-2", "--out", other)
    assert printed.count("going on from") == 6
    straight, said = finished
    assert table(printed) == table(said)
    assert last_checkpoints(other) == last_checkpoints(straight)
    for name in PICTURES:
        assert digest(other / name) == digest(straight / name)


def test_ones_own_picture_ends_with_the_same_repair(tmp_path):
    """Started through the first part, killed, resumed by itself; the flags come from the checkpoint."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 1), dtype=np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "photo.png")
    short = ["--image", tmp_path / "photo.png", "--quick", "--steps", 6]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    lesson(LESSON, *short, "--out", straight)
    lesson(LESSON, *short, "--out", killed, killed_after="checkpoint-00000003.npz")
    assert "after step 3\n" in lesson(OWN_PICTURE, "--resume", killed)
    for name in ("checkpoint-00000006.npz", "repaired.png"):
        assert digest(killed / name) == digest(straight / name)


# Repairing with a checkpoint


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of pictures of several sizes, in colour."""
    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for number, (height, width) in enumerate([(12, 12), (40, 25), (30, 60)]):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def pixels_of(path: Path) -> np.ndarray:
    """One channel of a picture: (H, W, 1)."""
    with Image.open(path) as image:
        return np.asarray(image)[..., :1]


@pytest.mark.parametrize("kind", ["centre", "file"])
def test_it_repairs_other_pictures_and_leaves_their_known_pixels(finished, pictures, tmp_path, kind):
    hole, flags = masks.make("centre", 1, 12, 12, np.random.default_rng(0))[0] > 0.5, []
    if kind == "file":
        hole = np.zeros((12, 12, 1), bool)
        hole[2:5, 3:9] = True
        Image.fromarray(np.uint8(255 * hole[..., 0])).save(tmp_path / "mask.png")
        flags = ["--mask", tmp_path / "mask.png"]
    out = tmp_path / "out"
    lesson(LESSON, "--resume", finished[0] / "GAN-0", "--repair", pictures, "--out", out, *flags)
    assert sorted(path.name for path in out.iterdir()) == ["repaired", "repaired.png"]
    assert sorted(path.name for path in (out / "repaired").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    grid = pixels_of(out / "repaired.png")[::4, ::4]  # each pixel is shown as 4 x 4
    for row, original in enumerate(data.load(pictures, size=12, channels=1).pixels):
        repaired = pixels_of(out / "repaired" / f"{row:04d}.png")
        assert np.array_equal(repaired[~hole], original[~hole])
        assert (repaired[hole] != original[hole]).any()
        top = 2 + 14 * row
        shown = [grid[top : top + 12, left : left + 12] for left in (2, 16, 30)]
        assert np.array_equal(shown[0], original) and np.array_equal(shown[2], repaired)
        assert np.array_equal(shown[1][~hole], original[~hole]) and len(np.unique(shown[1][hole])) == 1


def test_what_cannot_be_repaired_gets_one_clear_line(finished, pictures, tmp_path, monkeypatch):
    out, _ = finished
    gan, elsewhere = out / "GAN-0", ["--out", tmp_path / "out"]
    for flags, words in (
        (["--resume", out, "--repair", pictures], "draws and does not repair; take --resume"),
        (["--resume", gan, "--repair", tmp_path / "none"], "there is no such data set or file"),
        (["--resume", gan, "--repair", pictures / "0.png"], "wanted an IDX"),
        (["--resume", gan, "--repair", pictures, "--mask", "hole"], "--mask hole: wanted centre, "),
        (["--resume", gan, "--repair", pictures, "--mask", pictures / "1.png"], "wanted a mask of 12 x 12"),
        (["--resume", tmp_path, "--repair", pictures], "holds no checkpoint"),
        (["--resume", gan, "--image", pictures / "0.png"], "this is '11_own_picture'"),
    ):
        message = error_of(monkeypatch, *flags, *elsewhere)
        assert words in message and "\n" not in message


def test_checkpoints_of_other_lessons_and_networks_are_refused(finished, pictures, tmp_path, monkeypatch):
    path, (out, _) = tmp_path / "a.npz", finished
    gan = checkpoint.in_folder(out / "GAN-0")[0]
    settings = checkpoint.read_settings(gan)

    def message(flags=(), **changes) -> str:
        checkpoint.save(path, {}, step=1, settings=settings | changes, history={})
        return error_of(monkeypatch, "--resume", path, "--out", tmp_path / "out", *flags)

    repair = ["--repair", pictures]
    assert message(lesson="09_conv_gan") == f"{path}: is of '09_conv_gan', this is '11_conv_inpainting'"
    assert "is of another network. average/steps: none there" in message(repair)
    assert "sides of 1 to 1024, got [12, 12]" in message(repair, shape=[12, 12])
    assert "30 x 30 pixels; both must be divisible by 4" in message(repair, shape=[30, 30, 1])
    assert "is of the training 'GAN-9', wanted one of reconstruction-0, GAN-0, " in message(training="GAN-9")
    assert "reconstruction-0/checkpoint-00000004.npz: there is no such file" in message()
