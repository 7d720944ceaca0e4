"""Files that were damaged or made to do harm: each is read right or ends in DataError, in bounded memory.

Run as a program (`python tests/test_fuzz.py FOLDER`) this reads over 2,000 of them and prints what came out; the test
runs it in a process of its own, so that the peak memory is that of the readers.
"""

import contextlib
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from npgan import checkpoint
from npgan.data import DataError, Images, load
from npgan.layers import BatchNormalization, Dense, Sequential
from npgan.optim import Adam
from npgan.training import peak_memory

EXAMPLES = 260  # of each kind of file
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 7), dtype=np.uint8)
EXTREME = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00", b"\xff" * 8]


@st.composite
def damage(draw) -> Callable[[bytes], bytes]:
    """A few changes at places given as shares of the file: bytes, extreme numbers, cuts, repeats, additions."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["flip", "extreme", "cut", "drop", "repeat", "insert", "start"]),
                st.floats(0, 1, exclude_max=True),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def apply(content: bytes) -> bytes:
        for kind, share, number in changes:
            at = int(share * len(content))
            if kind == "start":  # headers are where the harm is
                at, kind = min(int(share * 64), len(content)), "flip"
            if kind == "flip":
                content = content[:at] + bytes([number]) + content[at + 1 :]
            elif kind == "extreme":
                put = EXTREME[number % len(EXTREME)]
                content = content[:at] + put + content[at + len(put) :]
            elif kind == "cut":
                content = content[:at]
            elif kind == "drop":
                content = content[:at] + content[at + 1 + number :]
            elif kind == "repeat":
                content = content[:at] + content[at : at + number] * 3 + content[at + number :]
            else:
                content = content[:at] + bytes([number]) * (number // 8) + content[at:]
        return content

    return apply


# The files, each from the damage done to the part of it that is not protected by a checksum


def idx(change) -> bytes:
    return change(struct.pack(">BBBBIII", 0, 0, 8, 3, *PIXELS.shape) + PIXELS.tobytes())


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def npz(change) -> bytes:
    """A .npz whose member was damaged before it was packed: the checksums of the archive are right."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", change(npy(PIXELS)))
        archive.writestr("labels.npy", npy(np.arange(6)))
    return file.getvalue()


def cifar(change) -> bytes:
    return change((np.arange(3 * 3073) % 10).astype(np.uint8).tobytes())


def png_chunks(change, mode: str) -> bytes:
    """A PNG whose chunks were damaged, and got the right checksums after that."""
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).convert(mode).save(file, format="PNG")
    content, at = file.getvalue(), 8
    out = content[:8]
    while at < len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            body = zlib.compress(change(zlib.decompress(body)))
        elif kind == b"IHDR":
            body = change(body)[:13]
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + length
    return out


def parts() -> dict:
    rng = np.random.default_rng(0)
    network = Sequential([Dense(3, 4, rng=rng), BatchNormalization(4)])
    batches = Images(PIXELS).batches(2, rng)
    return {"network": network, "adam": Adam(network.parameters()), "batches": batches, "rng": rng}


def saved(folder: Path) -> bytes:
    path = folder / "whole.npz"
    checkpoint.save(path, parts(), step=2, settings={"size": 5}, history={"loss": [1.0, 2.0]})
    content = path.read_bytes()
    path.unlink()
    return content


