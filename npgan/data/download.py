"""MNIST and Fashion-MNIST from the web: fetched once, checked, and kept in the user's cache folder."""

import hashlib
import http.client
import os
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from npgan.errors import DataError

TIMEOUT = 20  # seconds without a byte
PATIENCE = 4  # seconds until a mirror's speed counts
SLOWEST = 16_384  # bytes a second, from the beginning; another mirror is tried below that
DEADLINE = 900  # seconds for all files and mirrors together
LIMIT = 64 * 2**20  # bytes of one file; the largest of these has 26 million
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # has no https; the checksums guard it
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}
# As published in tensorflow_datasets/url_checksums.
SHA256 = {
    "mnist": {
        TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/npgan, by default ~/.cache/npgan; on Windows %LOCALAPPDATA%\\npgan.

    RuntimeError if neither variable is set and there is no home folder.
    """
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache") / "npgan"


def fetch(name: str) -> Path:
    """The folder that holds the four files of `name` ("mnist" or "fashion-mnist"); downloads what is missing.

    A file gets its name only when it is complete and its SHA-256 is right. One that is there already is used
    as it is, so it may also be put there by hand. DataError, with what to do, if a file cannot be had, or not
    all of them within DEADLINE.
    """
    try:
        folder = cache_folder() / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: a name that the system cannot write
        raise DataError(
            f"{name}: cannot make the cache folder ({error}); set XDG_CACHE_HOME to another"
        ) from None
    end = time.monotonic() + DEADLINE
    for file, checksum in SHA256[name].items():
        if not os.path.isfile(folder / file):
            _fetch_file(name, folder / file, checksum, end)
    return folder


def _fetch_file(name: str, target: Path, checksum: str, end: float) -> None:
    failures = []
    for mirror in MIRRORS[name]:
        try:
            content = _receive(mirror + target.name, end)
            digest = hashlib.sha256(content).hexdigest()
            if digest != checksum:
                raise DataError(f"wanted SHA-256 {checksum}, got {digest}")
            return _keep(content, target)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{mirror}: {error or type(error).__name__}")
    raise DataError(
        f"{name}: cannot download {target.name} ({'; '.join(failures)}). "
        f"Put the files {', '.join(SHA256[name])} into {target.parent}, "
        "or give the path of a folder that holds them, or use 'glyphs', which needs no download"
    )


def _receive(url: str, end: float) -> bytes:
    """What is at `url`; DataError if it comes too slowly, is not there when the clock shows `end`, or is too long.

    The reading has a thread of its own: a server that sends a byte now and then, be it of a header, holds it for
    as long as it likes, for the time that a socket is given begins anew with each byte. The thread is then left
    behind, and ends with the process.
    """
    content, failures, left_behind = bytearray(), [], threading.Event()

    def read() -> None:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as source:
                while not left_behind.is_set() and (piece := source.read1(2**16)):
                    content.extend(piece)
                    if len(content) > LIMIT:
                        raise DataError(f"more than {LIMIT:,} bytes came")
        except BaseException as error:  # raised where the others wait
            failures.append(error)

    reader = threading.Thread(target=read, daemon=True)
    start = time.monotonic()
    reader.start()
    try:
        while reader.is_alive():
            reader.join(0.1)
            now = time.monotonic()
            slow = now - start > PATIENCE and len(content) < SLOWEST * (now - start)
            if reader.is_alive() and (slow or now > end):
                raise DataError(f"too slow, {len(content):,} bytes came in {now - start:.0f} s")
    finally:
        left_behind.set()
    if failures:
        raise failures[0]
    return bytes(content)


def _keep(content: bytes, target: Path) -> None:
    """Write `content` to a temporary file beside `target`, which then takes its name."""
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix="partial-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(partial, target)
    except BaseException:  # an interrupt, too, leaves nothing half written
        os.unlink(partial)
        raise
