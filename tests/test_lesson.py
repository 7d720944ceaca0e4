"""What every lesson shares: its flags, its closing line, its files, and an output that is closed, full or odd."""

import base64
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from npgan import whole_file as whole_file_module
from npgan.errors import DataError
from npgan.flags import GROUPS
from npgan.lesson import Lesson
from npgan.pauses import pause
from npgan.training import Run
from npgan.voice import printable
from npgan.whole_file import write_kept

ROOT = Path(__file__).parents[1]
WORDS = ("07_word", "A lesson")


@pytest.fixture(autouse=True)
def hooks(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(whole_file_module, "_kept", {})


@pytest.fixture
def make(tmp_path):
    """A lesson that writes in its own folder, with these flags."""

    def make(*flags: str, out: str = "out", **groups) -> Lesson:
        return Lesson(*WORDS, **groups, argv=["--out", str(tmp_path / out), *flags])

    return make


def error_of(capsys, call, *arguments, **options) -> str:
    """The last line of what a lesson says before it ends with the status of wrong flags."""
    with pytest.raises(SystemExit) as end:
        call(*arguments, **options)
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


# Flags


def test_a_lesson_has_the_groups_of_flags_that_it_asks_for(make):
    assert vars(make().args).keys() == {"step", "quick", "seed", "out"}
    asked = dict(
        steps=60, quick_steps=3, data="glyphs", device=False, resume=True, flags={"mask": "which hole"}
    )
    args = make(**asked).args
    assert vars(args).keys() == {
        "step",
        "quick",
        "seed",
        "out",
        "steps",
        "data",
        "size",
        "channels",
        "resume",
        "mask",
    }
    assert (args.steps, args.data, args.size, args.resume, args.mask) == (60, "glyphs", None, None, None)
    assert (
        make("--quick", **asked).args.steps == 3 and make("--quick", "--steps", "5", **asked).args.steps == 5
    )
    with pytest.raises(TypeError, match="no group of flags is called stepps"):
        make(stepps=3)


def test_the_help_names_the_defaults(make, capsys):
    groups = dict(steps=60, quick_steps=3, data="photo", device=True, live=True, ranks=True)
    groups |= dict(resume=True, generate=True, repair=True, draw=True)
    assert groups.keys() - {"quick_steps"} == GROUPS.keys()
    with pytest.raises(SystemExit) as end:
        make("--help", **groups)
    text = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and "{}" not in text
    for words in (
        "training steps (default 60)",
        "or a path (default photo)",
        f"(default {Path('out') / '07_word'})",
    ):
        assert words in text


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--size", "0"], "--size must be at least 1, got 0"),
        (["--size", "-3"], "--size must be at least 1, got -3"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
        (["--generate", "4"], "--generate needs --resume: the checkpoint whose weights generate"),
        (
            ["--data", "a\x1b]0;title\x07b"],
            r"--data 'a\x1b]0;title\x07b' has control characters in it, rename it",
        ),
        (["--step", "--live"], "--step waits at the terminal and --live in its window: take one of them"),
    ],
)
def test_a_flag_that_cannot_be_followed_is_one_line(make, capsys, flags, message):
    groups = dict(steps=6, data="glyphs", live=True, resume=True, generate=True)
    assert error_of(capsys, make, *flags, **groups) == f"07_word.py: error: {message}"


@pytest.mark.parametrize("number", ["abc", "0", "-2", "1.5", "9" * 5000])
def test_a_bad_number_of_threads_is_told_before_anything_is_computed(make, capsys, monkeypatch, number):
    monkeypatch.setenv("NPGAN_THREADS", number)
    assert "error: " in error_of(capsys, make)