def checkpoint_members(change, content: bytes, which: int) -> bytes:
    """A checkpoint one of whose arrays was damaged before it was packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        names = old.namelist()
        for name in names:
            member = old.read(name)
            new.writestr(name, change(member) if name == names[which % len(names)] else member)
    return file.getvalue()


def read_images(path: Path) -> None:
    images = load(path, size=8)
    x = images[:]
    assert x.dtype == np.float32 and x.shape == (len(images), *images.shape) and np.abs(x).max() <= 1


def read_checkpoint(path: Path) -> None:
    found = checkpoint.load(path, parts())
    assert found.step >= 0 and isinstance(found.settings, dict)


def main(top: Path) -> None:
    """Fuzz; print the counts, the peak memory and the files that the readers left."""
    counts: Counter[str] = Counter()
    whole = saved(top)

    def feed(kind: str, name: str, content: bytes, read: Callable[[Path], None] = read_images) -> None:
        folder = top / "case"
        path = folder / name
        folder.mkdir(exist_ok=True)
        path.write_bytes(content)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # labels that do not fit, pictures left out
                read(folder if name.endswith(".png") else path)
            counts[f"{kind}: read"] += 1
        except DataError:
            counts[f"{kind}: DataError"] += 1
        assert [p.name for p in folder.iterdir()] == [name] and path.read_bytes() == content
        path.unlink()

    makers = {
        "idx": lambda change, n: ("a-idx3-ubyte", idx(change)),
        "idx.gz": lambda change, n: ("a-idx3-ubyte.gz", gzip.compress(idx(change), 1)),
        "gz": lambda change, n: ("a-idx3-ubyte.gz", change(gzip.compress(idx(bytes)))),
        "npz, packed": lambda change, n: ("a.npz", change(npz(bytes))),
        "npz, member": lambda change, n: ("a.npz", npz(change)),
        "npy": lambda change, n: ("a.npy", change(npy(PIXELS))),
        "cifar": lambda change, n: ("data_batch_1.bin", cifar(change)),
        "png": lambda change, n: ("a.png", change(png_chunks(bytes, ["L", "RGB", "RGBA", "P"][n % 4]))),
        "png, chunks": lambda change, n: ("a.png", png_chunks(change, ["L", "RGB", "RGBA", "P"][n % 4])),
        "checkpoint": lambda change, n: ("c.npz", change(whole)),
        "checkpoint, member": lambda change, n: ("c.npz", checkpoint_members(change, whole, n)),
    }
    for kind, make in makers.items():
        fuzz(kind, make, feed)
    for kind, name, content in bombs():
        before = counts[f"{kind}: DataError"]
        feed(kind, name, content)
        if "within limits" not in kind:
            assert counts[f"{kind}: DataError"] == before + 1, kind
    counts["left over"] = len(list((top / "case").iterdir())) + len(list(top.iterdir())) - 1
    print(json.dumps({"peak_mib": peak_memory(), **counts}))


def fuzz(kind: str, make: Callable, feed: Callable) -> None:
    """Feed EXAMPLES files of one kind, each with a damage of its own."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=bool(os.environ.get("CI")),
        phases=[Phase.generate],  # no shrinking: it would take longer than all the rest
        suppress_health_check=list(HealthCheck),
    )
    @given(damage(), st.integers(0, 99))
    def one(change, n):
        name, content = make(change, n)
        feed(kind, name, content, read_checkpoint if kind.startswith("checkpoint") else read_images)

    one()


def bombs():
    """Small files that want much memory: (kind, name, content)."""
    terabyte = struct.pack(">BBBBIII", 0, 0, 8, 3, 10**6, 1000, 1000)
    yield "bomb: idx", "a-idx3-ubyte", terabyte
    yield "bomb: idx.gz", "a-idx3-ubyte.gz", gzip.compress(terabyte + bytes(2**20))
    small = struct.pack(">BBBBIII", 0, 0, 8, 3, 10, 10, 10)
    yield "bomb: gz", "a-idx3-ubyte.gz", with_zeros(small, 2**29, zlib.MAX_WBITS + 16)
    header = io.BytesIO()
    claim = {"shape": (10**6, 1000, 1000), "fortran_order": False, "descr": "|u1"}
    np.lib.format.write_array_header_1_0(header, claim)
    yield "bomb: npy", "a.npy", header.getvalue()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(2**8):
                member.write(bytes(2**20))
    yield "bomb: npz", "a.npz", file.getvalue()
    for side, kind in ((30_000, "bomb: png"), (6_600, "bomb within limits: png")):
        body = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        rows = with_zeros(b"", 6_600 * (4 * 6_600 + 1), zlib.MAX_WBITS)
        chunks = [(b"IHDR", body), (b"IDAT", rows), (b"IEND", b"")]
        yield (
            kind,
            "a.png",
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
                for name, data in chunks
            ),
        )


def with_zeros(start: bytes, count: int, wbits: int) -> bytes:
    """`start` and so many zeros, compressed without ever being in memory: what is measured are the readers."""
    packer = zlib.compressobj(1, wbits=wbits)
    content = packer.compress(start)
    for at in range(0, count, 2**20):
        content += packer.compress(bytes(min(2**20, count - at)))
    return content + packer.flush()


def test_readers_survive_2000_damaged_files(tmp_path):
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, __file__, tmp_path],
        env=os.environ | {"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    counts = json.loads(done.stdout)
    print(counts)
    assert sum(n for kind, n in counts.items() if ": " in kind) >= 2000
    assert counts["peak_mib"] < 1024 and counts["left over"] == 0
    for kind in ("idx", "npz, member", "cifar", "png", "checkpoint"):  # the damage is neither nothing nor all
        assert counts[f"{kind}: DataError"] > 20 and counts.get(f"{kind}: read", 0) > 0, counts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
