"""Whether a GPU can be used, found out by processes that really lack something.

CuPy absent: an environment of links that holds NumPy and npgan alone. Present without a device: the real package,
where it is installed. Present with a broken NumPy: the real package beside a NumPy that lacks what its compiled
parts ask for first.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npgan
from npgan.backend import gpu_status

SAY = """
import json
from npgan.backend import DeviceError, choose_device, gpu_status
try:
    refusal = choose_device("cupy")[1]
except DeviceError as error:
    refusal = str(error)
print(json.dumps([gpu_status().usable, gpu_status().line, choose_device("auto"), refusal]))
"""

wheel = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is None, reason="runs the real CuPy package, which is not installed"
)
no_device = pytest.mark.skipif(gpu_status().usable, reason="there is a GPU: its absence cannot be shown")


def environment(folder: Path, *packages: str) -> str:
    """A folder for PYTHONPATH with links to these packages of the present environment, and to no others."""
    folder.mkdir()
    places = [Path(npgan.__file__).parents[1], Path(np.__file__).parents[1]]
    for package in ("npgan", *packages):
        found = next((place / package for place in places if (place / package).exists()), None)
        if found is not None:  # such as numpy.libs, which not every build of NumPy has
            (folder / package).symlink_to(found)
    return str(folder)


def ask(path: str, *flags: str, before: str = "") -> tuple[bool, str, list[str], str]:
    """What a fresh process says of the GPU, with this PYTHONPATH."""
    command = [sys.executable, *flags, "-c", before + SAY]
    variables = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=Path(path).parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_refused(answer, reason):
    usable, line, auto, refusal = answer
    assert not usable and line.startswith(f"no GPU: {reason}") and "\n" not in line
    assert auto == ["numpy", f"device: NumPy {auto[1].split()[2]} ({line})"]
    assert refusal.startswith(line) and "pip install 'npgan[cuda13]'" in refusal


def test_cupy_is_absent(tmp_path):
    path = environment(tmp_path / "site", "numpy", "numpy.libs")
    assert_refused(ask(path, "-S"), "CuPy is not installed")


@wheel
@no_device
def test_cupy_is_present_without_a_device():
    path = str(Path(npgan.__file__).parents[1])
    assert_refused(ask(path), "CuPy 14")


@wheel
def test_cupy_is_present_beside_a_broken_numpy():
    path = str(Path(npgan.__file__).parents[1])
    broken = "import numpy._core._multiarray_umath as core\ndel core._ARRAY_API\n"
    answer = ask(path, before=broken)
    assert_refused(answer, "CuPy cannot be imported (")
    assert "===" not in answer[1] and "numpy" in answer[1]
