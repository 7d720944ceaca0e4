"""Small files that ask for much memory or for much time, and harmless ones of the largest size that is read.

Each maker writes one file. None needs much memory itself, for what is measured are the readers.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

MIB = 2**20


def npy_header(shape, descr: str = "|u1", fortran: bool = False) -> bytes:
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": fortran, "descr": descr}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def idx_header(*shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def zeros(start: bytes, count: int, wbits: int = zlib.MAX_WBITS) -> Iterable[bytes]:
    """`start` and `count` zeros, compressed, in pieces."""
    packer = zlib.compressobj(1, wbits=wbits)
    yield packer.compress(start)
    for at in range(0, count, MIB):
        yield packer.compress(bytes(min(MIB, count - at)))
    yield packer.flush()


def write(path: Path, *pieces: bytes) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


def sparse(path: Path, start: bytes, nbytes: int) -> None:
    """A file of so many bytes, zeros but for its start, that takes no room on the disk."""
    write(path, start)
    os.truncate(path, nbytes)


# Arrays


def npy(path: Path, shape, descr: str, nbytes: int = 0) -> None:
    header = npy_header(shape, descr)
    sparse(path, header, len(header) + nbytes)


def npz(path: Path, shape, descr: str = "|u1", nbytes: int = 0, how: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", how, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            member.write(npy_header(shape, descr))
            for at in range(0, nbytes, MIB):
                member.write(bytes(min(MIB, nbytes - at)))


def npz_of_many(path: Path, members: int) -> None:
    """A .npz whose directory lists one member so many times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", npy_header((1,)) + b"0")
    content = file.getvalue()
    at = content.rindex(b"PK\x01\x02")
    entry = content[at : content.rindex(b"PK\x05\x06")]
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, members % 65535, members % 65535, len(entry) * members, at, 0
    )
    write(path, content[:at], *[entry * 1000] * (members // 1000), end)


def gz(path: Path, *shape: int) -> None:
    write(path, *zeros(idx_header(*shape), int(np.prod(shape)), zlib.MAX_WBITS + 16))


def gz_of_many(path: Path, members: int) -> None:
    write(
        path, *[gzip.compress(b"") * 1000] * (members // 1000), gzip.compress(idx_header(1, 2, 2) + bytes(4))
    )


def gz_with_a_long_name(path: Path, nbytes: int) -> None:
    start = b"\x1f\x8b\x08\x08\0\0\0\0\0\0"
    rest = gzip.compress(idx_header(1, 2, 2) + bytes(4))[10:]
    write(path, start, *[b"x" * MIB] * (nbytes // MIB), b"\0", rest)


# PNG


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    path: Path, side: int, colour: int = 6, bits: int = 8, between: Iterable[bytes] = (), height: int = 0
) -> None:
    """A black PNG; colour: 0 grey, 2 RGB, 3 palette, 6 RGBA; `between`: chunks in front of the pixels."""
    height = height or side
    row = {0: 1, 2: 3, 3: 1, 6: 4}[colour] * bits // 8 * side + 1
    palette = [chunk(b"PLTE", bytes(range(48)))] if colour == 3 else []
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, height, bits, colour, 0, 0, 0))
    pixels = (chunk(b"IDAT", data) for data in zeros(b"", height * row) if data)
    write(path, b"\x89PNG\r\n\x1a\n", header, *palette, *between, *pixels, chunk(b"IEND"))


def overlapping_exif(entries: int, nbytes: int) -> bytes:
    """EXIF whose many entries all hold the same bytes: read one by one they take entries * nbytes."""
    table = b"".join(struct.pack("<HHII", 1000 + i, 7, nbytes, 8) for i in range(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + table + bytes(max(4, nbytes - len(table)))


# JPEG


def jpeg(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "JPEG", **options)
    return file.getvalue()


def with_scans(content: bytes, extra: int, blocks: int) -> bytes:
    """A progressive grey JPEG with so many scans more, each of which looks through all blocks and adds nothing."""
    runs = blocks // 32767 + 1
    # One code, of one bit, for a run of blocks at whose ends nothing comes: EOB14, and 14 bits of its length.
    table = b"\xff\xc4" + struct.pack(">HB16BB", 2 + 1 + 16 + 1, 0x10, 1, *[0] * 15, 0xE0)
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    components = content[content.index(b"\xff\xc2") + 10]
    scan = b"\xff\xda" + struct.pack(">HBBB3B", 8, 1, components, 0, 1, 63, 0x10) + data
    return content[:-2] + table + scan * extra + content[-2:]


# The others


def webp(path: Path, width: int, height: int) -> None:
    """A lossless WebP of one colour: all its pixels take no bits."""
    bits = f"{0x2F:08b}"[::-1] + f"{width - 1:014b}"[::-1] + f"{height - 1:014b}"[::-1] + "0" + "000"
    bits += "0" + "0" + "0"  # no transform, no colour cache, no meta prefix codes
    for symbol in (0, 0, 0, 255, 0):  # five prefix codes of one symbol each: simple, one symbol, 8 bits or 1
        bits += "1" + "0" + ("1" + f"{symbol:08b}"[::-1] if symbol else "0" + "0")
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    data += b"\0" * (len(data) % 2)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data
    write(path, b"RIFF" + struct.pack("<I", len(body)) + body)


def tiff(path: Path, tags: dict[int, tuple[int, int, int]], rest: Iterable[bytes] = ()) -> None:
    """tag -> (type, count, value or offset)."""
    table = b"".join(struct.pack("<HHII", tag, *values) for tag, values in sorted(tags.items()))
    write(path, b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + bytes(4), *rest)


def tiff_tags(width: int, height: int, compression: int = 1) -> dict[int, tuple[int, int, int]]:
    """A grey TIFF of 8 bits whose pixels begin at byte 1024."""
    return {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, compression),
        262: (3, 1, 1),
        277: (3, 1, 1),
    }


def tiff_of_one_tile(path: Path, side: int) -> None:
    data = b"".join(zeros(b"", side * side))
    tags = tiff_tags(8, 8, 8) | {
        322: (4, 1, side),
        323: (4, 1, side),
        324: (4, 1, 1024),
        325: (4, 1, len(data)),
    }
    tiff(path, tags, [bytes(1024 - 8 - 2 - 12 * len(tags) - 4), data])


def gif(path: Path, comment: int, side: int = 8) -> None:
    file = io.BytesIO()
    Image.new("P", (side, side)).save(file, "GIF")
    content = file.getvalue()
    at = content.index(b",")
    blocks = (b"\x01x" * MIB for _ in range(comment // (2 * MIB)))
    write(path, content[:at], b"!\xfe", *blocks, b"\0", content[at:])


def bmp_rle(path: Path, side: int, bits: int, data: Iterable[bytes]) -> None:
    colours = b"".join(struct.pack("<4B", i, i, i, 0) for i in range(2**bits))
    offset = 14 + 40 + len(colours)
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, {8: 1, 4: 2}[bits], 0, 0, 0, 2**bits, 0)
    write(path, b"BM" + struct.pack("<IHHI", 0, 0, 0, offset) + header + colours, *data)
