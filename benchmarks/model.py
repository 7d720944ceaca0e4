"""GPU speed on paper: what one training step asks of a GPU, kernel by kernel. A calculation, not a measurement.

The step runs once on the strict double of CuPy (tests/strict_cupy.py), which notes every kernel that CuPy would
launch, with the arrays it reads and writes. From their shapes:

    FLOPs     2mnk of a product of (m, k) and (k, n); one a value of an elementwise result or of a sum's input
    bytes     of every array read and every array written, as if nothing stayed in cache from one kernel to the next
    ordering  each call costs the host `call_us`, whatever the size: Python, CuPy's dispatch and the launch itself

A kernel takes max(bytes / bandwidth, FLOPs / peak) on the card, and is *bound* by the larger, or by ordering where
that takes longer than both. Host and card work side by side: a kernel starts when it has been ordered and the one
before it is done.

Merging. Within one call of a function (BatchNormalization.forward, patches, Adam.update...) a merged kernel reads
what comes from outside once, keeps intermediate values in registers, and writes only what is used later. A sum has to
end before its result is used, so each costs a kernel and a pass of its own. Matrix products stay as they are.

What it leaves out: cache, which makes small kernels faster; the real speed of products, which is below the peak,
more so for small ones; kernels that cannot use the whole card; cuBLAS's workspace; memory allocation.
"""

import argparse
import inspect
import itertools
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from timing import markdown

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import strict_cupy  # noqa: E402

CALL_US = 8.0  # an assumption; the benchmark's smallest layers show what it is on a given host


class Card(NamedTuple):
    """Bytes/s of memory and FLOP/s in float32 without tensor cores, as the maker states them."""

    bandwidth: float
    peak: float


CARDS = {
    "T4": Card(320e9, 8.1e12),
    "RTX 3060": Card(360e9, 12.7e12),
    "A100 40GB": Card(1555e9, 19.5e12),
    "H100 SXM": Card(3350e9, 66.9e12),
}

REDUCTIONS = "sum mean max min any all argmax argmin var std".split()
FILLS = "zeros ones full zeros_like ones_like".split()
NOTHING = ["empty"]  # memory is taken, no kernel runs


class Kernel(NamedTuple):
    """One launch: what for, its kind, FLOPs, and bytes by array (each array has a number)."""

    function: str  # the function of npgan that asked for it
    call: int  # the number of that call
    kind: str  # product, sum, elementwise, copy, fill
    flops: int
    reads: dict[int, int]
    writes: dict[int, int]

    @property
    def moved(self) -> int:
        return sum(self.reads.values()) + sum(self.writes.values())


class Recorder:
    """Turns what the double notes into kernels."""

    def __init__(self):
        self.kernels: list[Kernel] = []
        self._numbers: dict[int, int] = {}  # id of the memory's owner -> number of the array
        self._next = itertools.count()
        self._call, self._frame = 0, None

    def note(self, name: str, inputs: list, result, in_place: bool) -> None:
        """Called by the double for each function, method, operator and assignment on the device."""
        arrays = [value for value in inputs if isinstance(value, np.ndarray)]
        if name == "fill":
            arrays, result = [], arrays[0]
        elif name in NOTHING:
            return
        out = np.asarray(result)
        if name == "assign" and arrays and _same_place(arrays[0], out):
            return  # `a[i] += b` assigns a view to itself; CuPy skips that
        if not in_place and any(np.may_share_memory(out, array) for array in arrays) and name != "fill":
            return  # a view
        kind, flops = "elementwise", out.size
        if name in ("matmul", "dot"):
            kind, flops = "product", 2 * arrays[0].size * arrays[1].shape[-1]
        elif name in REDUCTIONS:
            kind, flops = "sum", arrays[0].size
        elif name in FILLS or name == "fill" or (name == "assign" and not arrays):
            kind, flops, arrays = "fill", 0, []
        elif name in ("assign", "astype", "copy", "reshape", "ravel"):
            kind, flops = "copy", 0
        function = self._asked_by()
        reads = {}
        for array in arrays:
            number = self._number(array)
            reads[number] = max(reads.get(number, 0), array.nbytes)
        self.kernels.append(Kernel(function, self._call, kind, flops, reads, {self._number(out): out.nbytes}))

    def _number(self, array: np.ndarray) -> int:
        """A number for the memory behind an array; all views of it have the same."""
        while isinstance(array.base, np.ndarray):
            array = array.base
        if id(array) not in self._numbers:
            self._numbers[id(array)] = next(self._next)
            weakref.finalize(array, self._numbers.pop, id(array))
        return self._numbers[id(array)]

    def _asked_by(self) -> str:
        """The innermost public function of npgan or of a game that runs, nested ones aside; counts its calls."""
        frame = sys._getframe(1)
        while frame and not _public(frame.f_code):
            frame = frame.f_back
        if frame is None:
            return "elsewhere"
        if frame is not self._frame:  # the frame is kept: no later call can be taken for this one
            self._call, self._frame = self._call + 1, frame
        owner = frame.f_locals.get("self")
        return frame.f_code.co_name if owner is None else f"{type(owner).__name__}.{frame.f_code.co_name}"


