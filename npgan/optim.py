"""Optimisers, learning-rate schedules, and the moving average of a network's weights."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from npgan import backend, fast
from npgan.backend import Array, array_module
from npgan.distributed import Ranks
from npgan.fast import blas_on_one_thread, faster
from npgan.layers.base import Layer, Parameter

Schedule = Callable[[int], float]  # number of steps done so far -> learning rate
Parameters = Mapping[str, Parameter] | Sequence[Parameter]  # with names, or numbered


class Optimizer:
    """Changes parameters by their gradients. A subclass names its `slots` and writes `update`.

    parameters is `network.named_parameters()`, or a list, whose members are then named "0", "1" and so on. States
    are matched by these names. learning_rate is a number, or a schedule such as `linear_decay(...)` that gives it
    for each step. `memory[name][slot]` starts as zeros, on the parameter's device: make the optimiser after
    `Layer.to`. ranks: processes that share each batch; a step then takes the mean of their gradients.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Parameters, learning_rate: float | Schedule, ranks: Ranks | None = None):
        named = isinstance(parameters, Mapping)
        self.parameters = dict(parameters if named else ((str(i), p) for i, p in enumerate(parameters)))
        name = type(self).__name__
        if not self.parameters:
            raise ValueError(f"{name}: parameters is empty")
        if not callable(learning_rate) and not learning_rate > 0:
            raise ValueError(f"{name}: learning_rate must be above 0, got {learning_rate!r}")
        self.learning_rate = learning_rate
        self.steps = 0
        self.memory: dict[str, dict[str, Array]] = {
            key: {slot: array_module(p.value).zeros_like(p.value) for slot in self.slots}
            for key, p in self.parameters.items()
        }
        together = ranks is not None and ranks.size > 1
        self._shared = ranks.gradients(list(self.parameters.values())) if together else None

    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.learning_rate(self.steps) if callable(self.learning_rate) else self.learning_rate)

    def step(self) -> None:
        """Change every parameter once, from the gradients that have been added up."""
        if self._shared is not None:
            self._shared.mean()
        rate = self.rate()
        self.steps += 1
        with blas_on_one_thread():
            for name, parameter in self.parameters.items():
                self.update(parameter, rate, **self.memory[name])

    def update(self, parameter: Parameter, rate: float, **memory: Array) -> None:
        """Change one parameter, and its memory, in place."""
        raise NotImplementedError

    def state(self) -> dict[str, np.ndarray]:
        """The number of steps, and copies of all memories by "name.slot", as NumPy arrays."""
        arrays = {name: backend.to_numpy(array).copy() for name, array in self._arrays().items()}
        return {"steps": np.array(self.steps), **arrays}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError, before anything is changed, where it differs."""
        arrays = self._arrays()
        wanted = {"steps": (), **{name: array.shape for name, array in arrays.items()}}
        came = {name: array.shape for name, array in state.items()}
        if wanted != came:
            different = sorted(
                name for name in wanted.keys() | came.keys() if wanted.get(name) != came.get(name)
            )
            raise ValueError(f"state is of another {type(self).__name__}: {', '.join(different)} differ")
        if state["steps"] < 0:
            raise ValueError(f"state has {state['steps']} steps")
        for name, array in arrays.items():
            array[...] = backend.to_device(state[name], backend.device_of(array))
        self.steps = int(state["steps"])

    def _arrays(self) -> dict[str, Array]:
        return {f"{name}.{slot}": a for name, memory in self.memory.items() for slot, a in memory.items()}


class SGD(Optimizer):
    """v = momentum * v + grad;  value -= rate * v. With nesterov: value -= rate * (grad + momentum * v).

    Momentum: Polyak 1964; Nesterov's form as in Sutskever et al. 2013, section 2, written for the
    look-ahead point.
    """

    slots = ("velocity",)

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        ranks: Ranks | None = None,
    ):
        super().__init__(parameters, learning_rate, ranks)
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum must be in [0, 1), got {momentum!r}")
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, parameter: Parameter, rate: float, velocity: Array) -> None:
        velocity *= self.momentum
        velocity += parameter.grad
        direction = parameter.grad + self.momentum * velocity if self.nesterov else velocity
        parameter.value -= rate * direction


@faster(fast.adam_step)
def adam_step(
    value: Array,
    grad: Array,
    mean: Array,
    square: Array,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Change value, mean and square in place; `rate` and `epsilon` hold the corrections of Adam already."""
    mean *= beta_1
    mean += (1 - beta_1) * grad
    square *= beta_2
    square += (1 - beta_2) * grad * grad
    value -= rate * mean / (array_module(value).sqrt(square) + epsilon)