def test_an_output_folder_that_cannot_be_made(make, capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "the folder cannot be made (" in error_of(capsys, make, out="file/in/it")
    assert "the folder cannot be made (" in error_of(capsys, make, out="x" * 300)


# In a notebook, which has no command line


def test_the_line_of_flags_comes_before_those_of_the_command_line(tmp_path, monkeypatch, capsys):
    out = tmp_path / "a folder"
    line = f"--seed 3 --quick --out '{out}'"
    assert vars(Lesson(*WORDS, line, argv=["--seed", "4"]).args) | {"step": False} == {
        "step": False,
        "quick": True,
        "seed": 4,
        "out": out,
    }
    monkeypatch.setattr(sys, "argv", ["07_word.py", "--seed", "5"])
    assert Lesson(*WORDS, line).args.seed == 5
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    assert Lesson(*WORDS, line).args.seed == 3
    wanted = """07_word.py: error: FLAGS = "--out 'a": No closing quotation"""
    assert error_of(capsys, Lesson, *WORDS, "--out 'a") == wanted


def test_a_notebook_shows_pictures_and_animations_and_no_paths(make, monkeypatch, capsys, tmp_path):
    shown = []
    display = ModuleType("IPython.display")
    display.Image, display.display = dict, shown.append
    for module in (ModuleType("ipykernel"), ModuleType("IPython"), display):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    lesson = make()
    capsys.readouterr()
    assert lesson.picture(np.zeros((4, 4, 3), np.uint8), "a.png") is None  # a notebook would show it
    assert lesson.animation([np.zeros((4, 4, 1), np.uint8)] * 2, "a.gif", scale=2) is None
    png, gif = ((tmp_path / "out" / name).read_bytes() for name in ("a.png", "a.gif"))
    url = f"data:image/gif;base64,{base64.b64encode(gif).decode()}"
    assert shown == [{"data": png, "alt": "a.png"}, {"url": url, "alt": "a.gif"}]
    assert capsys.readouterr().out == ""
    for step in (run := Run(3)):
        run.log(loss=float(step))
    lines = capsys.readouterr().out.splitlines()  # the progress in one, rewritten in place
    assert (
        len(lines) == 4
        and lines[-1].startswith("3 steps in ")
        and [line[:6] for line in lines[1:3]]
        == [
            "step 1",
            "step 3",
        ]
    )


def test_a_script_says_where_its_pictures_are(make, capsys, tmp_path):
    lesson = make()
    capsys.readouterr()
    lesson.picture(np.zeros((4, 4, 3), np.uint8), "a.png")
    lesson.animation([np.zeros((4, 4, 3), np.uint8)] * 2, "a.gif")
    paths = [tmp_path / "out" / name for name in ("a.png", "a.gif")]
    assert capsys.readouterr().out == f"   picture: {paths[0]}\n   animation: {paths[1]}\n"
    with Image.open(paths[1]) as film:
        assert film.format == "GIF" and film.size == (4, 4)


# Which run it is


def test_only_the_run_that_the_text_describes_is_shipped(make):
    asked = dict(steps=60, quick_steps=3, data="glyphs", flags={"mask": "which hole"})
    for flags in ([], ["--steps", "61"], ["--seed", "5"], ["--data", "glyphs"], ["--step"]):
        assert make(*flags, **asked).shipped, flags
    others = (
        ["--steps", "59"],
        ["--quick"],
        ["--quick", "--steps", "60"],
        ["--data", "photo"],
        ["--size", "32"],
    )
    for flags in (*others, ["--channels", "3"], ["--mask", "half"]):
        assert not make(*flags, **asked).shipped, flags
    assert make().shipped and not make("--quick").shipped


def test_quick_says_once_that_the_text_describes_the_full_run(make, capsys):
    make("--quick").step("First")
    assert capsys.readouterr().out.count("the text describes the full one") == 1
    make().step("First")
    assert "the full one" not in capsys.readouterr().out


def test_the_end_is_all_checks_passed_or_a_verdict(make, capsys, tmp_path):
    lesson = make()
    capsys.readouterr()
    lesson.end()
    assert re.fullmatch(r"\n.*out: all checks of this lesson passed in \d+ s\n", capsys.readouterr().out)
    lesson.end("+1.8 dB over the best fill")
    said = capsys.readouterr().out
    assert re.fullmatch(r"\nverdict: \+1.8 dB over the best fill\n.*out: done in \d+ s\n", said)


def test_python_without_assertions_does_not_say_that_checks_have_passed(tmp_path):
    script = "from npgan.lesson import Lesson; Lesson('07_word', 'A lesson').end()"
    done = subprocess.run(
        [sys.executable, "-O", "-c", script, "--out", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "passed" not in done.stdout, done.stdout
    assert "python -O: the checks of this lesson are turned off" in done.stdout
    assert "no check was made (python -O)" in done.stdout


# Its files


def test_pictures_keep_the_names_that_they_are_given(make, tmp_path):
    lesson, images = make(), np.zeros((2, 4, 4, 1), np.float32)
    lesson.pictures(images, "repaired", names=["cat.jpg", "sub/dog.png"])
    lesson.pictures(images, "repaired", first=2, names=["cat.png", "../../" + 300 * "x" + ".png"])
    names = sorted(path.name for path in (tmp_path / "out" / "repaired").iterdir())
    assert names == ["cat-2.png", "cat.png", "dog.png", 50 * "x" + ".png"]
    lesson.pictures(images, "numbered")
    lesson.pictures(images, "numbered", first=2)
    numbers = sorted(path.name for path in (tmp_path / "out" / "numbered").iterdir())
    assert numbers == ["0000.png", "0001.png", "0002.png", "0003.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        "numbered.png",
        "repaired.png",
    ]


def test_pictures_of_an_earlier_run_are_left_alone_and_not_mixed_with_new_ones(make, tmp_path, capsys):
    old = tmp_path / "out" / "repaired" / "0001.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"mine")
    make().pictures(np.zeros((1, 4, 4, 1), np.float32), "repaired")
    assert [path.name for path in old.parent.iterdir()] == ["0001.png"] and old.read_bytes() == b"mine"
    assert [path.name for path in (tmp_path / "out" / "repaired-2").iterdir()] == ["0000.png"]
    assert (tmp_path / "out" / "repaired-2.png").exists() and f"{tmp_path / 'out' / 'repaired-2'}\n" in (
        capsys.readouterr().out
    )
    (tmp_path / "out" / "drawn").mkdir()
    make().pictures(np.zeros((1, 4, 4, 1), np.float32), "drawn")  # there, but empty
    assert not (tmp_path / "out" / "drawn-2").exists()


def test_what_a_full_disk_does_not_take_waits_in_memory(make, tmp_path, capsys, monkeypatch):
    """One warning for each file, however often it is tried; the last content is what is written in the end."""
    lesson = make()
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    lesson.save(black, "samples.png")
    capsys.readouterr()
    with monkeypatch.context() as full:
        full.setattr(
            os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
        )
        lesson.save(white, "samples.png")
        lesson.save(white, "samples.png")
        lesson.picture(black, "other.png")
        said = capsys.readouterr().err
        assert said.count("warning: ") == 2 and "samples.png: cannot be written (No space left)" in said
        assert len(write_kept()) == 2
        with pytest.raises(DataError, match="samples.png, .*other.png: could not be written"):
            lesson.end()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["samples.png"]
        with Image.open(tmp_path / "out" / "samples.png") as image:
            assert image.getpixel((0, 0)) == (0, 0, 0)  # the old file, whole
    lesson.end()
    with Image.open(tmp_path / "out" / "samples.png") as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)
    assert (tmp_path / "out" / "other.png").exists() and write_kept() == []
    assert capsys.readouterr().out.count("written now: ") == 2


# One writer

WAIT = """
import sys
from npgan.lesson import Lesson
lesson = Lesson("07_word", "A lesson")
print("begun", flush=True)
sys.stdin.readline()
"""


def process(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WAIT, "--out", str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on folders")
def test_a_folder_has_one_writer_whose_death_frees_it(tmp_path, make):
    first = process(tmp_path / "out")
    try:
        while "begun" not in first.stdout.readline():
            pass
        second = process(tmp_path / "out")
        _, error = second.communicate(timeout=60)
        assert second.returncode == 1
        assert error == (
            f"error: {tmp_path / 'out'}: another run is writing in this folder; wait until it ends, "
            "or take another --out\n"
        )
        make(out="elsewhere")
        with pytest.raises(DataError, match="another run is writing"):
            make()
    finally:
        first.kill()
        first.communicate()
    lesson = make()
    again = make()  # the same process may
    del lesson, again


# Streams


def run(script: str, *flags: str, shell: str = "", **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", script, *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>&1"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_closed_and_full_streams_do_not_end_a_lesson(tmp_path, shell, buffered):
    script = """
import numpy as np
from npgan.lesson import Lesson
from npgan.training import Run
lesson = Lesson("07_word", "A lesson")
lesson.step("First")
for step in (run := Run(3, step_through=True)):
    run.log(loss=1.0)
    print("in the middle")
lesson.picture(np.zeros((4, 4, 3), np.uint8), "a.png")
lesson.step("Second")
lesson.end()
"""
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    done = run(script, "--step", "--out", str(tmp_path), shell=shell, PYTHONUNBUFFERED=buffered)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr, done.stderr
    assert (tmp_path / "a.png").exists() and (done.returncode == 0 or "full" in shell)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
def test_a_reader_who_leaves_ends_a_lesson_with_a_line(tmp_path):
    script = (
        "from npgan.lesson import Lesson\nlesson = Lesson('07_word', 'A lesson')\nwhile True: print('more')"
    )
    done = run(script, "--out", str(tmp_path), shell="| head -1")
    assert (
        done.stdout == b"07_word: A lesson\n"
        and done.stderr == b"error: the output cannot be written (Broken pipe)\n"
    )
    short = "from npgan.lesson import Lesson\nlesson = Lesson('07_word', 'A lesson')\nprint('x' * 3000)\nlesson.end()"
    done = run(short, "--out", str(tmp_path), shell="| true")
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="its file names are never bytes")
@pytest.mark.parametrize("name", ["b\u00e9b\u00e9 \u2603", "b\udcffb"])
def test_names_that_the_locale_cannot_write(tmp_path, name):
    script = """
import numpy as np
from npgan.lesson import Lesson
lesson = Lesson("07_word", "A lesson")
lesson.picture(np.zeros((4, 4, 3), np.uint8), "a.png")
print(lesson.args.out)
lesson.end()
"""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for environment in ({}, ascii_only, {"PYTHONIOENCODING": "ascii"}):
        done = run(script, "--out", str(tmp_path / name), **environment)
        assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert (tmp_path / name / "a.png").exists()


def test_what_would_steer_a_terminal_is_spelled_out():
    assert (
        printable("a\x1b[31mb\n\x9b\u202ec \u00e9\u2603 \udcff")
        == "a\\x1b[31mb\\n\\x9b\\u202ec \u00e9\u2603 \\udcff"
    )


@pytest.mark.parametrize(
    "error", [EOFError, RuntimeError("input(): lost sys.stdin"), OSError(errno.EBADF, "closed")]
)
def test_a_pause_where_nobody_can_type_goes_on(monkeypatch, error):
    def fail(prompt):
        raise error

    monkeypatch.setattr("builtins.input", fail)
    assert pause("Enter: ") is None


def test_larger_images_take_fewer_steps_where_none_were_asked_for(tmp_path, capsys):
    def steps(*flags, shape):
        lesson = Lesson("one", "One", steps=1000, quick_steps=7, argv=["--out", str(tmp_path), *flags])
        lesson.fit_steps(shape)
        lesson.fit_steps(shape)  # once is enough
        return lesson.args.steps

    assert steps(shape=(28, 28, 1)) == steps(shape=(16, 16, 3)) == 1000
    assert "in place of" not in capsys.readouterr().out
    assert steps(shape=(64, 64, 3)) == 191
    assert "64 x 64 pixels: 191 steps in place of 1000" in capsys.readouterr().out
    assert steps("--steps", "1000", shape=(64, 64, 3)) == 1000
    assert steps("--quick", shape=(64, 64, 3)) == 7
