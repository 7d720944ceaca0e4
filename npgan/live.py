"""The windows that --live opens: here a training to watch, in npgan/live_game.py a game to play by hand.

They work on each of matplotlib's backends that has a window (Tk, Qt, GTK, wx, macOS). No training ever runs in a
callback for longer than a frame: the game's window plays by a timer of its canvas, at most a frame at a time; a run
stays in its lesson's loop and gives its window a moment between two steps. A closed window is left alone.
"""

import time
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase, KeyEvent
from matplotlib.figure import Figure
from matplotlib.widgets import Button, TextBox

from npgan.errors import DataError
from npgan.pauses import Stops, stops_wait
from npgan.voice import printable, say

if TYPE_CHECKING:
    from npgan.training import Run

FRAME = 0.04  # seconds: what a callback may train, and how often a run looks after its window
Look = Callable[[], tuple[np.ndarray, dict[str, float]]]  # -> pixels (H, W, 3), scores by name
SHARE = 0.2  # of the time may go into drawing a run


def open_figure(title: str, size: tuple[float, float] = (12.0, 7.0)) -> Figure | None:
    """A figure in a window of its own. Where none can be opened: None, after a line that says why."""
    import matplotlib
    import matplotlib.pyplot as plt  # only here: it chooses a backend

    try:
        with matplotlib.rc_context({"toolbar": "None"}):
            figure = plt.figure(figsize=size)
        kind = type(figure.canvas)
        if kind.flush_events is FigureCanvasBase.flush_events:  # it has no events
            plt.close(figure)
            raise RuntimeError(f"matplotlib's backend {plt.get_backend()} has none, or there is no display")
        figure.canvas.manager.set_window_title(title)
        figure.canvas.manager.show()
    except Exception as error:  # a toolkit that is missing, or broken, may raise anything
        say(f"--live: no window can be opened ({printable(error)}); the lesson runs as ever")
        return None
    return figure


def run_window(
    title: str, look: Look | None = None, levels: dict[str, tuple[str, float]] | None = None
) -> "RunWindow | None":
    """A RunWindow on the screen, or None where there is none."""
    figure = open_figure(title)
    return RunWindow(figure, look, levels) if figure is not None else None


class Window:
    """A figure with buttons, each with a key that does the same. While it is open, `closed` is False.

    buttons: text -> (key, what to do). matplotlib holds no reference to its widgets, so the window does.
    """

    def __init__(self, figure: Figure, buttons: dict[str, tuple[str, Callable[[], None]]]):
        self.figure, self.canvas, self.closed = figure, figure.canvas, False
        self.error: BaseException | None = None  # from a callback: toolkits swallow it
        self.actions, self.buttons = {}, {}
        width = 0.92 / max(1, len(buttons))
        for place, (text, (key, action)) in enumerate(buttons.items()):
            axes = figure.add_axes((0.04 + place * width, 0.02, width - 0.01, 0.055))
            name = "space" if key == " " else key
            self.buttons[text] = button = Button(axes, f"{text}  [{name}]", useblit=self.canvas.supports_blit)
            self.actions[key] = action = self._safely(action)
            button.on_clicked(lambda event, action=action: action())
        self.status = figure.text(0.5, 0.965, "", ha="center", va="center", size=13, parse_math=False)
        manager = self.canvas.manager
        if manager is not None and manager.key_press_handler_id is not None:
            self.canvas.mpl_disconnect(manager.key_press_handler_id)  # its keys would draw grids and zoom
        self.canvas.mpl_connect("key_press_event", self._key)
        self.canvas.mpl_connect("close_event", lambda event: self.close())

    def _key(self, event: KeyEvent) -> None:
        if event.key in self.actions:
            self.actions[event.key]()

    def close(self) -> None:
        """The window is closed, by whomever: nothing is drawn any more."""
        self.closed = True

    def events(self, seconds: float = 0.0) -> None:
        """Let the window react, for so long; raise what went wrong in a callback."""
        if not self.closed and seconds:
            self.canvas.start_event_loop(seconds)
        elif not self.closed:
            self.canvas.flush_events()
        if self.error is not None:
            raise self.error

    def _safely(self, call: Callable[[], None]) -> Callable[[], None]:
        """`call`, as a callback: what it raises waits for `events`."""

        def callback() -> None:
            try:
                if not self.closed and self.error is None:
                    call()
            except BaseException as error:  # also what Ctrl-C raises
                self.error = error
                self.canvas.stop_event_loop()

        return callback


