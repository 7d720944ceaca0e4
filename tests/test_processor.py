"""The choice of NumPy's kernels: only where it helps, and nothing of it stays behind."""

import os
import subprocess
import sys

from npgan import processor

import pytest

FLAGS = "fpu avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16"


def cpuinfo(folder, vendor="AuthenticAMD", flags=FLAGS):
    path = folder / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: a\nflags\t\t: {flags}\nbugs\t\t:\n"
    )
    return path


def test_a_processor_of_amd_with_avx512_is_known(tmp_path):
    assert processor.has_avx512_of_amd(cpuinfo(tmp_path))


@pytest.mark.parametrize("missing", sorted(processor.WANTED))
def test_every_part_of_avx512_is_wanted(tmp_path, missing):
    assert not processor.has_avx512_of_amd(cpuinfo(tmp_path, flags=FLAGS.replace(missing, "")))


def test_other_makers_and_other_systems_are_left_alone(tmp_path):
    assert not processor.has_avx512_of_amd(cpuinfo(tmp_path, vendor="GenuineIntel"))
    assert not processor.has_avx512_of_amd(tmp_path / "absent")
    (tmp_path / "empty").write_text("")
    assert not processor.has_avx512_of_amd(tmp_path / "empty")


def fresh(code, **environment):
    """What a new process prints."""
    clean = {name: value for name, value in os.environ.items() if name != processor.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


SEEN = f"import os, sys; print('numpy' in sys.modules, os.environ.get('{processor.VARIABLE}'))"


def test_numpy_is_there_and_the_variable_is_gone():
    assert fresh("import npgan;" + SEEN) == "True None"


def test_a_choice_of_the_users_own_stays():
    assert fresh("import npgan;" + SEEN, **{processor.VARIABLE: "Haswell"}) == "True Haswell"


def test_nothing_is_chosen_once_numpy_is_there(monkeypatch):
    monkeypatch.delenv(processor.VARIABLE, raising=False)
    monkeypatch.setattr(processor, "has_avx512_of_amd", lambda: pytest.fail("asked for nothing"))
    processor.choose_kernels()
    assert processor.VARIABLE not in os.environ


def test_the_variable_is_set_while_numpy_is_imported_and_only_then(monkeypatch):
    seen = {}

    class Importer:
        def find_spec(self, name, path=None, target=None):
            if name == "numpy":
                seen["while"] = os.environ.get(processor.VARIABLE)
                raise ImportError("seen")

    monkeypatch.delenv(processor.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr(sys, "meta_path", [Importer(), *sys.meta_path])
    monkeypatch.setattr(processor, "has_avx512_of_amd", lambda: True)
    with pytest.raises(ImportError, match="seen"):
        processor.choose_kernels()
    assert seen == {"while": "SkylakeX"} and processor.VARIABLE not in os.environ