def _public(code: types.CodeType) -> bool:
    """Of npgan or of a game, neither private nor nested."""
    path = Path(code.co_filename)
    inner = code.co_flags & inspect.CO_NESTED or code.co_name[0] in "_<"
    ours = path.is_relative_to(ROOT / "npgan") or path.name in ("games.py", "networks.py")
    return ours and not inner


def _same_place(a: np.ndarray, b: np.ndarray) -> bool:
    return (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides)


def record(act: Callable[[], object]) -> list[Kernel]:
    """The kernels that `act` launches. It runs where `import cupy` gives the double."""
    recorder = Recorder()
    with strict_cupy.noted(recorder.note):
        act()
    return recorder.kernels


def record_step(make_game, batch: int, on_device) -> tuple[list[Kernel], int]:
    """The kernels of a step of the game, and the bytes of its batch that go up for it."""
    with strict_cupy.as_cupy():
        rng = np.random.default_rng(0)
        play = on_device(make_game(rng), batch, "cupy", rng)
        strict_cupy.counters.reset()
        play.upload()
        uploaded = strict_cupy.counters.upload_bytes
        kernels = record(play.step)
        assert strict_cupy.counters.uploads == len(play.batch) and strict_cupy.counters.synchronisations == 0
    return kernels, uploaded


# What it costs -------------------------------------------------------------------------------------------------


def seconds_of(kernel: Kernel, card: Card) -> float:
    """On the card, once it runs."""
    return max(kernel.moved / card.bandwidth, kernel.flops / card.peak)


def bound_of(kernel: Kernel, card: Card, call_us: float) -> str:
    """What decides: "ordering", "memory" or "arithmetic"."""
    costs = {
        "ordering": call_us * 1e-6,
        "memory": kernel.moved / card.bandwidth,
        "arithmetic": kernel.flops / card.peak,
    }
    return max(costs, key=costs.get)


def step_seconds(kernels: list[Kernel], card: Card, call_us: float) -> float:
    """Of all kernels, ordered one after the other while the card works."""
    ordered = done = 0.0
    for kernel in kernels:
        ordered += call_us * 1e-6
        done = max(done, ordered) + seconds_of(kernel, card)
    return done


def merged(kernels: list[Kernel]) -> list[Kernel]:
    """The same step with every call's elementwise kernels, copies, fills and sums merged as far as they go."""
    last_read: dict[int, int] = {}  # array -> place of the kernel that reads it last; and so for writing
    last_written: dict[int, int] = {}
    for place, kernel in enumerate(kernels):
        last_read |= dict.fromkeys(kernel.reads, place)
        last_written |= dict.fromkeys(kernel.writes, place)

    def only_inside(number: int, call: int) -> bool:
        """Whether an array is read after it was written, and for the last time in this call."""
        place = last_read.get(number, -1)
        return place > last_written[number] and kernels[place].call == call

    found: list[Kernel] = []
    for call, group in itertools.groupby(kernels, key=lambda kernel: kernel.call):
        group = list(group)
        rest = [kernel for kernel in group if kernel.kind != "product"]
        found += [kernel for kernel in group if kernel.kind == "product"]
        if not rest:
            continue
        inside: set[int] = set()
        reads: dict[int, int] = {}
        writes: dict[int, int] = {}
        for kernel in rest:
            for number, size in kernel.reads.items():
                if number not in inside:
                    reads[number] = max(reads.get(number, 0), size)
            for number, size in kernel.writes.items():
                writes[number] = max(writes.get(number, 0), size)
                inside.add(number)
        writes = {n: size for n, size in writes.items() if n in reads or not only_inside(n, call)}
        sums = sum(kernel.kind == "sum" for kernel in rest)
        passes = sums + (rest[-1].kind != "sum")
        flops = sum(kernel.flops for kernel in rest) // passes
        for index in range(passes):
            last = index == passes - 1
            found.append(Kernel(rest[0].function, call, "merged", flops, reads, writes if last else {}))
    return found


