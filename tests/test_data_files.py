"""Reading one's own data, good and bad, from real files."""

import gzip
import io
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from npgan.data import DataError, lazy, load, picture

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 6), dtype=np.uint8)
CLASSES = np.arange(7, dtype=np.uint8)
TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def npy_header(shape, descr="|u1") -> bytes:
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def png(path, pixels: np.ndarray, **options) -> None:
    Image.fromarray(pixels).save(path, **options)


def read_only_batchwise(monkeypatch) -> None:
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)


def raw(images) -> np.ndarray:
    return np.rint((images[:] + 1) * 127.5).astype(np.uint8)


# IDX


@pytest.mark.parametrize("on_demand", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_with_labels(tmp_path, monkeypatch, zipped, on_demand):
    if on_demand:
        read_only_batchwise(monkeypatch)
    pack, end = (gzip.compress, ".gz") if zipped else (bytes, "")
    (tmp_path / (TRAIN + end)).write_bytes(pack(idx(IMAGES)))
    (tmp_path / LABELS).write_bytes(idx(CLASSES))  # may be unpacked while the images are not
    for path in (tmp_path, tmp_path / (TRAIN + end)):
        images = load(path)
        np.testing.assert_array_equal(raw(images), IMAGES[..., None])
        assert images.labels["class"].tolist() == list(range(7))
    part = load(tmp_path, count=2, size=4, channels=3)
    assert len(part) == 2 and part.shape == (4, 4, 3) and part.labels["class"].tolist() == [0, 1]
    assert part[:].shape == (2, 4, 4, 3)
    assert len(load(tmp_path, count=99)) == 7


def test_folder_of_idx_prefers_the_training_set(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:3])))
    assert len(load(str(tmp_path))) == 3
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    assert len(load(str(tmp_path))) == 7


@pytest.mark.parametrize(
    "labels, message",
    [
        (idx(CLASSES[:5]), r"shape \(5,\) does not fit 7 images"),
        (idx(IMAGES), r"shape \(7, 5, 6\) does not fit"),
        (idx(CLASSES)[:-1], "is cut off"),
    ],
)
def test_idx_labels_that_do_not_fit_are_left_out_with_a_note(tmp_path, labels, message):
    (tmp_path / TRAIN).write_bytes(idx(IMAGES))
    (tmp_path / LABELS).write_bytes(labels)
    images = load(tmp_path)
    assert images.labels == {} and len(images) == 7
    assert re.search(f"{LABELS}.*{message}.*left out|{LABELS}.*left out.*{message}", " ".join(images.notes))


BAD_IDX = {
    "is cut off": idx(IMAGES)[:-1],
    "bytes left over": idx(IMAGES) + b"x",
    "is cut off; .*1,000,000,000,000 bytes": struct.pack(">BBBB3I", 0, 0, 8, 3, 10**6, 1000, 1000)
    + b"x" * 99,
    "unsigned bytes.*got type 13": struct.pack(">BBBB3I", 0, 0, 13, 3, 1, 1, 1) + b"1234",
    "1 to 4 dimensions": struct.pack(">BBBB", 0, 0, 8, 255),
    "1 to 4 dimensions, got 0": struct.pack(">BBBB", 0, 0, 8, 0),
    "is empty": struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 28, 28),
    r"got \(7,\)": idx(CLASSES),
}


@pytest.mark.parametrize("message", BAD_IDX)
@pytest.mark.parametrize("zipped", [False, True])
def test_bad_idx(tmp_path, message, zipped):
    path = tmp_path / "some-file"
    path.write_bytes(gzip.compress(BAD_IDX[message]) if zipped else BAD_IDX[message])
    with pytest.raises(DataError, match="limit" if zipped and "1,000" in message else message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_broken_gzip(tmp_path):
    whole = gzip.compress(idx(IMAGES))
    for broken in (whole[:-20], whole[:5], whole[:30] + b"\xff" * 40 + whole[70:], whole + b"junk"):
        (tmp_path / "x.gz").write_bytes(broken)
        with pytest.raises(DataError, match="x.gz"):
            load(tmp_path / "x.gz")
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"some other thing"))
    with pytest.raises(DataError, match="is not an IDX file"):
        load(tmp_path / "x.gz")


