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

from npgan import checkpoint, masks
from npgan.errors import DataError

ROOT = Path(__file__).parents[1]
LESSON, OWN_PICTURE, TRADE_OFF, SEARCH = (
    ROOT / "lessons" / f"11_{name}.py" for name in ("conv_inpainting", "own_picture", "trade_off", "search")
)
SHORT = ["--quick", "--steps", 4, "--size", 12]  # the games take 8 steps

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
runpy.run_path(sys.argv[0], run_name="__main__")
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


def error_of(monkeypatch, *flags, script=LESSON) -> str:
    """The message with which a script of lesson 11 ends, in this process."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, flags)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(DataError) as error:
        runpy.run_path(str(script), run_name="__main__")
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
    for name in ("GAN-1", "GAN-2"):  # what an earlier run has left in the folder is not to be read
        stray = checkpoint.path_for(first / name, 8)
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"old")
        os.utime(stray, (1, 1))
    lesson(LESSON, *SHORT, "--out", first, killed_after="GAN-0/checkpoint-00000003.npz")
    printed = lesson(LESSON, "--resume", first, killed_after="GAN-1/checkpoint-00000008.npz")
    assert "GAN-0/checkpoint-00000003.npz, after step 3\n" in printed
    printed = lesson(LESSON, "--resume", first / "GAN-1", "--out", other)
    assert printed.count("going on from") == 4
    straight, said = finished
    assert table(printed) == table(said)
    assert last_checkpoints(other) == last_checkpoints(straight)
    for name in ("losses.png", "repairs.png"):
        assert digest(other / name) == digest(straight / name)


def test_ones_own_picture_ends_with_the_same_repair(tmp_path):
    """Started through the first part, killed, resumed by itself; the flags come from the checkpoint."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 1), dtype=np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "photo.png")
    short = ["--image", tmp_path / "photo.png", "--quick", "--steps", 6]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    lesson(LESSON, *short, "--out", straight)
    lesson(LESSON, *short, "--out", killed, killed_after="error/checkpoint-00000003.npz")
    assert "after step 3\n" in lesson(OWN_PICTURE, "--resume", killed)
    assert last_checkpoints(killed) == last_checkpoints(straight) and len(last_checkpoints(killed)) == 2
    for name in ("comparison.png", "repaired.png", "learned.png"):
        assert digest(killed / name) == digest(straight / name)


@pytest.mark.parametrize(
    ("script", "training", "picture"),
    [(TRADE_OFF, "weight-0", "trade_off.png"), (SEARCH, "synthesis", "repairs.png")],
)
def test_what_goes_on_from_lesson_11_ends_the_same_when_killed(finished, tmp_path, script, training, picture):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    flags = ["--quick", "--steps", 5, "--trained", finished[0]]
    lesson(script, *flags, "--out", straight)
    lesson(script, *flags, "--out", killed, killed_after=f"{training}/checkpoint-00000003.npz")
    assert "after step 3\n" in lesson(script, "--resume", killed)
    assert last_checkpoints(killed) == last_checkpoints(straight)
    assert digest(killed / picture) == digest(straight / picture)