# Tables --------------------------------------------------------------------------------------------------------


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of --model."""
    group = parser.add_argument_group("with --model")
    group.add_argument("--card", choices=list(CARDS), default="RTX 3060", help="for the table of functions")
    group.add_argument("--bandwidth", type=float, help="GB/s, instead of the card's")
    group.add_argument("--tflops", type=float, help="TFLOP/s in float32, instead of the card's")
    group.add_argument("--call-us", type=float, default=CALL_US, help="microseconds to order a kernel")


def report(workloads: dict[str, Callable], batch: int, on_device, args: argparse.Namespace) -> None:
    """Print what each workload's step asks of each card, and for one workload where merging pays."""
    print(
        "MODEL, not a measurement: calculated from shapes and stated card speeds; see benchmarks/model.py\n"
        f"batch {batch}, float32, {args.call_us:g} us to order a kernel; "
        "merged: every function's small kernels as one\n"
    )
    headings = ["network", "launches", "GFLOP", "MB", "MB up", *(f"{name} ms" for name in CARDS)]
    headings += ["merged launches", "MB", *(f"{name} ms" for name in CARDS)]
    rows, recorded = [], {}
    for name, make_game in workloads.items():
        kernels, uploaded = record_step(make_game, batch, on_device)
        recorded[name] = kernels
        row = [name]
        for version in (kernels, merged(kernels)):
            row += [str(len(version))]
            row += [f"{sum(k.flops for k in version) / 1e9:.3g}"] if version is kernels else []
            row += [f"{sum(k.moved for k in version) / 1e6:.4g}"]
            row += [f"{uploaded / 1e6:.2g}"] if version is kernels else []
            row += [f"{1e3 * step_seconds(version, card, args.call_us):.3g}" for card in CARDS.values()]
        rows.append(row)
    print(markdown(headings, rows))

    card = CARDS[args.card]
    card = Card(
        args.bandwidth * 1e9 if args.bandwidth else card.bandwidth,
        args.tflops * 1e12 if args.tflops else card.peak,
    )
    name, kernels = next(iter(recorded.items()))
    print(
        f"\n{name}, at {card.bandwidth / 1e9:g} GB/s and {card.peak / 1e12:g} TFLOP/s (MODEL); "
        "ms add up to more than the step, in which ordering and work overlap\n"
    )
    print(function_table(kernels, card, args.call_us))


def function_table(kernels: list[Kernel], card: Card, call_us: float) -> str:
    """One row a function of npgan: its kernels, what bounds most of their time, and what merging would save."""

    def cost(group):
        return sum(max(call_us * 1e-6, seconds_of(kernel, card)) for kernel in group)

    fewer = merged(kernels)
    rows = []
    for function in {kernel.function for kernel in kernels}:
        now = [kernel for kernel in kernels if kernel.function == function]
        then = [kernel for kernel in fewer if kernel.function == function]
        shares: dict[str, float] = {}
        for kernel in now:
            bound = bound_of(kernel, card, call_us)
            shares[bound] = shares.get(bound, 0.0) + cost([kernel])
        bound = max(shares, key=shares.get)
        rows.append(
            (
                cost(now) - cost(then),
                [function, len({k.call for k in now}), len(now), f"{sum(k.moved for k in now) / 1e6:.3g}"]
                + [f"{sum(k.flops for k in now) / 1e9:.3g}", f"{1e3 * cost(now):.3g}"]
                + [f"{bound} {shares[bound] / cost(now):.0%}", len(then)]
                + [f"{sum(k.moved for k in then) / 1e6:.3g}", f"{1e3 * cost(then):.3g}"]
                + [f"{1e3 * (cost(now) - cost(then)):.3g}"],
            )
        )
    rows = [row for row in rows if row[0] > 0.005 * cost(kernels) or float(row[1][5]) > 10 * cost(kernels)]
    rows.sort(key=lambda row: (-row[0], row[1][0]))  # functions below 1% of the time are left out
    headings = [
        "function",
        "calls",
        "launches",
        "MB",
        "GFLOP",
        "ms",
        "bound by",
        "merged",
        "MB",
        "ms",
        "saves ms",
    ]
    return markdown(headings, [row for _, row in rows])
