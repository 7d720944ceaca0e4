"""Which kernels NumPy multiplies matrices with: they must be chosen before NumPy is imported."""

import os
import sys

VARIABLE = "OPENBLAS_CORETYPE"  # OpenBLAS reads it while it is loaded, with NumPy
WANTED = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def choose_kernels() -> None:
    """Import NumPy, with OpenBLAS's AVX-512 kernels on those processors of AMD's that have AVX-512.

    OpenBLAS knows Intel's, but took a Zen 5 for a processor with AVX2 alone (0.3.31): its products ran at half speed.
    Nothing is changed where the variable is set already, where NumPy was imported before, and elsewhere.
    """
    ours = "numpy" not in sys.modules and VARIABLE not in os.environ and has_avx512_of_amd()
    if ours:
        os.environ[VARIABLE] = "SkylakeX"
    try:
        import numpy  # noqa: F401
    finally:
        if ours:
            del os.environ[VARIABLE]


def has_avx512_of_amd(path: str = "/proc/cpuinfo") -> bool:
    """Whether Linux describes the first processor as one of AMD's with all of AVX-512 that is wanted."""
    try:
        with open(path) as file:
            text = file.read(8192)
    except OSError:  # not Linux
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return "AuthenticAMD" in text and set(flags.split()) >= WANTED