@pytest.mark.parametrize(("script", "training"), [(TRADE_OFF, "reconstruction-0"), (SEARCH, "GAN-0")])
def test_what_goes_on_from_lesson_11_says_what_is_to_be_run_first(
    finished, tmp_path, monkeypatch, script, training
):
    def message(*flags) -> str:
        found = error_of(monkeypatch, "--quick", "--out", tmp_path / "mine", *flags, script=script)
        assert "\n" not in found
        return found

    def write(folder: Path, step: int, **changes) -> None:
        path = checkpoint.path_for(folder / training, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, {}, step=step, settings=settings | changes, history={})

    said = message()
    assert f"11_conv_inpainting: holds no {training}" in said
    assert said.endswith(
        f"run python lessons/11_conv_inpainting.py --out {tmp_path / '11_conv_inpainting'} first"
    )
    settings = checkpoint.read_settings(checkpoint.in_folder(finished[0] / training)[-1])
    steps = settings["training_steps"]
    write(tmp_path / "stopped", 1)
    said = message("--trained", tmp_path / "stopped")
    assert "was interrupted; run " in said and said.endswith(" --resume first")
    write(tmp_path / "changed", steps, images=3)
    said = message("--trained", tmp_path / "changed")
    assert "glyphs: has changed since the training: 3 images of shape [12, 12, 1]" in said
    write(tmp_path / "changed", steps + 1, training_steps=steps + 1)
    assert "holds the ends of several runs, " in message("--trained", tmp_path / "changed")
    write(tmp_path / "other", steps, lesson="09_conv_gan")
    assert "is of '09_conv_gan', wanted the " in message("--trained", tmp_path / "other")


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
    """One channel of a picture: (H, W)."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "L" else image.getchannel(0))


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["centre", "file"])
def test_it_repairs_other_pictures_and_leaves_their_known_pixels(finished, pictures, tmp_path, kind):
    """Under their names, in their sizes; what is done to them is said."""
    hole, flags = masks.make("centre", 1, 12, 12, np.random.default_rng(0))[0, ..., 0] > 0.5, []
    if kind == "file":
        hole = np.zeros((12, 12), bool)
        hole[2:5, 3:9] = True
        Image.fromarray(np.uint8(255 * hole)).save(tmp_path / "mask.png")
        flags = ["--mask", tmp_path / "mask.png"]
    out = tmp_path / "out"
    said = lesson(LESSON, "--resume", finished[0] / "GAN-0", "--repair", pictures, "--out", out, *flags)
    assert "2 of 3 are not 12 x 12: " in said and "3 of 3 are in colour: they became grey" in said
    assert files_of(out) == ["repaired.png", "repaired/0.png", "repaired/1.png", "repaired/2.png"]
    grid = pixels_of(out / "repaired.png")[::4, ::4]  # each pixel is shown as 4 x 4
    for row, name in enumerate(("0", "1", "2")):
        with Image.open(pictures / f"{name}.png") as image:
            original = np.asarray(image.convert("L"))
        repaired = pixels_of(out / "repaired" / f"{name}.png")
        assert repaired.shape == original.shape
        side = min(original.shape)  # the network sees the middle
        top, left = ((n - side) // 2 for n in original.shape)
        whole = np.zeros(original.shape, bool)
        enlarged = Image.fromarray(hole).resize((side, side), Image.Resampling.NEAREST)
        whole[top : top + side, left : left + side] = np.asarray(enlarged)
        assert np.array_equal(repaired[~whole], original[~whole])
        assert (repaired[whole] != original[whole]).mean() > 0.9
        shown = [grid[2 + 14 * row : 14 + 14 * row, left : left + 12] for left in (2, 16, 30)]
        assert np.array_equal(shown[0][~hole], shown[2][~hole])
        assert np.array_equal(shown[1][~hole], shown[0][~hole]) and len(np.unique(shown[1][hole])) == 1
        if row == 0:
            assert np.array_equal(shown[0], original) and np.array_equal(shown[2], repaired)


def test_no_picture_of_an_earlier_repair_is_taken_for_a_new_one_or_lost(finished, pictures, tmp_path):
    out, network = tmp_path / "out", finished[0] / "GAN-0"
    lesson(LESSON, "--resume", network, "--repair", pictures, "--out", out)
    first = {name: digest(out / "repaired" / name) for name in files_of(out / "repaired")}
    (pictures / "2.png").unlink()
    said = lesson(LESSON, "--resume", network, "--repair", pictures, "--out", out)
    assert files_of(out / "repaired-2") == ["0.png", "1.png"] and str(out / "repaired-2") in said
    assert first == {name: digest(out / "repaired" / name) for name in files_of(out / "repaired")}


def test_names_stay_apart_and_what_cannot_be_read_is_left_out(finished, tmp_path):
    folder, out, rng = tmp_path / "pictures", tmp_path / "out", np.random.default_rng(0)
    (folder / "summer").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "A.PNG", "summer/a.png", "summer/b.jpg"):
        Image.fromarray(rng.integers(0, 256, (20, 14), dtype=np.uint8)).save(folder / name)
    for name, shape in (("x" * 240, (1, 1)), ("ü" * 120, (1, 50)), ("v1.5 b", (3, 500))):  # long, tiny, thin
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG but no more")
    (folder / "notes.txt").write_text("no picture")
    said = lesson(LESSON, "--resume", finished[0] / "GAN-0", "--repair", folder, "--out", out)
    assert said.count("left out: ") == 1 and "broken.png: cannot be read as a picture" in said
    wanted = ["A.png", "a-2.png", "a-3.png", "summer/a.png", "summer/b.png"]
    wanted += ["v1.5 b.png", "x" * 200 + ".png", "ü" * 100 + ".png"]
    assert files_of(out / "repaired") == sorted(wanted)
    assert "in colour" not in said


@pytest.mark.parametrize("source", ["one picture", "arrays"])
def test_it_repairs_one_picture_or_a_data_set(finished, pictures, tmp_path, source):
    out, path = tmp_path / "out", pictures / "1.png"
    if source == "arrays":
        path = tmp_path / "images.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), dtype=np.uint8))
    said = lesson(LESSON, "--resume", finished[0] / "GAN-0", "--repair", path, "--out", out)
    if source == "arrays":
        assert files_of(out / "repaired") == ["0000.png", "0001.png"] and "2 of 2 are in colour" in said
        assert pixels_of(out / "repaired" / "0001.png").shape == (24, 40)
    else:
        assert files_of(out / "repaired") == ["1.png"]


def damage_each(folder: Path, pictures: Path, colour=(0, 255, 0)) -> dict[str, np.ndarray]:
    """Paint a stripe across each picture and a spot in its corner, and write its mask; return what is missing."""
    folder.mkdir()
    found = {}
    for path, suffix in zip(sorted(pictures.iterdir()), ("png", "bmp", "jpg")):
        with Image.open(path) as image:
            pixels = np.array(image) // 2 + 60  # far from the colours of the damage
        missing = np.zeros(pixels.shape[:2], bool)
        missing[:, 4:6] = missing[-1, -1] = True
        pixels[missing] = colour
        Image.fromarray(pixels).save(path)
        Image.fromarray(np.uint8(255 * missing)).save(folder / f"{path.stem}.{suffix}", quality=100)
        found[path.stem] = missing
    return found


@pytest.mark.parametrize("kind", ["folder", "colour"])
def test_pictures_that_are_damaged_already_are_repaired_in_all_their_holes(
    finished, pictures, tmp_path, kind
):
    """At any size and shape, far from the middle too; the damage itself is not looked at."""
    missing = damage_each(tmp_path / "masks", pictures)
    flag = tmp_path / "masks" if kind == "folder" else "#00ff00"
    repaired, out = [], tmp_path / "out"
    for colour in ((0, 255, 0), (255, 0, 255)):
        for path in pictures.iterdir():
            with Image.open(path) as image:
                pixels = np.array(image)
            pixels[missing[path.stem]] = colour
            Image.fromarray(pixels).save(path)
        flag = flag if kind == "folder" else "#{:02x}{:02x}{:02x}".format(*colour)
        lesson(LESSON, "--resume", finished[0] / "GAN-0", "--repair", pictures, "--out", out, "--mask", flag)
        folder = out / ("repaired-2" if repaired else "repaired")
        assert files_of(folder) == ["0.png", "1.png", "2.png"]
        repaired.append({path.stem: pixels_of(path) for path in folder.iterdir()})
    for path in pictures.iterdir():
        with Image.open(path) as image:
            original = np.asarray(image.convert("L"))
        hole = missing[path.stem]
        if kind == "colour":
            grown = [
                np.pad(hole, 2)[y : y + hole.shape[0], x : x + hole.shape[1]]
                for y in range(5)
                for x in range(5)
            ]
            hole = np.any(grown, axis=0)
        one, two = (each[path.stem] for each in repaired)
        assert np.array_equal(one, two), "the colour of the damage is in the repair"
        assert np.array_equal(one[~hole], original[~hole])
        assert (one[hole] != original[hole]).mean() > 0.9
        assert one[-1, -1] != original[-1, -1] and one[0, 4] != original[0, 4]


def test_the_mask_of_one_picture_has_its_size(finished, pictures, tmp_path):
    missing = damage_each(tmp_path / "masks", pictures)["2"]
    flags = [
        "--repair",
        pictures / "2.png",
        "--mask",
        tmp_path / "masks" / "2.jpg",
        "--out",
        tmp_path / "out",
    ]
    lesson(LESSON, "--resume", finished[0] / "GAN-0", *flags)
    with Image.open(pictures / "2.png") as image:
        original = np.asarray(image.convert("L"))
    repaired = pixels_of(tmp_path / "out" / "repaired" / "2.png")
    assert np.array_equal(repaired != original, missing & (repaired != original))
    assert (repaired != original)[missing].mean() > 0.9


def test_pictures_without_a_mask_that_fits_are_left_out_and_named(finished, pictures, tmp_path, monkeypatch):
    own, gan, out = tmp_path / "masks", finished[0] / "GAN-0", ["--out", tmp_path / "out"]
    damage_each(own, pictures)
    flags = ["--resume", gan, "--repair", pictures, "--mask", own, *out]
    (own / "0.png").unlink()
    Image.fromarray(np.zeros((40, 25), np.uint8)).save(own / "1.bmp")
    said = lesson(LESSON, *flags)
    assert f"left out: 0: {own} holds no mask of this name" in said
    assert f"left out: 1: {own / '1.bmp'}: no pixel is white" in said
    assert files_of(tmp_path / "out" / "repaired") == ["2.png"]
    one = ["--resume", gan, "--repair", pictures / "0.png", "--mask", own, *out]
    assert error_of(monkeypatch, *one) == f"{own} holds no mask of this name"
    (own / "2.jpg").unlink()
    assert "holds no picture that can be repaired" in error_of(monkeypatch, *flags)
    assert "so none is missing" in error_of(monkeypatch, *one[:-4], "--mask", "blue", *out)
    for name in ("0.png", "0.bmp"):
        Image.fromarray(np.zeros((12, 12), np.uint8)).save(own / name)
    assert "holds two masks for 0, 0.bmp and 0.png" in error_of(monkeypatch, *flags)


def test_what_cannot_be_repaired_gets_one_clear_line(finished, pictures, tmp_path, monkeypatch):
    gan, elsewhere = finished[0] / "GAN-0", ["--out", tmp_path / "out"]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG but no more")
    for flags, words in (
        (["--resume", gan, "--repair", tmp_path / "none"], "there is no such data set or file"),
        (["--resume", gan, "--repair", tmp_path / "a.png"], "a.png: cannot be read as a picture"),
        (["--resume", gan, "--repair", broken], "cannot be read as a picture"),
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
