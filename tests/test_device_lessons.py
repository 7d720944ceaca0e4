"""Lessons on the device: the figures of NumPy from the same seed, two uploads a step, no waiting but for pictures.

Every lesson that has --device and trains with `Run` or a `Series` of them is taken, so a new one is tested once its
file is there.
"""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy

import npgan.metrics.samples
from npgan.backend import gpu_status
from npgan.training import Run

ROOT = Path(__file__).parents[1]
LESSONS = {
    path.stem: path
    for path in sorted((ROOT / "lessons").glob("[0-9]*.py"))
    if "device=True" in (text := path.read_text()) and ("Run(" in text or "Series(" in text)
}
# Lessons that go on from what another has trained, and that other.
GO_ON = {
    "11_trade_off": "11_conv_inpainting",
    "11_search": "11_conv_inpainting",
    "16_twice_the_size": "16_text_to_image",
}
UPLOADS = {
    "07_whole_game": 2,
    "09_conv_gan": 3,
    "16_text_to_image": 3,
}  # a step: the batch and the noise; in lesson 9 the kinds, in lesson 16 the words
MOST_UPLOADS = 6  # of any other lesson: two batches, say, with a mask and noise for each


def test_the_lessons_that_train_on_the_device_are_found():
    assert UPLOADS.keys() | GO_ON.keys() | {*GO_ON.values(), "11_own_picture"} <= LESSONS.keys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of runs on the host of the lessons from which others go on."""
    folders = {name: tmp_path_factory.mktemp(name) for name in sorted({*GO_ON.values()})}
    for name, folder in folders.items():
        run_lesson(LESSONS[name], "auto", folder)
    return folders


class Watch:
    """All runs of a lesson, and what crossed between host and device in the body of each of their steps."""

    def __init__(self, monkeypatch):
        self.runs: list[Run] = []
        self.steps: dict[Run, list[strict_cupy.Counters]] = {}
        start, iterate, generate = Run.__init__, Run.__iter__, npgan.metrics.samples.generate

        def noted_start(run, *args, **keywords):
            start(run, *args, **keywords)
            self.runs.append(run)

        def noted_iterate(run):
            for step in iterate(run):
                strict_cupy.counters.reset()
                yield step
                self.steps.setdefault(run, []).append(strict_cupy.Counters(**vars(strict_cupy.counters)))

        def generate_uncounted(*args, **keywords):
            before = dict(vars(strict_cupy.counters))
            drawn = generate(*args, **keywords)
            vars(strict_cupy.counters).update(before)  # a figure is shown: its traffic is not the step's
            return drawn

        monkeypatch.setattr(Run, "__init__", noted_start)
        monkeypatch.setattr(Run, "__iter__", noted_iterate)
        monkeypatch.setattr(npgan.metrics.samples, "generate", generate_uncounted)


def run_the_plain_kernels(monkeypatch):
    """Let NumPy run the kernels that a GPU runs, whole batches at once.

    The fast ones sum in another order. That is rounding, but a game amplifies it: Adam's first steps are about as
    long for a gradient that is nothing but rounding as for any other.
    """
    monkeypatch.setattr("npgan.fast.switch.plain_everywhere", True)


def run_lesson(path, device, folder, *flags):
    """Run a lesson in this process, with --quick; returns its Watch. On "auto" CuPy is not there."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if device == "auto":
            strict_cupy.install(monkeypatch, importable=False)
            run_the_plain_kernels(monkeypatch)
        monkeypatch.setattr(
            sys, "argv", [str(path), "--quick", "--device", device, "--out", str(folder), *flags]
        )
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        watch = Watch(monkeypatch)
        with strict_cupy.forbid_float64():
            runpy.run_path(str(path), run_name="__main__")
    return watch


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_gives_the_figures_of_numpy_with_two_uploads_a_step_and_no_waiting(
    cupy, leeway, tmp_path, capsys, name, request
):
    flags = ["--trained", str(request.getfixturevalue("trained")[GO_ON[name]])] if name in GO_ON else []
    capsys.readouterr()
    host = run_lesson(LESSONS[name], "auto", tmp_path / "numpy", *flags)
    printed = capsys.readouterr()
    said = [line for line in (printed.out + printed.err).splitlines() if "GPU" in line]
    assert said == [f"device: NumPy {np.__version__} (no GPU: CuPy is not installed)"]
    device = run_lesson(LESSONS[name], "cupy", tmp_path / "cupy", *flags)
    for ours, theirs in zip(host.runs, device.runs, strict=True):
        assert ours.history.keys() == theirs.history.keys() and ours.history
        for figure, values in ours.history.items():
            early = slice(None) if leeway == 1 else slice(5)  # rounding grows from step to step on a GPU
            np.testing.assert_allclose(
                theirs.history[figure][early],
                values[early],
                rtol=1e-5 * leeway,
                atol=1e-5 * leeway,
                err_msg=figure,
            )
    assert device.steps and all(len(steps) == run.steps for run, steps in device.steps.items())
    for steps in device.steps.values() if leeway == 1 else ():
        without_pictures = [step for step in steps if step.downloads == 0]
        assert without_pictures, "every step brings an array to the host"
        (uploads,) = {step.uploads for step in without_pictures}
        assert uploads == UPLOADS.get(name, uploads) <= MOST_UPLOADS
        assert {step.synchronisations for step in without_pictures} == {0}


# Without a GPU -------------------------------------------------------------------------------------------


@pytest.mark.skipif(gpu_status().usable, reason="there is a GPU: its absence cannot be shown")
def test_device_cupy_without_a_gpu_ends_at_once_with_the_reason_and_the_remedy(tmp_path):
    command = [sys.executable, str(LESSONS["09_conv_gan"]), "--out", str(tmp_path), "--device", "cupy"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "==" not in done.stdout
    last = done.stderr.splitlines()[-1]
    assert f"error: {gpu_status().line}; install CuPy for" in last and last.endswith("or use --device numpy")