def test_gzip_bomb_is_not_unpacked(tmp_path):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 10, 10)
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(50_000_000)))
    with pytest.raises(DataError, match="left over.*at least 101 follow"):
        load(tmp_path / "x.gz")


# NumPy


@pytest.mark.parametrize("on_demand", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_npy(tmp_path, monkeypatch, dtype, on_demand):
    if on_demand:
        read_only_batchwise(monkeypatch)
    np.save(tmp_path / "a.npy", IMAGES.astype(dtype))
    os.rename(tmp_path / "a.npy", tmp_path / "a.dat")  # the content tells, not the name
    images = load(tmp_path / "a.dat")
    assert isinstance(images.pixels, lazy.Lazy) == on_demand
    np.testing.assert_array_equal(raw(images), IMAGES[..., None])


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("images", "labels"), ("anything", "y")])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, names, save):
    save(tmp_path / "a.npz", **{names[0]: IMAGES, names[1]: CLASSES[:, None], "weights": np.zeros((3, 3))})
    images = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(raw(images), IMAGES[..., None])
    assert images.labels["class"].tolist() == list(range(7))


def test_npz_without_a_clear_choice(tmp_path):
    np.savez(tmp_path / "a.npz", a=IMAGES, b=IMAGES)
    with pytest.raises(DataError, match=r"found a \(7, 5, 6\), b \(7, 5, 6\)"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz")
    with pytest.raises(DataError, match="found no arrays"):
        load(tmp_path / "a.npz")


def test_pickles_are_refused(tmp_path):
    objects = npy(np.array([print], dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").write_bytes(objects)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", objects)
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x00.")
    for name in ("a.npy", "a.npz", "data_batch_1"):
        with pytest.raises(DataError, match="never read"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        npy(IMAGES)[:-1],
        npy(IMAGES) + b"x",
        npy(IMAGES)[:20],
        npy_header((10**9, 1000, 1000, 3)) + b"123",
        npy_header((-1, 2, 2)) + b"1234",
        b"\x93NUMPY\x09\x00" + npy(IMAGES)[8:],
        npy(IMAGES, version=(2, 0)),
        b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((",
    ],
)
def test_broken_npy_and_npz(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match=f"a.{name[2:]}"):
            load(tmp_path / name)


def test_npz_bomb_meets_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "LIMIT_BYTES", 10**6)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((100, 101, 100), np.uint8))
    with pytest.raises(DataError, match="1,010,000 bytes decoded, the limit is 1,000,000"):
        load(tmp_path / "a.npz")


def test_broken_zip(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    whole = (tmp_path / "a.npz").read_bytes()
    for broken in (whole[:100], whole[:60] + b"\xff" * 40 + whole[100:], b"PK\x03\x04"):
        (tmp_path / "a.npz").write_bytes(broken)
        with pytest.raises(DataError, match="a.npz"):
            load(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", ["idx", "gz", "npy", "npz", "bin"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 300), at=st.integers(0, 300), value=st.binary(min_size=1, max_size=4))
def test_damaged_files_load_or_raise_data_error(tmp_path, kind, cut, at, value):
    if kind == "npz":
        np.savez_compressed(tmp_path / "good.npz", images=IMAGES, labels=CLASSES)
        good = (tmp_path / "good.npz").read_bytes()
    else:
        good = {
            "idx": idx(IMAGES),
            "gz": gzip.compress(idx(IMAGES)),
            "npy": npy(IMAGES),
            "bin": bytes(3073),
        }[kind]
    path = tmp_path / f"x.{kind}"
    for damaged in (good[:at] + value + good[at + len(value) :], good[: max(0, len(good) - cut)]):
        path.write_bytes(damaged)
        try:
            load(path)
        except DataError as error:
            assert str(path) in str(error)


# CIFAR-10


def cifar(n: int, seed: int = 0) -> tuple[np.ndarray, bytes]:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    planes = pixels.transpose(0, 3, 1, 2).reshape(n, -1)
    return pixels, np.concatenate([(np.arange(n) % 10).astype(np.uint8)[:, None], planes], axis=1).tobytes()


def test_cifar(tmp_path):
    parts = [cifar(3, seed=1), cifar(12, seed=2), cifar(2, seed=3)]
    for name, (_, content) in zip(
        ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"], parts, strict=True
    ):
        (tmp_path / name).write_bytes(content)
    images = load(tmp_path)
    np.testing.assert_array_equal(raw(images), np.concatenate([parts[0][0], parts[1][0]]))
    assert images.labels["class"].tolist() == [0, 1, 2, *range(10), 0, 1]
    np.testing.assert_array_equal(raw(load(tmp_path / "test_batch.bin")), parts[2][0])
    assert load(tmp_path, size=16, channels=1).shape == (16, 16, 1)


@pytest.mark.parametrize(
    "content, message",
    [(bytes(3072), "multiple"), (b"\x0a" + bytes(3072), "got class 10"), (b"", "is empty")],
)
def test_bad_cifar(tmp_path, content, message):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.bin")


# Folders of pictures


@pytest.mark.parametrize("on_demand", [False, True])
def test_folder_of_mixed_pictures(tmp_path, monkeypatch, on_demand):
    if on_demand:
        read_only_batchwise(monkeypatch)
    (tmp_path / "more").mkdir()
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (255, 0, 0)  # the centred square alone is red
    png(tmp_path / "a.png", wide)
    png(tmp_path / "b.bmp", np.full((40, 20), 200, np.uint8))
    png(tmp_path / "more" / "c.jpg", np.full((50, 50, 3), 128, np.uint8), quality=95)
    png(tmp_path / ".hidden.png", wide)
    (tmp_path / "notes.txt").write_text("not a picture")
    images = load(tmp_path, size=8)
    assert images.shape == (8, 8, 3) and len(images) == 3
    x = raw(images)
    assert (x[0] == (255, 0, 0)).all() and (x[1] == 200).all() and np.abs(x[2].astype(int) - 128).max() <= 2
    assert load(tmp_path).shape == (20, 20, 3)
    assert load(tmp_path, channels=1, count=2, size=64)[:].shape == (2, 64, 64, 1)


def test_grey_pictures_stay_grey_and_sixteen_bits_keep_their_shades(tmp_path):
    png(tmp_path / "a.png", np.full((9, 9), 40, np.uint8))
    png(tmp_path / "b.png", np.full((9, 9), 40 * 257, np.uint16))
    images = load(tmp_path, size=4)
    assert images.shape == (4, 4, 1) and (raw(images) == 40).all()


def test_transparency_is_laid_on_white(tmp_path):
    clear = np.zeros((4, 4, 4), np.uint8)
    png(tmp_path / "a.png", clear)
    palette = Image.new("P", (4, 4), 3)
    palette.putpalette(list(range(12)))
    palette.save(tmp_path / "b.png", transparency=3)
    assert (load(tmp_path, size=4).pixels == 255).all()


def test_exif_orientation_is_honoured(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20] = 255  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    png(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    grey = load(tmp_path, size=4, channels=1)[:][0, ..., 0]
    assert grey[0].min() > 0.9 and grey[3].max() < -0.9


def test_unreadable_pictures_are_named_in_one_note(tmp_path, monkeypatch):
    png(tmp_path / "good.png", IMAGES[0])
    png(tmp_path / "large.png", np.zeros((60, 50), np.uint8))
    good = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(good[:-30])
    (tmp_path / "text\n.png").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "dangling.png")
    monkeypatch.setattr(picture, "DECODE_BYTES", 8000)
    images = load(tmp_path, size=4)
    assert len(images) == 1
    message = images.notes[0]
    assert "4 of 5 pictures cannot be read" in message and message.endswith("left out")
    assert "\n" not in message and "50 x 60 pixels, the limit for its kind is 1,000" in message
    assert all(name in message for name in ("large.png", "cut.png", "empty.jpg", "text"))
    read_only_batchwise(monkeypatch)
    images = load(tmp_path, size=4)
    assert "3 of 5" in images.notes[0]
    with pytest.raises(DataError, match="cut.png"):
        images[:]


def test_png_bomb_is_refused_by_its_header(tmp_path):
    png(tmp_path / "a.png", np.zeros((1, 1), np.uint8))
    content = bytearray((tmp_path / "a.png").read_bytes())
    for side in (20_000, 2**31 - 1):  # beyond our limit, and beyond the one at which Pillow raises
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(DataError, match="a.png.*pixels"):
            load(tmp_path)


# What is done to pictures, and that it is told


def squares(folder, count: int, side: int, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for i, pixels in enumerate(
        np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    ):
        png(folder / f"{side}-{i:03d}.png", pixels)


@pytest.mark.parametrize(
    "sides, size",
    [
        ([16], 16),
        ([32], 32),
        ([28], 28),
        ([64], 64),
        ([200], 64),
        ([30], 32),
        ([5], 8),
        ([16, 16, 300], 16),
        ([16, 64], 16),
        ([16, 300, 300], 64),
    ],
)
def test_a_folder_keeps_the_size_of_its_pictures(tmp_path, sides, size):
    for i, side in enumerate(sides):
        png(tmp_path / f"{i}.png", np.zeros((side, side + 4 * (side == 30)), np.uint8))
    images = load(tmp_path)
    assert images.shape == (size, size, 1)
    assert (images.notes == ()) == (sides == [size])
    assert load(tmp_path, size=12).shape == (12, 12, 1)


def test_pictures_of_the_size_wanted_are_not_changed(tmp_path):
    squares(tmp_path, 5, 16)
    wanted = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(load(tmp_path).pixels, wanted)


def test_what_is_done_to_pictures_is_printed(tmp_path, capsys):
    for i in range(4):
        png(tmp_path / f"{i}.png", np.zeros((24, 40, 3), np.uint8))
    png(tmp_path / "clear.png", np.zeros((50, 24, 4), np.uint8))
    (tmp_path / "broken.png").write_text("no picture")
    images = load(tmp_path, size=16, channels=1)
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second) == images.notes
    assert first.startswith(f"{tmp_path}: 1 of 6 pictures cannot be read: ") and first.endswith("; left out")
    assert second == (
        f"{tmp_path}: 5 pictures of 24x50 to 40x24 pixels, most 40x24: cut square and resized to 16x16; "
        "5 in colour turned grey; 1 with transparency laid on white"
    )
    png(tmp_path / "grey.png", np.zeros((24, 24), np.uint8))
    assert (
        load(tmp_path)
        .notes[1]
        .endswith("; 1 grey ones given three equal channels; 1 with transparency laid on white")
    )


def test_of_many_pictures_some_are_drawn(tmp_path):
    squares(tmp_path / "cats", 30, 16, seed=1)
    squares(tmp_path / "dogs", 30, 16, seed=2)
    few = load(tmp_path, count=20, seed=3)
    assert "20 of 60 pictures, drawn at random with seed 3" in few.notes[0]
    assert (
        4 < few.labels["class"].sum() < 16 and (np.diff(few.labels["class"]) >= 0).all()
    )  # in order of paths
    np.testing.assert_array_equal(few.pixels, load(tmp_path, count=20, seed=3).pixels)
    assert (few.pixels != load(tmp_path, count=20, seed=4).pixels).any()
    every = load(tmp_path, count=60)
    assert len(every) == 60 and not any("drawn" in note for note in every.notes)
    (tmp_path / "cats" / "16-000.png").write_text("broken")
    assert len(load(tmp_path, count=59)) == 59  # a broken one is not one of them


def test_of_many_images_some_are_drawn(tmp_path):
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 4, 4))
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(200) // 100)
    for name in ("a.npy", "a.npz"):
        images = load(tmp_path / name, count=50)
        assert "50 of 200 images, drawn at random with seed 0" in images.notes[0]
        drawn = images.pixels[:, 0, 0, 0].astype(int)
        assert (np.diff(drawn) > 0).all() and 10 < (drawn < 100).sum() < 40
        assert name == "a.npy" or images.labels["class"].tolist() == (drawn // 100).tolist()
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(idx(pixels))
    images = load(path, count=50)
    assert images.pixels[:, 0, 0, 0].tolist() == list(range(50))
    assert images.notes == (f"{path}: the first 50 of 200 images",)


def test_sub_folders_are_classes(tmp_path):
    squares(tmp_path / "zebra", 2, 16)
    squares(tmp_path / "ape", 3, 16)
    (tmp_path / "ape" / "young").mkdir()
    squares(tmp_path / "ape" / "young", 1, 32)
    (tmp_path / "empty").mkdir()
    (tmp_path / "zebra" / "broken.png").write_text("broken")
    images = load(tmp_path)
    assert images.labels["class"].tolist() == [0, 0, 0, 0, 1, 1]
    assert images.notes[-1] == f"{tmp_path}: the 2 sub-folders are classes: 0 ape, 1 zebra"
    (tmp_path / "top").mkdir()
    (tmp_path / "ape").rename(tmp_path / "top" / "ape")
    (tmp_path / "zebra").rename(tmp_path / "top" / "zebra")
    assert load(tmp_path).labels["class"].tolist() == [0, 0, 0, 0, 1, 1]  # below what they have in common
    squares(tmp_path, 1, 16)
    assert load(tmp_path).labels == {}  # one lies beside the sub-folders


@pytest.mark.parametrize(
    "labels, told",
    [
        (np.array([10**9, *range(6)]), "from 0 to 999, got 0 to 1000000000"),
        (np.arange(-1, 6), "got -1 to 5"),
        (np.array([2**64 - 1] * 7, np.uint64), "got 18446744073709551615"),
        (np.linspace(0, 1, 7), "wanted whole numbers, got dtype float64"),
        (np.array(list("abcdefg")), "wanted whole numbers"),
    ],
)
def test_labels_that_are_no_classes_are_left_out(tmp_path, labels, told):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    images = load(tmp_path / "a.npz")
    assert images.labels == {} and len(images) == 7
    assert told in images.notes[0] and "left out" in images.notes[0]


def test_one_picture_alone_has_its_place(tmp_path):
    png(tmp_path / "cat.png", np.zeros((8, 8), np.uint8))
    png(tmp_path / "cat", np.zeros((8, 8), np.uint8), format="PNG")
    for name in ("cat.png", "cat"):
        with pytest.raises(DataError, match="one picture.*give the folder.*11_own_picture.py as --image"):
            load(tmp_path / name)


def test_a_bad_batch_of_cifar_is_left_out(tmp_path):
    pixels, content = cifar(3)
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    (tmp_path / "data_batch_2.bin").write_bytes(content[:-1])
    (tmp_path / "data_batch_3.bin").write_bytes(b"\x0b" + content[1:])
    (tmp_path / "data_batch_4.bin").write_bytes(content)
    images = load(tmp_path)
    np.testing.assert_array_equal(raw(images), np.concatenate([pixels, pixels]))
    assert [("data_batch_2" in note, "data_batch_3" in note) for note in images.notes] == [(1, 0), (0, 1)]


def test_a_bad_entry_never_refuses_the_folder(tmp_path):
    squares(tmp_path, 3, 16)
    os.symlink("x" * 300, tmp_path / "long.png")  # a target too long to exist
    os.symlink("x" * 300, tmp_path / "my-images-idx3-ubyte")
    os.symlink("x" * 300, tmp_path / "data_batch_1.bin")
    os.symlink("loop.png", tmp_path / "loop.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "images-idx3")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "images-idx3.png").write_text("broken")
    (tmp_path / "empty.png").write_text("")
    assert len(load(tmp_path)) == 3


def test_what_a_name_holds_does_not_reach_the_terminal(tmp_path, capsys):
    name = "\x1b[2J\x1b]0;owned\x07\r\u202e.png"
    folder = tmp_path / f"a{name}"
    squares(folder, 1, 16)
    (folder / name).write_text("broken")
    (folder / os.fsdecode(b"\xff.png")).write_text("broken")
    images = load(folder, size=8)
    printed = capsys.readouterr().out
    with pytest.raises(DataError) as caught:
        load(folder / name)
    for text in (*printed.splitlines(), str(caught.value)):
        assert text.isprintable() and text.encode()
    assert len(images) == 1 and len(printed.splitlines()) == 2 and r"\x1b[2J" in printed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_names_that_standard_output_cannot_write(tmp_path, encoding):
    squares(tmp_path / "caf\u00e9\u6f22", 1, 16)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from npgan.data import load; load(sys.argv[1], size=8)",
            tmp_path / "caf\u00e9\u6f22",
        ],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"resized to 8x8" in done.stdout


def test_folders_without_pictures(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        load(tmp_path)
    os.symlink(tmp_path, tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="holds no pictures"):
        load(tmp_path)
    (tmp_path / "a.png").write_text("broken")
    with pytest.raises(DataError, match="1 of 1 pictures cannot be read"):
        load(tmp_path)


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "set").mkdir()
    png(tmp_path / "a.png", IMAGES[0])
    os.symlink(tmp_path / "a.png", tmp_path / "set" / "b.png")
    os.symlink(tmp_path / "set", tmp_path / "set" / "loop")
    assert len(load(tmp_path / "set")) == 1


# load


def test_load_makes_glyphs_and_photographs():
    assert load(count=3).shape == (28, 28, 1)
    assert load("glyphs", count=3, size=16, channels=3).shape == (16, 16, 3)
    assert load("photo", count=3).shape == (64, 64, 3)
    assert load("photo", count=3, size=16, channels=1).shape == (16, 16, 1)
    assert (load(count=9, seed=1).pixels != load(count=9, seed=2).pixels).any()


@pytest.mark.parametrize("source", ["nonsense", "no/such/file.npy", "", "\0", "~no-such-user/x", None, 3])
def test_unknown_source_lists_what_is_accepted(source):
    with pytest.raises(DataError, match="'glyphs', 'photo', 'mnist', 'fashion-mnist' or the path of"):
        load(source)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG....")
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.png", "empty", "pipe"):
        with pytest.raises(DataError, match=f"{name}: .*wanted an IDX"):
            load(tmp_path / name)


@pytest.mark.parametrize("name", ["size", "channels", "count", "seed"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "8"])
@pytest.mark.parametrize("source", ["glyphs", "folder"])
def test_load_names_the_bad_argument(tmp_path, name, value, source):
    squares(tmp_path / "folder", 1, 16)
    if (name, value) != ("seed", 0):
        with pytest.raises(DataError, match=name):
            load(source if source == "glyphs" else tmp_path / source, **{name: value})


@pytest.mark.parametrize("source", ["glyphs", "photo"])
@pytest.mark.parametrize("numbers", [{"size": 10**9}, {"count": 10**12}, {"size": -3}])
def test_load_refuses_the_impossible_in_one_line(source, numbers):
    with pytest.raises(DataError, match="limit|size"):
        load(source, **numbers)
    if source == "glyphs":
        with pytest.raises(DataError, match="size: wanted at least 8, got 2"):
            load(source, size=2)
