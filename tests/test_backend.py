"""The choice of array library on a machine that has NumPy alone."""

import re
import sys

import numpy as np
import pytest

from npgan import backend
from npgan.backend import (
    DeviceError,
    array_module,
    choose_device,
    describe,
    device_of,
    gpu_status,
    synchronize,
    to_device,
    to_numpy,
)

HOST = np.ones((2, 3), np.float32)


@pytest.fixture
def no_cupy(monkeypatch):
    """CuPy is not installed: importing it raises ModuleNotFoundError."""
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.fixture
def broken_cupy(monkeypatch, tmp_path):
    """CuPy is installed and cannot be imported; returns a function that says with which line of code."""

    def break_with(line):
        (tmp_path / "cupy.py").write_text(line + "\n")
        monkeypatch.delitem(sys.modules, "cupy", raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    yield break_with
    sys.modules.pop("cupy", None)


def test_module_and_device_of_numpy_arrays_are_numpy(no_cupy):
    assert array_module(HOST) is np
    assert array_module(HOST, HOST.astype("int64"), np.float32(1)) is np
    assert device_of(HOST) == "numpy"


@pytest.mark.parametrize("thing", [[1.0], 1.0, None, "array"], ids=["list", "float", "None", "str"])
def test_what_is_no_array_is_refused_by_its_type(no_cupy, thing):
    wanted = f"^wanted a NumPy or a CuPy array, got {type(thing).__name__}$"
    for call in (array_module, device_of, describe, to_numpy, lambda thing: array_module(HOST, thing)):
        with pytest.raises(TypeError, match=wanted):
            call(thing)


def test_array_module_of_nothing_is_an_error():
    with pytest.raises(TypeError, match="array_module needs at least one array"):
        array_module()


def test_describe_says_library_shape_and_dtype():
    assert describe(HOST) == "a NumPy array of shape (2, 3), float32"


def test_numpy_to_numpy_is_the_array_itself(no_cupy):
    assert to_numpy(HOST) is HOST
    assert to_device(HOST, "numpy") is HOST


def test_unknown_device_is_refused_by_name():
    with pytest.raises(ValueError, match=re.escape("device must be one of ('numpy', 'cupy'), got 'gpu'")):
        to_device(HOST, "gpu")


def test_synchronize_has_nothing_to_do_on_numpy(no_cupy):
    assert synchronize("numpy") is None


# choose_device -------------------------------------------------------------------------------------------


def test_numpy_is_chosen_by_name_without_a_look_at_cupy(monkeypatch):
    monkeypatch.setattr(backend, "gpu_status", lambda: pytest.fail("looked for a GPU"))
    assert choose_device("numpy") == ("numpy", f"device: NumPy {np.__version__}")


def test_auto_without_cupy_is_numpy_and_says_why(no_cupy):
    assert gpu_status() == (False, "no GPU: CuPy is not installed")
    line = f"device: NumPy {np.__version__} (no GPU: CuPy is not installed)"
    assert choose_device("auto") == choose_device() == ("numpy", line)


def test_cupy_by_name_without_cupy_is_an_error_with_its_remedy(no_cupy):
    with pytest.raises(DeviceError) as raised:
        choose_device("cupy")
    assert str(raised.value) == (
        "no GPU: CuPy is not installed; install CuPy for the driver's CUDA version, with "
        "pip install 'npgan[cuda13]' or 'npgan[cuda12]', or use --device numpy"
    )
    assert isinstance(raised.value, RuntimeError)


@pytest.mark.parametrize("word", ["gpu", "cuda", "", "NumPy"])
def test_unknown_choice_is_refused_by_name(word):
    with pytest.raises(ValueError, match=re.escape(f"device must be numpy, cupy or auto, got {word!r}")):
        choose_device(word)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise ImportError('numpy 1.26 is too old' + chr(10) + 'more')", "numpy 1.26 is too old"),
        ("raise RuntimeError('driver and library differ')", "driver and library differ"),
        ("raise OSError", "OSError"),
        ("import a_module_that_is_missing", "No module named 'a_module_that_is_missing'"),
        ("import cupy_backends_missing", "No module named 'cupy_backends_missing'"),
    ],
    ids=["ImportError", "RuntimeError", "without-text", "missing-part", "missing-part-of-cupy"],
)
def test_cupy_that_cannot_be_imported_is_reported_in_one_line(broken_cupy, line, reason):
    broken_cupy(line)
    status = gpu_status()
    assert status == (False, f"no GPU: CuPy cannot be imported ({reason})")
    assert choose_device("auto") == ("numpy", f"device: NumPy {np.__version__} ({status.line})")
    with pytest.raises(DeviceError, match=re.escape(status.line)):
        choose_device("cupy")
    assert array_module(HOST) is np  # NumPy goes on working
