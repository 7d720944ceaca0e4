"""Honest timing, and tables of it: warm-up, waiting for the GPU, median and spread, the machine's own GEMM speed."""

import csv
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from sysconfig import get_config_var
from typing import NamedTuple

import numpy as np

from npgan.backend import Status, gpu_status, synchronize, to_device
from npgan.layers.dense import matmul

GEMM_SIZE = {"numpy": 1024, "cupy": 4096}  # of the square matrices: large enough to reach full speed


class Timing(NamedTuple):
    """Seconds: the median, and what 10% and 90% of the repeats stayed below."""

    median: float
    low: float
    high: float
    repeats: int


def measure(
    function: Callable[[], object],
    device: str,
    *,
    seconds: float = 0.5,
    least: int = 5,
    before: Callable[[], object] = lambda: None,
) -> Timing:
    """Time calls of `function` until `seconds` have passed, `least` of them at least.

    `before` runs untimed ahead of each. The first call is a warm-up: it compiles kernels and fills the memory
    pool. A GPU call returns when the work is ordered, so the clock starts and stops after waiting for it.
    """
    times = []
    end = None
    while end is None or len(times) < least or time.perf_counter() < end:
        before()
        synchronize(device)
        start = time.perf_counter()
        function()
        synchronize(device)
        if end is None:
            end = time.perf_counter() + seconds
        else:
            times.append(time.perf_counter() - start)
    low, median, high = np.percentile(times, (10, 50, 90))
    return Timing(float(median), float(low), float(high), len(times))


def gemm_speed(device: str, seconds: float = 0.5) -> float:
    """FLOP/s of one product of two square float32 matrices: what the machine can do at best.

    The faster of the library's own threads and npgan's (npgan/fast/parallel.py).
    """
    n = GEMM_SIZE[device]
    a = to_device(np.random.default_rng(0).standard_normal((n, n), dtype=np.float32), device)
    times = [
        measure(product, device, seconds=seconds / 2) for product in (lambda: a @ a, lambda: matmul(a, a))
    ]
    return 2 * n**3 / min(timing.low for timing in times)


def best(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The larger of two measurements by device: other programs can only slow a product down."""
    return {device: max(speed, after[device]) for device, speed in before.items()}


def gemm_line(gemm: dict[str, float]) -> str:
    """Say what the shares of GEMM refer to."""
    return "GEMM: " + ", ".join(f"{device} {speed / 1e9:.0f} GFLOP/s" for device, speed in gemm.items())


def devices(wanted: str) -> tuple[list[str], Status]:
    """The devices to time ("auto": CuPy where there is a GPU), and what there is to say about the GPU."""
    status = gpu_status()
    if wanted == "numpy":
        return ["numpy"], Status(False, "not asked for")
    return ["numpy", "cupy"] if status.usable else ["numpy"], status


def machine(status: Status) -> str:
    """One line: what was timed."""
    build = " free-threaded" if get_config_var("Py_GIL_DISABLED") else ""
    return (
        f"{_processor()}, {platform.system()}, Python {platform.python_version()}{build}, "
        f"NumPy {np.__version__}{_blas()}; {status.line}"
    )


def _blas() -> str:
    """What multiplies NumPy's matrices, and for which kind of processor, as far as threadpoolctl can tell.

    It decides more than all else: OpenBLAS's kernels with AVX-512 (SkylakeX) are twice as fast as those without
    (Haswell). The environment variable OPENBLAS_CORETYPE chooses others than its own choice.
    """
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return "".join(f", {info['internal_api']} {info.get('architecture', '')}".rstrip() for info in blas)


def _processor() -> str:
    import os

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} cores)"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are set flush right."""
    lines = [list(headings), ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write_csv(path: Path, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The same table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([headings, *rows])


def milliseconds(timing: Timing) -> str:
    """ "12.3 (11.8..14.0)": the median and the spread."""
    return f"{1e3 * timing.median:.3g} ({1e3 * timing.low:.3g}..{1e3 * timing.high:.3g})"
