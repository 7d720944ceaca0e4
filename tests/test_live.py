"""The live windows, by events on a canvas without a screen. A real window: tests/live_window.py."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backend_bases import CloseEvent, KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from npgan import checkpoint, masks, repair
from npgan.adversarial import discriminator_step, generator_step
from npgan.data.images import Images
from npgan.layers import Dense, LeakyReLU, Sequential
from npgan.lesson import Lesson
from npgan.live import FRAME, SHARE, RunWindow
from npgan.live_game import KEPT, GameWindow
from npgan.losses import binary_cross_entropy
from npgan.networks import Inpainter
from npgan.optim import Adam, linear_decay
from npgan.pauses import Stops
from npgan.series import Series
from npgan.training import Run

ROOT = Path(__file__).parents[1]


def figure() -> Figure:
    made = Figure(figsize=(12, 7), dpi=40)
    FigureCanvasAgg(made)
    return made


def click(window, text: str) -> None:
    at(window, window.buttons[text].ax, 0.5, "button_press_event", "button_release_event")


def at(window, axes, share: float, *events: str) -> None:
    """Mouse events at the height of the middle of some axes, `share` of their width from the left."""
    x, y = axes.transAxes.transform((share, 0.5))
    for name in events:
        window.canvas.callbacks.process(name, MouseEvent(name, window.canvas, x, y, button=1))


def close(window) -> None:
    window.canvas.callbacks.process("close_event", CloseEvent("close_event", window.canvas))


def stop_the_clock(monkeypatch, *modules: str) -> list[float]:
    """The time for these modules from now on: one number, in seconds."""
    clock = [10.0]
    for module in modules:
        monkeypatch.setattr(f"{module}.time", type("Time", (), {"perf_counter": lambda: clock[0]}))
    return clock


# The game ------------------------------------------------------------------------------------------------------


def make_game(loss=binary_cross_entropy) -> GameWindow:
    rng = np.random.default_rng(0)
    generator = Sequential([Dense(2, 8, rng=rng), LeakyReLU(), Dense(8, 2, rng=rng)])
    discriminator = Sequential([Dense(2, 8, rng=rng), LeakyReLU(), Dense(8, 1, rng=rng)])
    parts = {
        "generator": generator,
        "discriminator": discriminator,
        "d_optimizer": Adam(discriminator.parameters(), linear_decay(1e-2, 0, 100)),
        "g_optimizer": Adam(generator.parameters(), 1e-2),
        "rng": rng,
    }

    def play(letters):
        noise, real = (rng.standard_normal((16, 2)).astype(np.float32) for _ in range(2))
        fake = generator.forward(noise)
        for letter in letters:
            if letter == "D":
                d = discriminator_step(discriminator, real, fake, parts["d_optimizer"])
                yield letter, {"d_loss": d.loss}, fake
            else:
                g = generator_step(generator, discriminator, fake, parts["g_optimizer"], loss)
                yield letter, {"g_loss": g.loss}, fake

    points = np.random.default_rng(1).standard_normal((40, 2)).astype(np.float32)
    return GameWindow(
        *(figure(), parts, play), loss=loss, real=points, noise=points, count=lambda g: (3, 0.25), modes=8
    )


def bits(window: GameWindow, *names: str) -> dict:
    """All that a step changes, as bytes."""
    states = window._state()["parts"]
    flat = {}
    for name in names or states:
        for key, value in states[name].items():
            flat[name, key] = value.tobytes() if isinstance(value, np.ndarray) else repr(value)
    return flat


def test_each_button_lets_its_player_learn_and_draws():
    window = make_game()
    for text, moved, still in (
        ("D's step", "discriminator", "generator"),
        ("G's step", "generator", "discriminator"),
    ):
        before = bits(window, moved), bits(window, still)
        offsets = window.points.get_offsets().copy()
        click(window, text)
        assert bits(window, moved) != before[0] and bits(window, still) == before[1]
        window.frame()
        assert np.array_equal(window.points.get_offsets(), offsets) == (moved == "discriminator")
    click(window, "a round")
    assert window.steps == 4 and [len(window.curves[name]) for name in "DG"] == [2, 2]
    window.frame()
    assert window.status.get_text().startswith("4 steps; last: a round")
    assert list(window.lines["D"].get_xdata()) == [1, 3] and list(window.lines["G"].get_xdata()) == [2, 4]


def test_a_step_back_restores_the_bits_and_the_game_goes_on_the_same_way():
    window = make_game()
    seen = [bits(window)]
    for text in ("a round", "D's step", "G's step", "a round"):
        click(window, text)
        window.frame()  # what is drawn changes nothing
        seen.append(bits(window))
    curves = copy.deepcopy(window.curves)
    assert len({tuple(sorted(state.items())) for state in seen}) == 5
    for state in reversed(seen[:-1]):
        click(window, "one step back")
        assert bits(window) == state
        window.frame()
    click(window, "one step back")  # there is none
    assert bits(window) == seen[0] and window.steps == 0 and window.curves["D"] == []
    for text, state in zip(("a round", "D's step", "G's step", "a round"), seen[1:]):
        click(window, text)
        window.frame()
        assert bits(window) == state
    assert window.curves == curves


def test_back_to_the_start_and_no_more_states_than_are_kept():
    window = make_game()
    start = bits(window)
    for _ in range(KEPT + 5):
        window.step("DG")
    assert len(window.before) == KEPT
    for _ in range(KEPT + 5):
        click(window, "one step back")
    assert window.steps == 2 * 5
    click(window, "to the start")
    assert bits(window) == start and window.steps == 0 and window.before == []


def test_keys_do_what_the_buttons_do():
    by_key, by_click = make_game(), make_game()
    for key, text in (
        ("d", "D's step"),
        ("g", "G's step"),
        ("r", "a round"),
        ("b", "one step back"),
        ("x", None),
    ):
        by_key.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", by_key.canvas, key))
        if text:
            click(by_click, text)
        assert bits(by_key) == bits(by_click)


def test_sliders_set_the_rates_which_stay():
    window = make_game()
    d, g = window.parts["d_optimizer"], window.parts["g_optimizer"]
    assert (d.rate(), g.rate()) == (1e-2, 1e-2)
    at(window, window.sliders["D's rate"].ax, 0.2, "button_press_event", "button_release_event")
    assert d.rate() == pytest.approx(1e-4) and g.rate() == 1e-2
    assert window.sliders["D's rate"].valtext.get_text() == "1.0e-04"
    click(window, "a round")
    assert d.rate() == pytest.approx(1e-4)  # the schedule would fall


def test_playing_keeps_the_speed_and_a_callback_trains_for_a_frame_at_most(monkeypatch):
    window = make_game()
    clock = stop_the_clock(monkeypatch, "npgan.live_game")
    monkeypatch.setattr(window.canvas, "draw_idle", lambda: None)
    window.sliders["rounds a second"].set_val(1.0)  # 10 rounds a second
    click(window, "play / pause")
    for _ in range(50):  # 2 seconds
        clock[0] += FRAME
        window.frame()
    assert window.steps // 2 in (20, 21)

    play = window.play_letters

    def slow(letters):
        clock[0] += 0.015  # a round
        yield from play(letters)

    window.play_letters = slow
    window.sliders["rounds a second"].set_val(2.0)
    clock[0] += 5.0  # the window was covered
    steps, began = window.steps, clock[0]
    window.frame()
    assert FRAME <= clock[0] - began < FRAME + 0.015 and window.steps - steps == 6
    click(window, "play / pause")
    clock[0] += 1.0
    window.frame()
    assert window.steps - steps == 6


def test_an_error_in_a_callback_ends_the_window_and_a_closed_one_does_nothing():
    window = make_game()
    window.play_letters = lambda letters: 1 / 0
    click(window, "a round")
    with pytest.raises(ZeroDivisionError):
        window.run()
    window = make_game()
    close(window)
    window.run()
    before = bits(window)
    click(window, "a round")
    assert window.closed and bits(window) == before


# A training ----------------------------------------------------------------------------------------------------


def make_parts() -> dict:
    rng = np.random.default_rng(3)
    network = Sequential([Dense(4, 8, rng=rng), LeakyReLU(), Dense(8, 1, rng=rng)])
    return {"network": network, "optimizer": Adam(network.parameters(), 1e-2), "rng": rng}


def train(run: Run, each=lambda step: None) -> None:
    parts = run.parts
    for step in run:
        each(step)
        loss, dlogits = binary_cross_entropy(
            parts["network"].forward(parts["rng"].standard_normal((8, 4)).astype(np.float32)), 1.0
        )
        parts["network"].zero_grad()
        parts["network"].backward(dlogits)
        parts["optimizer"].step()
        run.log(loss=loss)


def look():
    return np.zeros((8, 8, 3), np.uint8), {"distance": 0.5, "SSIM": 0.25}


def states(parts: dict) -> list:
    arrays = {**parts["network"].state(), **parts["optimizer"].state()}
    return [array.tobytes() for array in arrays.values()] + [repr(parts["rng"].bit_generator.state)]


def test_a_run_that_is_watched_has_the_bits_of_one_that_is_not_and_shows_its_curves():
    plain, watched = make_parts(), make_parts()
    train(Run(30, parts=plain))
    window = RunWindow(figure(), look, {"distance": ("floor", 0.1)})
    run = Run(30, parts=watched, window=window)
    train(run)
    assert states(plain) == states(watched)
    assert window.lines.keys() == {"loss", "distance", "SSIM"}
    assert list(window.lines["loss"].get_ydata()) == list(run.history["loss"])
    assert window.scores["SSIM"][-1] == (30, 0.25)
    assert "step 30 of 30, 0:00 left   distance 0.5   SSIM 0.25" in window.status.get_text()
    window.looks(look, title="second")  # another training in the same window
    train(Run(5, parts=make_parts(), window=window))
    assert len(window.lines["loss"].get_ydata()) == 5 and window.status.get_text().startswith(
        "second   step 5"
    )


def test_pause_waits_and_does_not_count(monkeypatch):
    clock = stop_the_clock(monkeypatch, "npgan.live", "npgan.training")
    window = RunWindow(figure(), look)
    waits = []

    def events(seconds):
        clock[0] += 100.0
        waits.append(seconds)
        if len(waits) == 3:
            click(window, "pause / go on")

    monkeypatch.setattr(window.canvas, "start_event_loop", events)

    def each(step):
        clock[0] += 1.0
        if step == 2:
            click(window, "pause / go on")

    run = Run(6, parts=make_parts(), window=window)
    train(run, each)
    assert len(waits) == 3 and run.done == 6 and run.waited == 300
    assert list(run.seconds) == [1.0] * 6 and run._seconds_per_step == 1.0


def test_stop_saves_and_the_run_goes_on_to_the_same_bits(tmp_path, capsys):
    whole, parts = make_parts(), make_parts()
    train(Run(12, parts=whole))
    window = RunWindow(figure(), look)
    run = Run(12, parts=parts, folder=tmp_path, window=window)
    with pytest.raises(KeyboardInterrupt):
        train(
            run,
            lambda step: (
                setattr(window, "next_events", 0.0),
                click(window, "stop and save") if step == 4 else 0,
            ),
        )
    assert run.done == 5 and checkpoint.in_folder(tmp_path) == [checkpoint.path_for(tmp_path, 5)]
    assert "stopped after step 5\nto go on: --resume" in capsys.readouterr().out
    resumed = make_parts()
    train(Run(12, parts=resumed, folder=tmp_path, resume=tmp_path))
    assert states(whole) == states(resumed)


def test_a_window_that_is_closed_leaves_the_run_alone():
    window = RunWindow(figure(), look)
    run = Run(20, parts=make_parts(), window=window)
    train(run, lambda step: close(window) if step == 3 else None)
    assert run.done == 20 and window.scores["SSIM"][-1][0] <= 3
    window.stay()  # does not wait


def test_a_done_training_stays_until_go_on_is_pressed(monkeypatch, capsys):
    window = RunWindow(figure(), look)
    train(Run(3, parts=make_parts(), window=window))
    monkeypatch.setattr(window.canvas, "start_event_loop", lambda seconds: click(window, "pause / go on"))
    window.stay()
    assert "the window waits: close it, or press space there, to go on" in capsys.readouterr().out
    assert not window.stays and not window.paused


def test_drawing_takes_no_more_than_its_share_of_the_time(monkeypatch):
    clock, drawn = stop_the_clock(monkeypatch, "npgan.live"), [0.0]

    def slow_look():
        clock[0] += 0.3
        drawn[0] += 0.3
        return look()

    window = RunWindow(figure(), slow_look)
    monkeypatch.setattr(window.canvas, "draw_idle", lambda: None)
    run = Run(10**6, parts=make_parts())
    for _ in range(3000):
        clock[0] += 0.02  # a step
        run.done += 1
        run.log(loss=0.5)
        window.between_steps(run, Stops())
    assert 0.15 < drawn[0] / (clock[0] - 10) <= SHARE + 0.01


def test_lesson_11_shows_unseen_images_in_one_window_for_all_its_trainings(tmp_path, monkeypatch):
    monkeypatch.setattr("npgan.series.run_window", lambda title: RunWindow(figure()))
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (40, 12, 12, 1), dtype=np.uint8))
    holes = masks.make("centre", 10, 12, 12, rng)
    problem = repair.Problem(images, images[:10], holes, "centre", masks.damage(images[:10], holes))

    def train(*flags: str) -> tuple[RunWindow | None, list[bytes]]:
        lesson = Lesson(
            "11_word", "A lesson", argv=["--out", str(tmp_path / str(len(flags))), *flags], live=True
        )
        lesson.args.resume, lesson.args.device = None, "numpy"
        series, weights = Series(lesson, ["first", "second"], {}), []
        for name, adversarial in (("first", 0.0), ("second", 0.01)):
            own = np.random.default_rng(1)
            network = Inpainter(images.shape, own)
            options = dict(adversarial=adversarial, batch=4)
            average, run = repair.train(series, problem, name, network, 3, own, **options)
            weights += [value.tobytes() for value in average.state().values()]
        return series.window, weights

    (window, watched), (none, plain) = train("--live"), train()
    assert none is None and watched == plain
    assert window.lines.keys() == {"mse", "d_loss", "g_loss", "PSNR in the hole, dB", "SSIM"}
    assert window.status.get_text().startswith("second   step 3 of 3")
    rows, columns = 4, 9  # of 10 images: original, damaged, repaired; three of them side by side
    assert window.image.get_array().shape == (rows * 14 + 2, columns * 14 + 2, 3)


# Where there is no window --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["agg", "svg", "tkagg", "qtagg", ""])
def test_without_a_display_one_line_says_so(backend):
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", "from npgan.live import run_window; print(run_window('A title'))"],
        env=clean | {"PYTHONPATH": str(ROOT)} | ({"MPLBACKEND": backend} if backend else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    line, result = done.stdout.splitlines()
    assert line.startswith("--live: no window can be opened (") and line.endswith(
        "); the lesson runs as ever"
    )
    assert result == "None" and done.stderr == ""
