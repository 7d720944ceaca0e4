"""Checkpoints that were made to do harm: each ends in one clear line, in little memory and at once.

Run as a program (`python tests/test_fuzz_checkpoints.py FILE`) this reads one and prints the memory that it took: in
a process of its own, so that the peak is that of the reader.
"""

import io
import json
import os
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from npgan import checkpoint
from npgan.data import DataError
from npgan.layers import Dense

ROOT = Path(__file__).parents[1]
MIB = 2**20


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def header(**settings) -> bytes:
    said = {
        "format": checkpoint.FORMAT,
        "version": checkpoint.VERSION,
        "step": 3,
        "settings": settings,
        "random": {},
    }
    return npy(np.array(json.dumps(said)))


def archive_of(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def nested(count: int, nbytes: int) -> bytes:
    """A checkpoint with `count` columns, each of which has the next in its array, with header, list entry and all."""
    inner, entries = bytes(nbytes), []
    for number in reversed(range(count)):
        name = f"history/{number:03d}.npy".encode()
        member = io.BytesIO()
        claim = {"shape": (len(inner) // 8,), "fortran_order": False, "descr": "<f8"}
        np.lib.format.write_array_header_1_0(member, claim)
        content = member.getvalue() + inner
        said = (zlib.crc32(content), len(content), len(content), len(name))
        extra = -(30 + len(name) + len(content)) % 8
        inner = (
            struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, *said, extra) + name + bytes(extra) + content
        )
        entries.append((len(inner), name, said))
    whole = archive_of([("header", header())])
    start = whole.index(b"PK\1\2")
    listed = whole[start : whole.index(b"PK\5\6")]
    for length, name, said in entries:
        place = start + len(inner) - length
        listed += (
            struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *said, 0, 0, 0, 0, 0, place) + name
        )
    closing = (count + 1, count + 1, len(listed), start + len(inner), 0)
    return whole[:start] + inner + listed + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *closing)


def many_empty(count: int) -> bytes:
    """A list of `count` members, in 46 bytes each, of which none exists."""
    one = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    closing = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 2**16, count % 2**16, len(one) * count, 0, 0)
    return one * count + closing


def with_comment(content: bytes) -> bytes:
    """Its real end hidden in the comment of another."""
    return content + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 5) + b"never"


def attacks():
    """(kind, content, whether it may be read)."""
    yield "150 nested members", nested(150, 4 * MIB), False
    yield "one member", nested(1, 80_000), True
    yield "2 million empty members", many_empty(2_000_000), False
    yield "60 thousand empty members", many_empty(60_000), False
    yield "an end behind the end", with_comment(many_empty(2_000_000)), False
    members = [("header", header())]
    yield (
        "4,000 columns",
        archive_of(members + [(f"history/{n}", npy(np.zeros(1))) for n in range(4000)]),
        True,
    )
    yield (
        "20,000 columns",
        archive_of(members + [(f"history/{n}", npy(np.zeros(1))) for n in range(20_000)]),
        False,
    )
    yield "one long column", archive_of([*members, ("history/loss", npy(np.zeros(4 * MIB)))]), True
    yield "no rows", archive_of([*members, ("history/loss", npy(np.zeros(0)))]), True
    empty = np.zeros(0, np.dtype("V0"))
    claim = npy(empty).replace(b"(0,)", b"(10,)")
    yield "an array of nothings", archive_of([*members, ("history/loss", claim)]), False
    deep = npy(np.array('{"format": ' + "[" * 200_000))
    yield "a deep header", archive_of([("header", deep)]), False
    wide = npy(np.array('{"format": [' + "[]," * 300_000 + "[]]}"))
    yield "a wide header", archive_of([("header", wide)]), False


PEAK = """
def peak():
    with open("/proc/self/status") as file:  # not getrusage, which may tell the peak of the process that started this
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024  # MiB
"""
exec(PEAK)
needs_peak = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not tell the peak"
)


def main(path: Path) -> None:
    before, started = peak(), time.process_time()  # noqa: F821
    try:
        checkpoint.load(path, {})
        said = ""
    except DataError as error:
        said = str(error)
    print(json.dumps({"said": said, "mib": peak() - before, "seconds": time.process_time() - started}))  # noqa: F821


def python(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@needs_peak
@pytest.mark.parametrize("number", range(12))
def test_a_crafted_checkpoint_takes_no_more_memory_than_an_honest_one(tmp_path, number):
    kind, content, good = list(attacks())[number]
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    done = python(__file__, path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(kind, found)
    assert (found["said"] == "") == good and "\n" not in found["said"]
    assert found["mib"] < 32 + 2 * len(content) / MIB and found["seconds"] < 10


# Runs a lesson and says the most memory that it took.
MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except ValueError as error:
    print(error)
print("peak", round(peak()))
"""


@needs_peak
@pytest.mark.parametrize(
    "lesson, flag", [("09_conv_gan", ["--generate", "1"]), ("11_conv_inpainting", ["--repair", "glyphs"])]
)
@pytest.mark.parametrize("shape", [[1023, 1023, 3], [1024, 1024, 3], [1, 1021, 1]])
def test_a_small_checkpoint_cannot_ask_for_a_large_network(tmp_path, lesson, flag, shape):
    path = tmp_path / "a.npz"
    settings = {"lesson": lesson, "data": "glyphs", "seed": 0, "steps": 9, "quick": False, "shape": shape}
    checkpoint.save(path, {}, step=9, settings=settings, history={})
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30,) * 2)" + PEAK + MEASURED
    done = python(
        "-c", limited, ROOT / "lessons" / f"{lesson}.py", "--resume", path, *flag, "--out", tmp_path / "o"
    )
    *said, peak = done.stdout.splitlines()
    assert done.returncode == 0 and str(path) in said[-1], done.stdout + done.stderr
    assert int(peak.removeprefix("peak ")) < 512, peak


def test_reading_the_sizes_alone(tmp_path):
    network = Dense(3, 4, rng=np.random.default_rng(0))
    checkpoint.save(
        tmp_path / "a.npz", {"network": network}, step=1, settings={}, history={"loss": [1.0, 2.0]}
    )
    found = checkpoint.arrays(tmp_path / "a.npz")
    assert found["network/weight"] == ((3, 4), np.float32) and found["history/loss"] == ((2,), np.float64)


def test_what_would_not_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MEMBER_LIMIT", 5)
    with pytest.raises(DataError, match="6 arrays of .* are more than a checkpoint holds"):
        checkpoint.save(
            tmp_path / "a.npz", {}, step=1, settings={}, history={str(n): [1.0] for n in range(5)}
        )
    monkeypatch.setattr(checkpoint, "FILE_LIMIT", checkpoint.DIRECTORY_LIMIT + 1000)
    with pytest.raises(DataError, match="more than a checkpoint holds"):
        checkpoint.save(tmp_path / "a.npz", {}, step=1, settings={}, history={"loss": [1.0] * 200})
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
