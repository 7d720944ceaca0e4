"""The download, from a mirror on the local disk."""

import contextlib
import gzip
import hashlib
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from npgan.data import DataError, download, load

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    )


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that serves a small "mnist" by file:// URL, and an empty cache."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    contents = {
        download.TRAIN_IMAGES: idx(IMAGES),
        download.TRAIN_LABELS: idx(np.arange(6, dtype=np.uint8)),
        download.TEST_IMAGES: idx(IMAGES[:2]),
        download.TEST_LABELS: idx(np.arange(2, dtype=np.uint8)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(download.SHA256, "mnist", sums)
    missing = (tmp_path / "missing").as_uri() + "/"
    monkeypatch.setitem(download.MIRRORS, "mnist", (missing, folder.as_uri() + "/"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return folder


def cached(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache" / "npgan" / "mnist").iterdir())


def test_downloads_once(mirror, tmp_path):
    images = load("mnist")
    np.testing.assert_array_equal(images.pixels, IMAGES[..., None])
    assert images.labels["class"].tolist() == [0, 1, 2, 3, 4, 5]
    assert cached(tmp_path) == sorted(download.SHA256["mnist"])
    for file in mirror.iterdir():
        file.unlink()
    assert len(load("mnist")) == 6


def test_wrong_checksum_leaves_nothing(mirror, tmp_path):
    (mirror / download.TRAIN_IMAGES).write_bytes(idx(IMAGES + 1))
    with pytest.raises(DataError, match="wanted SHA-256"):
        load("mnist")
    assert cached(tmp_path) == []


def test_too_long_a_file_is_cut_short(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LIMIT", 10)
    with pytest.raises(DataError, match="more than 10 bytes"):
        load("mnist")
    assert cached(tmp_path) == []


def test_without_a_connection_the_error_says_what_to_do(mirror, tmp_path, monkeypatch):
    def unplugged(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unplugged)
    with pytest.raises(DataError) as caught:
        load("mnist")
    for part in ("no route to host", *download.SHA256["mnist"], str(tmp_path / "cache"), "glyphs"):
        assert part in str(caught.value)
    assert cached(tmp_path) == []


def test_an_interrupt_leaves_nothing(mirror, tmp_path, monkeypatch):
    def interrupted(url, timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(urllib.request, "urlopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("mnist")
    assert cached(tmp_path) == []


def test_files_put_there_by_hand_are_used(mirror, tmp_path):
    folder = tmp_path / "cache" / "npgan" / "mnist"
    folder.mkdir(parents=True)
    (folder / download.TRAIN_IMAGES).write_bytes(idx(IMAGES[:3]))
    (folder / download.TRAIN_LABELS).write_bytes(idx(np.arange(3, dtype=np.uint8)))
    assert len(load("mnist")) == 3


def test_cache_folder_that_cannot_be_made(mirror, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DataError, match="cannot make the cache folder"):
        load("mnist")


class Dripping:
    """A mirror that sends a byte of its answer every 50 ms, for ever."""

    def __init__(self, answer: bytes):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.answer = answer
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                threading.Thread(target=self.drip, args=[self.socket.accept()[0]], daemon=True).start()

    def drip(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.sendall(self.answer)
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"]
)
def test_a_mirror_that_drips_is_left_for_the_next(mirror, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    dripping = Dripping(answer)
    with contextlib.closing(dripping.socket):
        monkeypatch.setitem(download.MIRRORS, "mnist", (dripping.url, mirror.as_uri() + "/"))
        assert len(load("mnist")) == 6
        monkeypatch.setitem(download.MIRRORS, "mnist", (dripping.url,))
        for file in (tmp_path / "cache" / "npgan" / "mnist").iterdir():
            file.unlink()
        start = time.monotonic()
        with pytest.raises(DataError, match="too slow, .* bytes came in"):
            load("mnist")
        assert time.monotonic() - start < 5 and cached(tmp_path) == []


def test_all_downloads_together_have_a_deadline(mirror, monkeypatch):
    monkeypatch.setattr(download, "DEADLINE", 0)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: time.sleep(1))
    with pytest.raises(DataError, match="too slow"):
        load("mnist")


def test_without_a_home_folder(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(download.Path, "home", homeless)
    with pytest.raises(DataError, match="cannot make the cache folder .*set XDG_CACHE_HOME"):
        load("mnist")


def test_a_cache_folder_whose_name_the_system_cannot_write(monkeypatch):
    monkeypatch.setattr(download, "cache_folder", lambda: Path("cache\0"))
    with pytest.raises(DataError, match="cannot make the cache folder"):
        load("mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_published_checksums_look_right(name):
    assert len(set(download.SHA256[name].values())) == 4
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in download.SHA256[name].values())