class Adam(Optimizer):
    """Steps of about `rate`, by running means of the gradient and of its square (Kingma and Ba 2015).

        mean = beta_1 * mean + (1 - beta_1) * grad          square = beta_2 * square + (1 - beta_2) * grad**2
        value -= rate * mean_hat / (sqrt(square_hat) + epsilon)

    where mean_hat = mean / (1 - beta_1**t) and square_hat = square / (1 - beta_2**t) undo the start at zero.
    The defaults are those of DCGAN (Radford et al. 2016, section 4): beta_1 = 0.5 instead of 0.9.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule = 2e-4,
        beta_1: float = 0.5,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        ranks: Ranks | None = None,
    ):
        super().__init__(parameters, learning_rate, ranks)
        if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1):
            raise ValueError(f"Adam: beta_1 and beta_2 must be in [0, 1), got {beta_1!r} and {beta_2!r}")
        if not epsilon > 0:
            raise ValueError(f"Adam: epsilon must be above 0, got {epsilon!r}")
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def update(self, parameter: Parameter, rate: float, mean: Array, square: Array) -> None:
        # Both corrections are one number for all: in rate and epsilon they cost no pass over the array (section 2).
        root_2 = math.sqrt(1 - self.beta_2**self.steps)
        rate = float(rate * root_2 / (1 - self.beta_1**self.steps))
        epsilon = self.epsilon * root_2
        adam_step(parameter.value, parameter.grad, mean, square, rate, self.beta_1, self.beta_2, epsilon)


def step_decay(start: float, factor: float, every: int) -> Schedule:
    """Multiply the rate by `factor` after each `every` steps."""
    if every < 1:
        raise ValueError(f"step_decay: every must be at least 1, got {every!r}")
    return lambda step: start * factor ** (step // every)


def linear_decay(start: float, end: float, steps: int, begin: int = 0) -> Schedule:
    """Keep `start` until step `begin`, then go in a straight line to `end` at step `steps` and stay there."""
    if steps <= begin:
        raise ValueError(f"linear_decay: steps must be above begin = {begin}, got {steps!r}")
    return lambda step: start + (end - start) * _progress(step, begin, steps)


def cosine_decay(start: float, end: float, steps: int) -> Schedule:
    """Go from `start` to `end` along half a cosine in `steps` steps (Loshchilov and Hutter 2017, section 3)."""
    if steps < 1:
        raise ValueError(f"cosine_decay: steps must be at least 1, got {steps!r}")
    return lambda step: end + (start - end) * (1 + math.cos(math.pi * _progress(step, 0, steps))) / 2


def _progress(step: int, begin: int, end: int) -> float:
    return min(1.0, max(0.0, (step - begin) / (end - begin)))


class MovingAverage:
    """A copy of a network whose state follows the network's slowly: `average.layer`.

    `update`, after each training step, moves every number a part of the way to the network's: 1 - decay of it, and
    9 / (10 + steps) while that is more. So it averages over the last 1 / (1 - decay) steps or so. A generator circles
    around the place where the game would settle; the average is nearer to that place (Yazıcı et al. 2019).
    """

    def __init__(self, layer: Layer, decay: float = 0.998):
        if not 0 <= decay < 1:
            raise ValueError(f"MovingAverage: decay must be in [0, 1), got {decay!r}")
        self.source, self.layer, self.decay = layer, copy.deepcopy(layer), decay
        self.steps = 0

    def update(self) -> None:
        """Move the average toward the network's present state, array by array of one name.

        Raises ValueError, before anything is changed, where the network has other arrays than it had.
        """
        averages, now = self.layer.arrays(), self.source.arrays()
        if averages.keys() != now.keys():
            different = ", ".join(sorted(averages.keys() ^ now.keys()))
            raise ValueError(
                f"MovingAverage: the network has changed since: {different} are in one of the two only"
            )
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, average in averages.items():
            average += (1 - decay) * (now[name] - average)

    def state(self) -> dict[str, np.ndarray]:
        """The number of steps and a copy of the averaged network's state, as NumPy arrays."""
        network = {f"layer.{name}": array for name, array in self.layer.state().items()}
        return {"steps": np.array(self.steps), **network}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned. Raises ValueError, before anything is changed, where it differs."""
        if state["steps"] < 0:
            raise ValueError(f"state has {state['steps']} steps")
        self.layer.load_state(
            {name.removeprefix("layer."): array for name, array in state.items() if name != "steps"}
        )
        self.steps = int(state["steps"])
