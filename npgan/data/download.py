"""MNIST and Fashion-MNIST from the web: fetched once, checked, and kept in the user's cache folder."""

import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

from npgan.errors import DataError

TIMEOUT = 20  # seconds without a byte
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
    """$XDG_CACHE_HOME/npgan, by default ~/.cache/npgan; on Windows %LOCALAPPDATA%\\npgan."""
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache") / "npgan"


def fetch(name: str) -> Path:
    """The folder that holds the four files of `name` ("mnist" or "fashion-mnist"); downloads what is missing.

    A file gets its name only when it is complete and its SHA-256 is right. One that is there already is used
    as it is, so it may also be put there by hand. DataError, with what to do, if a file cannot be had.
    """
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{name}: cannot make the cache folder ({error}); set XDG_CACHE_HOME to another"
        ) from None
    for file, checksum in SHA256[name].items():
        if not (folder / file).is_file():
            _fetch_file(name, folder / file, checksum)
    return folder


def _fetch_file(name: str, target: Path, checksum: str) -> None:
    failures = []
    for mirror in MIRRORS[name]:
        try:
            return _download(mirror + target.name, target, checksum)
        except (OSError, http.client.HTTPException, DataError) as error:
            failures.append(f"{mirror}: {error or type(error).__name__}")
    raise DataError(
        f"{name}: cannot download {target.name} ({'; '.join(failures)}). "
        f"Put the files {', '.join(SHA256[name])} into {target.parent}, "
        "or give the path of a folder that holds them, or use 'glyphs', which needs no download"
    )


def _download(url: str, target: Path, checksum: str) -> None:
    """Write `url` to a temporary file beside `target`, which takes its name once the checksum is right."""
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix="partial-")
    try:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(url, timeout=TIMEOUT) as source:
            while piece := source.read(2**16):
                size += len(piece)
                if size > LIMIT:
                    raise DataError(f"more than {LIMIT:,} bytes came")
                digest.update(piece)
                out.write(piece)
        if digest.hexdigest() != checksum:
            raise DataError(f"wanted SHA-256 {checksum}, got {digest.hexdigest()}")
        os.replace(partial, target)
    except BaseException:  # an interrupt, too, leaves nothing half written
        os.unlink(partial)
        raise
