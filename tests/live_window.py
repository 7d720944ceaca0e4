"""The live windows once for real: on a virtual X server, with a mouse that clicks. No part of the plain tests.

    pytest tests/live_window.py                  # .ci/run does so where there are Xvfb, xdotool and tkinter
    python tests/live_window.py out/live         # plays longer, and leaves pictures of both windows there

Needs Xvfb and xdotool (Debian: apt-get install xvfb xdotool) and a Python with tkinter, or with PySide6.
"""

import ctypes
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import ImageGrab

ROOT = Path(__file__).parents[1]
GAME = ["D's step", "G's step", "a round", "play", "back", "start"]  # buttons from the left
RUN = ["pause", "stop"]


class Screen:
    """A virtual screen with nothing on it but one lesson's window."""

    def __enter__(self):
        reading, writing = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-noreset"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as display:
            self.display = f":{display.readline().strip()}"
        return self

    def __exit__(self, *error):
        self.server.terminate()
        self.server.wait()

    def start(self, out: Path, lesson: str, *flags: str) -> subprocess.Popen:
        """Run a lesson with --live; come back when its window is there."""
        out.mkdir(parents=True, exist_ok=True)
        self.log = out / f"{lesson}.log"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "DISPLAY": self.display, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, f"lessons/{lesson}.py", "--live", "--out", str(out / lesson), *flags]
        with self.log.open("w") as log:
            lesson = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.window = self.tool("search", "--sync", "--onlyvisible", "--name", "^Lesson").split()[0]
        time.sleep(2)
        return lesson

    def try_tool(self, *arguments: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"DISPLAY": self.display}
        return subprocess.run(
            ["xdotool", *arguments], env=environment, capture_output=True, text=True, timeout=120
        )

    def tool(self, *arguments: str) -> str:
        done = self.try_tool(*arguments)
        assert done.returncode == 0, f"xdotool {arguments} on {self.display}: {done.stderr}"
        return done.stdout

    def click(self, x: float, y: float) -> None:
        """Click at shares of the window's width from the left, and height from the top."""
        size = dict(
            re.findall(r"^(\w+)=(\d+)$", self.tool("getwindowgeometry", "--shell", self.window), re.M)
        )
        place = (str(round(share * int(size[name]))) for share, name in ((x, "WIDTH"), (y, "HEIGHT")))
        self.tool("mousemove", "--window", self.window, *place, "click", "1")
        time.sleep(1.0)

    def press(self, buttons: list[str], text: str) -> None:
        self.click(0.04 + 0.92 * (buttons.index(text) + 0.45) / len(buttons), 0.95)

    def says(self, text: str, seconds: float = 60.0) -> str:
        """Wait until the lesson has said so; return all that it has said."""
        until = time.monotonic() + seconds
        while text not in (said := self.log.read_text()):
            assert time.monotonic() < until, f"{text!r} is not in:\n{said}"
            time.sleep(0.2)
        return said

    def picture(self, path: Path) -> None:
        shown = ImageGrab.grab(xdisplay=self.display)
        shown.crop(shown.point(lambda value: 255 if value else 0).getbbox()).save(path)

    def close(self) -> None:
        """Ask the window to close, with the message that a window manager's cross sends (ICCCM 4.2.8.1)."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.display.encode()))
        protocols, delete = (
            x11.XInternAtom(display, name, False) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
        )
        event = (ctypes.c_long * 24)()  # an XClientMessageEvent where an int takes as much room as a long
        event[0], event[4], event[5], event[6], event[7] = 33, int(self.window), protocols, 32, delete
        x11.XSendEvent(
            display, ctypes.c_ulong(int(self.window)), False, ctypes.c_long(0), ctypes.byref(event)
        )
        x11.XCloseDisplay(display)


@pytest.fixture
def screen():
    with Screen() as screen:
        yield screen


def test_the_game_is_played_in_a_window_and_goes_on_when_it_is_closed(screen, tmp_path):
    lesson = screen.start(tmp_path, "07_whole_game", "--quick", "--steps", "20")
    try:
        for button in ["D's step", "a round", "G's step", "back", "a round"]:
            screen.press(GAME, button)
        screen.close()
        said = screen.says("the window is closed, after 5 steps")
        assert lesson.wait(timeout=120) == 0 and "Traceback" not in said
        assert "all checks of this lesson passed" in screen.log.read_text()
    finally:
        lesson.kill()


def test_a_training_is_paused_and_stopped_from_its_window_and_saved(screen, tmp_path):
    lesson = screen.start(tmp_path, "09_conv_gan", "--quick", "--steps", "100000")
    try:
        time.sleep(5)
        screen.press(RUN, "pause")
        before = screen.log.stat().st_size
        time.sleep(12)  # a progress line comes each 10 seconds
        assert screen.log.stat().st_size == before, "it goes on while it is paused"
        screen.press(RUN, "pause")
        screen.says("steps/s")
        screen.press(RUN, "stop")
        said = screen.says("to go on: --resume")
        (step,) = re.findall(r"stopped after step (\d+)", said)
        lesson.wait(timeout=60)
        assert (
            tmp_path / "09_conv_gan" / f"checkpoint-{int(step):08d}.npz"
        ).exists() and "Traceback" not in said
    finally:
        lesson.kill()


def test_ctrl_c_ends_a_lesson_whose_window_is_open(screen, tmp_path):
    lesson = screen.start(tmp_path, "07_whole_game", "--quick")
    try:
        lesson.send_signal(2)
        lesson.wait(timeout=30)
        assert "Traceback" not in screen.log.read_text()
    finally:
        lesson.kill()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    with Screen() as screen:
        lesson = screen.start(out, "07_whole_game", "--quick")
        screen.click(0.277, 0.895)  # the speed, 70 rounds a second
        screen.press(GAME, "play")
        time.sleep(20)
        screen.press(GAME, "play")
        screen.picture(out / "game.png")
        lesson.kill()
    with Screen() as screen:
        lesson = screen.start(out, "09_conv_gan", "--steps", "300")
        screen.says("step 300/300", 600)
        time.sleep(2)
        screen.picture(out / "run.png")
        lesson.kill()
