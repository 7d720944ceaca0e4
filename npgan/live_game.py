"""The game's live window: two players of points in the plane, to play by hand, by a timer, and backward."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.widgets import Slider

from npgan.adversarial import GameLoss, judge
from npgan.backend import Array, to_numpy
from npgan.checkpoint import Parts
from npgan.live import FRAME, Window
from npgan.pauses import stops_wait
from npgan.plane import SIDE, draw_surface, probability

KEPT = 50  # states of the game for steps back
ARROWS = 4  # each so many-th point has its arrow, a quarter as long as the push, as in lesson 7 ...
LONGEST = 0.25  # ... and no longer than this: where D is sure a push may cross the whole picture


class GameWindow(Window):
    """A game of points in the plane (lesson 7), played by hand or by a timer; each step can be taken back.

    parts: "generator", "discriminator", "d_optimizer", "g_optimizer" and "rng": all that a step changes.
    play(letters): play "D", "G", or a round such as "DG", with a fresh batch; yields (letter, figures, points) after
        each player's step, where figures has "d_loss" or "g_loss".
    loss: G's, for the arrows.     real (N, 2), noise: what is shown.     count(generator): (modes found, share of
        high quality).     modes: how many there are.
    """

    def __init__(
        self,
        figure: Figure,
        parts: Parts,
        play: Callable[[str], Any],
        *,
        loss: GameLoss,
        real: Array,
        noise: Array,
        count: Callable[[Any], tuple[int, float]],
        modes: int,
        order: str = "DG",
    ):
        self.parts, self.play_letters, self.order = parts, play, order
        self.loss, self.noise, self.count = loss, noise, count
        self.playing, self.stale, self.due, self.ticked = False, True, 0.0, 0.0
        self.steps, self.last = 0, "the start"
        self.curves: dict[str, list[tuple[int, float]]] = {"D": [], "G": [], "modes": [], "share": []}
        buttons = {
            "D's step": ("d", lambda: self.step("D")),
            "G's step": ("g", lambda: self.step("G")),
            "a round": ("r", lambda: self.step(order)),
            "play / pause": (" ", self.play_or_pause),
            "one step back": ("b", self.back),
            "to the start": ("s", self.to_start),
        }
        self.timer = figure.canvas.new_timer(interval=round(1000 * FRAME))
        super().__init__(figure, buttons)
        self._sliders()
        self._draw_first(real, modes)
        self.start = self._state()
        self.before: list[dict] = []  # the last KEPT states
        self.draw()
        self.timer.add_callback(self._safely(self.frame))
        self.timer.start()

    def _sliders(self) -> None:
        """Speed and both learning rates, on logarithmic scales."""
        d, g = (self.parts[name] for name in ("d_optimizer", "g_optimizer"))
        wanted = {
            "rounds a second": (0.0, 2.0, 1.0, "{:.0f}"),
            "D's rate": (-5.0, 0.0, np.log10(d.rate()), "{:.1e}"),
            "G's rate": (-5.0, 0.0, np.log10(g.rate()), "{:.1e}"),
        }
        self.sliders: dict[str, Slider] = {}
        for place, (text, (low, high, value, form)) in enumerate(wanted.items()):
            axes = self.figure.add_axes((0.13 + 0.31 * place, 0.09, 0.16, 0.04))
            slider = Slider(axes, text, low, high, valinit=value)

            def show(exponent, slider=slider, form=form):
                slider.valtext.set_text(form.format(10**exponent))

            slider.on_changed(show)
            show(value)
            self.sliders[text] = slider
        for optimizer, text in ((d, "D's rate"), (g, "G's rate")):
            optimizer.learning_rate = optimizer.rate()  # a schedule has an end, this game has none
            self.sliders[text].on_changed(lambda value, o=optimizer: setattr(o, "learning_rate", 10.0**value))

    # What the buttons do

    def step(self, letters: str) -> None:
        """Play "D", "G" or a round."""
        self.before = [*self.before[1 - KEPT :], self._state()]
        for letter, figures, _ in self.play_letters(letters):
            self.steps += 1
            self.curves[letter].append((self.steps, float(figures[f"{letter.lower()}_loss"])))
        self.last = f"{letters}'s step" if len(letters) == 1 else "a round"
        self.stale = True

    def play_or_pause(self) -> None:
        """Begin to play by the timer, or end it."""
        self.playing, self.ticked, self.due, self.stale = not self.playing, time.perf_counter(), 1.0, True

    def back(self) -> None:
        """Take back the last step or round, to the bit; up to KEPT of them."""
        self.playing = False
        if self.before:
            self._bring_back(self.before.pop())
            self.last = "a step back"

    def to_start(self) -> None:
        """Bring back the state in which the window was opened."""
        self.playing, self.before = False, []
        self._bring_back(self.start)
        self.last = "the start"

    def _state(self) -> dict:
        """Copies of all that a step changes."""
        parts = {
            name: part.bit_generator.state if isinstance(part, np.random.Generator) else part.state()
            for name, part in self.parts.items()
        }
        return {"parts": parts, "steps": self.steps}

    def _bring_back(self, state: dict) -> None:
        for name, part in self.parts.items():
            if isinstance(part, np.random.Generator):
                part.bit_generator.state = state["parts"][name]
            else:
                part.load_state(state["parts"][name])
        self.steps, self.stale = state["steps"], True
        for name, points in self.curves.items():
            self.curves[name] = [point for point in points if point[0] <= self.steps]

    def frame(self) -> None:
        """A tick of the timer: play the rounds that are due, for a frame at most, then draw."""
        began = time.perf_counter()
        if self.playing:
            speed = 10 ** self.sliders["rounds a second"].val
            self.due = min(self.due + speed * (began - self.ticked), max(1.0, speed / 4))  # no backlog
            self.ticked = began
            while self.due >= 1 and time.perf_counter() - began < FRAME:
                self.step(self.order)
                self.due -= 1
        if self.stale:
            self.draw()

    def run(self) -> None:
        """Show the window until it is closed. Ctrl-C ends it, as ever."""
        with stops_wait() as stops:
            while not self.closed and stops.asked is None:
                self.events(0.1)
            self.close()
            stops.obey()

    def close(self) -> None:
        """Stop the timer as well."""
        if not self.closed:
            self.timer.stop()
        super().close()

    # What it draws

    def _draw_first(self, real: Array, modes: int) -> None:
        self.plane = self.figure.add_axes((0.03, 0.225, 0.47, 0.71))
        nothing = np.zeros((len(self.noise), 2))
        draw_surface(self.plane, np.zeros(SIDE * SIDE), real, nothing)
        self.surface, (data, self.points) = self.plane.images[0], self.plane.collections
        data.set_zorder(5)
        self.points.set_sizes([9])
        self.points.set_zorder(4)
        some = nothing[::ARROWS]
        self.push = self.plane.quiver(
            *some.T,
            *some.T,
            angles="xy",
            scale_units="xy",
            scale=4,
            width=0.004,
            color="darkgreen",
            zorder=3,
        )
        self.plane.set_xlabel(
            "blue: D takes the place for real, red: for generated, white: cannot tell.  black: data\n"
            f"orange: G's points.  green: D's push on each fourth of them, / 4, at most {LONGEST} long",
            fontsize=9,
        )
        losses = self.figure.add_axes((0.565, 0.61, 0.37, 0.32), ylabel="loss (nats)")
        for level, text in ((2 * np.log(2), "2 log 2"), (np.log(2), "log 2")):
            losses.axhline(level, color="black", linestyle=":", linewidth=1)
            losses.annotate(
                text, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
            )
        found = self.figure.add_axes(
            (0.565, 0.225, 0.37, 0.3), xlabel="steps of both players", ylabel="modes found"
        )
        found.set_ylim(0, modes + 0.5)
        share = found.twinx()
        share.set(ylim=(0, 1 + 0.5 / modes), ylabel="share of high quality")
        self.modes = modes
        self.lines = {
            "D": losses.plot([], [], color="C0", linewidth=1, label="D")[0],
            "G": losses.plot([], [], color="C1", linewidth=1, label="G")[0],
            "modes": found.plot([], [], color="C2", linewidth=1, label="modes")[0],
            "share": share.plot([], [], color="C3", linewidth=1, label="high quality")[0],
        }
        losses.legend(loc="upper left")
        found.legend(handles=[self.lines["modes"], self.lines["share"]], loc="upper left")
        for axes in (losses, found):
            axes.grid(alpha=0.3)

    def draw(self) -> None:
        """Show the players as they are now."""
        generator, discriminator = self.parts["generator"], self.parts["discriminator"]
        fake = generator.forward(self.noise, train=False)  # N, 2
        self.surface.set_data(probability(discriminator).reshape(SIDE, SIDE))
        some = fake[::ARROWS]
        _, _, dsome = judge(discriminator, some, self.loss)
        fake, some, push = to_numpy(fake), to_numpy(some), -len(some) * to_numpy(dsome)
        self.points.set_offsets(fake)
        self.push.set_offsets(some)
        length = np.linalg.norm(push, axis=1, keepdims=True) / 4
        self.push.set_UVC(*(push * np.minimum(1, LONGEST / np.maximum(length, 1e-30))).T)

        modes, share = self.count(generator)
        for name, value in (("modes", modes), ("share", share)):
            if not self.curves[name] or self.curves[name][-1][0] < self.steps:
                self.curves[name].append((self.steps, value))
        for name, line in self.lines.items():
            line.set_data(*np.array(self.curves[name]).reshape(-1, 2).T)
        for name in ("D", "modes", "share"):
            self.lines[name].axes.set_xlim(0, max(20, self.steps))
        shown = [value for name in "DG" for _, value in self.curves[name] if np.isfinite(value)]
        self.lines["D"].axes.set_ylim(0, 1.1 * max(1.8, *np.percentile(shown or [0.0], [99.0])))
        self.status.set_text(
            f"{self.steps} steps; last: {self.last}{', playing' if self.playing else ''}.   "
            f"Modes found: {modes} of {self.modes}; {share:.1%} of high quality"
        )
        self.stale = False
        self.canvas.draw_idle()
