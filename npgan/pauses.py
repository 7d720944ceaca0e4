"""Where a learner interrupts: pauses at a prompt, the parts of a round one at a time, and signals that stop a run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from npgan.backend import Array, to_numpy
from npgan.checkpoint import Parts
from npgan.layers.base import Layer
from npgan.voice import printable, say


def pause(prompt: str) -> str | None:
    """Wait for Enter; return what was typed before it, None where nobody can type."""
    try:
        return input(prompt)
    except BrokenPipeError:
        raise
    except (EOFError, OSError, RuntimeError, ValueError):  # RuntimeError: there is no input at all
        say("")
        return None


def ask_how_many(what: str) -> int | None:
    """Ask until the answer is Enter (1) or a whole number above zero; None where nobody can type."""
    while True:
        answer = pause(f"Enter for one {what}, a number for so many: ")
        if answer is None or not answer.strip():
            return None if answer is None else 1
        if answer.strip().isdecimal() and 0 < int(answer.strip()[:9]):
            return int(answer.strip()[:9])
        say(f"{printable(answer)[:40]!r} is not understood: press Enter, or type a number such as 10")


# Signals -------------------------------------------------------------------------------------------------------


class Stops:
    """What has asked the run to stop, and whether it has to wait."""

    def __init__(self):
        self.at_once = False  # nothing is under way that has to end first
        self.asked: KeyboardInterrupt | SystemExit | None = None
        self.number = 0  # of the signal that asked

    def remember(self, number: int, frame: object) -> None:
        again = self.asked is not None
        if not again:
            self.number = number
            interrupt = number == signal.SIGINT
            self.asked = KeyboardInterrupt() if interrupt else SystemExit(128 + number)  # as a shell says it
        if self.at_once or (again and number == signal.SIGINT):
            raise self.asked

    def obey(self) -> None:
        """Stop here, if that was asked for."""
        if self.asked is not None:
            raise self.asked


@contextmanager
def stops_wait() -> Iterator[Stops]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait until a step is done: arrays half updated are worth nothing.

    A second Ctrl-C does not wait. Signals that are ignored or somebody else's stay so.
    """
    stops, before = Stops(), {}
    if threading.current_thread() is threading.main_thread():  # no other may set them
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            handler = number and signal.getsignal(number)
            if number and handler in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = handler
                signal.signal(number, stops.remember)
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# One part of a round at a time ---------------------------------------------------------------------------------


class StepThrough:
    """Waits after each part of a round, and says what the part has changed.

        stepper = StepThrough({"generator": generator, "discriminator": discriminator})
        stepper.after("D on real", loss=loss, logits=logits)   # prints, waits for Enter or a number of parts

    Ctrl-C at a prompt in the middle of a round lets the round end first, without more prompts: `stops` remembers it.
    """

    def __init__(self, parts: Parts):
        self.networks = {name: part for name, part in parts.items() if isinstance(part, Layer)}
        self.free = 1  # parts to go until the next wait
        self.done = 0  # parts of this round
        self.nobody = False  # can type: then it goes on without waiting
        self.stops = Stops()
        self._before = self._look()

    @property
    def waits(self) -> bool:
        """Whether the next part will wait."""
        return self.free == 1 and not self.nobody and self.stops.asked is None

    def after(self, part: str, **figures: Array | float) -> None:
        """A part is done: where it is time, show its figures (means of arrays) and what changed, and wait."""
        self.done += 1
        self.free -= 1
        if self.nobody or self.stops.asked is not None:
            return
        if self.free == 0:
            shown = "  ".join(f"{name} {float(np.mean(to_numpy(x))):.4f}" for name, x in figures.items())
            say(f"\n-- {part}  {shown}")
            for line in self.changes():
                say(line)
            self.wait("part", in_round=True)
        if self.free == 1:
            self._before = self._look()

    def round_ends(self) -> None:
        """A whole round is done: wait here where no part of it was named."""
        if self.done == 0 and not self.nobody:
            self.free -= 1
            if self.free == 0:
                self.wait("step")
        self.done = 0

    def wait(self, what: str, in_round: bool = False) -> None:
        """Ask how many more, and stop at once where Ctrl-C answers; in a round it is obeyed at its end."""
        self.stops.at_once = True
        try:
            many = ask_how_many(what)
        except (KeyboardInterrupt, SystemExit) as stop:
            self.stops.asked = stop
            if not in_round:
                raise
            many = 1
        finally:
            self.stops.at_once = False
        self.nobody = many is None
        self.free = many or 1

    def changes(self) -> list[str]:
        """A line for each array that the part has changed: its shape and norm, its gradient, how far it moved.

        Norms are Euclidean; "moved" is the norm of the change, in percent of that of the array before.
        """
        lines = []
        for name, (value, grad) in self._look().items():
            old_value, old_grad = self._before[name]
            moved, before = norm(value - old_value), norm(old_value)
            learned = not np.array_equal(grad, old_grad)
            if moved or learned:
                gradient = f"gradient {norm(old_grad):.2e} -> {norm(grad):.2e}" if learned else ""
                how_far = f"moved {100 * moved / before:.3f}%" if before else "moved from 0"
                shape = " x ".join(map(str, value.shape))
                line = (
                    f"   {name:<52} {shape:<18} {norm(value):9.3f}  {gradient:<33} {how_far if moved else ''}"
                )
                lines.append(line.rstrip())
        head = f"   {'changed':<52} {'shape':<18} {'norm':>9}"
        quiet = [name for name in self.networks if not any(line.startswith(f"   {name} ") for line in lines)]
        return [*([head] if lines else []), *lines, *(f"   {name}: nothing changed" for name in quiet)]

    def _look(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Copies of (value, gradient) of each array of the networks; running statistics have no gradient."""
        seen = {}
        for part, network in self.networks.items():
            gradients = {name: parameter.grad for name, parameter in network.named_parameters().items()}
            for name, value in network.arrays().items():
                grad = gradients.get(name)
                copies = (np.array(to_numpy(a)) for a in (value, value[:0] if grad is None else grad))
                seen[f"{part} {name}"] = tuple(copies)
        return seen


def norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values.ravel()))
