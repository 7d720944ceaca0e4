"""Parity: a computation on the device gives NumPy's numbers, in float32, and nothing crosses unasked.

`layer_problems` runs a layer on both and returns what is wrong, in words; an empty list is a pass. The checks
are tested with planted mistakes in test_planted_device_bugs.py. On a real GPU (pytest --device cupy) the numbers,
dtypes and devices are compared; traffic is counted on the strict double alone.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import strict_cupy

from npgan.backend import Array, device_of, to_device, to_numpy
from npgan.layers import Layer

DEVICES = ("numpy", "cupy")


@contextlib.contextmanager
def watched(problems: list[str], what: str, **allowed: int):
    """Note what the block raises, and what crosses between host and device in it beyond `allowed`."""
    strict_cupy.counters.reset()
    try:
        with strict_cupy.forbid_float64():
            yield
    except Exception as error:  # whatever it is, it is the problem
        problems.append(f"{what}: {type(error).__name__}: {error}")
        return
    for name in ("uploads", "downloads", "synchronisations"):
        if (count := getattr(strict_cupy.counters, name)) > allowed.get(name, 0):
            problems.append(f"{what}: {count} {name}, wanted {allowed.get(name, 0)}")


def layer_problems(
    build: Callable[[], tuple[np.random.Generator, Layer, np.ndarray]],
    *,
    train: bool = True,
    leeway: float = 1.0,
    alter: Callable[[Layer], None] = lambda layer: None,
) -> list[str]:
    """What is wrong with a layer on the device. `build` makes it anew: (rng, layer, input); `alter` changes it."""
    problems: list[str] = []
    found = {}
    for device in DEVICES:
        rng, layer, x = build()
        alter(layer.to(device))
        found[device] = results = {}
        x = to_device(x, device)
        with watched(problems, f"{device}, forward"):
            results["y"] = layer.forward(x, train=train)
        if "y" not in results:
            return problems
        dy = to_device(rng.standard_normal(results["y"].shape).astype(np.float32), device)
        if train:
            with watched(problems, f"{device}, backward"):
                results["dx"] = layer.backward(dy)
        results |= {f"grad of {name}": p.grad for name, p in layer.named_parameters().items()}
        results |= layer.arrays()
    return problems + differences(found["numpy"], found["cupy"], leeway=leeway)


def differences(
    host: dict[str, Array], device: dict[str, Array], *, rtol=1e-4, atol=1e-5, leeway=1.0
) -> list[str]:
    """Which arrays of a device run lie elsewhere, are not float32, or hold other numbers than NumPy's."""
    problems = [f"{name} is missing on one side" for name in host.keys() ^ device.keys()]
    for name in host.keys() & device.keys():
        ours, theirs = host[name], device[name]
        if device_of(theirs) != "cupy":
            problems.append(f"{name} is not on the device")
        if theirs.dtype != np.float32 or ours.dtype != np.float32:
            problems.append(f"{name} is {theirs.dtype} on the device, {ours.dtype} on NumPy")
        theirs = to_numpy(theirs)
        if theirs.shape != ours.shape:
            problems.append(f"{name} has shape {theirs.shape}, NumPy's has {ours.shape}")
        elif not np.allclose(theirs, ours, rtol=rtol * leeway, atol=atol * leeway):
            problems.append(f"{name} differs from NumPy's by up to {np.abs(theirs - ours).max():.2g}")
    return sorted(problems)
