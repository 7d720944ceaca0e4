"""Files made to take all memory or all time: each is read or refused in seconds, below 1 GiB, without a traceback.

Run as a program (`python tests/test_data_attacks.py FOLDER`) this tries each in a child process of its own, whose
time and peak memory the system counts, and prints what came out.
"""

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attack_files as make
import pytest
from attack_files import MIB
from PIL import Image

from npgan import masks
from npgan.data import DataError, load, read_picture

SECONDS, PEAK = 10, 2**30

# name -> what writes the file. Those before the line are refused, those behind it are read.
REFUSED_ARRAYS = {
    "no-bytes.npy": partial(make.npy, shape=(10**15, 2, 2, 1), descr="|V0"),
    "no-text.npy": partial(make.npy, shape=(10**15, 2, 2, 1), descr="<U0"),
    "no-bytes.npz": partial(make.npz, shape=(10**15, 2, 2, 1), descr="|V0"),
    "sparse.npy": partial(make.npy, shape=(10**6, 512, 512, 1), descr="<f4", nbytes=2**20 * 10**6),
    "many.npy": partial(make.npy, shape=(10**8, 1, 1, 1), descr="|u1", nbytes=10**8),
    "one.npy": partial(make.npy, shape=(1, 2**15, 2**15, 1), descr="|u1", nbytes=2**30),
    "honest.gz": lambda path: make.gz(path, 1024, 1024, 1024),
    "honest.npz": partial(make.npz, shape=(1024, 1024, 1024, 1), nbytes=2**30),
    "many.npz": partial(make.npz_of_many, members=400_000),
    "lzma.npz": partial(make.npz, shape=(4, 8, 8), nbytes=256, how=zipfile.ZIP_LZMA),
    "many-members.gz": partial(make.gz_of_many, members=1_000_000),
    "sparse.bin": lambda path: make.sparse(path, b"", 3073 * 10**8),
}
REFUSED_PICTURES = {
    "46-bytes.webp": partial(make.webp, width=8000, height=8000),
    "one-tile.tif": partial(make.tiff_of_one_tile, side=32768),
    "tags.tif": lambda path: make.write(path, make.overlapping_exif(60_000, 900_000)),
    "chunks.png": lambda path: make.png(path, 8, between=(make.chunk(b"prIv") * 10**5 for _ in range(30))),
    "text.png": lambda path: make.png(
        path, 8, between=(make.chunk(b"tEXt", b"a\0b") * 10**5 for _ in range(20))
    ),
    "packed-text.png": lambda path: make.png(path, 8, between=[packed(b"zTXt")]),
    "packed-profile.png": lambda path: make.png(path, 8, between=[packed(b"iCCP")]),
    "100-scans.jpg": lambda path: make.write(path, scans(6400, 100)),
    "1000-scans.jpg": lambda path: make.write(path, scans(6400, 1000)),
    "segments.jpg": lambda path: make.write(path, b"\xff\xd8", *[b"\xff\xee\0\2" * (MIB // 4)] * 40),
    "comment.gif": partial(make.gif, comment=60 * MIB),
    "comments.ppm": lambda path: make.write(path, b"P3 2000 2000 255\n", *[b"#\n" * (MIB // 2)] * 20),
    "comment.pgm": lambda path: make.write(
        path, b"P5 ", b"#", *[b"x" * MIB] * 60, b"\n8 8 255\n" + bytes(64)
    ),
    "runs.bmp": lambda path: make.bmp_rle(path, 2800, 8, [b"\1\1" * MIB] * 40),
    "large.bmp": lambda path: make.bmp_rle(path, 5000, 8, [b"\0\0" * MIB]),
    "sparse.bmp": lambda path: make.sparse(path, b"BM", 10**10),
}
READ_ARRAYS = {
    "largest.gz": lambda path: make.gz(path, 760 * 1024, 32, 32),
    "largest.npz": partial(make.npz, shape=(760 * 128, 32, 32, 1), descr="<f8", nbytes=760 * MIB),
    "largest.npy": partial(make.npy, shape=(2**19, 32, 32, 1), descr="<f4", nbytes=2**31),
    "tiny.gz": lambda path: make.gz(path, 10**7, 4, 4),
}
READ_PICTURES = {
    "exif.png": lambda path: make.png(
        path, 8, between=[make.chunk(b"eXIf", make.overlapping_exif(60_000, 900_000))]
    ),
    "transparent.png": partial(make.png, side=6600),
    "colour.png": partial(make.png, side=8000, colour=2, bits=16),
    "palette.png": partial(make.png, side=8000, colour=3),
    "16-bits.png": partial(make.png, side=8000, colour=0, bits=16),
    "largest.webp": partial(make.webp, width=5100, height=5100),
    "largest.jpg": lambda path: make.write(path, make.jpeg(6900, 6900, progressive=True, subsampling=2)),
    "scans.jpg": lambda path: make.write(path, scans(6400, 6)),
    "strip.tif": lambda path: Image.new("RGBA", (4700, 4700)).save(path, compression="tiff_lzw"),
}
IN_FOLDER = (
    "46-bytes.webp",
    "1000-scans.jpg",
    "comment.gif",
    "transparent.png",
    "16-bits.png",
    "largest.jpg",
)


def packed(kind: bytes) -> bytes:
    return make.chunk(kind, b"a\0\0" + b"".join(make.zeros(b"", 400 * MIB)))


def scans(side: int, extra: int) -> bytes:
    return make.with_scans(make.jpeg(side, side, "L", progressive=True), extra, side * side // 64)


def read_array(path: Path) -> str:
    return str(load(path, size=16))


def read_alone(path: Path) -> str:
    return str(read_picture(path).shape)


def read_in_folder(path: Path) -> str:
    """Beside a good picture, which has to be found in any case."""
    folder = path.parent / (path.name + "-folder")
    folder.mkdir()
    os.link(path, folder / path.name)
    make.png(folder / "good.png", 16, 2)
    images = load(folder)
    if len(images) == 1:
        raise DataError(images.notes[0])
    return str(images)


def in_a_child(work: Callable[[], object]) -> dict:
    """What `work` returned or raised, and what it took; after three times SECONDS it is ended."""
    into, out = os.pipe()
    start, child = time.monotonic(), os.fork()
    if child == 0:
        os.close(into)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                outcome = f"read: {work()}"
        except DataError as error:
            outcome = f"DataError: {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(out, outcome.encode(errors="replace")[:2000])
        os._exit(0)
    os.close(out)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(3 * SECONDS)
    with open(into, "rb") as answer:
        outcome = answer.read().decode() or "no answer"
    _, _, used = os.wait4(child, 0)
    signal.alarm(0)
    return {
        "outcome": outcome,
        "seconds": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - start,
        "peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def main(folder: Path) -> None:
    tried = {}
    for name, write in (REFUSED_ARRAYS | READ_ARRAYS | REFUSED_PICTURES | READ_PICTURES).items():
        path = folder / name
        written = in_a_child(partial(write, path))  # for a later child inherits what has been in memory here
        assert written["outcome"].startswith("read"), (name, written)
        readers = [read_array] if name in REFUSED_ARRAYS | READ_ARRAYS else [read_alone]
        for read in readers + [read_in_folder] * (name in IN_FOLDER):
            tried[f"{name}, {read.__name__}"] = in_a_child(partial(read, path))
        path.unlink()
    print(json.dumps(tried))


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs fork and wait4")
def test_files_made_to_harm_cost_little(tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tried = json.loads(done.stdout)
    for name, found in tried.items():
        print(f"{name:32} {found['seconds']:5.1f} s {found['peak'] / MIB:5.0f} MiB  {found['outcome'][:150]}")
    refused = REFUSED_ARRAYS.keys() | REFUSED_PICTURES.keys()
    for name, found in tried.items():
        wanted = "DataError: " if name.split(",")[0] in refused else "read: "
        assert found["outcome"].startswith(wanted), (name, found)
        assert found["seconds"] < SECONDS and found["peak"] < PEAK, (name, found)


# A limit that the system sets, not npgan: memory then fails to come in the middle of anything


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_missing_memory_is_a_data_error(tmp_path):
    make.gz(tmp_path / "a.gz", 300 * 1024, 32, 32)
    make.npz(tmp_path / "a.npz", (300 * 1024, 32, 32, 1), nbytes=300 * MIB)
    make.npy(tmp_path / "a.npy", (300 * 1024, 32, 32, 1), "|u1", 300 * MIB)
    make.sparse(tmp_path / "a.bin", b"", 100_000 * 3073)
    (tmp_path / "folder").mkdir()
    make.png(tmp_path / "folder" / "a.png", 6600)

    def limited(source, **options) -> str:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 100 * MIB, resource.RLIM_INFINITY))
        return str(load(source, **options))

    for name in ("a.gz", "a.npz", "a.npy", "a.bin", "folder"):
        found = in_a_child(partial(limited, tmp_path / name))
        assert found["outcome"].startswith("DataError: ") and name in found["outcome"], (name, found)
    for source in ("glyphs", "photo"):
        found = in_a_child(partial(limited, source, size=128, count=20_000, channels=1))
        assert found["outcome"].startswith("DataError: "), found


# What is not a file


@pytest.mark.parametrize("read", [load, read_picture, lambda path: masks.load_mask(path, 8)])
def test_pipes_and_devices_are_not_opened(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    (tmp_path / "empty.png").write_bytes(b"")
    for path in (tmp_path / "pipe.png", tmp_path / "zero.png", tmp_path / "empty.png", Path("/dev/zero")):
        with pytest.raises(DataError, match=f"{path}: "):
            read(path)
    with pytest.raises(DataError):
        read("a\0b")


def test_a_mask_of_many_scans_is_refused(tmp_path):
    make.write(
        tmp_path / "mask.jpg",
        make.with_scans(make.jpeg(1024, 1024, "L", progressive=True), 1000, 1024**2 // 64),
    )
    with pytest.raises(DataError, match="mask.jpg: .*in 1,006 scans"):
        masks.load_mask(tmp_path / "mask.jpg", 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
