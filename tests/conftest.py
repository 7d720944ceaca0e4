"""Hypothesis profiles (`ci` where the environment says CI, `dev` elsewhere), --device, and shared fixtures."""

import os
import signal

import numpy as np
import pytest
import strict_cupy
import threadpoolctl
from hypothesis import settings

from npgan.backend import REMEDY, gpu_status

settings.register_profile("dev", deadline=None, max_examples=50, print_blob=True)
settings.register_profile("ci", deadline=None, max_examples=250, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Thousands of small products: BLAS's own threads gain nothing on them, and on a busy machine wait for each other.
threadpoolctl.threadpool_limits(1, user_api="blas")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=("double", "cupy"),
        default="double",
        help="where the tests of the CuPy path run: on the strict double of CuPy (default), or on a real GPU",
    )


def pytest_configure(config):
    if config.getoption("device") == "cupy" and not (status := gpu_status()).usable:
        raise pytest.UsageError(f"--device cupy: {status.line}; {REMEDY.partition(', or')[0]}")


def pytest_report_header(config):
    real = config.getoption("device") == "cupy"
    return f"CuPy path: {'on the real device' if real else 'on the strict double'}; {gpu_status().line}"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20140610)


@pytest.fixture
def cupy(request, monkeypatch):
    """CuPy: the strict double of it, or with --device cupy the real package, where nothing is counted."""
    if request.config.getoption("device") == "cupy":
        import cupy

        return cupy
    return strict_cupy.install(monkeypatch)


@pytest.fixture
def leeway(request) -> float:
    """What tolerances are multiplied by: a GPU sums in another order than NumPy, the double does not."""
    return 50.0 if request.config.getoption("device") == "cupy" else 1.0
