"""Peak memory, from Linux's own books: the largest resident set of a process that does one thing only."""

import subprocess
import sys
from pathlib import Path


def peak_memory(statement: str) -> float:
    """The largest resident set, in MB, of a fresh Python that runs `statement` in this folder."""
    code = f"{statement}\nimport memory\nprint(memory.peak_so_far())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def peak_so_far() -> float:
    """The same, in MB, of the process that asks. (getrusage would count its parent's peak too.)"""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