class RunWindow(Window):
    """A training to watch: samples, curves, scores; with pause, and stop, which saves. Pass it to a Run.

    look(): the samples as they are now, pixels (H, W, 3), and what they score, by name. It must draw no random
        numbers of the run: a run that is watched has the bits of one that is not.
    levels: (name, height) of a dotted line beside a score, by the score's name: a floor, or what to beat.

    Drawing takes at most SHARE of the time: a look that takes long is taken less often.
    """

    def __init__(
        self, figure: Figure, look: Look | None = None, levels: dict[str, tuple[str, float]] | None = None
    ):
        self.paused = self.stopping = False
        self.stays = False  # the training is done: "pause" means "go on"
        super().__init__(
            figure,
            {"pause / go on": (" ", self.pause_or_go_on), "stop and save": ("s", self.stop)},
        )
        self.image = None
        self.looks(look, levels)

    def looks(
        self, look: Look | None, levels: dict[str, tuple[str, float]] | None = None, title: str = ""
    ) -> None:
        """Watch another training from now on."""
        self.look, self.levels, self.title = look, levels or {}, title
        self.scores: dict[str, list[tuple[int, float]]] = {}
        self.next_events = self.next_draw = 0.0
        for axes in self.figure.axes[len(self.buttons) :]:
            axes.remove()
        self.image = None

    def pause_or_go_on(self) -> None:
        """Pause, or end the pause; where the training is done, go on in the lesson."""
        self.paused, self.stays = not self.paused and not self.stays, False
        self._say()

    def stop(self) -> None:
        """Stop the run after this step, as Ctrl-C does: it saves. A training that is done has been saved."""
        self.stopping, self.paused, self.stays = not self.stays, False, False
        self._say()

    def between_steps(self, run: "Run", stops: Stops) -> float:
        """Look after the window, and wait while it is paused; return the seconds of the pause."""
        began = now = time.perf_counter()
        last = run.done == run.steps
        if self.closed or (now < self.next_events and not last):
            return 0.0
        self.run = run
        if self.look is not None and (now >= self.next_draw or last):
            self.draw()
            self.events()
            now = time.perf_counter()
            self.next_draw = now + (now - began) * (1 - SHARE) / SHARE
        else:
            self.events()
        paused_at = time.perf_counter()
        while self.paused and not self.closed and stops.asked is None:
            self.events(0.05)
        if self.stopping and stops.asked is None:
            stops.asked, self.stopping = KeyboardInterrupt(), False
        now = time.perf_counter()
        self.next_events = now + FRAME
        return now - paused_at

    def stay(self) -> None:
        """The training is done: leave the window as it is until it is closed, or "go on" is pressed."""
        with stops_wait() as stops:
            self.stays = not self.closed
            self._say()
            if self.stays:
                say("   the window waits: close it, or press space there, to go on")
            while self.stays and not self.closed and stops.asked is None:
                self.events(0.1)
            stops.obey()

    def draw(self) -> None:
        """Show the samples, curves and scores of now."""
        pixels, scores = self.look()
        history = self.run.figures()
        for name, value in scores.items():
            self.scores.setdefault(name, []).append((self.run.done, value))
        if self.image is None:
            self._draw_first(pixels, history)
        self.image.set_data(pixels)
        every = max(1, len(next(iter(history.values()), ())) // 400)
        for name, line in self.lines.items():
            if name in self.scores:
                x, y = np.array(self.scores[name]).T
            else:
                x, y = means(history[name], every)
            line.set_data(x, y)
            line.axes.relim()
            line.axes.autoscale_view(scalex=False)
            line.axes.set_xlim(0, max(10, self.run.done))
        self._say()
        self.canvas.draw_idle()

    def _draw_first(self, pixels: np.ndarray, history: dict[str, Sequence[float]]) -> None:
        axes = self.figure.add_axes((0.02, 0.1, 0.55, 0.83))
        self.image = axes.imshow(pixels, interpolation="nearest")
        axes.axis("off")
        self.lines = {}
        panels = [list(history), *([name] for name in self.scores)]
        height = 0.8 / len(panels)
        for place, names in enumerate(panels):
            axes = self.figure.add_axes((0.64, 0.93 - height * (place + 1) + 0.05, 0.34, height - 0.07))
            for name in names:
                (self.lines[name],) = axes.plot([], [], label=name, marker="." if name in self.scores else "")
                if name in self.levels:
                    text, level = self.levels[name]
                    axes.axhline(level, color="black", linestyle=":", label=text)
            axes.grid(alpha=0.3)
            axes.legend(loc="best", fontsize=9)
        axes.set_xlabel("step")

    def _say(self) -> None:
        """The line above: how far it is, and what it does."""
        if self.closed or not hasattr(self, "run"):
            return
        run = self.run
        doing = "stopping" if self.stopping else "paused" if self.paused else f"{run.left()} left"
        doing = "done: close the window to go on" if self.stays else doing
        scores = "".join(f"   {name} {points[-1][1]:.4g}" for name, points in self.scores.items())
        self.status.set_text(f"{self.title}   step {run.done} of {run.steps}, {doing}{scores}".strip())
        self.canvas.draw_idle()


def means(values: Sequence[float], every: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and means of a curve over each `every` steps: a line of many thousand points is slow to draw."""
    whole = len(values) // every * every
    y = np.asarray(values[:whole], float).reshape(-1, every).mean(axis=1)
    return every * np.arange(1, len(y) + 1), y


def type_captions(title: str, draw: Callable[[str], np.ndarray]) -> None:
    """A window with a line to type in; Enter shows what `draw` makes of it, as pixels (H, W, 3). Until it is closed.

    A DataError that `draw` raises is shown above, and another line can be typed.
    """
    if (figure := open_figure(title)) is None:
        return
    window = CaptionWindow(figure, draw)
    say("   type a caption in the window, and Enter; close it to go on")
    with stops_wait() as stops:
        while not window.closed and stops.asked is None:
            window.events(0.1)
        stops.obey()


class CaptionWindow(Window):
    """A line to type in, and pictures of what was typed: see `type_captions`."""

    def __init__(self, figure: Figure, draw: Callable[[str], np.ndarray]):
        super().__init__(figure, {})
        self.draw = draw
        self.status.set(va="top", y=0.985)  # an error that lists all words has several lines
        self.axes = figure.add_axes((0.02, 0.12, 0.96, 0.74))
        self.axes.axis("off")
        self.box = TextBox(figure.add_axes((0.15, 0.03, 0.7, 0.06)), "caption  ", initial="")
        self.box.on_submit(lambda text: self._safely(lambda: self.show(text))())

    def show(self, caption: str) -> None:
        """Draw a caption; an empty line, which leaving the box gives as well, changes nothing."""
        if not caption.strip():
            return
        try:
            pixels = self.draw(caption)
        except DataError as error:
            self.status.set_text(fill(str(error), 100))  # characters: so many fit into the window
        else:
            self.axes.clear()
            self.axes.axis("off")
            self.axes.imshow(pixels, interpolation="nearest")
            self.status.set_text(caption)
        self.canvas.draw_idle()
