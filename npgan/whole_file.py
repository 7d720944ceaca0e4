"""Files that are there whole or not at all; and files that wait in memory until the disk takes them."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from npgan.claim import lock
from npgan.errors import DataError
from npgan.voice import printable, say, warn

# The end of the name while a file is being written: after 16 hexadecimal digits that nobody can foresee.
PARTIAL = ".partial"
PARTIAL_NAME = re.compile(r".*\.[0-9a-f]{16}\.partial", re.DOTALL)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write, which takes the name `path` only once it is complete and on the disk.

        with whole_file(path) as file:
            file.write(...)

    It is written under a name of its own, flushed from all buffers (fsync) and renamed, which replaces an older
    file in one stroke. Whatever happens in between (an error, a full disk, a power cut, another writer of the same
    file), `path` is the old file or a new one, never a part. Raises DataError where it cannot be written.
    """
    partial = None
    try:
        partial, file = _create(path)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":
                os.replace(partial, path)  # while the lock is held
        if os.name == "nt":  # Windows renames no open file
            os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError | UnicodeEncodeError):
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: cannot be written ({reason})") from error
        raise


def _create(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, which nobody else has; its lock says that its writer lives."""
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PARTIAL}")
        file = open(partial, "xb")
        if lock(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink:
            return partial, file
        file.close()  # `sweep` was faster


def sweep(folder: Path) -> None:
    """Delete what killed processes left half written in `folder`; what a living one writes stays.

    Where the system has no locks (see npgan.claim) nothing tells them apart, and all stays.
    """
    for partial in folder.glob(f"*{PARTIAL}"):
        if PARTIAL_NAME.fullmatch(partial.name):
            with suppress(OSError):
                handle = os.open(
                    partial, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
                )
                try:
                    if lock(handle):
                        partial.unlink(missing_ok=True)
                finally:
                    os.close(handle)


_kept: dict[Path, bytes] = {}  # what the disk has not taken yet


def write_or_keep(path: Path, content: bytes) -> None:
    """Write a whole file. Where that fails, warn, keep the content in memory and go on.

    Written again, it replaces what is kept; `write_kept` tries once more.
    """
    try:
        with whole_file(path) as file:
            file.write(content)
    except DataError as error:
        if path not in _kept:
            warn(f"{error}. It is kept in memory and tried again later")
        _kept[path] = content
    else:
        if _kept.pop(path, None) is not None:
            say(f"written now: {printable(path)}")


def write_kept() -> list[Path]:
    """Try to write what is kept; return the paths that still cannot be written."""
    for path, content in list(_kept.items()):
        write_or_keep(path, content)
    return list(_kept)


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too; systems that cannot (Windows) do it in their own time."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
